"""Scheduled access against its oracles: closed forms of ARQ, walked tables, both engines."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import ks_2samp

from channel_sim.scheduled import Ofdma, Tdma
from channel_sim.scheduled import resource_units as ru

ARQ = "oracles.md 2.12: (1 - p^R)^F, (1 - p^R) / (1 - p)"
PACKETS = 9
LIMITS = (1, 2, 4, 8)
RATES_MBPS = ((26, 0, 0.8), (52, 7, 16.7), (106, 9, 47.2), (242, 11, 135.4), (996, 11, 567.1))
SIZE = 20_000


def figures(*, quick: bool = False) -> dict[str, Any]:
    """Return the claims and the curves of the picture."""
    rows = 4000 if quick else 40_000
    claims, arq = _arq(rows)
    for tones, mcs, mbps in RATES_MBPS:
        ours = ru.bits_per_symbol(tones, mcs) / 14.4
        source = "IEEE 802.11ax-2021 tables 27-54 ff. (as remembered)"
        claims.append(_claim(f"HE MCS {mcs} in {tones} tones", ours, mbps, 0.1, "Mb/s", source))
    crowd = _crowd()
    worst = max(abs(a / b - 1) for a, b in zip(crowd["ours_s"], crowd["oracle_s"], strict=True))
    claims.append(
        _claim("OFDMA, last of 1 to 40 devices, worst", worst, 0, 1e-9, "", "intervals by hand")
    )
    claims += _engines(400 if quick else 2000)
    return {"claims": claims, "curves": {"arq": arq, "crowd": crowd}}


def draw(figures: dict[str, Any], path: Path) -> None:
    """Draw the success of a message over the loss of a packet, and a crowd under OFDMA."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    fig, (left, right) = plt.subplots(1, 2, figsize=(9.5, 3.6), layout="constrained")
    arq = figures["curves"]["arq"]
    for limit, curve in zip(LIMITS, arq["curves"], strict=True):
        attempts = "attempt" if limit == 1 else "attempts"
        (line,) = left.plot(arq["error"], curve["ours"], label=f"TDMA, {limit} {attempts}")
        left.plot(arq["error"], curve["oracle"], "o", mfc="none", color=line.get_color())
    left.plot([], [], "ko", mfc="none", label="closed form")
    left.set(xlabel="packet error rate", ylabel=f"message of {PACKETS} packets delivered")
    left.legend(frameon=False, fontsize=8)
    crowd = figures["curves"]["crowd"]
    right.plot(crowd["devices"], np.array(crowd["ours_s"]) * 1e3, label="OFDMA calendar")
    right.plot(
        crowd["devices"][::3],
        np.array(crowd["oracle_s"])[::3] * 1e3,
        "ko",
        mfc="none",
        label="intervals by hand",
    )
    right.set(xlabel="devices answering together, 20 kB each", ylabel="last has arrived (ms)")
    right.set_ylim(0, None)
    right.legend(frameon=False, fontsize=8)
    fig.savefig(path)
    plt.close(fig)


