"""LoRa against its oracles: time on air, delivery under every named rule, duty cycle, engines.

Delivery: N nodes uniform in a disc of 98.953 m (LoRaSim experiments 0 and 4),
loss 127.41 + 20.8 lg(d / 40 m) dB, 14 dBm, SF12, 20 bytes, one channel, each
waits Exp(1000 s) after a frame. The reference columns were measured with
LoRaSim and ns-3 3.37 + lorawan e8f7a21 (oracles.md, 3.7).
"""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import ks_2samp

from channel_sim.lora import (
    EIGHT_CHANNELS_HZ,
    RULES,
    Frames,
    Lorawan,
    air_ns,
    collided,
    find_rule,
)
from channel_sim.units import SECOND_NS

RADIUS_M, PERIOD_S, TX_DBM = 98.95336562721985, 1000.0, 14.0
NODES = (10, 20, 50, 100, 200, 350, 500, 800, 1200, 1600)
FLAT_M = 40.0
"""ns-3's log-distance loss is flat within its reference distance; LoRaSim's is not."""
LORASIM_SPAN_S, NS3_SPAN_S = 1e5, 2e4
"""Runs of this length have the standard errors that are told for either tool."""
COLUMNS = (
    # rule, coding rate, nodes, delivery, its standard error (None: not told), tool
    ("simple", 4, 100, 0.7208, None, "LoRaSim"),
    ("simple", 4, 500, 0.1806, None, "LoRaSim"),
    ("capture_6db", 4, 100, 0.780, None, "LoRaSim"),
    ("capture_6db", 4, 500, 0.280, 0.003, "LoRaSim"),
    ("capture_6db", 1, 100, 0.824, None, "LoRaSim"),
    ("capture_6db", 1, 500, 0.370, None, "LoRaSim"),
    ("aloha", 1, 100, 0.7795, 0.009, "ns-3"),
    ("aloha", 1, 500, 0.278, 0.005, "ns-3"),
    ("goursaud", 1, 100, 0.852, None, "ns-3"),
    ("goursaud", 1, 500, 0.422, None, "ns-3"),
)
LINES = (
    ("simple", 4, 0.0),
    ("simple", 1, 0.0),
    ("capture_6db", 4, 0.0),
    ("capture_6db", 1, 0.0),
    ("goursaud", 1, FLAT_M),
)
LABELS = {
    "simple": "simple = aloha",
    "capture_6db": "capture_6db",
    "goursaud": "goursaud, loss flat within 40 m",
}
AIR_MS = {
    20: (56.576, 102.912, 185.344, 370.688, 741.376, 1318.912),
    64: (118.016, 215.552, 390.144, 698.368, 1560.576, 2793.472),
}


SOURCE = "oracles.md 3.1: Semtech AN1200.13 by way of LoRaSim and ns-3"


def draw_frames(
    nodes: int,
    coding_rate: int,
    *,
    span_s: float,
    rng: np.random.Generator,
    flat_m: float = 0.0,
) -> Frames:
    """Draw one run of the delivery scenario, nodes newly placed."""
    distance_m = np.maximum(RADIUS_M * np.sqrt(rng.random(nodes)), flat_m)
    power_dbm = TX_DBM - (127.41 + 20.8 * np.log10(distance_m / 40))
    air = int(air_ns(20, 12, coding_rate=coding_rate))
    number = span_s / (PERIOD_S + air / SECOND_NS)
    shape = (nodes, int(number + 6 * math.sqrt(number) + 10))
    waits = rng.exponential(PERIOD_S, shape)
    start_s = np.cumsum(waits, axis=1) + air / SECOND_NS * np.arange(shape[1])
    node, _ = np.nonzero(start_s < span_s)
    start_ns = (start_s[start_s < span_s] * SECOND_NS).astype(np.int64)
    zeros = np.zeros(len(node), dtype=np.int64)
    return Frames(
        start_ns=start_ns,
        end_ns=start_ns + air,
        channel=zeros,
        spreading_factor=zeros + 12,
        rx_power_dbm=power_dbm[node],
        cell=zeros,
    )


def delivery(
    rule: str, coding_rate: int, nodes: int, *, runs: int, span_s: float, flat_m: float = 0.0
) -> tuple[float, float]:
    """Return the mean delivery over runs, and the standard deviation of one run."""
    found = []
    for run in range(runs):
        rng = np.random.default_rng([1, run, nodes])
        frames = draw_frames(nodes, coding_rate, span_s=span_s, rng=rng, flat_m=flat_m)
        lost = collided(frames, find_rule(rule), channels_hz=(868_100_000,))
        found.append(1 - lost.mean())
    return float(np.mean(found)), float(np.std(found, ddof=1))


