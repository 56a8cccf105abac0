from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from channel_sim.energy import WIFI_NIC
from channel_sim.medium import Delivery
from channel_sim.outcomes import Outcomes
from channel_sim.replay import Replay, ReplayLossy

N = 4_000


@pytest.fixture
def rates(tmp_path: Path) -> tuple[str, str]:
    """Two recordings: 1 Mbit/s and 0 by turns of 2 s; 5 Mbit/s without a break."""
    slow, fast = tmp_path / "slow", tmp_path / "fast"
    slow.write_text("0 1\n2 1\n4 0\n")
    fast.write_text("0 5\n10 5\n")
    return str(slow), str(fast)


@pytest.fixture
def k7(tmp_path: Path) -> str:
    rng = np.random.default_rng(1)
    rows = [
        f"2018-01-11T16:00:{second:02d}.0,{src},9,11,-70,{rng.uniform(0.3, 1):.3f},100"
        for second in range(0, 60, 2)
        for src in range(4)
    ]
    path = tmp_path / "x.k7"
    path.write_text("{}\ndatetime,src,dst,channel,mean_rssi,pdr,tx_count\n" + "\n".join(rows))
    return str(path)


def both(family: Replay | ReplayLossy, sizes: int) -> tuple[list[Delivery], Outcomes]:
    """The calendar and the lock-step engine on the same scenario, of different seeds."""
    ready_s = np.random.default_rng(3).uniform(0, 20, N)
    devices = [f"d{row}" for row in range(N)]
    medium = family.medium(dict.fromkeys(devices, 100.0), rng=np.random.default_rng(4))
    deliveries = medium.offer(devices, [sizes] * N, ready_s.tolist())
    outcomes = family.burst(
        np.full(N, 100.0),
        np.full(N, sizes),
        np.rint(ready_s * 1e9).astype(np.int64),
        cells=np.arange(N) // 10,
        rng=np.random.default_rng(5),
    )
    return deliveries, outcomes


def same_law(ours: np.ndarray, theirs: np.ndarray) -> bool:
    """Two-sample KS; rounded, since many messages take the same time but for a last bit."""
    return bool(stats.ks_2samp(np.round(ours, 6), np.round(theirs, 6)).pvalue > 0.01)


def test_the_engines_of_capacities_agree(rates: tuple[str, str]) -> None:
    family = Replay(format="seconds_mbit", up=rates)
    deliveries, outcomes = both(family, 60_000)
    latency_s = np.array([one.finish_s - one.ready_s for one in deliveries])
    assert same_law(latency_s, outcomes.latency_s)
    joules = np.array([one.energy_j for one in deliveries])
    assert same_law(joules, outcomes.energy_j(family.radio))
    assert outcomes.counts()["delivered"] == N
    assert {one.packets for one in deliveries} == set(outcomes.packets.tolist()) == {40}
    # The plan's mean is that of both.
    plan = family.plan([100.0, 120.0], 60_000)
    sigma = latency_s.std() / math.sqrt(N)
    assert plan.latency_s[0] == pytest.approx(latency_s.mean(), abs=4 * sigma)
    assert plan.energy_j[1] == pytest.approx(joules.mean(), rel=0.05)
    assert plan.rate_bps.tolist() == [2.75e6] * 2
    assert plan.packets.tolist() == [40, 40]
    assert not plan.message_loss.any()


def test_the_engines_are_the_same_message_by_message_without_chance(
    rates: tuple[str, str],
) -> None:
    family = Replay(format="seconds_mbit", up=rates, assign="round_robin", random_offsets=False)
    deliveries, outcomes = both(family, 60_000)
    again = outcomes.deliveries([f"d{row}" for row in range(N)], family.radio)
    for one, other in zip(deliveries, again, strict=True):
        assert one == other


