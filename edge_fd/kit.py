"""From a scenario to what a run needs: method, plan, data, bundles.

The simulator uses a kit in memory, ``edge-fd export`` writes it out for
boards: one bundle and one data file for each device. Bundles that are there
already, with the same contents, are taken as they are, so that a run with a
ready kit needs no torch.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from devices.bundle import Bundle
from edge_fd import methods
from edge_fd.codecs import Codec, codec
from edge_fd.data import Dataset, Split, device_data, load, split, write_device_npz
from edge_fd.errors import UsageError
from edge_fd.methods.base import Method
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
    """All that a run needs; ``server`` is the aggregator's student, where it has one."""

    scenario: Scenario
    method: Method
    plan: Plan
    codec: Codec
    dataset: Dataset
    parts: Split
    devices: Mapping[str, KitDevice]
    server: Bundle | None
    proxy: Samples | None
    test: Samples

    @property
    def parameters(self) -> int | None:
        """Length of the common student's weights, where the method needs a common one."""
        if not self.method.same_student:
            return None
        return next(iter(self.devices.values())).bundle.parameters

    @property
    def one_time_proxy_bytes(self) -> int:
        """Bytes of the proxy samples (and labels, where needed), sent once to each device."""
        if self.proxy is None:
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


def prepare(scenario: Scenario, folder: str | Path, *, method: str | None = None) -> Kit:
    """Check the scenario as a whole and make its kit, with bundles in ``folder``.

    ``method`` replaces the scenario's own. Raises UsageError, with the remedy,
    for what does not go together.
    """
    name = method or scenario.method.name
    made = methods.create(name, scenario.method.settings(name))
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
        test=scenario.data.test,
        seed=scenario.seed,
    )
    proxy, test, private = _samples(dataset, parts, made)
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    workshop = Workshop(scenario, made, dataset, folder)
    devices = {
        device: _device(workshop, device, group, private[device]) for device, group in names.items()
    }
    server_student = scenario.server.student
    if made.same_student:
        server_student = scenario.devices[0].student
    server = None
    if made.server_learns and server_student is not None:
        server, _ = workshop.bundle(server_student, "train")
    return Kit(
        scenario=scenario,
        method=made,
        plan=_plan(scenario, tuple(names)),
        codec=how,
        dataset=dataset,
        parts=parts,
        devices=devices,
        server=server,
        proxy=proxy,
        test=test,
    )


def export(scenario: Scenario, folder: str | Path, *, method: str | None = None) -> Kit:
    """Write a kit for boards: ``bundles/*.efdb`` and ``data/DEVICE.npz`` in ``folder``."""
    folder = Path(folder)
    kit = prepare(scenario, folder / "bundles", method=method)
    (folder / "data").mkdir(exist_ok=True)
    for name in kit.devices:
        data = device_data(kit.dataset, kit.parts, name)
        write_device_npz(folder / "data" / f"{name}.npz", data)
    (folder / "scenario.toml").write_text(scenario.to_toml(), encoding="utf-8")
    return kit


def check_fit(method: Method, scenario: Scenario) -> None:
    """Raise UsageError, with the remedy, where method and scenario do not go together."""
    students = sorted({group.student for group in scenario.devices})
    if method.same_student and len(students) > 1:
        raise UsageError(
            f"method {method.name!r} averages weights and needs one architecture, the scenario has"
            f" {', '.join(students)}; give all devices one student or choose fd, fedmd or dsfl"
        )
    for group in scenario.devices:
        if group.capability == "infer" and method.needs_training:
            raise UsageError(
                f"method {method.name!r} needs devices that train, group {group.student!r} has"
                " capability 'infer'; leave the group out or choose fd, fedmd or dsfl"
            )
        if group.capability == "infer" and not group.factory_epochs:
            raise UsageError(
                f"group {group.student!r} can only infer and factory_epochs = 0 leaves it"
                " untrained; give it factory_epochs of 1 or more"
            )
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


def _samples(
    dataset: Dataset, parts: Split, method: Method
) -> tuple[Samples | None, Samples, dict[str, Samples]]:
    some = next(iter(parts.private))
    shared = device_data(dataset, parts, some)
    proxy = shared.proxy if method.needs_proxy else None
    if proxy is not None and method.needs_proxy_labels and proxy.y is None:
        raise UsageError(
            f"method {method.name!r} learns the labels of the proxy set, which has none;"
            f" set method.{method.name}.transfer_epochs = 0 or give the data file 'proxy_y'"
        )
    whole = Samples(dataset.x, dataset.y)
    private = {device: whole.take(rows) for device, rows in parts.private.items()}
    return proxy, shared.test, private


def _plan(scenario: Scenario, names: tuple[str, ...]) -> Plan:
    rounds = scenario.rounds
    asked = max(1, math.ceil(rounds.participation * len(names) - 1e-9))
    return Plan(
        devices=names,
        rounds=rounds.count,
        quorum=max(1, math.ceil(rounds.quorum * asked - 1e-9)),
        deadline_s=rounds.deadline_s,
        seed=scenario.seed,
        participation=rounds.participation,
        join_s=rounds.join_s,
        remind_s=rounds.remind_s,
    )


def _device(workshop: Workshop, name: str, group: DevicesSection, private: Samples) -> KitDevice:
    factory = None
    if group.factory_epochs:
        factory = FactoryTraining(name, private, group.factory_epochs)
    bundle, path = workshop.bundle(group.student, group.capability, factory=factory)
    return KitDevice(name, group, bundle, path, private)
