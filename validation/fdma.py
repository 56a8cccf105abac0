"""FDMA links against closed forms: outage of a packet, loss and attempts of a message."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from channel_sim import SHANNON, WIFI_NIC, Arq, Delivery, Fdma, Link, RayleighBlocks

BLOCK_S = 0.02
MEAN_SNR_DB = 10.0
BANDWIDTH_HZ = 1e6
PACKET_BYTES = 1500
THRESHOLDS_DB = np.arange(-6.0, 13.0, 1.0)
OUTAGES = {0.0: 0.09516, 3.0: 0.18088, 5.0: 0.27111, 10.0: 0.63212}
"""Rayleigh outage at a mean SNR of 10 dB (docs/channel/oracles.md, 3.1)."""


def _deliveries(
    threshold_db: float, *, messages: int, packets: int, attempts: int
) -> list[Delivery]:
    """Messages early in blocks of their own; each attempt of a packet meets a new block."""
    noise_dbm = -174 + 10 * math.log10(BANDWIDTH_HZ) + 7
    link = Link(
        bandwidth_hz=BANDWIDTH_HZ,
        tx_power_dbm=0.0,
        path_loss_db=-noise_dbm - MEAN_SNR_DB,
        noise_figure_db=7.0,
        fade_margin_db=MEAN_SNR_DB - threshold_db,
        shannon=SHANNON,
        arq=Arq(PACKET_BYTES, attempts, BLOCK_S),
        fading=RayleighBlocks(BLOCK_S, np.random.default_rng(int(threshold_db) + 50)),
    )
    apart_s = (packets * attempts + 2) * 2 * BLOCK_S
    medium = Fdma({"a": link}, {"a": link}, radio=WIFI_NIC)
    times_s = [row * apart_s + BLOCK_S / 20 for row in range(messages)]
    return medium.offer(["a"] * messages, [packets * 10] * messages, times_s)


def figures(*, quick: bool = False) -> dict[str, Any]:
    """Return claims and curves; ``quick`` takes a tenth of the messages."""
    messages = 4_000 if quick else 40_000
    claims: list[dict[str, Any]] = []
    lost = {}
    for threshold_db in THRESHOLDS_DB.tolist():
        found = _deliveries(threshold_db, messages=messages, packets=1, attempts=1)
        lost[threshold_db] = float(np.mean([not one.delivered for one in found]))
    for threshold_db, oracle in OUTAGES.items():
        tolerance = 3 * math.sqrt(oracle * (1 - oracle) / messages)
        claims.append(
            _claim(f"packets lost below {threshold_db:g} dB", lost[threshold_db], oracle, tolerance)
        )
    attempts = _attempts(messages, claims)
    curves = {"threshold_db": THRESHOLDS_DB.tolist(), "lost": list(lost.values()), **attempts}
    return {"claims": claims, "curves": curves}


def _attempts(messages: int, claims: list[dict[str, Any]]) -> dict[str, Any]:
    """A message of one packet, up to R attempts: 1 - p^R and E[tx] = (1 - p^R) / (1 - p)."""
    loss = OUTAGES[5.0]
    limits = [1, 2, 3, 4, 6]
    delivered, sent = [], []
    for limit in limits:
        found = _deliveries(5.0, messages=messages, packets=1, attempts=limit)
        delivered.append(float(np.mean([one.delivered for one in found])))
        tries = np.array([one.attempts for one in found])
        sent.append(float(tries.mean()))
        oracle = 1 - loss**limit
        error = math.sqrt(oracle * (1 - oracle) / messages)
        claims.append(
            _claim(f"delivered in {limit} attempts", delivered[-1], oracle, 3 * error + 1e-9)
        )
        mean = oracle / (1 - loss)
        claims.append(
            _claim(
                f"mean attempts of at most {limit}",
                sent[-1],
                mean,
                3 * float(tries.std()) / math.sqrt(messages) + 1e-9,
            )
        )
    return {"limits": limits, "delivered": delivered, "sent": sent}


def _claim(claim: str, ours: float, oracle: float, tolerance: float) -> dict[str, Any]:
    return {
        "claim": claim,
        "ours": ours,
        "oracle": oracle,
        "tolerance": tolerance,
        "unit": "",
        "source": "docs/channel/oracles.md 3.1; truncated geometric law; tolerance 3 sigma",
        "holds": abs(ours - oracle) <= tolerance,
    }


def draw(figures: dict[str, Any], path: Path) -> None:
    """Outage by threshold; delivery and attempts by their limit."""
    curves = figures["curves"]
    figure = Figure(figsize=(9, 3.4), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.plot(curves["threshold_db"], curves["lost"], label="through the medium")
    exact = [-math.expm1(-(10 ** ((t - MEAN_SNR_DB) / 10))) for t in curves["threshold_db"]]
    left.plot(curves["threshold_db"], exact, "ko", fillstyle="none", label="1 - exp(-θ/mean)")
    left.set(xlabel="SNR needed (dB), mean 10 dB", ylabel="packets lost")
    loss = OUTAGES[5.0]
    right.plot(curves["limits"], curves["delivered"], label="delivered")
    right.plot(curves["limits"], curves["sent"], label="mean attempts")
    right.plot(curves["limits"], [1 - loss**r for r in curves["limits"]], "ko", fillstyle="none")
    means = [(1 - loss**r) / (1 - loss) for r in curves["limits"]]
    right.plot(curves["limits"], means, "ko", fillstyle="none", label="closed form")
    right.set(xlabel="attempts allowed, 5 dB needed", ylim=(0, None))
    for axis in (left, right):
        axis.grid(visible=True, alpha=0.3)
        axis.legend(frameon=False, fontsize=8)
    figure.savefig(path)
