"""What does not go together, refused before a run starts, each with its remedy."""

from __future__ import annotations

from collections.abc import Iterable

from devices.bundle import Bundle
from edge_fd.errors import UsageError
from edge_fd.methods.base import Method
from edge_fd.requests import Samples
from edge_fd.scenario import DevicesSection, Scenario

FREE_OF_WEIGHTS = "fd, fedmd, dsfl or cfd"
"""Methods that take any student, and devices that only infer."""


def check_fit(method: Method, scenario: Scenario) -> None:
    """Raise UsageError where method and scenario do not go together."""
    students = sorted({group.student for group in scenario.devices})
    if method.same_student and len(students) > 1:
        raise UsageError(
            f"method {method.name!r} averages weights and needs one architecture, the scenario has"
            f" {', '.join(students)}; give all devices one student or choose {FREE_OF_WEIGHTS}"
        )
    for group in scenario.devices:
        _check_group(method, group)
    total = sum(group.count for group in scenario.devices)
    if total < method.least_devices:
        raise UsageError(
            f"method {method.name!r} needs at least {method.least_devices} devices, the scenario"
            f" has {total}; raise devices.count"
        )
    if method.needs_proxy and scenario.data.proxy == 0:
        raise UsageError(
            f"method {method.name!r} needs proxy data and data.proxy = 0; set data.proxy"
        )
    if method.needs_validation and scenario.data.validation == 0:
        raise UsageError(
            f"method {method.name!r}, as it is set, compares models on labelled samples of the"
            " server's own and data.validation = 0; set data.validation"
        )
    if method.proxy_whole and scenario.data.proxy_per_round is not None:
        raise UsageError(
            f"method {method.name!r} is about the whole proxy set in each round, and"
            f" data.proxy_per_round = {scenario.data.proxy_per_round}; leave it out"
        )
    _check_rounds(method, scenario)


def _check_group(method: Method, group: DevicesSection) -> None:
    if group.capability != "infer":
        return
    if method.needs_training:
        raise UsageError(
            f"method {method.name!r} needs devices that train, group {group.student!r} has"
            f" capability 'infer'; leave the group out or choose {FREE_OF_WEIGHTS}"
        )
    if not group.factory_epochs:
        raise UsageError(
            f"group {group.student!r} can only infer and factory_epochs = 0 leaves it"
            " untrained; give it factory_epochs of 1 or more"
        )


def _check_rounds(method: Method, scenario: Scenario) -> None:
    rounds, total = scenario.rounds, sum(group.count for group in scenario.devices)
    if rounds.mode == "synchronous":
        if rounds.buffer is not None:
            raise UsageError(
                f"rounds.buffer = {rounds.buffer} needs rounds.mode = 'buffered'; set it, or leave"
                " rounds.buffer out"
            )
        return
    if rounds.buffer is not None and rounds.buffer > total:
        raise UsageError(
            f"rounds.buffer = {rounds.buffer} is more than the {total} devices, and each counts"
            " once in a buffer; lower it"
        )
    if rounds.participation < 1:
        raise UsageError(
            f"rounds.participation = {rounds.participation} and rounds.mode = 'buffered' exclude"
            " each other: in a buffered round any device may answer; leave participation out"
        )
    if method.same_round:
        raise UsageError(
            f"method {method.name!r} asks something else in each round, and rounds.mode ="
            " 'buffered' fuses answers to several; choose 'synchronous' or another method"
        )
    asked = method.needs_proxy and not method.proxy_at_server
    if asked and scenario.data.proxy_per_round is not None:
        raise UsageError(
            f"data.proxy_per_round = {scenario.data.proxy_per_round} and rounds.mode = 'buffered'"
            " exclude each other: contributions to one buffer must be about the same samples;"
            " leave data.proxy_per_round out"
        )


def check_features(method: Method, bundles: Iterable[Bundle]) -> None:
    """Raise UsageError where a method compares features and those of the students differ."""
    if not method.same_features:
        return
    widths = {bundle.student: bundle.features for bundle in bundles}
    if len(set(widths.values())) > 1:
        found = ", ".join(f"{student}: {width}" for student, width in sorted(widths.items()))
        raise UsageError(
            f"method {method.name!r} compares features and needs one width of them, the students"
            f" have {found}; choose students whose last layer takes equally many inputs"
        )
    if set(widths.values()) == {0}:
        raise UsageError(
            f"method {method.name!r} needs the features before the last layer, which"
            f" {', '.join(sorted(widths))} does not show; call that layer 'head' in the student"
        )


def check_apart(proxy: Samples | None, test: Samples) -> None:
    """Raise UsageError where a proxy sample is a test sample: the test would be learned from."""
    if proxy is None or not len(test):
        return
    tested = {row.tobytes() for row in test.x}
    same = [number for number, row in enumerate(proxy.x) if row.tobytes() in tested]
    if same:
        raise UsageError(
            f"{len(same)} of {len(proxy)} proxy samples are test samples too (the first is proxy"
            f" sample {same[0]}); remove them from 'proxy_x' or from 'test_x'"
        )
