"""ALOHA against its closed forms: pure, slotted, capture with and without fading.

Arrivals are a Poisson process of load G frames per frame time, so that the
laws of Abramson and Roberts are exact for frames away from the ends of a run.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from channel_sim.aloha import Aloha, pure_throughput, slotted_throughput
from channel_sim.fading import BlockFading, Rayleigh

Floats = npt.NDArray[np.float64]
LOADS = (0.1, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0)
TABLE = {0.1: 0.08187, 0.5: 0.18394, 1.0: 0.13534}
"""Pure ALOHA, oracles.md 3.1."""
SPAN = 60
"""Length of a run in frame times."""
CAPTURE_DB = 6.0
ONE_BYTES = 100


def capture_throughput(load: Floats) -> Floats:
    """Slotted, equal powers, 0 dB: one interferer is survived, G e^-G (1 + G)."""
    return load * np.exp(-load) * (1 + load)


def faded_throughput(load: Floats) -> Floats:
    """Slotted, Rayleigh, capture ratio z: G e^(-G z / (1 + z)).

    Each interferer is survived with 1 / (1 + z), the Laplace transform of an
    exponential gain.
    """
    ratio = 10 ** (CAPTURE_DB / 10)
    return load * np.exp(-load * ratio / (1 + ratio))


CASES: dict[str, tuple[Aloha, bool, Callable[[Floats], Floats]]] = {
    "pure": (Aloha(mtu_bytes=ONE_BYTES), False, pure_throughput),
    "slotted": (Aloha(mtu_bytes=ONE_BYTES, slotted=True), False, slotted_throughput),
    "slotted, capture at 0 dB": (
        Aloha(mtu_bytes=ONE_BYTES, slotted=True, capture_db=0.0),
        False,
        capture_throughput,
    ),
    "slotted, Rayleigh, capture at 6 dB": (
        Aloha(mtu_bytes=ONE_BYTES, slotted=True, capture_db=CAPTURE_DB, required_snr_db=-150.0),
        True,
        faded_throughput,
    ),
}


def _throughput(
    family: Aloha, load: float, cells: int, *, faded: bool, rng: np.random.Generator
) -> tuple[float, float, int]:
    """Mean throughput over cells, its standard error, and how many frames were sent."""
    frame_ns = family.slot_ns
    counts = rng.poisson(load * SPAN, cells)
    cell = np.repeat(np.arange(cells), counts)
    ready_ns = rng.integers(0, SPAN * frame_ns, len(cell))
    blocks = BlockFading(Rayleigh(), 1.0, rng=rng) if faded else None
    found = family.burst(
        np.full(len(cell), 100.0),
        np.full(len(cell), ONE_BYTES),
        ready_ns,
        cells=cell,
        rng=rng,
        blocks=blocks,
    )
    inside = (ready_ns >= 2 * frame_ns) & (ready_ns < (SPAN - 2) * frame_ns)
    arrived = np.bincount(cell[inside], weights=found.delivered[inside], minlength=cells)
    rates = arrived / (SPAN - 4)
    return float(rates.mean()), float(rates.std() / cells**0.5), len(cell)


def figures(*, quick: bool = False) -> dict[str, Any]:
    """Compare the throughput of every case and load with its law, at 3 standard errors."""
    rng, cells = np.random.default_rng(1), 300 if quick else 8_000
    claims, curves, frames = [], {}, 0
    begun_s = time.process_time()
    for name, (family, faded, law) in CASES.items():
        points = []
        for load in LOADS:
            ours, error, count = _throughput(family, load, cells, faded=faded, rng=rng)
            frames += count
            points.append((load, ours))
            expected = float(law(np.array(load)))
            if name == "pure":
                expected = TABLE.get(load, expected)
            claims.append(
                {
                    "claim": f"throughput, {name}, G = {load:g}",
                    "ours": ours,
                    "oracle": expected,
                    "tolerance": 3 * error,
                    "unit": "frames per frame time",
                    "source": "closed form (oracles.md 2.12, 3.1)",
                    "holds": bool(abs(ours - expected) <= 3 * error),
                }
            )
        curves[name] = points
    speed = round(frames / (time.process_time() - begun_s))
    return {"claims": claims, "curves": {"throughput": curves, "batch_frames_per_cpu_s": speed}}


def draw(figures: dict[str, Any], path: Path) -> None:
    """Draw throughput against load: ours as lines, the laws as markers."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(6.4, 4), layout="constrained")
    for place, (name, points) in enumerate(figures["curves"]["throughput"].items()):
        loads, rates = zip(*points, strict=True)
        axes.plot(loads, rates, f"C{place}", label=name)
        law = CASES[name][2](np.array(loads))
        axes.plot(loads, law, f"C{place}o", markersize=4)
    axes.plot([], [], "ko", markersize=4, label="closed form")
    axes.set(xlabel="load G (frames per frame time)", ylabel="throughput S", xlim=0, ylim=0)
    axes.grid(alpha=0.3)
    axes.legend(frameon=False, fontsize=8)
    figure.savefig(path)
    plt.close(figure)
