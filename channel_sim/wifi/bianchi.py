"""Bianchi's fixed point: how often n saturated stations send, collide, and what comes through.

G. Bianchi, "Performance Analysis of the IEEE 802.11 Distributed Coordination
Function", IEEE JSAC 18(3), 2000, equations (7), (9) and (13); with a retry
limit as H. Wu et al., INFOCOM 2002 (both as remembered).
"""

from __future__ import annotations

from dataclasses import dataclass

from scipy.optimize import brentq

from channel_sim.checks import check_count, check_not_negative, check_positive


@dataclass(frozen=True, kw_only=True)
class FixedPoint:
    """``tau``: a station sends in a slot; ``failure``: one that sends collides; probabilities."""

    tau: float
    failure: float


def attempt_probability(
    failure: float, *, window: int, stages: int, retry_limit: int | None = None
) -> float:
    """Return tau of a station whose attempts fail with probability ``failure``.

    ``window`` is CWmin + 1, doubled after each failure ``stages`` times at
    most; None retries for ever. It is the mean number of attempts per packet
    over the mean number of slots that they take: Bianchi's equation (7).
    """
    check_count("window", window)
    check_not_negative("stages", stages)
    if retry_limit is None:
        doubled = sum((2 * failure) ** stage for stage in range(stages))
        return 2 / (1 + window + failure * window * doubled)
    check_count("retry_limit", retry_limit)
    reached = [failure**attempt for attempt in range(retry_limit)]
    slots = sum(
        share * (window * 2 ** min(attempt, stages) + 1) / 2
        for attempt, share in enumerate(reached)
    )
    return float(sum(reached) / slots)


def solve(stations: int, *, window: int, stages: int, retry_limit: int | None = None) -> FixedPoint:
    """Return the fixed point of ``stations`` saturated stations: p = 1 - (1 - tau)^(n - 1)."""
    check_count("stations", stations)

    def excess(failure: float) -> float:
        tau = attempt_probability(failure, window=window, stages=stages, retry_limit=retry_limit)
        return failure - 1 + (1 - tau) ** (stations - 1)

    # At 1 - 1e-12 some are left to win, whatever the window.
    failure = 0.0 if stations == 1 else float(brentq(excess, 0.0, 1 - 1e-12, xtol=1e-13))
    tau = attempt_probability(failure, window=window, stages=stages, retry_limit=retry_limit)
    return FixedPoint(tau=tau, failure=failure)


def throughput(
    stations: int, tau: float, *, payload: float, success: float, collision: float, slot: float
) -> float:
    """Return the payload per unit of time, Bianchi's equation (13).

    ``payload`` of one success in any unit (seconds of air: the normalised
    throughput; bits: bit/s); ``success`` and ``collision`` are how long the
    medium is busy with each, ``slot`` an idle slot, in one unit of time.
    Raises ValueError for no stations or a time that is not positive.
    """
    check_count("stations", stations)
    for key, value in (("success", success), ("collision", collision), ("slot", slot)):
        check_positive(key, value)
    idle = (1 - tau) ** stations
    one = stations * tau * (1 - tau) ** (stations - 1)
    mean = idle * slot + one * success + (1 - idle - one) * collision
    return one * payload / mean
