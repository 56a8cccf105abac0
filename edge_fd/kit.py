"""From a scenario to what a run needs: method, plan, data, bundles.

The simulator uses a kit in memory, ``edge-fd export`` writes it out for
boards: one bundle and one data file for each device. Bundles that are there
already, with the same contents, are taken as they are, so that a run with a
ready kit needs no torch.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from devices.bundle import Bundle
from edge_fd import methods
from edge_fd.codecs import Codec, codec
from edge_fd.data import Dataset, Split, device_data, load, split, write_device_npz
from edge_fd.desk import Desk
from edge_fd.errors import UsageError
from edge_fd.fit import check_apart, check_features, check_fit
from edge_fd.methods.base import Device, Method
from edge_fd.outcome import Holdings
from edge_fd.requests import Samples
from edge_fd.rounds import Plan
from edge_fd.scenario import DevicesSection, Scenario
from edge_fd.workshop import FactoryTraining, Workshop


@dataclass(frozen=True)
class KitDevice:
    """One device of a kit; ``bundle_path`` is shared by equal devices."""

    name: str
    group: DevicesSection
    bundle: Bundle
    bundle_path: Path
    private: Samples


@dataclass(frozen=True)
class Kit:
    """All that a run needs.

    ``server`` is the aggregator's student, where it has one, and ``others`` are
    further ones by the name of their architecture.
    """

    scenario: Scenario
    method: Method
    plan: Plan
    codec: Codec
    dataset: Dataset
    parts: Split
    devices: Mapping[str, KitDevice]
    server: Bundle | None
    others: Mapping[str, Bundle]
    proxy: Samples | None
    validation: Samples | None
    test: Samples

    def holdings(self, desks: Mapping[str, Desk]) -> Holdings:
        """What the aggregator works with; ``desks`` by bundle id must hold its students."""
        groups, parameters = {}, {}
        if self.method.kind == "weights":
            for name, device in self.devices.items():
                student = device.group.student
                groups[name] = student if student in self.others else ""
                parameters[name] = device.bundle.parameters
        return Holdings(
            desk=None if self.server is None else desks[self.server.id],
            others={name: desks[bundle.id] for name, bundle in self.others.items()},
            groups=groups,
            proxy=self.proxy,
            proxy_per_round=self.scenario.data.proxy_per_round,
            validation=self.validation,
            parameters=parameters,
            features=next(iter(self.devices.values())).bundle.features,
        )

    @property
    def servers(self) -> tuple[Bundle, ...]:
        """All students of the aggregator."""
        first = () if self.server is None else (self.server,)
        return (*first, *self.others.values())

    @property
    def one_time_proxy_bytes(self) -> int:
        """Bytes of the proxy samples (and labels, where needed), sent once to each device."""
        if self.proxy is None or self.method.proxy_at_server:
            return 0
        labels = (
            self.proxy.y.nbytes
            if self.method.needs_proxy_labels and self.proxy.y is not None
            else 0
        )
        return self.proxy.x.nbytes + labels

    @property
    def one_time_bundle_bytes(self) -> int:
        """Mean size of a device's bundle file, sent once to each device."""
        sizes = [device.bundle_path.stat().st_size for device in self.devices.values()]
        return round(sum(sizes) / len(sizes))


def device_of(kit: Kit, me: KitDevice) -> Device:
    """What a method's device half sees of a device of the kit."""
    return Device(
        me.name,
        me.bundle.classes,
        me.group.capability,
        me.private,
        None if kit.method.proxy_at_server else kit.proxy,
        features=me.bundle.features,
        buffers=me.bundle.buffers,
    )


