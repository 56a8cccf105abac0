from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from channel_sim import RayleighBlocks, coherence_time_s


def blocks(seed: int = 0) -> RayleighBlocks:
    return RayleighBlocks(0.05, np.random.default_rng(seed))


def test_power_gain_of_the_blocks_is_exponential_with_mean_1() -> None:
    fading = blocks(1)
    gains = np.array([fading.gain(k) for k in range(500_000)])
    # Sionna's threshold for channel distributions is a KS distance below 0.01
    # on 500,000 samples; ours is stricter: p > 0.01, a distance below 0.0023.
    assert stats.kstest(gains, "expon").pvalue > 0.01
    # Independent blocks: lag-1 correlation within 3 standard errors of 0.
    lag_1 = np.corrcoef(gains[:-1], gains[1:])[0, 1]
    assert abs(lag_1) < 3 / math.sqrt(len(gains))


def test_two_links_fade_independently() -> None:
    a, b = blocks(1), blocks(2)
    pairs = np.array([(a.gain(k), b.gain(k)) for k in range(50_000)])
    assert abs(np.corrcoef(pairs.T)[0, 1]) < 3 / math.sqrt(len(pairs))


@given(st.lists(st.integers(0, 10**9) | st.integers(0, 300), min_size=1, max_size=40))
@settings(deadline=None)
def test_gain_of_a_block_does_not_depend_on_the_order_of_queries(order: list[int]) -> None:
    alone = {k: blocks().gain(k) for k in order}
    shared = blocks()
    assert [shared.gain(k) for k in order] == [alone[k] for k in order]


def test_gains_are_the_exponentials_of_philox_counted_by_chunks() -> None:
    # Computed without our class: 64 blocks a chunk, the chunk in the second word of the counter.
    key = np.random.default_rng(7).integers(0, 2**64, size=2, dtype=np.uint64)
    fading = blocks(7)
    for chunk in (0, 1, 5, 0, 2**40):
        bits = np.random.Philox(key=key, counter=[0, chunk, 0, 0])
        expected = np.random.Generator(bits).standard_exponential(64).tolist()
        assert [fading.gain(64 * chunk + k) for k in range(64)] == expected


@given(
    first=st.integers(0, 200),
    length=st.integers(0, 200),
    threshold=st.sampled_from([0.0, 0.003, 0.02, 0.3, 50.0]),
)
@settings(deadline=None)
def test_the_first_block_below_a_threshold_is_that_of_a_search(
    first: int, length: int, threshold: float
) -> None:
    fading, last = blocks(3), first + length - 1
    below = [k for k in range(first, last + 1) if blocks(3).gain(k) < threshold]
    assert fading.first_below(threshold, first, last) == next(iter(below), last + 1)


def test_links_that_are_asked_in_turn_keep_their_own_gains() -> None:
    """They share a sampler: what one draws must not move the other."""
    a, b = blocks(1), blocks(2)
    turn = [(a.gain(k), b.gain(k)) for k in range(0, 640, 7)]
    alone_a, alone_b = blocks(1), blocks(2)
    assert [pair[0] for pair in turn] == [alone_a.gain(k) for k in range(0, 640, 7)]
    assert [pair[1] for pair in turn] == [alone_b.gain(k) for k in range(0, 640, 7)]


@pytest.mark.parametrize(
    ("threshold_db", "probability"),
    # oracles.md 3.1: mean SNR 10 dB, threshold 0, 3, 5, 10 dB; 1 - exp(-theta / gamma).
    [(0, 0.09516), (3, 0.18088), (5, 0.27111), (10, 0.63212)],
)
def test_rayleigh_outage_is_the_closed_form(threshold_db: float, probability: float) -> None:
    assert blocks().outage(10 ** ((threshold_db - 10) / 10)) == pytest.approx(probability, abs=5e-6)


def test_walking_at_2_4_ghz_keeps_the_channel_for_52_9_ms() -> None:
    # oracles.md 2.3: f_d = 8 Hz (rounded from 8.006), T_c = 0.423 / f_d = 52.9 ms.
    assert coherence_time_s(1.0, 2.4e9) == pytest.approx(52.9e-3, rel=2e-3)
    assert coherence_time_s(2.0, 2.4e9) == pytest.approx(coherence_time_s(1.0, 2.4e9) / 2)


def test_a_static_link_keeps_its_channel_for_ever() -> None:
    assert coherence_time_s(0.0, 2.4e9) == math.inf


@pytest.mark.parametrize("bad", [0.0, -0.1, float("nan")])
def test_a_bad_coherence_time_is_refused(bad: float) -> None:
    with pytest.raises(ValueError, match=f"coherence_s = {bad} .*give"):
        RayleighBlocks(bad, np.random.default_rng(0))


def test_negative_speed_is_refused() -> None:
    with pytest.raises(ValueError, match=r"speed_m_s = -3.0 .*give"):
        coherence_time_s(-3.0, 2.4e9)
