"""Line plots: accuracy against what it costs, and how long a device's round takes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter
from matplotlib.transforms import ScaledTranslation

from edge_fd.report.drawing import looks, style, svg
from edge_fd.report.groups import (
    Curve,
    Group,
    Quantity,
    bytes_by_round,
    curve,
    joules_by_round,
    rounds_by_round,
    seconds_by_round,
)
from edge_fd.report.summary import seconds
from edge_fd.report.table import byte_size, three_digits

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from matplotlib.axes import Axes

LOG_FROM = 20.0
"""An axis is logarithmic where the costs of two lines differ by more than this factor."""
BANDS = 3
"""So many lines have their spread as bands; more would hide each other and get bars."""
MARKS = 8
"""Markers of a line, and bars where it has them."""
ASIDE_PT = 7.0


@dataclass(frozen=True)
class Plot:
    """A figure of the report; ``svg`` is None where nothing of it was measured."""

    name: str
    title: str
    caption: str
    svg: str | None


@dataclass(frozen=True)
class _Against:
    name: str
    title: str
    label: str
    quantity: Quantity
    form: Callable[[float], str]
    caption: str
    accuracy: str = "accuracy_test"


_TEST = "accuracy on the shared test part (%)"
_OWN = "accuracy on the own label mix (%)"
_PLOTS = (
    _Against(
        "rounds", "Accuracy against rounds", "rounds", rounds_by_round, three_digits,
        "Mean over devices on the shared test part.",
    ),
    _Against(
        "own", "Accuracy on the devices' own label mix", "rounds", rounds_by_round, three_digits,
        "The same predictions, weighted to each device's own labels.", "accuracy_own",
    ),
    _Against(
        "bytes", "Accuracy against bytes", "on-air bytes per device, up and down",
        bytes_by_round, byte_size,
        "Payload, envelope, MQTT, TCP and IP; what is sent once (proxy set, bundle) is left out.",
    ),
    _Against(
        "seconds", "Accuracy against time", "seconds since the start", seconds_by_round,
        three_digits, "Simulated runs: the simulated clock. Deployed runs: the wall clock.",
    ),
    _Against(
        "joules", "Accuracy against energy", "joules per device", joules_by_round, three_digits,
        "Computing, radio and idle, as far as they are known. Runs whose energy was neither"
        " measured nor modelled have no line.",
    ),
)  # fmt: skip


def curve_plots(groups: Sequence[Group]) -> list[Plot]:
    """Return accuracy against rounds (both test parts), bytes, seconds and joules."""
    return [_accuracy_plot(groups, against) for against in _PLOTS]


def latency_plot(groups: Sequence[Group]) -> Plot:
    """Return the distribution of the seconds of one round of one device."""
    name, title = "latency", "Time of one round of one device"
    caption = (
        "Share of all device rounds that took at most so long, from the wait for the announcement"
        " to the receipt; rounds without receipt are left out. A marker is a median."
    )
    times = {
        group.title: [value for value in map(seconds, group.records) if value is not None]
        for group in groups
    }
    times = {label: sorted(values) for label, values in times.items() if values}
    if not times:
        return Plot(name, title, caption, None)
    with style(name):
        figure, axes = _axes()
        found = looks(groups)
        for label, values in times.items():
            line = found[label]
            axes.ecdf(values, label=label, markevery=[(len(values) + 1) // 2], **line)
        medians = [values[len(values) // 2] for values in times.values()]
        _scale(axes, [*medians, *(values[-1] for values in times.values())], three_digits)
        axes.set_xlabel("seconds")
        axes.set_ylabel("share of device rounds")
        _legend(figure, axes)
        return Plot(name, title, caption, svg(figure, name, title))


def _accuracy_plot(groups: Sequence[Group], against: _Against) -> Plot:
    found = [(group, curve(group, against.quantity, against.accuracy)) for group in groups]
    lines = [(group, line) for group, line in found if line is not None]
    if not lines:
        return Plot(against.name, against.title, against.caption, None)
    spread = [group.title for group, _ in lines if len(group.runs) > 1]
    with style(against.name):
        figure, axes = _axes()
        look = looks(groups)
        for group, line in lines:
            _draw(axes, group, line, look[group.title])
            if group.title in spread and line.x[-1] > 0:
                place = spread.index(group.title) / len(spread) if len(spread) > BANDS else None
                _draw_spread(axes, line, look[group.title]["color"], place)
        if against.name in {"rounds", "own"}:
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        else:
            _scale(axes, [line.x[-1] for _, line in lines], against.form)
        simulated = against.name == "seconds" and all(group.mode == "simulated" for group in groups)
        axes.set_xlabel(f"simulated {against.label}" if simulated else against.label)
        axes.set_ylabel(_TEST if against.accuracy == "accuracy_test" else _OWN)
        _legend(figure, axes)
        return Plot(
            against.name,
            against.title,
            f"{against.caption}{_told(spread, [group for group, _ in lines])}",
            svg(figure, against.name, against.title),
        )


def _told(spread: Sequence[str], groups: Sequence[Group]) -> str:
    """The end of a caption: what a line and the area about it are."""
    if not spread:
        return ""
    counts = sorted({len(group.runs) for group in groups})
    seeds = " or ".join(str(count) for count in counts)
    shape = "Bars span" if len(spread) > BANDS else "The band spans"
    means = f"Lines are means over {seeds} seeds at the same round"
    return f" {means}. {shape} the least to the greatest seed."


def _draw(axes: Axes, group: Group, line: Curve, look: dict[str, Any]) -> None:
    y = [100 * value for value in line.y]
    if line.x[-1] == 0:
        # Costs nothing: no place on a logarithmic axis, and a column of points on a linear one.
        axes.axhline(y[-1], label=f"{group.title}, at no cost", color=look["color"], linestyle=":")
        return
    axes.plot(line.x, y, label=group.title, markevery=max(1, len(y) // MARKS), **look)


def _draw_spread(axes: Axes, line: Curve, colour: str, place: float | None) -> None:
    """Draw the least and the greatest accuracy: a band, or bars at some rounds.

    ``place`` in [0, 1) chooses the rounds that have bars, so that lines take turns, and
    moves them aside by a little, so that those of one round stand beside each other.
    """
    low = [100 * value for value in line.low]
    high = [100 * value for value in line.high]
    if place is None:
        axes.fill_between(line.x, low, high, color=colour, alpha=0.18, linewidth=0)
        return
    step = max(1, len(low) // MARKS)
    at = slice(int(place * step), None, step)
    aside = ScaledTranslation((place - 0.5) * ASIDE_PT / 72, 0, axes.figure.dpi_scale_trans)
    axes.vlines(
        line.x[at], low[at], high[at],
        color=colour, linewidth=1.2, transform=axes.transData + aside,
    )  # fmt: skip
    # What is moved aside does not count towards the limits of the axes.
    axes.update_datalim(
        [*zip(line.x[at], low[at], strict=True), *zip(line.x[at], high[at], strict=True)]
    )


def _axes() -> tuple[Figure, Axes]:
    figure = Figure(figsize=(5.4, 3.4))
    return figure, figure.add_subplot()


def _scale(axes: Axes, ends: Sequence[float], form: Callable[[float], str]) -> None:
    positive = [end for end in ends if end > 0]
    if positive and max(positive) > LOG_FROM * min(positive):
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(numticks=7))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: tick(value, form)))
        axes.xaxis.set_minor_formatter(NullFormatter())
    else:
        axes.xaxis.set_major_locator(MaxNLocator(nbins=6, steps=[1, 2, 5, 10]))
        axes.set_xlim(left=0)
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: tick(value, form)))


def tick(value: float, form: Callable[[float], str]) -> str:
    """Format the number at a tick: as in the table, without zeros that say nothing."""
    number, space, unit = form(value).partition(" ")
    return (number.rstrip("0").rstrip(".") if "." in number else number) + space + unit


def _legend(figure: Figure, axes: Axes) -> None:
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(
        handles, labels, loc="upper center", bbox_to_anchor=(0.52, -0.02), ncol=2,
        handlelength=2.6, columnspacing=1.6,
    )  # fmt: skip
