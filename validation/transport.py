"""Above the radio: the broker's queue against queueing theory, slow start against single steps."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from channel_sim.transport import Queue, Tcp, departures_s, tls_bytes

LOADS = (0.1, 0.3, 0.5, 0.6, 0.7, 0.8, 0.9)
SEGMENTS = (1, 5, 10, 11, 20, 30, 31, 50, 70, 71, 100, 150, 300)
RTT_S, RATE_BPS, MSS_BYTES = 0.1, 5e6, 1448
TLS = {"1.3": 88, "1.2": 116}
"""Bytes that the records of 50 kB cost (docs/channel/oracles.md, 2.12)."""


def figures(*, quick: bool = False) -> dict[str, Any]:
    """Return claims and curves; ``quick`` takes a tenth of the arrivals."""
    claims: list[dict[str, Any]] = []
    curves: dict[str, Any] = {"loads": list(LOADS), "segments": list(SEGMENTS)}
    arrivals = 20_000 if quick else 200_000
    curves["mm1"] = [_sojourn(claims, "M/M/1", load, arrivals, 1 / (1 - load)) for load in LOADS]
    curves["md1"] = [
        _sojourn(claims, "M/D/1", load, arrivals, 1 + load / (2 * (1 - load))) for load in LOADS
    ]
    _blocking(claims, arrivals)
    tcp = Tcp()
    curves["stall_s"] = [tcp.stall_s(n, rtt_s=RTT_S, rate_bps=RATE_BPS) for n in SEGMENTS]
    curves["stepped_s"] = [_stepped_s(n) for n in SEGMENTS]
    worst = max(abs(a - b) for a, b in zip(curves["stall_s"], curves["stepped_s"], strict=True))
    claims.append(
        _claim("stall of slow start, worst of 13 lengths", worst, 0.0, 1e-9, "s", "steps")
    )
    for version, extra in TLS.items():
        ours = tls_bytes(50_000, version=version) - 50_000  # type: ignore[arg-type]
        claims.append(_claim(f"records of TLS {version}, 50 kB", ours, extra, 0, "B", "OpenSSL"))
    return {"claims": claims, "curves": curves}


def _sojourn(
    claims: list[dict[str, Any]], kind: str, load: float, arrivals: int, oracle: float
) -> float:
    """Mean time in system over mean service time; error over twenty runs."""
    means = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        times_s = np.cumsum(rng.exponential(1 / load, arrivals))
        services_s = rng.exponential(1.0, arrivals) if kind == "M/M/1" else np.ones(arrivals)
        means.append(float((departures_s(times_s, services_s) - times_s)[arrivals // 20 :].mean()))
    ours = float(np.mean(means))
    error = float(np.std(means, ddof=1)) / math.sqrt(len(means))
    source = "Pollaczek-Khinchine; 3 standard errors of 20 runs"
    claims.append(_claim(f"{kind} at load {load}", ours, oracle, 3 * error, "services", source))
    return ours


def _blocking(claims: list[dict[str, Any]], arrivals: int) -> None:
    for load in (0.5, 1.0, 2.0):
        rng = np.random.default_rng(round(10 * load))
        queue = Queue(per_message_s=1.0, places=1)
        times_s = np.cumsum(rng.exponential(1 / load, arrivals)).tolist()
        ours = sum(queue.enter(now_s) is None for now_s in times_s) / arrivals
        oracle = load / (1 + load)
        tolerance = 3 * math.sqrt(oracle * (1 - oracle) / arrivals) * 1.5
        source = "Erlang B, one server, any service law"
        claims.append(_claim(f"refused at load {load}", ours, oracle, tolerance, "", source))


def _stepped_s(segments: int) -> float:
    """Send segment by segment: one goes when the link is free and the window has room."""
    segment_s = 8 * MSS_BYTES / RATE_BPS
    free_s = idle_s = 0.0
    acked_s: list[float] = []
    window = left = 10
    for _ in range(segments):
        if left == 0:
            opens_s = acked_s[-window]
            idle_s += max(0.0, opens_s - free_s)
            free_s = max(free_s, opens_s)
            window *= 2
            left = window
        free_s += segment_s
        acked_s.append(free_s + RTT_S)
        left -= 1
    return idle_s


def _claim(
    claim: str, ours: float, oracle: float, tolerance: float, unit: str, source: str
) -> dict[str, Any]:
    return {
        "claim": claim,
        "ours": ours,
        "oracle": oracle,
        "tolerance": tolerance,
        "unit": unit,
        "source": source,
        "holds": abs(ours - oracle) <= tolerance,
    }


def draw(figures: dict[str, Any], path: Path) -> None:
    """Time in system by load; idle time of slow start by length."""
    curves = figures["curves"]
    figure = Figure(figsize=(9, 3.4), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.plot(curves["loads"], curves["mm1"], label="exponential service")
    left.plot(curves["loads"], curves["md1"], label="fixed service")
    loads = np.array(curves["loads"])
    left.plot(loads, 1 / (1 - loads), "ko", fillstyle="none", label="Pollaczek-Khinchine")
    left.plot(loads, 1 + loads / (2 * (1 - loads)), "ko", fillstyle="none")
    left.set(xlabel="load of the broker", ylabel="time in system / service")
    right.plot(curves["segments"], curves["stall_s"], label="formula")
    right.plot(
        curves["segments"], curves["stepped_s"], "ko", fillstyle="none", label="segment by segment"
    )
    right.set(xlabel="segments of a message", ylabel="link idle in slow start (s)", xscale="log")
    for axis in (left, right):
        axis.grid(visible=True, alpha=0.3)
        axis.legend(frameon=False, fontsize=8)
    figure.savefig(path)
