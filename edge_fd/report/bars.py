"""Stacked bars: where seconds, bytes and joules go, and how rounds end."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING

from matplotlib.figure import Figure

from edge_fd.report.curves import Plot
from edge_fd.report.drawing import style, svg
from edge_fd.report.summary import JOULES, SECONDS
from edge_fd.report.table import byte_size, three_digits

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from edge_fd.records import DeviceRecord
    from edge_fd.report.groups import Group

SHARES_FROM = 10.0
"""Bars show shares where the totals of two bars differ by more than this factor."""

BLUES = ("#0B4F8A", "#3B8BC4", "#8FC1E3", "#CFE3F3")
OUTCOMES = {
    "accepted": "#0072B2",
    "late": "#56B4E9",
    "refused": "#E69F00",
    "lost": "#D55E00",
    "absent": "#9A9A9A",
}


@dataclass(frozen=True)
class _Bar:
    """One bar: the group that it stands under, its name and the sizes of its parts."""

    group: str
    label: str
    parts: tuple[float, ...]

    @property
    def total(self) -> float:
        return sum(self.parts)


@dataclass(frozen=True)
class _Stack:
    """A figure of bars; ``form`` prints a total at the end of its bar."""

    name: str
    title: str
    caption: str
    names: tuple[str, ...]
    colours: tuple[str, ...]
    unit: str
    form: Callable[[float], str]


def split_plots(groups: Sequence[Group]) -> list[Plot]:
    """Return the splits of seconds, bytes, joules and outcomes."""
    return [_seconds(groups), _bytes(groups), _joules(groups), _outcomes(groups)]


def _seconds(groups: Sequence[Group]) -> Plot:
    stack = _Stack(
        "seconds-split", "Where the seconds go",
        "Mean per round and device: waiting for and receiving the announcement, computing,"
        " and from there to the receipt; per device profile, or per student where there is none.",
        ("down", "compute", "up"), (BLUES[2], BLUES[0], BLUES[1]),
        "seconds per round", lambda value: f"{three_digits(value)} s",
    )  # fmt: skip
    return _plot(stack, _by_profile(groups, SECONDS))


def _joules(groups: Sequence[Group]) -> Plot:
    stack = _Stack(
        "joules-split", "Where the joules go",
        "Mean per round and device, as far as known. Runs whose energy was neither measured nor"
        " modelled have no bar.",
        ("compute", "send", "receive", "idle"), BLUES,
        "joules per round", lambda value: f"{three_digits(value)} J",
    )  # fmt: skip
    return _plot(stack, _by_profile(groups, JOULES))


def _bytes(groups: Sequence[Group]) -> Plot:
    stack = _Stack(
        "bytes-split", "Where the bytes go",
        "Mean per round and device: coded arrays, the rest of the frames, MQTT, and TCP/IP with"
        " acknowledgements.",
        ("payload", "envelope", "MQTT", "TCP/IP"), BLUES,
        "bytes per round", byte_size,
    )  # fmt: skip
    columns = ("payload", "envelope", "mqtt", "tcp_ip")
    bars = []
    for group in groups:
        for direction in ("up", "down"):
            rows = [getattr(record, direction) for record in group.records]
            if rows:
                parts = tuple(fmean(getattr(row, column) for row in rows) for column in columns)
                bars.append(_Bar(group.title, direction, parts))
    return _plot(stack, bars)


def _outcomes(groups: Sequence[Group]) -> Plot:
    stack = _Stack(
        "outcomes", "How device rounds end",
        "Every round of every device: upload accepted, late, refused, lost on the way, or the"
        " device absent.",
        tuple(OUTCOMES), tuple(OUTCOMES.values()),
        "device rounds", lambda value: f"{value:.0f}",
    )  # fmt: skip
    bars = []
    for group in groups:
        ends: list[str] = [record.outcome for record in group.records]
        parts = tuple(float(ends.count(outcome)) for outcome in stack.names)
        bars.append(_Bar("", group.title, parts))
    return _plot(stack, bars, shares=True)


def _by_profile(groups: Sequence[Group], columns: Sequence[str]) -> list[_Bar]:
    bars = []
    for group in groups:
        for kind in sorted({_kind(record) for record in group.records}):
            rows = [record for record in group.records if _kind(record) == kind]
            means = [_mean(rows, column) for column in columns]
            if any(value is not None for value in means):
                bars.append(_Bar(group.title, kind, tuple(value or 0.0 for value in means)))
    return bars


def _kind(record: DeviceRecord) -> str:
    return record.profile or record.student


def _mean(rows: Sequence[DeviceRecord], column: str) -> float | None:
    known = [value for value in (getattr(row, column) for row in rows) if value is not None]
    return fmean(known) if known else None


def _plot(stack: _Stack, bars: Sequence[_Bar], *, shares: bool = False) -> Plot:
    totals = [bar.total for bar in bars if bar.total > 0]
    if not totals:
        return Plot(stack.name, stack.title, stack.caption, None)
    shares = shares or max(totals) > SHARES_FROM * min(totals)
    places, heads = _places(bars)
    with style(stack.name):
        figure = Figure(figsize=(6.4, 0.75 + 0.22 * places[-1]))
        axes = figure.add_subplot()
        for head, place in heads.items():
            axes.text(0, place, head, va="center", fontsize=9)
        scale = [100 / bar.total if shares and bar.total else 1.0 for bar in bars]
        ends = [0.0] * len(bars)
        for index, (name, colour) in enumerate(zip(stack.names, stack.colours, strict=True)):
            widths = [bar.parts[index] * factor for bar, factor in zip(bars, scale, strict=True)]
            axes.barh(places, widths, left=ends, height=0.82, color=colour, label=name)
            ends = [end + width for end, width in zip(ends, widths, strict=True)]
        for bar, place, end in zip(bars, places, ends, strict=True):
            axes.text(end + 0.015 * max(ends), place, stack.form(bar.total), va="center", size=8.5)
        axes.set_yticks(places, [bar.label for bar in bars])
        axes.tick_params(axis="y", length=0)
        axes.grid(visible=False, axis="y")
        axes.spines.left.set_visible(False)
        axes.set_ylim(places[-1] + 0.7, -0.7)
        axes.set_xlim(0, 1.15 * max(ends))
        if shares:
            axes.set_xticks(range(0, 101, 20))
        axes.set_xlabel(f"share of {stack.unit} (%), total at the end" if shares else stack.unit)
        _legend(figure, len(stack.names))
        return Plot(stack.name, stack.title, stack.caption, svg(figure, stack.name, stack.title))


def _places(bars: Sequence[_Bar]) -> tuple[list[float], dict[str, float]]:
    """Return the place of each bar and that of each group's name, a line above its bars."""
    places: list[float] = []
    heads: dict[str, float] = {}
    at = 0.0
    for bar in bars:
        if bar.group and bar.group not in heads:
            at += 0.35 if heads else 0.0
            heads[bar.group] = at
            at += 1
        places.append(at)
        at += 1
    return places, heads


def _legend(figure: Figure, columns: int) -> None:
    axes = figure.axes[0]
    handles, labels = axes.get_legend_handles_labels()
    axes.legend(
        handles, labels, loc="lower left", bbox_to_anchor=(-0.01, 1.0), ncol=columns,
        handlelength=1.0, handletextpad=0.5, columnspacing=1.2,
    )  # fmt: skip