def theory(coding_rate: int, nodes: int) -> float:
    """Return exp(-2 (N - 1) T / (P + T)): no other starts within T before or after."""
    air_s = float(air_ns(20, 12, coding_rate=coding_rate)) / SECOND_NS
    return math.exp(-2 * (nodes - 1) * air_s / (PERIOD_S + air_s))


def claim(
    text: str, ours: float, oracle: float, tolerance: float, *, unit: str, source: str
) -> dict[str, Any]:
    """Return one comparison."""
    return {
        "claim": text,
        "ours": ours,
        "oracle": oracle,
        "tolerance": tolerance,
        "unit": unit,
        "source": source,
        "holds": bool(abs(ours - oracle) <= tolerance),
    }


def air_claims() -> list[dict[str, Any]]:
    """Compare times on air, and uplinks per hour at 1 %."""
    claims = []
    for size_bytes, row_ms in AIR_MS.items():
        for sf, air_ms in zip(range(7, 13), row_ms, strict=True):
            ours = int(air_ns(size_bytes, sf)) / 1e6
            text = f"time on air, {size_bytes} bytes at SF{sf}, 4/5"
            claims.append(claim(text, ours, air_ms, 0.0, unit="ms", source=SOURCE))
    for size_bytes, sf, per_hour in ((64, 12, 12.9), (235, 7, 97.6)):
        ours = 3600 * 0.01 * SECOND_NS / int(air_ns(size_bytes, sf))
        text = f"uplinks per hour at 1 %, {size_bytes} bytes at SF{sf}"
        claims.append(claim(text, ours, per_hour, 0.05, unit="1/h", source="oracles.md 3.1"))
    return claims


def delivery_claims(runs: int) -> list[dict[str, Any]]:
    """Compare delivery with theory, and every rule with its own column, within 3 sigma."""
    claims = []
    for coding_rate in (4, 1):
        for nodes in (100, 500, 1600):
            ours, spread = delivery("simple", coding_rate, nodes, runs=runs, span_s=LORASIM_SPAN_S)
            text = f"delivery, simple, 4/{4 + coding_rate}, {nodes} nodes"
            oracle, tolerance = theory(coding_rate, nodes), 3 * spread / math.sqrt(runs)
            source = "exp(-2 (N - 1) T / (P + T))"
            claims.append(claim(text, ours, oracle, tolerance, unit="share", source=source))
    for rule, coding_rate, nodes, oracle, error, tool in COLUMNS:
        ns3 = tool == "ns-3"
        span_s, flat_m = (NS3_SPAN_S, FLAT_M) if ns3 else (LORASIM_SPAN_S, 0.0)
        ours, spread = delivery(rule, coding_rate, nodes, runs=runs, span_s=span_s, flat_m=flat_m)
        theirs = spread if error is None else error
        tolerance = 3 * math.hypot(theirs, spread / math.sqrt(runs))
        text = f"delivery, {rule}, 4/{4 + coding_rate}, {nodes} nodes"
        source = f"{tool}, oracles.md 3.7"
        claims.append(claim(text, ours, oracle, tolerance, unit="share", source=source))
    return claims


def engine_claims(cells: int) -> list[dict[str, Any]]:
    """Compare the calendar with lock step: finish times (KS), losses, joules."""
    claims = []
    nodes, loss_db = 60, np.random.default_rng(1).uniform(100, 150, 60)
    names = [f"d{node:02}" for node in range(nodes)]
    for confirmed in (False, True):
        family = Lorawan(confirmed=confirmed)
        found = []
        for cell in range(cells):
            rng = np.random.default_rng([2, cell])
            medium = family.medium(dict(zip(names, loss_db, strict=True)), rng=rng)
            found += medium.offer(names, [120] * nodes, (30 * rng.random(nodes)).tolist())
        rng = np.random.default_rng(3)
        batch = family.burst(
            np.tile(loss_db, cells),
            np.full(nodes * cells, 120),
            (30e9 * rng.random(nodes * cells)).astype(np.int64),
            cells=np.repeat(np.arange(cells), nodes),
            rng=rng,
        )
        kind = "confirmed" if confirmed else "unconfirmed"
        finish_s = [delivery.finish_s for delivery in found]
        distance = ks_2samp(finish_s, batch.finish_ns / SECOND_NS)
        limit = 1.63 * math.sqrt(2 / len(found))
        text = f"KS distance of finish times, calendar and lock step, {kind}"
        source = "two-sample KS, p = 0.01"
        claims.append(claim(text, distance.statistic, 0.0, limit, unit="", source=source))
        lost = np.array([not delivery.delivered for delivery in found]).reshape(cells, nodes)
        batch_lost = ~batch.delivered.reshape(cells, nodes)
        spread = math.hypot(lost.mean(axis=1).std(), batch_lost.mean(axis=1).std())
        text = f"messages lost, calendar and lock step, {kind}"
        tolerance = 3 * spread / math.sqrt(cells)
        claims.append(
            claim(
                text,
                float(lost.mean()),
                float(batch_lost.mean()),
                tolerance,
                unit="share",
                source="3 sigma over cells",
            )
        )
    return claims


