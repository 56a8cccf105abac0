"""Draws panels: means as lines, one standard deviation as bands, published values as marks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from validation.published.experiment import Line, Panel

DENSE = 30
"""Points from which on a curve is drawn without marks."""


def draw(panels: Sequence[Panel], path: Path) -> None:
    """Draw panels side by side, two in a row, with one scale of accuracy, as SVG."""
    import matplotlib as mpl

    mpl.use("Agg")
    mpl.rcParams["svg.hashsalt"] = path.stem
    from matplotlib import pyplot as plt

    columns = min(len(panels), 3 if len(panels) % 3 == 0 else 2)
    rows = -(-len(panels) // columns)
    figure, grid = plt.subplots(
        rows,
        columns,
        figsize=(3.2 + 3.2 * columns, 0.6 + 3.2 * rows),
        sharey=True,
        squeeze=False,
        layout="constrained",
    )
    for axes, panel in zip(grid.flat, panels, strict=False):
        _panel(axes, panel)
    for first in grid[:, 0]:
        first.set_ylabel("accuracy (%)")
    _legend(figure, grid)
    lows = [low for panel in panels for line in panel.lines if (low := _late_low(line)) is not None]
    if lows:
        grid[0, 0].set_ylim(bottom=min(lows) - 2)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


def _panel(axes: Any, panel: Panel) -> None:
    colours = {line.label: f"C{place}" for place, line in enumerate(panel.lines)}
    for line in panel.lines:
        _line(axes, line, colours[line.label])
    for mark in panel.marks:
        axes.errorbar(
            mark.x, mark.y, mark.sd or None, fmt="o", color=colours[mark.label], capsize=3
        )
    if panel.marks:
        axes.plot([], [], "ko", label="published")
    _ticks(axes, panel)
    axes.set(title=panel.title, xlabel=panel.x_label)
    axes.grid(alpha=0.3)


def _ticks(axes: Any, panel: Panel) -> None:
    """Rounds are whole; bytes have few labels, which do not run into each other."""
    from matplotlib.ticker import EngFormatter, LogLocator, MaxNLocator, NullFormatter

    if not panel.log_x:
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        return
    axes.set_xscale("log")
    ends = [x for line in panel.lines for x in line.x]
    wide = max(ends) > 100 * min(ends)
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0,) if wide else (1.0, 2.0, 5.0)))
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.xaxis.set_minor_formatter(NullFormatter())


def _legend(figure: Any, grid: Any) -> None:
    """One for all panels, below them, where it hides no curve."""
    found: dict[str, Any] = {}
    for axes in grid.flat:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            found.setdefault(label, handle)
    figure.legend(
        found.values(), found.keys(), loc="outside lower center", ncols=len(found), frameon=False
    )


def _late_low(line: Line) -> float | None:
    """Lowest mean of a long curve after its first tenth, which would flatten all the rest."""
    if len(line.x) < DENSE:
        return None
    return float(np.asarray(line.y, np.float64).mean(0)[len(line.x) // 10 :].min())


def _line(axes: Any, line: Line, colour: str) -> None:
    y = np.asarray(line.y, np.float64)
    mean = y.mean(0)
    axes.plot(line.x, mean, colour, label=line.label, marker="." if len(line.x) < DENSE else None)
    if len(y) > 1:
        sd = y.std(0, ddof=1)
        if len(line.x) == 1:  # a band of no width is not seen
            axes.errorbar(line.x, mean, sd, fmt="none", ecolor=colour, capsize=3)
        axes.fill_between(line.x, mean - sd, mean + sd, color=colour, alpha=0.2, linewidth=0)
