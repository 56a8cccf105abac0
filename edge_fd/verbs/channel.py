"""``edge-fd channel``: what a radio does to a message, over distance and in a crowd."""

from __future__ import annotations

import argparse
import json
import math
from dataclasses import asdict, fields
from typing import Any

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table

from channel_sim import (
    CrowdSurvey,
    LinkPlan,
    Preset,
    load_preset,
    preset_names,
    survey_crowd,
    survey_link,
)
from channel_sim.transport import Transport
from edge_fd.errors import UsageError
from edge_fd.report.channel_figure import check_kind, write_channel_figure
from edge_fd.report.table import percent, three_digits
from edge_fd.scenario import parse_value
from edge_fd.verbs.ranges import distances, parse_size, whole_numbers
from edge_fd.verbs.terminal import say

IN_REACH = 0.01
"""A crowd stands where a message alone is lost less often than this."""
POINTS = 200
MARGIN = 1.01
"""A crowd needs a ring of some width."""


def channel(options: argparse.Namespace) -> int:
    """Print what a preset does; without a preset, list them."""
    if options.preset is None:
        _list()
        return 0
    try:
        return _survey(options, load_preset(options.preset, **_overrides(options.set)))
    except ValueError as error:
        raise UsageError(str(error)) from None


def _survey(options: argparse.Namespace, preset: Preset) -> int:
    size_bytes = _on_air(options.over, parse_size(options.payload))
    low_m, high_m, rows_m = distances(options.distance)
    counts = whole_numbers("--devices", options.devices)
    if options.out is not None:
        check_kind(options.out)
    if options.sources:
        _print_sources(preset)
    link = survey_link(preset, rows_m, size_bytes)
    line_m = np.geomspace(low_m, high_m, POINTS)
    line = survey_link(preset, line_m, size_bytes)
    within_m = options.within or _reach_m(preset, line_m, line)
    crowds = _crowds(options, preset, size_bytes, counts, low_m, within_m)
    if options.json:
        print(json.dumps(_tree(options, preset, rows_m, link, within_m, crowds)))  # noqa: T201
    else:
        title = f"{preset.name}: {preset.title}; one message of {size_bytes:,} B up"
        _print(_link_table(title, rows_m, link))
        _print(_crowd_table(within_m, crowds))
    if options.out is not None:
        write_channel_figure(
            options.out,
            title=f"{preset.name}, {size_bytes:,} B",
            distances_m=line_m,
            link=line,
            crowds=crowds,
            within_m=within_m,
        )
        say(f"picture: {options.out}")
    return 0


def _crowds(
    options: argparse.Namespace,
    preset: Preset,
    size_bytes: int,
    counts: list[int],
    low_m: float,
    within_m: float,
) -> list[CrowdSurvey]:
    """Survey crowd after crowd; the first that a radio cannot serve ends its series, told."""
    crowds = []
    for jitter_s in dict.fromkeys((0.0, options.jitter)):
        for count in counts:
            try:
                crowd = survey_crowd(
                    preset,
                    count,
                    size_bytes,
                    min_m=min(low_m, within_m / MARGIN),
                    max_m=within_m,
                    jitter_s=jitter_s,
                    seed=options.seed,
                )
            except ValueError as error:
                if count == counts[0]:
                    raise
                say(f"{count} devices: {error}")
                break
            crowds.append(crowd)
    return crowds


def _on_air(over: str, payload_bytes: int) -> int:
    """What the radio is given of a payload; a topic of 32 B, QoS 1."""
    if over == "raw":
        return payload_bytes
    return Transport(tls="1.3" if over == "mqtts" else None).forward_bytes(payload_bytes)


def _overrides(items: list[str]) -> dict[str, Any]:
    found = {}
    for item in items:
        key, sign, value = item.partition("=")
        if not sign:
            raise UsageError(f"--set {item!r} has no '='; write KEY=VALUE, as in tx_power_dbm=10")
        found[key.strip()] = parse_value(value.strip())
    return found


def _reach_m(preset: Preset, line_m: np.ndarray[Any, Any], line: LinkPlan) -> float:
    """The largest distance up to which a lone message is hardly ever lost."""
    bad = np.nonzero(~(line.message_loss < IN_REACH))[0]
    end = len(line_m) if not len(bad) else int(bad[0])
    if end == 0:
        raise UsageError(
            f"preset {preset.name!r} loses {percent(float(line.message_loss[0]))} % of lone"
            f" messages at {line_m[0]:g} m already; give a shorter --distance or say with --within"
            " how far away the devices are"
        )
    # Half of it: a shadow may take as much as the other half does.
    return float(f"{max(line_m[end - 1] / 2, line_m[0] * MARGIN):.3g}")


