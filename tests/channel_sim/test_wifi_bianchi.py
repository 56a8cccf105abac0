"""Bianchi's model against the values of oracles.md 3.1 and a Markov chain solved as a matrix."""

from __future__ import annotations

import numpy as np
import pytest

from channel_sim.wifi.bianchi import attempt_probability, solve, throughput


@pytest.mark.parametrize(
    ("window", "stages", "failures"),
    [
        (16, 6, {5: 0.27154, 10: 0.38440, 20: 0.48087, 50: 0.59527}),
        (32, 5, {5: 0.17808, 10: 0.28977, 20: 0.39878, 50: 0.53236}),
    ],
)
def test_failure_probability(window: int, stages: int, failures: dict[int, float]) -> None:
    for stations, failure in failures.items():
        point = solve(stations, window=window, stages=stages)
        assert point.failure == pytest.approx(failure, abs=1e-4)
        assert point.failure == pytest.approx(1 - (1 - point.tau) ** (stations - 1), abs=1e-10)


def chain_tau(failure: float, window: int, stages: int, retry_limit: int) -> float:
    """Bianchi's chain (stage, counter) as a matrix: the share of time at counter 0."""
    states = [
        (stage, counter)
        for stage in range(retry_limit)
        for counter in range(window * 2 ** min(stage, stages))
    ]
    place = {state: index for index, state in enumerate(states)}
    step = np.zeros((len(states), len(states)))
    for (stage, counter), row in place.items():
        if counter:
            step[row, place[stage, counter - 1]] = 1
            continue
        ends = {0: 1 - failure} if stage + 1 < retry_limit else {0: 1.0}
        if stage + 1 < retry_limit:
            ends[stage + 1] = failure
        for following, share in ends.items():
            width = window * 2 ** min(following, stages)
            for counter_after in range(width):
                step[row, place[following, counter_after]] += share / width
    system = np.vstack([step.T - np.eye(len(states)), np.ones(len(states))])
    solution = np.linalg.lstsq(system, np.append(np.zeros(len(states)), 1), rcond=None)[0]
    return sum(solution[place[stage, 0]] for stage in range(retry_limit))


@pytest.mark.parametrize("failure", [0.0, 0.2, 0.5, 0.7])
@pytest.mark.parametrize("retry_limit", [1, 3, 5])
def test_attempts_with_a_retry_limit(failure: float, retry_limit: int) -> None:
    found = attempt_probability(failure, window=4, stages=2, retry_limit=retry_limit)
    assert found == pytest.approx(chain_tau(failure, 4, 2, retry_limit), rel=1e-9)


def test_a_long_retry_limit_is_none() -> None:
    for failure in (0.1, 0.5, 0.6):
        endless = attempt_probability(failure, window=16, stages=6)
        long = attempt_probability(failure, window=16, stages=6, retry_limit=200)
        assert long == pytest.approx(endless, rel=1e-6)


@pytest.mark.parametrize(
    ("access", "normalised"),
    [
        ("basic", {5: 0.8097, 10: 0.7532, 20: 0.6788, 50: 0.5529}),
        ("rts", {5: 0.8342, 10: 0.8371, 20: 0.8356, 50: 0.8270}),
    ],
)
def test_fhss_throughput_of_the_paper(access: str, normalised: dict[int, float]) -> None:
    """Bianchi 2000, 1 Mb/s: a bit is a microsecond."""
    header, payload, sifs, difs, delay = 128 + 272, 8184, 28, 128, 1
    ack, rts, cts = 112 + 128, 160 + 128, 112 + 128
    success = header + payload + sifs + delay + ack + difs + delay
    collision = header + payload + difs + delay
    if access == "rts":
        success += rts + sifs + delay + cts + sifs + delay
        collision = rts + difs + delay
    for stations, expected in normalised.items():
        tau = solve(stations, window=32, stages=3).tau
        found = throughput(
            stations, tau, payload=payload, success=success, collision=collision, slot=50
        )
        assert found == pytest.approx(expected, abs=1e-4)


def test_one_station_never_collides() -> None:
    point = solve(1, window=16, stages=6)
    assert (point.failure, point.tau) == (0.0, pytest.approx(2 / 17))


def test_bad_input() -> None:
    with pytest.raises(ValueError, match="stations = 0"):
        solve(0, window=16, stages=6)
    with pytest.raises(ValueError, match="slot = 0"):
        throughput(2, 0.1, payload=1, success=1, collision=1, slot=0)