def _arq(rows: int) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Message success and attempts over the packet error rate, by attempts allowed."""
    errors = np.round(np.arange(0.05, 0.96, 0.1), 2)
    claims, curves = [], []
    for limit in LIMITS:
        ours, oracle, sigmas, means = [], [], [], []
        for place, error in enumerate(errors.tolist()):
            family = Tdma(packet_error=error, max_attempts=limit)
            cells = np.arange(rows)
            columns = (np.full(rows, 60.0), np.full(rows, PACKETS * 116), np.zeros(rows, np.int64))
            found = family.burst(*columns, cells=cells, rng=np.random.default_rng([limit, place]))
            success = (1 - error**limit) ** PACKETS
            ours.append(float(found.delivered.mean()))
            oracle.append(success)
            sigmas.append(
                abs(ours[-1] - success) / math.sqrt(max(success * (1 - success), 1e-5) / rows)
            )
            one = (np.full(rows, 60.0), np.full(rows, 50), np.zeros(rows, np.int64))
            tries = family.burst(*one, cells=cells, rng=np.random.default_rng([limit, place, 1]))
            spread = tries.attempts.std() / math.sqrt(rows) + 1e-12
            means.append(abs(tries.attempts.mean() - (1 - error**limit) / (1 - error)) / spread)
        curves.append({"ours": ours, "oracle": oracle})
        name = f"R = {limit}, worst of {len(errors)}"
        claims.append(_claim(f"message success, {name}", max(sigmas), 0, 4, "sigma", ARQ))
        claims.append(_claim(f"mean attempts, {name}", max(means), 0, 4, "sigma", ARQ))
    return claims, {"error": errors.tolist(), "curves": curves}


def _crowd() -> dict[str, Any]:
    """When the last of n devices on a clear channel has arrived: the calendar, and by hand."""
    devices = list(range(1, 41))
    ours = []
    for count in devices:
        names = [f"{k:02d}" for k in range(count)]
        cell = Ofdma().medium(dict.fromkeys(names, 55.0), rng=np.random.default_rng(0))
        found = cell.offer(names, [SIZE] * count, [0.0] * count)
        ours.append(max(one.finish_s for one in found))
    return {"devices": devices, "ours_s": ours, "oracle_s": [_by_hand_us(n) / 1e6 for n in devices]}


def _by_hand_us(devices: int) -> float:
    """14 MPDUs of 1429 + 54 bytes each (1488 in an aggregate), HE MCS 11, intervals one by one."""
    bits = {1: 1950, 2: 850, 4: 400, 9: 200}
    left = [14] * devices
    now_us, last = 0.0, [0] * devices
    for number in range(1, 10_000):
        # Who was served longest ago, then by number.
        turn = sorted((last[k], k) for k in range(devices) if left[k])
        share = next((n for n in bits if n >= len(turn)), 9)
        chosen = [k for _, k in turn[:share]]
        room = int((5484 - 48) / 14.4) * bits[share] - 22
        sent = [min(left[k], room // (8 * 1488)) for k in chosen]
        symbols = max(math.ceil((22 + 8 * 1488 * n) / bits[share]) for n in sent)
        trigger = 20 + 4 * math.ceil((22 + 8 * (28 + 6 * len(chosen))) / 96)
        now_us += 25 + trigger + 16 + 48 + 14.4 * symbols
        for device, n in zip(chosen, sent, strict=True):
            left[device] -= n
            last[device] = number
        if not any(left):
            break
        now_us += 16 + 20 + 4 * math.ceil((22 + 8 * (22 + 12 * len(chosen))) / 96)
    return now_us


def _engines(count: int) -> list[dict[str, Any]]:
    """The same lossy messages in both engines, TDMA and OFDMA."""
    claims = []
    rng = np.random.default_rng(2)
    cases: tuple[tuple[str, Tdma | Ofdma, list[float], int], ...] = (
        ("TDMA", Tdma(packet_error=0.3), [60.0, 60.0, 60.0], 600),
        ("OFDMA", Ofdma(max_attempts=2), [97.0, 97.4, 97.8, 98.2], SIZE),
    )
    for name, family, losses, size in cases:
        n = len(losses)
        cells = count // n
        names = [str(k) for k in range(n)]
        finish, lost = [], []
        for _ in range(cells):
            cell = family.medium(dict(zip(names, losses, strict=True)), rng=rng)
            found = cell.offer(names, [size] * n, [0.0] * n)
            finish += [round(one.finish_s * 1e9) for one in found]
            lost += [not one.delivered for one in found]
        rows = family.burst(
            np.tile(losses, cells * 4),
            np.full(cells * 4 * n, size),
            np.zeros(cells * 4 * n, dtype=np.int64),
            cells=np.repeat(np.arange(cells * 4), n),
            rng=rng,
        )
        total = cells * n
        limit = 1.63 * math.sqrt(5 / (4 * total))
        distance = float(ks_2samp(finish, rows.finish_ns).statistic)
        source = "the other engine, Kolmogorov-Smirnov at p = 0.01"
        claims.append(_claim(f"{name}, finish, KS distance", distance, 0, limit, "", source))
        share = float((~rows.delivered).mean())
        claims.append(
            _claim(
                f"{name}, messages lost",
                float(np.mean(lost)),
                share,
                3 * math.sqrt(1.25 * (share * (1 - share) + 1e-4) / total),
                "",
                "the other engine, 3 sigma",
            )
        )
    return claims


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
