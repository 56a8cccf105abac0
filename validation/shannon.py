"""Shannon links against the formulas of Chen et al., slots counted one by one, and outage."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np

mpl.use("Agg")
import matplotlib.pyplot as plt

from channel_sim import load_preset
from channel_sim.shannon import Shannon, over_the_air_mean

SEED = 2021
DISTANCES_M = (25, 50, 100, 150, 200, 250, 300, 350, 400, 450, 500)
WEIGHT_BYTES = 39_760 * 2


def _claim(claim: str, ours: float, oracle: float, tolerance: float, unit: str, source: str) -> Any:
    return {
        "claim": claim,
        "ours": ours,
        "oracle": oracle,
        "tolerance": tolerance,
        "unit": unit,
        "source": source,
        "holds": bool(abs(ours - oracle) <= tolerance),
    }


def _chen(family: Shannon, runs: int) -> tuple[list[Any], dict[str, Any]]:
    """Lost messages and seconds of the first and last block over distance."""
    curves: dict[str, Any] = {"distance_m": list(DISTANCES_M), "ours": {}, "paper": {}}
    distances_m = np.repeat(DISTANCES_M, runs * 6).astype(np.float64)
    outcomes = family.burst(
        20 * np.log10(distances_m),
        np.full(len(distances_m), WEIGHT_BYTES),
        np.zeros(len(distances_m), dtype=np.int64),
        cells=np.arange(len(distances_m)) // 6,
        rng=np.random.default_rng(SEED),
    )
    lost = 1 - outcomes.delivered.reshape(len(DISTANCES_M), runs, 6).mean(axis=1)
    seconds = outcomes.latency_s.reshape(len(DISTANCES_M), runs, 6)[:, 0]
    noisy_w = np.array(family.interference_w) + 1e-14
    squared = np.array(DISTANCES_M)[:, np.newaxis] ** 2.0
    q = 1 - np.exp(-1.08 * noisy_w / 0.01 * squared)
    paper_s = 8 * WEIGHT_BYTES / (1e6 * np.log2(1 + 0.01 / squared / noisy_w))
    for column in (0, 2, 5):
        name = f"{1e9 * family.interference_w[column]:.0f} nW"
        curves["ours"][name] = lost[:, column].tolist()
        curves["paper"][name] = q[:, column].tolist()
    deviates = (lost - q) / np.sqrt(q * (1 - q) / runs)
    source = "mzchen0/Wireless-FL, FLMIN.m, formulas evaluated here"
    return [
        _claim(
            f"chen2021 lost messages of 6 blocks at {len(DISTANCES_M)} distances,"
            f" {runs} each, mean square of the deviates",
            *(float(np.mean(deviates**2)), 1, 0.6, "", source),
        ),
        _claim(
            "chen2021 seconds up, largest relative distance",
            *(float(np.abs(seconds / paper_s - 1).max()), 0, 1e-6, "", source),
        ),
    ], curves


def _slots(family: Shannon, runs: int) -> tuple[list[Any], dict[str, Any]]:
    """Slots needed by a message, against fading drawn slot by slot."""
    snr_db, size = 4.0, 4 * 2080
    snr = 10 ** (snr_db / 10)
    noise_dbm = -174 + 10 * math.log10(family.bandwidth_hz)
    loss_db = np.full(runs, family.tx_power_dbm - noise_dbm - snr_db)
    outcomes = family.burst(
        loss_db,
        np.full(runs, size),
        np.zeros(runs, dtype=np.int64),
        cells=np.arange(runs),
        rng=np.random.default_rng(SEED + 1),
    )
    rng, limit = np.random.default_rng(SEED + 2), family.max_attempts
    good = snr * rng.exponential(size=(runs, limit)) >= 10**0.3
    carried = np.cumsum(good * 1e4 * math.log2(1 + 10**0.3), axis=1) >= 8 * size
    counted = np.where(carried.any(axis=1), carried.argmax(axis=1) + 1, limit)
    ours, drawn = outcomes.attempts, counted
    sigma = float(drawn.std() / math.sqrt(runs))
    most = int(max(ours.max(), drawn.max()))
    steps = {
        name: (np.bincount(slots, minlength=most + 1).cumsum() / runs).tolist()
        for name, slots in (("ours", ours), ("drawn", drawn))
    }
    mean = float(family.plan(loss_db[0], size).latency_s) * 1000
    source = f"{runs} messages drawn slot by slot here"
    return [
        _claim(
            "mix2fld slots per message, simulated",
            *(float(ours.mean()), float(drawn.mean()), 4 * sigma, "slots", source),
        ),
        _claim(
            "mix2fld slots per message, by formula",
            *(mean, float(drawn.mean()), 4 * sigma, "slots", source),
        ),
    ], steps


def figures(*, quick: bool = False) -> dict[str, Any]:
    """Compare the three error models and the noise over the air with their oracles."""
    chen, chen_curves = _chen(load_preset("chen2021").family, 200 if quick else 4000)  # type: ignore[arg-type]
    slots, steps = _slots(load_preset("mix2fld").family, 2000 if quick else 40_000)  # type: ignore[arg-type]
    family = Shannon(threshold_db=3.0, max_attempts=1)
    noise_dbm = -174 + 60
    outage = float(family.plan(family.tx_power_dbm - noise_dbm - 10, 100).message_loss)
    values = np.random.default_rng(SEED).normal(size=(20, 100_000))
    noise = over_the_air_mean(values, 10, np.random.default_rng(SEED)) - values.mean(axis=0)
    claims = [
        *chen,
        *slots,
        _claim(
            "Rayleigh outage, 10 dB, threshold 3 dB",
            *(outage, 0.18088, 1e-5, "", "oracles.md 3.1"),
        ),
        _claim(
            "noise variance over the air, 20 devices, 10 dB, of sigma^2 / (P n^2)",
            *(float(noise.var()) * 4000, 1, 0.02, "", "oracles.md 2.11"),
        ),
    ]
    return {"claims": claims, "curves": {"chen": chen_curves, "slots": steps}}


def draw(figures: dict[str, Any], path: Path) -> None:
    """Draw lost messages of chen2021 over distance and the slots of mix2fld."""
    curves = figures["curves"]
    figure, (chen, slots) = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    for name, ours in curves["chen"]["ours"].items():
        (line,) = chen.plot(curves["chen"]["distance_m"], ours, label=f"interference {name}")
        paper = curves["chen"]["paper"][name]
        chen.plot(curves["chen"]["distance_m"], paper, "o", color=line.get_color(), ms=4)
    chen.set(
        title="chen2021 (markers: formula of the paper)",
        xlabel="distance (m)",
        ylabel="messages lost",
    )
    chen.legend(fontsize=8)
    counts = np.arange(len(curves["slots"]["ours"]))
    slots.step(counts, curves["slots"]["ours"], where="post", label="ours")
    slots.plot(counts, curves["slots"]["drawn"], "o", ms=4, label="fading drawn slot by slot")
    slots.set(
        title="mix2fld, 8320 bytes at 4 dB",
        xlabel="slots of 1 ms",
        ylabel="share of messages through",
        xlim=(0, 25),
    )
    slots.legend(fontsize=8)
    for axes in (chen, slots):
        axes.grid(alpha=0.3)
    figure.savefig(path)
    plt.close(figure)
