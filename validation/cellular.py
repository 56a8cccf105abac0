"""The cellular family against closed forms, ns-3's thresholds and the categories' peak rates."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np

from channel_sim.cellular import (
    Carrier,
    Cellular,
    collision_probability,
    contend,
    expected_singletons,
    failures,
    lte_bits,
    serve,
)
from channel_sim.cellular.access import NEVER, RandomAccess
from channel_sim.cellular.modes import block_threshold_db
from channel_sim.presets.load import load_preset

SECOND = 1_000_000_000
LTE_DB = (
    *(-7.05, -6.1, -5.6, -4.45, -3.4, -2.4, -1.45, -0.3, 0.75, 1.55, 3.8, 3.85, 4.6, 5.6, 6.5),
    *(7.45, 8.4, 10.1, 10.4, 11.25, 12.3, 13.3, 14.25, 15.2, 16.1, 17.05, 17.85, 19.0, 19.7),
)
"""SINR at 10 % BLER of MCS 0 to 28: ns-3.37 MIESM, 50 PRB (oracles.md 3.6)."""
PEAKS = {
    "nbiot": (62e3, 26e3),
    "ltem": (375e3, 300e3),
    "lte_cat1": (5.2e6, 10.3e6),
    "lte_cat4": (51.0e6, 150.8e6),
}
"""Bits per second up and down (oracles.md 2.15)."""
STRAGGLERS = {10: 2.9290, 100: 5.1874, 1000: 7.4855}
"""Mean of the maximum of n Exp(1) (oracles.md 3.1)."""

AT_DB = np.array([95.0, 110.0, 120.0, 130.0, 140.0, 150.0, 160.0])


def figures(*, quick: bool = False) -> dict[str, Any]:
    """Run the comparison; see ``validation/run.py``."""
    claims: list[dict[str, Any]] = []
    curves: dict[str, Any] = {}
    for part in (_access, _sharing, _stragglers, _harq, _thresholds, _rates, _links, _speed):
        part(claims, curves, quick=quick)
    return {"claims": claims, "curves": curves}


def _claim(
    claims: list[dict[str, Any]],
    claim: str,
    ours: float,
    oracle: float,
    tolerance: float,
    unit: str,
    source: str,
) -> None:
    claims.append(
        {
            "claim": claim,
            "ours": float(ours),
            "oracle": float(oracle),
            "tolerance": float(tolerance),
            "unit": unit,
            "source": source,
            "holds": bool(abs(ours - oracle) <= tolerance),
        }
    )


def _access(claims: list[dict[str, Any]], curves: dict[str, Any], *, quick: bool) -> None:
    """One occasion, n devices at once."""
    rules = RandomAccess(preambles=54, period_ns=1, response_ns=0, backoff_ns=0, attempts=1)
    cells = 500 if quick else 5000
    numbers = [1, 5, 10, 20, 30, 40, 54, 70, 90, 120, 150, 200]
    ours = []
    for devices in numbers:
        _, entered, _ = contend(
            np.repeat(np.arange(cells), devices),
            np.zeros(cells * devices, dtype=np.int64),
            rules,
            rng=np.random.default_rng(devices),
        )
        singles = (entered != NEVER).reshape(cells, devices).sum(axis=1)
        ours.append(float(singles.mean()))
        if devices in {20, 54, 150}:
            source = "n (1 - 1/M)^(n-1), M = 54"
            _claim(
                claims,
                f"devices of {devices} that get in at one occasion",
                singles.mean(),
                float(expected_singletons(devices, 54)),
                3 * singles.std() / math.sqrt(cells),
                "devices",
                source,
            )
    fine = list(range(1, 201))
    curves["access"] = {
        "devices": numbers,
        "ours": ours,
        "fine": fine,
        "closed": expected_singletons(fine, 54).tolist(),
        "collision": collision_probability(fine, 54).tolist(),
    }


def _sharing(claims: list[dict[str, Any]], curves: dict[str, Any], *, quick: bool) -> None:
    """Poisson arrivals on one carrier: shared, and one device's queue in the calendar."""
    loads = [0.5, 0.8, 0.9] if quick else [0.1, 0.3, 0.5, 0.6, 0.7, 0.8, 0.9]
    shared, queued = [], []
    for load in loads:
        # The error of the mean grows like (1 - load)^-2.
        count = int((4000 if quick else 30_000) / (1 - load))
        sojourn = _processor_sharing(load, count - count % 20)
        shared.append(float(sojourn.mean()))
        fifo = _one_queue(load, 4000 if quick else 20 * int(500 / (1 - load)))
        queued.append(float(fifo.mean()))
        if load in {0.5, 0.8, 0.9}:
            for name, found, oracle in (
                ("M/M/1 processor sharing", sojourn, 1 / (1 - load)),
                ("M/D/1 queue of one device", fifo, 1 + load / (2 * (1 - load))),
            ):
                error = found.reshape(20, -1).mean(axis=1).std(ddof=1) / math.sqrt(20)
                _claim(
                    claims,
                    f"{name}, load {load}: sojourn over service",
                    found.mean(),
                    oracle,
                    3 * error,
                    "services",
                    "oracles.md 3.1; tolerance 3 standard errors of 20 batches",
                )
    curves["sharing"] = {"loads": loads, "shared": shared, "queued": queued}


