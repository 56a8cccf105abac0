"""Saturated stations: what a cell carries when every queue is always full."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from channel_sim.checks import check_count, check_positive
from channel_sim.units import to_ns
from channel_sim.wifi.bianchi import solve, throughput
from channel_sim.wifi.cell import WifiCell
from channel_sim.wifi.family import Wifi

STRONG_DBM = -40.0
"""Received power of every station: error free, and equal, so that nobody captures."""


@dataclass(frozen=True, kw_only=True)
class Saturation:
    """Packets received per second, ``goodput_bps`` of their IP bytes, failures per packet sent."""

    packets_per_s: float
    goodput_bps: float
    failure: float


def saturate(wifi: Wifi, stations: int, *, seconds: float, rng: np.random.Generator) -> Saturation:
    """Simulate ``stations`` that never run out of full packets, for ``seconds`` of air time.

    All are heard at -40 dBm. Calendar engine; a lost packet is followed by the next one.
    """
    check_count("stations", stations)
    check_positive("seconds", seconds)
    endless = replace(wifi, on_loss="continue")
    loss_db = wifi.tx_power_dbm - STRONG_DBM
    names = [str(number) for number in range(stations)]
    cell = endless.medium(dict.fromkeys(names, loss_db), rng=rng)
    if not isinstance(cell, WifiCell):
        raise ValueError("ofdma = True: scheduled stations do not contend; give ofdma=False")  # noqa: TRY004 - a parameter
    # More packets than the medium carries at any rate of the standards.
    size_bytes = wifi.mtu_bytes * max(1000, round(seconds * 1e6))
    for name in names:
        cell.submit(name, size_bytes, 0)
    cell.advance(to_ns(seconds))
    packets_per_s = cell.received / seconds
    return Saturation(
        packets_per_s=packets_per_s,
        goodput_bps=packets_per_s * wifi.mtu_bytes * 8,
        failure=1 - cell.received / cell.sent,
    )


def saturation_formula(wifi: Wifi, stations: int) -> Saturation:
    """Return the same by Bianchi's fixed point with the retry limit, without aggregates.

    The fixed point lets counters run on over a busy period, as EDCA does; DCF
    does not, which leaves it within 2.5 % of the simulation. All stations in
    the fastest mode, or the fixed one.
    Raises ValueError for a family with aggregates: simulate those.
    """
    if wifi.ampdu_bytes:
        raise ValueError(
            f"ampdu_bytes = {wifi.ampdu_bytes}: no formula for aggregates under contention;"
            " use saturate, or ampdu_bytes=0"
        )
    rules = wifi.rules()
    exchange = rules.exchanges[-1 if rules.fixed is None else rules.fixed]
    window = rules.cw_min + 1
    stages = round(np.log2((rules.cw_max + 1) / window))
    point = solve(stations, window=window, stages=stages, retry_limit=rules.retry_limit)
    air_ns = exchange.mode.frame_ns(rules.full_bytes)
    success_ns = air_ns + rules.sifs_ns + exchange.ack_ns + rules.ifs_ns
    packets_per_ns = throughput(
        stations,
        point.tau,
        payload=1,
        success=success_ns,
        collision=air_ns + rules.collision_ns,
        slot=rules.slot_ns,
    )
    packets_per_s = packets_per_ns * 1e9
    return Saturation(
        packets_per_s=packets_per_s,
        goodput_bps=packets_per_s * wifi.mtu_bytes * 8,
        failure=point.failure,
    )
