"""Bluetooth LE against its oracles: frames, throughput, sensitivity, link loss, both engines."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import ks_2samp

from channel_sim.ble import Ble
from channel_sim.ble.phy import PHYS

CORE = "Bluetooth Core 5, Vol 6 Part B, 2 (as remembered)"
NOTE = "oracles.md 2.9; vendors' primers: 244 * 8 bits in 2500 and 1408 us"
INTERVAL_S = 0.03
TIMEOUTS_S = (0.15, 0.3, 0.6)


def figures(*, quick: bool = False) -> dict[str, Any]:
    """Return the claims and the curves of the picture."""
    claims = []
    extremes = (("1m", 80, 2120), ("2m", 44, 1064), ("coded_s2", 462, 4542))
    for phy, least_us, most_us in (*extremes, ("coded_s8", 720, 17040)):
        shortest, longest = PHYS[phy].air_ns(0) / 1e3, PHYS[phy].air_ns(255) / 1e3
        claims.append(_claim(f"shortest frame {phy}", shortest, least_us, 0, "us", CORE))
        claims.append(_claim(f"longest frame {phy}", longest, most_us, 0, "us", CORE))
    # Intervals that full exchanges fill without rest.
    for phy, interval_s, kbps in (("1m", 0.03, 780.8), ("2m", 1.76, 1386.364)):
        ours = _goodput_bps(Ble(phy=phy, connection_interval_s=interval_s), 1) / 1e3
        claims.append(_claim(f"goodput {phy}, encrypted", ours, kbps, 0.05, "kb/s", NOTE))
    claims.append(
        _claim(
            "frames of 37 bytes lost at -95 dBm",
            float(Ble().plan(95.0, 26).packet_error),
            0.308,
            5e-4,
            "",
            "Bluetooth Core, Vol 6 Part A, 4: 0.1 % of bits is 30.8 % of frames",
        )
    )
    devices = list(range(1, 13))
    family = Ble(connection_interval_s=INTERVAL_S)
    shared = [_goodput_bps(family, n) for n in devices]
    expected = [244 * 8 * (30_000 // n // 2500) / INTERVAL_S for n in devices]
    worst = max(abs(a / b - 1) for a, b in zip(shared, expected, strict=True))
    claims.append(
        _claim("goodput of 1 to 12 devices, worst", worst, 0, 1e-9, "", "whole exchanges per event")
    )
    loss = _link_loss(rows=4000 if quick else 40_000)
    for timeout_s, curve in zip(TIMEOUTS_S, loss["curves"], strict=True):
        sigma = [math.sqrt(max(q * (1 - q), 1e-6) / loss["rows"]) for q in curve["oracle"]]
        pairs = zip(curve["ours"], curve["oracle"], sigma, strict=True)
        worst = max(abs(a - b) / s for a, b, s in pairs)
        claims.append(
            _claim(
                f"link lost within {timeout_s:g} s, worst of {len(sigma)} powers",
                worst,
                0,
                4,
                "sigma",
                "f^n: n events in a row fail at both tries",
            )
        )
    claims += _engines(300 if quick else 1500)
    sharing = {"devices": devices, "ours_bps": shared, "oracle_bps": expected}
    return {"claims": claims, "curves": {"sharing": sharing, "loss": loss}}


def draw(figures: dict[str, Any], path: Path) -> None:
    """Draw goodput over devices and the loss of a link over received power."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    fig, (left, right) = plt.subplots(1, 2, figsize=(9.5, 3.6), layout="constrained")
    sharing = figures["curves"]["sharing"]
    ours, oracle = (np.array(sharing[key]) / 1e3 for key in ("ours_bps", "oracle_bps"))
    left.plot(sharing["devices"], ours, label="calendar, each device")
    left.plot(sharing["devices"], oracle, "ko", mfc="none", label="whole exchanges per event")
    left.set(xlabel="devices in an interval of 30 ms", ylabel="goodput at 1M (kb/s)")
    left.set_ylim(0, None)
    left.legend(frameon=False, fontsize=8)
    loss = figures["curves"]["loss"]
    for timeout_s, curve in zip(TIMEOUTS_S, loss["curves"], strict=True):
        (line,) = right.plot(loss["power_dbm"], curve["ours"], label=f"lock step, {timeout_s:g} s")
        right.plot(loss["power_dbm"], curve["oracle"], "o", mfc="none", color=line.get_color())
    right.plot([], [], "ko", mfc="none", label="closed form")
    right.set(xlabel="received power (dBm)", ylabel="message of 244 bytes lost")
    right.set_xticks(np.arange(-96.5, -94.4, 0.5))
    right.legend(frameon=False, fontsize=8)
    fig.savefig(path)
    plt.close(fig)