def _processor_sharing(load: float, count: int) -> np.ndarray:
    rng = np.random.default_rng(round(100 * load))
    arrivals = np.cumsum(rng.exponential(1 / load, count))
    carrier: Carrier[int] = Carrier([1.0], [1.0], scheduler="proportional_fair")
    through = serve(
        (arrivals * SECOND).astype(np.int64).tolist(),
        [0] * count,
        (rng.exponential(1.0, count) * SECOND).tolist(),
        carrier,
    )
    return np.array(through) / SECOND - arrivals


def _one_queue(load: float, count: int) -> np.ndarray:
    """Messages of one block of 1 ms each, through the whole calendar."""
    rng = np.random.default_rng(round(100 * load) + 1)
    ready_s = np.cumsum(rng.exponential(0.001 / load, count))
    family = Cellular(connected=True, grant_s=0.0, header_bytes=0, uplink_peak_bps=1e9)
    cell = family.medium({"a": 80.0}, rng=rng)
    out = cell.offer(["a"] * count, [4587] * count, ready_s.tolist())
    return np.array([item.finish_s - item.ready_s for item in out]) / 0.001


def _stragglers(claims: list[dict[str, Any]], _curves: dict[str, Any], *, quick: bool) -> None:
    for devices, oracle in STRAGGLERS.items():
        runs = (200 if quick else 2000) if devices < 1000 else (20 if quick else 200)
        rng = np.random.default_rng(devices)
        last = []
        for _ in range(runs):
            carrier: Carrier[int] = Carrier(
                [1.0], [1.0], scheduler="proportional_fair", capacity=devices
            )
            works = (rng.exponential(1.0, devices) * SECOND).tolist()
            last.append(max(serve([0] * devices, [0] * devices, works, carrier)) / SECOND)
        _claim(
            claims,
            f"last of {devices} exponential jobs side by side",
            np.mean(last),
            oracle,
            3 * np.std(last) / math.sqrt(runs),
            "means",
            "oracles.md 3.1, harmonic numbers",
        )