def million() -> dict[str, float]:
    """Return CPU seconds of a million messages in an hour, 8 channels, 6 spreading factors."""
    rng = np.random.default_rng(0)
    sf = rng.integers(7, 13, 1_000_000)
    start_ns = (rng.random(len(sf)) * 3600e9).astype(np.int64)
    frames = Frames(
        start_ns=start_ns,
        end_ns=start_ns + air_ns(64, sf),
        channel=rng.integers(0, 8, len(sf)),
        spreading_factor=sf,
        rx_power_dbm=rng.normal(-110, 6, len(sf)),
        cell=np.zeros(len(sf), dtype=np.int64),
    )
    cpu_s = {}
    for name in RULES:
        begun_s = time.process_time()
        collided(frames, find_rule(name), channels_hz=EIGHT_CHANNELS_HZ)
        cpu_s[name] = round(time.process_time() - begun_s, 3)
    return cpu_s


def figures(*, quick: bool = False) -> dict[str, Any]:
    """Run the comparison."""
    runs = 10 if quick else 60
    claims = air_claims() + delivery_claims(runs) + engine_claims(5 if quick else 40)
    curves: dict[str, Any] = {"nodes": NODES, "million_messages_cpu_s": million()}
    for rule, coding_rate, flat_m in LINES:
        curves[f"{rule} {coding_rate}"] = [
            delivery(
                rule, coding_rate, nodes, runs=runs // 5, span_s=LORASIM_SPAN_S, flat_m=flat_m
            )[0]
            for nodes in NODES
        ]
    for coding_rate in (4, 1):
        curves[f"theory {coding_rate}"] = [theory(coding_rate, nodes) for nodes in NODES]
    curves["columns"] = [list(column) for column in COLUMNS]
    return {"claims": claims, "curves": curves}


def draw(figures: dict[str, Any], path: Path) -> None:
    """Draw delivery against nodes: ours as lines, theory, LoRaSim and ns-3 as markers."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    curves = figures["curves"]
    colours = {"simple": "C0", "aloha": "C0", "capture_6db": "C1", "goursaud": "C2"}
    picture, panels = plt.subplots(1, 2, figsize=(9, 3.8), sharey=True, layout="constrained")
    for panel, coding_rate in zip(panels, (4, 1), strict=True):
        for rule, label in LABELS.items():
            line = curves.get(f"{rule} {coding_rate}")
            if line:
                panel.plot(curves["nodes"], line, color=colours[rule], label=label)
        panel.plot(curves["nodes"], curves[f"theory {coding_rate}"], "kx", ms=5, label="theory")
        for tool, marker in (("LoRaSim", "s"), ("ns-3", "o")):
            chosen = [c for c in curves["columns"] if c[5] == tool and c[1] == coding_rate]
            for place, (rule, _, nodes, share, error, _) in enumerate(chosen):
                panel.errorbar(
                    nodes,
                    share,
                    yerr=3 * (error or 0),
                    fmt=marker,
                    mfc="none",
                    color=colours[rule],
                    label="" if place else tool,
                )
        panel.set_xscale("log")
        panel.set_xlabel("nodes, one message per 1000 s each")
        panel.set_title(f"SF12, 20 bytes, 4/{4 + coding_rate}", fontsize=10)
        panel.grid(alpha=0.3)
        panel.legend(fontsize=8, frameon=False)
    panels[0].set_ylabel("messages delivered (share)")
    picture.savefig(path)
    plt.close(picture)
