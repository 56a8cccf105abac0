"""The picture of a radio survey: one link over distance, and crowds of devices."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from edge_fd.errors import UsageError
from edge_fd.report.drawing import PALETTE, style

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from matplotlib.axes import Axes

    from channel_sim import CrowdSurvey, LinkPlan

SHORT_SPAN = 100.0
KINDS = (".svg", ".png", ".pdf")
BLUE, RED, GREEN, PINK = PALETTE[:4]


def check_kind(path: Path) -> None:
    """Raise UsageError unless the name of a picture tells a kind that we write."""
    if path.suffix not in KINDS:
        raise UsageError(f"--out {str(path)!r}: give a file that ends in {', '.join(KINDS)}")


def write_channel_figure(
    path: Path,
    *,
    title: str,
    distances_m: np.ndarray[Any, Any],
    link: LinkPlan,
    crowds: Sequence[CrowdSurvey],
    within_m: float,
) -> None:
    """Write the picture as SVG, PNG or PDF, by the name of ``path``."""
    with style("channel"):
        figure = Figure(figsize=(10.5, 6.2), layout="constrained")
        figure.set_facecolor("white")
        axes = figure.subplots(2, 3)
        figure.suptitle(title, fontsize=12)
        _budget(axes[0][0], distances_m, link)
        _losses(axes[0][1], distances_m, link)
        _costs(axes[0][2], distances_m, link)
        for axis in axes[0]:
            _logarithmic(axis, "x")
            axis.set_xlabel("distance (m)")
            axis.axvline(within_m, color="0.6", linewidth=0.8, linestyle=":")
        together = [crowd for crowd in crowds if not crowd.jitter_s]
        spread = [crowd for crowd in crowds if crowd.jitter_s]
        for name, group, dash in (("together", together, "-"), ("spread", spread, "--")):
            if group:
                label = name if not group[0].jitter_s else f"over {group[0].jitter_s:g} s"
                _crowd(axes[1], group, label, dash)
        for axis in axes[1]:
            _logarithmic(axis, "x")
            axis.set_xlabel(f"devices within {within_m:g} m")
        axes[1][0].set(ylabel="messages delivered (%)", ylim=(-3, 103))
        axes[1][1].set_ylabel("seconds after the announcement")
        axes[1][2].set_ylabel("energy per message offered (J)")
        for axis in axes[1][1:]:
            _logarithmic(axis, "y")
        for axis in axes.flat:
            if axis.get_legend() is None:
                axis.legend()
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, dpi=150)


def _logarithmic(axis: Axes, which: Literal["x", "y"]) -> None:
    """Make an axis logarithmic with plain numbers at 1, 2, 5 of short spans, else at decades."""
    getattr(axis, f"set_{which}scale")("log")
    low, high = axis.get_xlim() if which == "x" else axis.get_ylim()
    short = high / low < SHORT_SPAN
    line = axis.xaxis if which == "x" else axis.yaxis
    line.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if short else (1.0,)))
    line.set_major_formatter(FuncFormatter(lambda value, _: _plain(value)))
    line.set_minor_formatter(NullFormatter())


def _plain(value: float) -> str:
    for factor, prefix in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= factor:
            return f"{value / factor:g}{prefix}"
    return f"{value:g}"


def _budget(axis: Axes, distances_m: np.ndarray[Any, Any], link: LinkPlan) -> None:
    axis.plot(distances_m, link.loss_db, color=RED, label="path loss")
    axis.plot(distances_m, link.snr_db, color=BLUE, label="SNR")
    axis.set_ylabel("dB")


def _losses(axis: Axes, distances_m: np.ndarray[Any, Any], link: LinkPlan) -> None:
    axis.plot(distances_m, 100 * link.packet_error, color=PINK, label="packet, per attempt")
    axis.plot(distances_m, 100 * link.message_loss, color=RED, label="message")
    axis.set(ylabel="lost (%)", ylim=(-3, 103))
    axis.legend(loc="center left")
    rate = axis.twinx()
    reached = np.where(link.rate_bps > 0, link.rate_bps, np.nan)
    rate.plot(distances_m, reached, color=GREEN, drawstyle="steps-post")
    _logarithmic(rate, "y")
    rate.set_ylabel("rate on air (bit/s)", color=GREEN)
    rate.grid(visible=False)


def _costs(axis: Axes, distances_m: np.ndarray[Any, Any], link: LinkPlan) -> None:
    axis.plot(distances_m, _known(link.latency_s), color=BLUE, label="latency (s)")
    axis.plot(distances_m, _known(link.air_s), "--", color=GREEN, label="airtime (s)")
    axis.plot(distances_m, _known(link.energy_j), color=RED, label="energy (J)")
    _logarithmic(axis, "y")
    axis.set_ylabel("per message: s, J")


def _crowd(axes: Sequence[Axes], crowds: Sequence[CrowdSurvey], label: str, dash: str) -> None:
    counts = [crowd.devices for crowd in crowds]
    shares, times, joules = axes
    shares.plot(
        counts,
        [100 * crowd.delivered for crowd in crowds],
        dash,
        marker="o",
        color=BLUE,
        label=label,
    )
    for name, colour, values in (
        ("first", GREEN, [crowd.first_s for crowd in crowds]),
        ("median", BLUE, [crowd.median_s for crowd in crowds]),
        ("last", RED, [crowd.last_s for crowd in crowds]),
    ):
        # The left panel says which dash is which start.
        times.plot(
            counts, values, dash, marker="o", color=colour, label=name if dash == "-" else None
        )
    joules.plot(
        counts, [crowd.energy_j for crowd in crowds], dash, marker="o", color=RED, label=label
    )


def _known(values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return np.where(np.isfinite(values) & (values > 0), values, np.nan)