def _harq(claims: list[dict[str, Any]], curves: dict[str, Any], *, quick: bool) -> None:
    """Chase combining under Rayleigh fading: the formula against a loop over fades."""
    family = Cellular(
        connected=True, uplink_peak_bps=1e9, rlc_rounds=1, widths_prb=(50.0,), header_bytes=0
    )
    runs = 2000 if quick else 20_000
    rng = np.random.default_rng(17)
    losses = np.array([84.0, 92.0, 100.0, 104.0])
    ours, loop = [], []
    for loss_db in losses:
        failed = _chase(family, float(loss_db), runs, rng)
        plan = family.plan(loss_db, 50, fading="rayleigh")
        ours.append(float(plan.message_loss))
        loop.append(failed)
        _claim(
            claims,
            f"loss after 4 attempts, Chase, Rayleigh, {loss_db:g} dB",
            float(plan.message_loss),
            failed,
            3 * math.sqrt(max(failed, 1e-4) / runs) + 2e-3,
            "probability",
            f"loop over {runs} fades",
        )
    errors = failures(np.full((4, 1), 0.1))
    _claim(
        claims,
        "attempts at error 0.1, up to 4, over all blocks",
        float(errors[:-1].sum()),
        1.111,
        1e-9,
        "attempts",
        "oracles.md 2.12",
    )
    curves["harq"] = {"loss_db": losses.tolist(), "ours": ours, "loop": loop}


def _chase(family: Cellular, loss_db: float, runs: int, rng: np.random.Generator) -> float:
    """Loss of one block: gain drawn once, SINR summed."""
    chosen, power_dbm = family.choose(loss_db)
    snr_db = family.up.snr_db(chosen, power_dbm)
    lost = 0
    for _ in range(runs):
        gain = rng.exponential()
        for attempt in range(1, 5):
            at_db = snr_db + 10 * math.log10(attempt * gain)
            if rng.random() >= float(family.up.error(chosen, at_db)):
                break
        else:
            lost += 1
    return lost / runs


def _thresholds(claims: list[dict[str, Any]], curves: dict[str, Any], *, quick: bool) -> None:  # noqa: ARG001
    mcs = np.arange(29)
    ours = block_threshold_db("lte", mcs, lte_bits(mcs, 50).astype(np.int64))
    _claim(
        claims,
        "SINR at 10 % BLER, LTE, 50 PRB, largest deviation over MCS 0 to 28",
        np.abs(ours - LTE_DB).max(),
        0.0,
        0.1,
        "dB",
        "ns-3.37 (oracles.md 3.6)",
    )
    curves["thresholds"] = {"ours": ours.tolist(), "ns3": list(LTE_DB)}


def _rates(claims: list[dict[str, Any]], _curves: dict[str, Any], *, quick: bool) -> None:  # noqa: ARG001
    for name, (up_bps, down_bps) in PEAKS.items():
        family = load_preset(name).family
        for way, modes, oracle in (("up", family.up, up_bps), ("down", family.down, down_bps)):
            _claim(
                claims,
                f"peak rate {way}, {name}",
                modes.steps[-1].rate_bps,
                oracle,
                0.01 * oracle,
                "bit/s",
                "oracles.md 2.15",
            )
    for name, seconds in (("ltem", 0.9), ("nbiot", 5.0)):
        family = load_preset(name, connected=True).family
        _claim(
            claims,
            f"40 kB up at strong signal, connected, {name}",
            float(family.plan(100.0, 40_000).latency_s),
            seconds,
            0.15 * seconds,
            "s",
            "oracles.md 0.9",
        )