def _link_table(title: str, rows_m: list[float], link: LinkPlan) -> Table:
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)
    heads = (
        "distance m", "path loss dB", "SNR dB", "rate", "packets", "packet loss %",
        "message loss %", "airtime", "latency", "energy",
    )  # fmt: skip
    for head in heads:
        table.add_column(head, justify="right")
    for row, distance_m in enumerate(rows_m):
        dead = link.rate_bps[row] == 0
        table.add_row(
            f"{distance_m:g}",
            f"{link.loss_db[row]:.1f}",
            f"{link.snr_db[row]:.1f}",
            "out of reach" if dead else _prefixed(link.rate_bps[row], "bit/s"),
            str(link.packets[row]),
            percent(link.packet_error[row]),
            percent(link.message_loss[row]),
            *(_prefixed(value, unit) for value, unit in (
                (link.air_s[row], "s"), (link.latency_s[row], "s"), (link.energy_j[row], "J")
            )),
        )  # fmt: skip
    return table


def _crowd_table(within_m: float, crowds: list[CrowdSurvey]) -> Table:
    table = Table(
        title=f"answering one announcement, within {within_m:g} m (first, last: mean of rounds)",
        title_justify="left",
        box=box.SIMPLE_HEAD,
    )
    heads = (
        "devices", "start", "delivered %", "first", "median", "95 %", "last", "frames sent",
        "energy", "rounds",
    )  # fmt: skip
    for head in heads:
        table.add_column(head, justify="right")
    table.add_column("lost %, by reason")
    for crowd in crowds:
        reasons = sorted(crowd.lost.items(), key=lambda item: -item[1])
        table.add_row(
            str(crowd.devices),
            f"over {_prefixed(crowd.jitter_s, 's')}" if crowd.jitter_s else "together",
            percent(crowd.delivered),
            *(_prefixed(value, "s") for value in (
                crowd.first_s, crowd.median_s, crowd.p95_s, crowd.last_s
            )),
            three_digits(crowd.attempts),
            _prefixed(crowd.energy_j, "J"),
            str(crowd.rounds),
            ", ".join(f"{reason} {percent(share)}" for reason, share in reasons) or "-",
        )  # fmt: skip
    return table


def _print(table: Table) -> None:
    Console(width=None if Console().is_terminal else 160).print(table)


def _prefixed(value: float, unit: str) -> str:
    """A number with three digits and the prefix that suits it."""
    if not math.isfinite(value):
        return "-"
    if value == 0:
        return f"0 {unit}"
    for factor, prefix in ((1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, ""), (1e-3, "m"), (1e-6, "µ")):
        if unit == "s" and factor > 1:
            continue
        if value >= factor * 0.9995 or factor == 1e-6:  # noqa: PLR2004
            return f"{three_digits(value / factor)} {prefix}{unit}"
    raise AssertionError(value)


def _list() -> None:
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("preset")
    table.add_column("what it is")
    for name in preset_names():
        table.add_row(name, load_preset(name).title)
    _print(table)


def _print_sources(preset: Preset) -> None:
    table = Table(title=f"{preset.name}: numbers and sources", box=box.SIMPLE_HEAD)
    for head in ("key", "value", "source"):
        table.add_column(head)
    for part in (preset.family, preset.propagation):
        for item in fields(part):  # type: ignore[arg-type]
            if item.name in preset.sources:
                source = preset.sources[item.name]
                mark = " (remembered)" if source.remembered else ""
                table.add_row(item.name, repr(getattr(part, item.name)), source.text + mark)
    _print(table)


def _tree(
    options: argparse.Namespace,
    preset: Preset,
    rows_m: list[float],
    link: LinkPlan,
    within_m: float,
    crowds: list[CrowdSurvey],
) -> dict[str, Any]:
    columns = {item.name: getattr(link, item.name) for item in fields(link)}
    tree: dict[str, Any] = _without_nan(
        {
            "preset": preset.name,
            "command": options.command,
            "link": [
                {"distance_m": distance_m}
                | {name: column[row].item() for name, column in columns.items()}
                for row, distance_m in enumerate(rows_m)
            ],
            "within_m": within_m,
            "crowds": [asdict(crowd) for crowd in crowds],
        }
    )
    return tree


def _without_nan(tree: Any) -> Any:
    """JSON has neither NaN nor infinity: what is not there is null."""
    if isinstance(tree, dict):
        return {key: _without_nan(value) for key, value in tree.items()}
    if isinstance(tree, list):
        return [_without_nan(value) for value in tree]
    return None if isinstance(tree, float) and not math.isfinite(tree) else tree
