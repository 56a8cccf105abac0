from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from channel_sim import MarkovOnOff

TIMES_S = st.lists(st.floats(0.0, 200.0), min_size=1, max_size=20)


def process(seed: int = 0, *, starts_up: bool = True) -> MarkovOnOff:
    return MarkovOnOff(3.0, 2.0, np.random.default_rng(seed), starts_up=starts_up)


@pytest.mark.parametrize("starts_up", [True, False])
@pytest.mark.parametrize("t_s", [0.7, 100.0])
def test_chance_of_being_up_is_that_of_the_two_state_chain(t_s: float, *, starts_up: bool) -> None:
    # P(up at t) = A + (P0 - A) exp(-(lambda_on + lambda_off) t), A = lambda_on /
    # (lambda_on + lambda_off), lambda_on = 1 / mean_down, lambda_off = 1 / mean_up.
    runs, on, off = 4_000, 1 / 2.0, 1 / 3.0
    chance = on / (on + off) + (starts_up - on / (on + off)) * math.exp(-(on + off) * t_s)
    ups = sum(process(seed, starts_up=starts_up).is_up(t_s) for seed in range(runs))
    assert abs(ups - chance * runs) < 3 * math.sqrt(runs * chance * (1 - chance))


def test_share_of_time_up_is_the_availability() -> None:
    # Mean 0.6; the time average over T has variance 2 A (1 - A) / ((lambda_on + lambda_off) T).
    horizon_s, up_s, t_s, one = 50_000.0, 0.0, 0.0, process(1)
    while t_s < horizon_s:
        change_s = min(one.next_change_s(t_s), horizon_s)
        up_s += (change_s - t_s) * one.is_up(t_s)
        t_s = change_s
    sigma = math.sqrt(2 * 0.6 * 0.4 / ((1 / 2 + 1 / 3) * horizon_s))
    assert abs(up_s / horizon_s - 0.6) < 3 * sigma


@pytest.mark.parametrize(
    ("devices", "mean_s"),
    # oracles.md 3.1: E[max of n Exp(1)], the n-th harmonic number.
    [(10, 2.9290), (100, 5.1874)],
)
def test_waiting_for_the_last_of_n_devices_takes_the_harmonic_number(
    devices: int, mean_s: float
) -> None:
    rng = np.random.default_rng(2)
    rounds = 300
    waits_s = [
        max(MarkovOnOff(1.0, 1.0, rng, starts_up=False).first_up_s(0.0) for _ in range(devices))
        for _ in range(rounds)
    ]
    assert abs(np.mean(waits_s) - mean_s) < 3 * np.std(waits_s) / math.sqrt(rounds)


@given(TIMES_S)
@settings(deadline=None)
def test_queries_in_any_order_agree(times_s: list[float]) -> None:
    shared = process()
    for t_s in times_s:
        alone = process()
        assert shared.is_up(t_s) == alone.is_up(t_s)
        assert shared.next_change_s(t_s) == alone.next_change_s(t_s)


@given(TIMES_S, st.booleans())
@settings(deadline=None)
def test_the_four_questions_fit_together(times_s: list[float], starts_up: bool) -> None:  # noqa: FBT001
    one = process(3, starts_up=starts_up)
    assert one.is_up(0.0) == starts_up
    for t_s in times_s:
        change_s = one.next_change_s(t_s)
        assert change_s > t_s
        assert one.is_up(change_s) != one.is_up(t_s)
        assert one.is_up(math.nextafter(change_s, 0.0)) == one.is_up(t_s)
        assert one.up_until_s(t_s) == (change_s if one.is_up(t_s) else t_s)
        assert one.first_up_s(t_s) == (t_s if one.is_up(t_s) else change_s)


def test_an_infinite_mean_never_ends() -> None:
    always = MarkovOnOff(math.inf, 1.0, np.random.default_rng(0))
    assert always.is_up(1e12)
    assert always.up_until_s(0.0) == math.inf


def test_bad_means_and_times_are_refused_by_key_and_value() -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match=r"mean_up_s = 0 .*give"):
        MarkovOnOff(0, 1.0, rng)
    with pytest.raises(ValueError, match=r"mean_down_s = nan .*give"):
        MarkovOnOff(1.0, float("nan"), rng)
    with pytest.raises(ValueError, match=r"t_s = -1.0 .*give"):
        process().is_up(-1.0)