def _links(claims: list[dict[str, Any]], curves: dict[str, Any], *, quick: bool) -> None:
    """Mean latency of a lonely message: formula against the engine."""
    runs = 100 if quick else 1000
    curves["links"] = {}
    for name in (*PEAKS, "nr_fr1"):
        family = load_preset(name).family
        fine = np.arange(90.0, 166.0, 0.5)
        plan = family.plan(fine, 4000)
        losses = AT_DB[np.isfinite(family.plan(AT_DB, 4000).latency_s)]
        count = len(losses) * runs
        rng = np.random.default_rng(23)
        out = family.burst(
            np.repeat(losses, runs),
            np.full(count, 4000),
            rng.integers(0, 100 * SECOND, count),
            cells=np.arange(count),
            rng=rng,
        )
        latency = out.latency_s.reshape(len(losses), runs)
        formula = family.plan(losses, 4000).latency_s
        off = np.abs(latency.mean(axis=1) / formula - 1)
        noise = 3 * (latency.std(axis=1) / latency.mean(axis=1)).max() / math.sqrt(runs)
        _claim(
            claims,
            f"mean latency of 4 kB, engine against formula, {name}, largest deviation",
            off.max(),
            0.0,
            0.03 + noise,
            "ratio",
            "plan() of the same family",
        )
        curves["links"][name] = {
            "loss_db": fine.tolist(),
            "plan_s": [float(x) if math.isfinite(x) else None for x in plan.latency_s],
            "at_db": losses.tolist(),
            "engine_s": latency.mean(axis=1).tolist(),
        }


def _speed(_claims: list[dict[str, Any]], curves: dict[str, Any], *, quick: bool) -> None:
    """CPU seconds, told and not judged: they are those of a machine."""
    count = 10_000 if quick else 100_000
    rng = np.random.default_rng(1)
    begin_s = time.process_time()
    load_preset("lte_cat1").family.burst(
        rng.uniform(90, 125, count),
        np.full(count, 40_000),
        np.zeros(count, dtype=np.int64),
        cells=np.arange(count) // 50,
        rng=rng,
    )
    curves["speed"] = {"devices": count, "cpu_s": time.process_time() - begin_s}


def draw(figures: dict[str, Any], path: Path) -> None:
    """Draw four panels: ours as lines, the oracle as markers."""
    mpl.use("Agg")
    import matplotlib.pyplot as plt

    curves = figures["curves"]
    figure, panels = plt.subplots(2, 2, figsize=(9, 7), constrained_layout=True)
    marks: dict[str, Any] = {"linestyle": "none", "marker": "o", "markersize": 5, "mfc": "none"}

    access, panel = curves["access"], panels[0, 0]
    panel.plot(access["devices"], access["ours"], label="ours, one occasion")
    panel.plot(access["fine"][::12], access["closed"][::12], **marks, label="n (1 - 1/54)$^{n-1}$")
    panel.set(xlabel="devices at once", ylabel="devices let in", title="Random access")

    sharing, panel = curves["sharing"], panels[0, 1]
    loads = np.array(sharing["loads"])
    panel.plot(loads, sharing["shared"], label="ours, shared carrier")
    panel.plot(loads, sharing["queued"], label="ours, queue of one device")
    panel.plot(loads, 1 / (1 - loads), **marks, color="C0", label="M/M/1-PS")
    panel.plot(loads, 1 + loads / (2 * (1 - loads)), **marks, color="C1", label="M/D/1")
    panel.set(xlabel="load", ylabel="sojourn / service", title="Sharing and queueing")

    thresholds, panel = curves["thresholds"], panels[1, 0]
    panel.plot(thresholds["ours"], label="ours, 10 % BLER")
    panel.plot(thresholds["ns3"], **marks, label="ns-3.37")
    panel.set(xlabel="LTE MCS", ylabel="SINR (dB)", title="Block errors")

    panel = panels[1, 1]
    for place, (name, link) in enumerate(curves["links"].items()):
        plan_s = [math.nan if x is None else x for x in link["plan_s"]]
        panel.semilogy(link["loss_db"], plan_s, color=f"C{place}", label=name)
        panel.plot(link["at_db"], link["engine_s"], **marks, color=f"C{place}")
    panel.set(
        xlabel="coupling loss (dB)",
        ylabel="mean latency of 4 kB up (s)",
        title="One device: formula (lines), engine (markers)",
    )
    for panel in panels.flat:
        panel.grid(alpha=0.3)
        panel.legend(fontsize=8, frameon=False)
    figure.savefig(path)
    plt.close(figure)