def prepare(scenario: Scenario, folder: str | Path, *, method: str | Method | None = None) -> Kit:
    """Check the scenario as a whole and make its kit, with bundles in ``folder``.

    ``method``, a name or a method, replaces the scenario's own. Raises
    UsageError, with the remedy, for what does not go together.
    """
    made = method_of(scenario, method)
    check_fit(made, scenario)
    how = codec(scenario.transport.codec)
    names = scenario.device_names()
    dataset = load(scenario.data.name, path=scenario.data.path)
    parts = split(
        dataset,
        list(names),
        kind=scenario.split.kind,
        alpha=scenario.split.alpha,
        min_per_device=scenario.split.min_per_device,
        max_per_device=scenario.split.max_per_device,
        proxy=scenario.data.proxy,
        validation=scenario.data.validation,
        test=scenario.data.test,
        seed=scenario.seed,
    )
    proxy, test, private = _samples(dataset, parts, made)
    if parts.own_proxy:
        check_apart(proxy, test)
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    workshop = Workshop(scenario, made, dataset, folder)
    devices = {
        device: _device(workshop, device, group, private[device]) for device, group in names.items()
    }
    check_features(made, [device.bundle for device in devices.values()])
    server, others = _servers(workshop, made, scenario)
    return Kit(
        scenario=scenario,
        method=made,
        plan=_plan(scenario, tuple(names)),
        codec=how,
        dataset=dataset,
        parts=parts,
        devices=devices,
        server=server,
        others=others,
        proxy=proxy,
        validation=_validation(dataset, parts),
        test=test,
    )


def method_of(scenario: Scenario, method: str | Method | None = None) -> Method:
    """Return the method of a scenario, or another one with the scenario's settings for it."""
    if isinstance(method, Method):
        return method
    name = method or scenario.method.name
    return methods.create(name, scenario.method.settings(name))


def export(scenario: Scenario, folder: str | Path, *, method: str | Method | None = None) -> Kit:
    """Write a kit for boards: ``bundles/*.efdb`` and ``data/DEVICE.npz`` in ``folder``."""
    folder = Path(folder)
    kit = prepare(scenario, folder / "bundles", method=method)
    (folder / "data").mkdir(exist_ok=True)
    for name in kit.devices:
        data = device_data(kit.dataset, kit.parts, name)
        if kit.method.proxy_at_server:
            data = replace(data, proxy=data.proxy.take(np.empty(0, np.int64)))
        write_device_npz(folder / "data" / f"{name}.npz", data)
    (folder / "scenario.toml").write_text(scenario.to_toml(), encoding="utf-8")
    return kit


def _samples(
    dataset: Dataset, parts: Split, method: Method
) -> tuple[Samples | None, Samples, dict[str, Samples]]:
    some = next(iter(parts.private))
    shared = device_data(dataset, parts, some)
    proxy = shared.proxy if method.needs_proxy else None
    if proxy is not None and method.needs_proxy_labels and proxy.y is None:
        raise UsageError(
            f"method {method.name!r}, as it is set, needs the labels of the proxy set, which has"
            " none; give the data file 'proxy_y', or choose settings without transfer or weights"
        )
    whole = Samples(dataset.x, dataset.y)
    private = {device: whole.take(rows) for device, rows in parts.private.items()}
    return proxy, shared.test, private


def _validation(dataset: Dataset, parts: Split) -> Samples | None:
    held = parts.validation
    return Samples(dataset.x, dataset.y).take(held) if len(held) else None


def _servers(
    workshop: Workshop, method: Method, scenario: Scenario
) -> tuple[Bundle | None, dict[str, Bundle]]:
    """The aggregator's student, and further ones where it needs one of each architecture."""
    if not method.server_learns:
        return None, {}
    students = list(dict.fromkeys(group.student for group in scenario.devices))
    if not (method.same_student or method.server_per_student):
        students = [] if scenario.server.student is None else [scenario.server.student]
    bundles = {student: workshop.bundle(student, "train")[0] for student in students}
    first = bundles.pop(students[0]) if students else None
    return first, bundles


def _plan(scenario: Scenario, names: tuple[str, ...]) -> Plan:
    rounds, buffer = scenario.rounds, 0
    asked = max(1, math.ceil(rounds.participation * len(names) - 1e-9))
    if rounds.mode == "buffered":
        buffer = asked = rounds.buffer or max(1, len(names) // 2)
    return Plan(
        devices=names,
        rounds=rounds.count,
        quorum=max(1, math.ceil(rounds.quorum * asked - 1e-9)),
        deadline_s=rounds.deadline_s,
        seed=scenario.seed,
        participation=rounds.participation,
        join_s=rounds.join_s,
        remind_s=rounds.remind_s,
        buffer=buffer,
        max_staleness=rounds.max_staleness if buffer else 0,
    )


def _device(workshop: Workshop, name: str, group: DevicesSection, private: Samples) -> KitDevice:
    factory = None
    if group.factory_epochs:
        factory = FactoryTraining(name, private, group.factory_epochs)
    bundle, path = workshop.bundle(group.student, group.capability, factory=factory)
    return KitDevice(name, group, bundle, path, private)