def test_mean_latency_of_a_plan_is_the_closed_form(rates: tuple[str, str]) -> None:
    # 1 Mbit/s for 2 s, nothing for 2 s; 125 kB need 1 s of carrying. Offered at u < 1: 1 s; at
    # 1 <= u < 2: 3 s; at u >= 2: 4 - u + 1. Mean (1 + 3 + 2 * 2) / 4 = 2.
    plan = Replay(format="seconds_mbit", up=rates[0]).plan(0.0, 125_000)
    assert plan.latency_s == pytest.approx(2.0, abs=0.01)
    assert plan.air_s == pytest.approx(1.0, abs=1e-9)
    # Of both recordings: 0.2 s at 5 Mbit/s.
    plan = Replay(format="seconds_mbit", up=rates).plan(0.0, 125_000)
    assert plan.latency_s == pytest.approx(1.1, abs=0.01)
    assert plan.energy_j == pytest.approx(0.6 * WIFI_NIC.tx_w + 0.5 * WIFI_NIC.idle_w, rel=0.01)


def test_directions_replay_their_own_recordings(rates: tuple[str, str]) -> None:
    family = Replay(
        format="seconds_mbit", up=rates[0], down=rates[1], assign="round_robin",
        random_offsets=False,
    )  # fmt: skip
    medium = family.medium({"a": 0.0}, rng=np.random.default_rng(0))
    medium.submit("a", 125_000, 0)
    medium.submit("a", 125_000, 0, direction="down")
    assert [one.finish_s for _, one in medium.advance(None)] == [0.2, 1.0]
    with pytest.raises(ValueError, match="up has 2 recordings and down 1"):
        Replay(format="seconds_mbit", up=rates, down=rates[0]).plan(0.0, 1)