def _goodput_bps(family: Ble, devices: int) -> float:
    """Message bits per second of one of ``devices`` that all send without a pause."""
    names = [str(k) for k in range(devices)]
    cell = family.medium(dict.fromkeys(names, 60.0), rng=np.random.default_rng(0))
    events = 8 if family.connection_interval_s > 1 else 100
    frames = family.event_ns(devices) // family.exchange_ns(0, 244) * events
    found = cell.offer(names, [244 * frames] * devices, [0.0] * devices)
    # The last exchange ends T_IFS after the frame; the rest of its interval belongs to it.
    busy_s = math.ceil(found[0].finish_s / family.connection_interval_s)
    return 8 * 244 * frames / (busy_s * family.connection_interval_s)


def _link_loss(*, rows: int) -> dict[str, Any]:
    """Loss of a one-frame message by power, for some supervision timeouts; a clear link down."""
    power_dbm = np.arange(-96.5, -94.4, 0.25)
    curves = []
    for timeout_s in TIMEOUTS_S:
        family = Ble(
            connection_interval_s=INTERVAL_S,
            supervision_timeout_s=timeout_s,
            station_tx_power_dbm=30.0,
        )
        ours, oracle = [], []
        for place, power in enumerate(power_dbm):
            # Ready at an anchor: the timeout strikes before the event at its end.
            found = family.burst(
                np.full(rows, -power),
                np.full(rows, 244),
                np.zeros(rows, dtype=np.int64),
                cells=np.arange(rows),
                rng=np.random.default_rng([place, round(timeout_s * 1000)]),
            )
            ours.append(float(1 - found.delivered.mean()))
            wrong_bit = 0.5 * math.exp(-math.log(500) * 10 ** ((power + 95) / 10))
            right, noticed = (1 - wrong_bit) ** 2112, (1 - wrong_bit) ** 32
            # Another try only where the first was noticed but wrong.
            fails = 1 - right - (noticed - right) * right
            oracle.append(fails ** round(timeout_s / INTERVAL_S))
        curves.append({"ours": ours, "oracle": oracle})
    return {"power_dbm": power_dbm.tolist(), "rows": rows, "curves": curves}


def _engines(count: int) -> list[dict[str, Any]]:
    """The same lossy messages in the calendar and in lock step."""
    family, loss_db, size = Ble(), 94.5, 5000
    rng = np.random.default_rng(1)
    found = []
    for _ in range(count):
        cell = family.medium({"a": loss_db}, rng=rng)
        found += cell.offer(["a"], [size], [int(rng.integers(0, 10**6)) / 1e6])
    rows = family.burst(
        np.full(4 * count, loss_db),
        np.full(4 * count, size),
        rng.integers(0, 10**6, 4 * count) * 1000,
        cells=np.arange(4 * count),
        rng=rng,
    )
    same = ks_2samp([one.finish_s - one.ready_s for one in found], rows.latency_s).statistic
    # Critical value of the two-sample test at p = 0.01.
    limit = 1.63 * math.sqrt((count + 4 * count) / (count * 4 * count))
    joules = np.mean([one.energy_j for one in found]) / rows.energy_j(family.radio).mean()
    source = "the other engine, Kolmogorov-Smirnov at p = 0.01"
    plan = family.plan(loss_db, size)
    return [
        _claim("latency of both engines, KS distance", float(same), 0, limit, "", source),
        _claim("joules of both engines", float(joules), 1, 0.03, "", "the other engine"),
        _claim(
            "latency by formula at 63 % frame loss",
            float(plan.latency_s),
            float(rows.latency_s.mean()),
            0.03 * float(rows.latency_s.mean()),
            "s",
            "lock step",
        ),
    ]


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
        "holds": bool(abs(ours - oracle) <= tolerance),
    }
