"""``edge-fd methods``: what there is, what each needs and sends, what it would cost."""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from edge_fd import data
from edge_fd import methods as known
from edge_fd.codecs import codec
from edge_fd.errors import UsageError
from edge_fd.forecast import download_cost, upload_cost
from edge_fd.kit import Kit, prepare
from edge_fd.methods.base import Method
from edge_fd.report.table import aligned, byte_size
from edge_fd.scenario import Scenario
from edge_fd.verbs.terminal import names_of, scenario_of

TRAVELS = {
    "label_table": "mean output of each label",
    "logits": "logits of proxy samples",
    "probs": "soft labels of proxy samples",
    "prototypes": "mean features of each label",
    "symbols": "soft labels of proxy samples in a few bits",
    "weights": "weights",
}
NEEDS = {
    "needs_proxy": "proxy data",
    "needs_proxy_labels": "proxy labels",
    "needs_training": "training on every device",
    "same_student": "one architecture",
    "same_features": "one width of features",
    "server_learns": "server student",
}


@dataclass(frozen=True)
class Costs:
    """Bytes of one method in one scenario: the least and the most of any group of devices.

    ``up`` and ``down`` are the knowledge of one round, ``*_payload`` its coded
    arrays and ``*_on_air`` the whole message with MQTT, TCP and IP. ``reason``
    says why there are none.
    """

    up_payload: tuple[int, int] | None = None
    up_on_air: tuple[int, int] | None = None
    down_payload: tuple[int, int] | None = None
    down_on_air: tuple[int, int] | None = None
    one_time_proxy: int | None = None
    one_time_bundle: int | None = None
    reason: str = ""


def methods(options: argparse.Namespace) -> int:
    """Print the methods; with a scenario, what each would cost in it."""
    names = names_of(options.method) if options.method else list(known.METHODS)
    if options.scenario is None:
        if options.codec or options.set or options.devices is not None:
            raise UsageError("--codec, --set and --devices need a scenario; name its file")
        made = [known.create(name) for name in names]
        _print_list(made, wrappers=not options.method, as_json=options.json)
        return 0
    scenario = _plain(scenario_of(options), options.codec)
    made = [known.create(name, scenario.method.settings(name)) for name in names]
    codec(scenario.transport.codec)
    data.load(scenario.data.name, path=scenario.data.path)
    with tempfile.TemporaryDirectory() as folder:
        costs = [_costs(scenario, name, Path(folder)) for name in names]
    _print_costs(scenario, list(zip(names, made, costs, strict=True)), as_json=options.json)
    return 0


def _plain(scenario: Scenario, codec_name: str | None) -> Scenario:
    """The scenario as far as sizes depend on it: nobody need train at the factory for long."""
    groups = tuple(
        group.model_copy(update={"factory_epochs": min(group.factory_epochs, 1)})
        if group.capability == "infer"
        else group.model_copy(update={"factory_epochs": 0})
        for group in scenario.devices
    )
    changes: dict[str, Any] = {"devices": groups}
    if codec_name is not None:
        changes["transport"] = scenario.transport.model_copy(update={"codec": codec_name})
    return scenario.model_copy(update=changes)


def _costs(scenario: Scenario, name: str, folder: Path) -> Costs:
    try:
        kit = prepare(scenario, folder, method=name)
        first = _first_of_each_group(kit)
        up = [upload_cost(kit, one, method=kit.method, codec=kit.codec) for one in first]
        down = [download_cost(kit, one, method=kit.method, codec=kit.codec) for one in first]
    except UsageError as error:
        return Costs(reason=" ".join(str(error).split()))
    return Costs(
        up_payload=_span(cost.payload for cost in up),
        up_on_air=_span(cost.on_air for cost in up),
        down_payload=_span(cost.payload for cost in down),
        down_on_air=_span(cost.on_air for cost in down),
        one_time_proxy=kit.one_time_proxy_bytes,
        one_time_bundle=kit.one_time_bundle_bytes,
    )


def _first_of_each_group(kit: Kit) -> list[str]:
    found: dict[int, str] = {}
    for name, device in kit.devices.items():
        found.setdefault(id(device.group), name)
    return list(found.values())


def _span(values: Iterable[int]) -> tuple[int, int]:
    listed = list(values)
    return min(listed), max(listed)


def _needs(method: Method) -> list[str]:
    needs = [text for fact, text in NEEDS.items() if getattr(method, fact)]
    if method.least_devices > 1:
        needs.append(f"{method.least_devices} devices")
    return needs


def _facts(name: str, method: Method) -> dict[str, Any]:
    return {
        "name": name,
        "paper": method.paper,
        "kind": method.kind,
        "least_devices": method.least_devices,
        **{fact: getattr(method, fact) for fact in NEEDS},
    }


def _travels(method: Method) -> str:
    return "nothing" if method.kind is None else TRAVELS.get(method.kind, method.kind)


def _print_list(made: Sequence[Method], *, wrappers: bool, as_json: bool) -> None:
    if as_json:
        print(json.dumps([_facts(method.path, method) for method in made], indent=1))  # noqa: T201
        return
    lines = [["method", "sends", "needs", "paper"]]
    lines += [
        [method.path, _travels(method), ", ".join(_needs(method)) or "nothing", method.paper]
        for method in made
    ]
    if wrappers:
        lines += [
            [f"{name}+METHOD", "as METHOD", "as METHOD", cls.paper]
            for name, cls in known.WRAPPERS.items()
        ]
    print(aligned(lines, left=4))  # noqa: T201
    print("A server student is used where the scenario names one.")  # noqa: T201
    print("Your own: package.module:Class. Costs: edge-fd methods SCENARIO.")  # noqa: T201


def _print_costs(
    scenario: Scenario, rows: Sequence[tuple[str, Method, Costs]], *, as_json: bool
) -> None:
    if as_json:
        told = [{**_facts(name, method), **asdict(costs)} for name, method, costs in rows]
        print(json.dumps(told, indent=1))  # noqa: T201
        return
    lines = [
        ["", "payload", "payload", "on air", "on air", "one-time", "one-time"],
        ["method", "up", "down", "up", "down", "proxy", "bundle"],
    ]
    for name, _, costs in rows:
        if not costs.reason:
            spans = (costs.up_payload, costs.down_payload, costs.up_on_air, costs.down_on_air)
            once = (costs.one_time_proxy, costs.one_time_bundle)
            lines.append([name, *(_told(span) for span in spans), *(_told(one) for one in once)])
    devices = sum(group.count for group in scenario.devices)
    print(f"{scenario.name}: {devices} devices, codec {scenario.transport.codec}")  # noqa: T201
    if len(lines) > 2:  # noqa: PLR2004 - more than the head
        print(aligned(lines, left=1))  # noqa: T201
        print(  # noqa: T201
            "Knowledge of one round, per device (first device of each group); on air with MQTT,"
            " TCP and IP.\nAn announcement and a receipt a round come on top. 1 kB = 1000 B."
        )
    for name, _, costs in rows:
        if costs.reason:
            print(f"{name}: {costs.reason}")  # noqa: T201


def _told(value: tuple[int, int] | int | None) -> str:
    if isinstance(value, tuple):
        low, high = (byte_size(part) for part in value)
        return low if low == high else f"{low} to {high}"
    return "-" if value is None else byte_size(value)