def test_recordings_are_assigned_in_turn_or_by_draw(rates: tuple[str, str]) -> None:
    # 5 Mbit/s carries 125 kB in 0.2 s, the other takes 1 s or more.
    def finish_s(**given: object) -> np.ndarray:
        family = Replay(format="seconds_mbit", up=rates, **given)  # type: ignore[arg-type]
        outcomes = family.burst(
            np.zeros(N),
            np.full(N, 125_000),
            np.zeros(N, np.int64),
            cells=np.zeros(N, np.int64),
            rng=np.random.default_rng(1),
        )
        return outcomes.finish_ns / 1e9

    in_turn = finish_s(assign="round_robin", random_offsets=False)
    assert in_turn.tolist() == [1.0, 0.2] * (N // 2)
    drawn = finish_s(random_offsets=False)
    assert set(drawn) == {0.2, 1.0}
    assert np.mean(drawn == 0.2) == pytest.approx(0.5, abs=4 * 0.5 / math.sqrt(N))
    shifted = finish_s(assign="round_robin")
    assert np.all(shifted[1::2] == 0.2)
    # Offset uniform: 1 s with 1/4, 3 s with 1/4, else uniform in 1 to 3 s.
    devices = [f"d{row}" for row in range(N)]
    medium = Replay(format="seconds_mbit", up=rates, assign="round_robin").medium(
        dict.fromkeys(devices, 0.0), rng=np.random.default_rng(2)
    )
    found = medium.offer(devices, [125_000] * N, [0.0] * N)
    for slow in (shifted[::2], np.array([one.finish_s for one in found[::2]])):
        for value_s in (1.0, 3.0):
            share = np.mean(np.abs(slow - value_s) < 1e-6)
            assert share == pytest.approx(0.25, abs=4 * math.sqrt(0.1875 / (N / 2)))


def test_the_engines_of_shares_agree(k7: str) -> None:
    family = ReplayLossy(format="connectivity", path=k7, rate_bps=1e4, max_attempts=3)
    deliveries, outcomes = both(family, 500)
    latency_s = np.array([one.finish_s - one.ready_s for one in deliveries])
    assert same_law(latency_s, outcomes.latency_s)
    joules = np.array([one.energy_j for one in deliveries])
    assert same_law(joules, outcomes.energy_j(family.radio))
    loss = np.array([not one.delivered for one in deliveries]).mean()
    other = 1 - outcomes.delivered.mean()
    assert abs(loss - other) < 3 * math.sqrt(2 * loss * (1 - loss) / N)
    counts = outcomes.counts()
    assert counts["delivered"] + counts["retry_limit"] == N
    assert {one.packets for one in deliveries} == set(outcomes.packets.tolist()) == {4}
    attempts = np.array([one.attempts for one in deliveries])
    assert same_law(attempts, outcomes.attempts)


def test_a_plan_of_shares_is_what_the_engine_does(k7: str) -> None:
    # Messages of 20 ms, shares constant for 2 s: the plan's assumption nearly holds.
    family = ReplayLossy(format="connectivity", path=k7, retry_wait_s=0.001)
    n = 40_000
    outcomes = family.burst(
        np.zeros(n),
        np.full(n, 500),
        np.zeros(n, np.int64),
        cells=np.zeros(n, np.int64),
        rng=np.random.default_rng(7),
    )
    plan = family.plan(np.zeros(3), 500)
    good = outcomes.delivered
    assert plan.message_loss[0] == pytest.approx(1 - good.mean(), abs=0.006)
    for ours, seen in (
        (plan.latency_s, outcomes.latency_s[good]),
        (plan.air_s, outcomes.air_ns[good] / 1e9),
        (plan.energy_j, outcomes.energy_j(family.radio)),
    ):
        assert ours[2] == pytest.approx(seen.mean(), abs=4 * seen.std() / math.sqrt(len(seen)))


def test_both_engines_lose_what_was_lost_at_that_time(tmp_path: Path) -> None:
    # Frames 0 and 2 of three arrived, 8 s each: what is sent from 8 to 16 s is lost.
    path = tmp_path / "gap.csv"
    path.write_text("Time,id\n1,0\n2,2\n")
    family = ReplayLossy(format="lora_campus", path=str(path), max_attempts=1, random_offsets=False)
    times_s = [0.0, 7.9, 8.0, 15.9, 16.0, 23.9, 24.0, 33.0]
    expected = [True, True, False, False, True, True, True, False]
    n = len(times_s)
    outcomes = family.burst(
        np.zeros(n),
        np.full(n, 50),
        np.rint(np.array(times_s) * 1e9).astype(np.int64),
        cells=np.zeros(n, np.int64),
        rng=np.random.default_rng(0),
    )
    assert outcomes.delivered.tolist() == expected
    medium = family.medium({"a": 0.0}, rng=np.random.default_rng(0))
    found = medium.offer(["a"] * n, [50] * n, times_s)
    assert [one.delivered for one in found] == expected


def test_links_without_loss_are_planned_without_loss(tmp_path: Path) -> None:
    path = tmp_path / "near.csv"
    path.write_text("Time,id\n1,0\n2,1\n")
    family = ReplayLossy(format="lora_campus", path=str(path), rate_bps=5_470, packet_bytes=51)
    plan = family.plan(0.0, 102)
    assert plan.message_loss == pytest.approx(0.0, abs=1e-12)
    assert plan.air_s == pytest.approx(816 / 5_470)
    assert plan.latency_s == pytest.approx(816 / 5_470)


def test_bad_parameters_are_refused_by_key_and_value() -> None:
    with pytest.raises(ValueError, match=r"format = 'mahimai' is unknown; did you mean 'mahimahi'"):
        Replay(format="mahimai", up="x")
    with pytest.raises(ValueError, match=r"assign = 'random' is unknown"):
        Replay(format="mahimahi", up="x", assign="random")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"rate_bps = -1 must be above 0"):
        ReplayLossy(format="connectivity", path="x", rate_bps=-1)
    with pytest.raises(ValueError, match=r"size_bytes = 0 is no count"):
        Replay(format="mahimahi", up="x").plan(0.0, 0)
