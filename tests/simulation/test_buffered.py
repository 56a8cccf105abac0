"""Buffered rounds in a whole run: one buffer of all is a synchronous round; the slow are stale."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest

from edge_fd.errors import UsageError
from edge_fd.knowledge import Knowledge
from edge_fd.methods import FedAvg, Round, Server
from edge_fd.requests import Load, Read
from edge_fd.run_folder import Run

ROUNDS = {"count": 4, "deadline_s": 50.0}


def hashes(run: Run) -> list[str | None]:
    return [record.fused_sha256 for record in run.rounds]


@pytest.mark.parametrize("method", ["fd", "fedmd", "dsfl"])
def test_a_buffer_of_all_devices_is_a_synchronous_round(tiny: Any, method: str) -> None:
    """Each device counts once in a buffer: nobody is late, and all have the same knowledge."""
    one = tiny.simulate(method={"name": method}, rounds=ROUNDS)
    other = tiny.simulate(
        method={"name": method}, rounds={**ROUNDS, "mode": "buffered", "buffer": 3}
    )
    assert hashes(one) == hashes(other)
    assert not [record for record in other.devices if record.staleness]


SPEEDS = {
    "rounds": {
        "count": 12,
        "deadline_s": 50.0,
        "mode": "buffered",
        "buffer": 2,
        "max_staleness": 8,
    },
    "data": {"proxy": 20, "test": 40},
}


@pytest.mark.parametrize("method", ["fd", "fedavg"])
def test_every_buffer_is_full_and_the_slow_are_stale(tiny: Any, method: str) -> None:
    """Three fast boards fill buffers of two while a slow one computes."""
    scenario = tiny.scenario(**SPEEDS, method={"name": method})
    slow = scenario.devices[0].model_copy(update={"count": 1, "name": "slow", "profile": "pi4"})
    fast = scenario.devices[0].model_copy(update={"profile": "jetson_orin_nano"})
    from edge_fd import simulate

    mixed = scenario.model_copy(update={"devices": (fast, slow)})
    run = simulate(mixed, tiny.path(), bundles=tiny.folder / "bundles")
    assert [record.accepted for record in run.rounds] == [2] * 12
    accepted = [record for record in run.devices if record.outcome == "accepted"]
    assert len(accepted) == 24
    each = Counter(record.device for record in accepted)
    assert 0 < each["slow-00"] < min(each[name] for name in each if name != "slow-00")
    stale = [record.staleness for record in accepted if record.device == "slow-00"]
    assert max(stale) > 0
    assert max(record.staleness for record in accepted) <= 8
    outcomes = {record.outcome for record in run.devices}
    assert outcomes <= {"accepted", "absent", "late"}  # late: of the last rounds, at the end
    assert {record.round for record in run.devices if record.outcome == "late"} <= {11, 12}


def weights(value: list[float], samples: int, after: int) -> Knowledge:
    exact = {"samples": np.uint8([samples]), "after": np.uint8([after])}
    return Knowledge("weights", np.float32(value), exact)


def test_what_counts_is_the_change_since_the_device_began() -> None:
    """FedBuff, algorithm 1: a stale device's change is added to the current weights, by hand."""
    server = Server(2, None, True)
    method, current = FedAvg(), np.float32([1.0, 10.0])

    def fuse(number: int, uploads: dict[str, Knowledge], current: Any) -> Any:
        staleness = dict.fromkeys(uploads, 0)
        facts = Round(number, after=number - 1, buffered=True, staleness=staleness, max_staleness=2)
        half = method.fuse(server, facts, uploads)
        assert next(half) == Read()
        load = half.send(current)
        assert isinstance(load, Load)
        return load.theta

    # Round 1, both begin from (1, 10): changes (1, 0) of 1 sample and (-1, 2) of 3.
    second = fuse(1, {"a": weights([2, 10], 1, 0), "b": weights([0, 12], 3, 0)}, current)
    np.testing.assert_allclose(second, [1 + (1 - 3) / 4, 10 + 6 / 4])
    # Round 2: c is asked in round 1 and began from (1, 10) too; its change is (3, -4).
    third = fuse(2, {"c": weights([4, 6], 2, 0)}, second)
    np.testing.assert_allclose(third, [0.5 + 3, 11.5 - 4])
    # Round 3: a began from the second weights, (0.5, 11.5).
    fourth = fuse(3, {"a": weights([1.0, 11.5], 5, 1)}, third)
    np.testing.assert_allclose(fourth, [3.5 + 0.5, 7.5])


def test_old_outcomes_are_forgotten_and_those_still_wanted_are_not() -> None:
    server, method, theta = Server(2, None, True), FedAvg(), np.float32([0.0])
    for number in range(1, 9):
        facts = Round(number, after=number - 1, buffered=True, staleness={"a": 0}, max_staleness=2)
        half = method.fuse(server, facts, {"a": weights([1.0], 1, number - 1)})
        next(half)
        theta = half.send(theta).theta
    kept = sorted(int(key.rpartition("/")[2]) for key in server.memory)
    assert kept == [5, 6, 7]  # asked in round 6, 7 or 8


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (
            {"rounds": {"mode": "buffered", "participation": 0.5}},
            "participation = 0.5 and rounds.mode",
        ),
        ({"rounds": {"mode": "buffered", "buffer": 4}}, "buffer = 4 is more than the 3 devices"),
        ({"rounds": {"buffer": 2}}, "buffer = 2 needs rounds.mode = 'buffered'"),
        (
            {
                "rounds": {"mode": "buffered"},
                "data": {"proxy_per_round": 5},
                "method": {"name": "dsfl"},
            },
            "proxy_per_round = 5 and rounds.mode",
        ),
    ],
)
def test_what_does_not_go_with_buffers_is_refused(tiny: Any, changes: Any, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        tiny.simulate(**changes)


def test_weights_that_no_round_changed_stand_for_those_after_it() -> None:
    """A group of FedDF that sat out round 2 is handed its weights of round 1 again, under another
    number: what begins from either has changed by the same."""
    server, method = Server(2, None, True), FedAvg()

    def fuse(number: int, after: int, value: float, began: int, current: float) -> float:
        facts = Round(number, after=after, buffered=True, staleness={"a": 0}, max_staleness=8)
        half = method.fuse(server, facts, {"a": weights([value], 1, began)})
        next(half)
        return float(half.send(np.float32([current])).theta[0])

    assert fuse(1, 0, 10.0, 0, 0.0) == 10.0
    assert fuse(3, 2, 12.0, 2, 10.0) == 12.0
    assert fuse(4, 3, 11.0, 1, 12.0) == 13.0  # 11 began from the 10 of round 1
