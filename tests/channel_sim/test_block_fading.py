from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, special, stats

from channel_sim.fading import BlockFading, Nakagami, Rayleigh, Rician, law_of
from channel_sim.fading.blocks import _STEP, _mixed
from channel_sim.fading.laws import Law

WORD = st.integers(-(2**63), 2**63 - 1)
LAWS: list[Law] = [Rayleigh(), Rician(6.0), Nakagami(2.0), Nakagami(0.5)]


def fading(law: Law, *, seed: int = 0, coherence_s: float = 0.05) -> BlockFading:
    return BlockFading(law, coherence_s, rng=np.random.default_rng(seed))


def cumulative(law: Law) -> object:
    """The distribution from scipy.stats, scaled to mean 1."""
    if isinstance(law, Rician):
        k = 10 ** (law.k_db / 10)
        return stats.ncx2(2, 2 * k, scale=1 / (2 * (k + 1))).cdf
    if isinstance(law, Nakagami):
        return stats.gamma(law.m, scale=1 / law.m).cdf
    return stats.expon.cdf


def test_the_hash_is_splitmix64() -> None:
    # First outputs from seed 1234567: Rosetta Code, "Pseudo-random numbers/Splitmix64".
    words = [_mixed((1234567 + k * _STEP) % 2**64) for k in (1, 2, 3)]
    assert words == [6457827717110365317, 3203168211198807973, 9817491932198370423]


@pytest.mark.parametrize("law", LAWS)
def test_gains_follow_the_law(law: Law) -> None:
    # Sionna's threshold is a KS distance of 0.01 on 500,000 samples.
    links, blocks = np.divmod(np.arange(500_000), 500)
    gains = fading(law, seed=5).gains(links, blocks)
    assert stats.kstest(gains, cumulative(law)).statistic < 0.0035
    assert gains.mean() == pytest.approx(1.0, abs=6 * gains.std() / math.sqrt(500_000))
    table = gains.reshape(1000, 500)
    for a, b in ((table[:, 1:], table[:, :-1]), (table[1:], table[:-1])):
        assert abs(np.corrcoef(a.ravel(), b.ravel())[0, 1]) < 5 / math.sqrt(a.size)


@pytest.mark.parametrize("law", LAWS)
@given(queries=st.lists(st.tuples(WORD, WORD), min_size=1, max_size=30), seed=st.integers(0, 99))
@settings(deadline=None, max_examples=30)
def test_one_by_one_and_all_at_once_agree_to_the_last_bit(
    law: Law, queries: list[tuple[int, int]], seed: int
) -> None:
    links, blocks = np.array(queries, dtype=np.int64).T
    together = fading(law, seed=seed).gains(links, blocks)
    alone = fading(law, seed=seed)
    assert [alone.gain(*query) for query in reversed(queries)] == together.tolist()[::-1]


def test_the_gain_remembered_for_a_link_is_that_of_its_block() -> None:
    blocks = fading(Rayleigh())
    first = blocks.gain(3, 7)
    assert blocks.gain(3, 8) != first
    assert blocks.gain(4, 7) != first
    assert blocks.gain(7, 3) != first
    assert blocks.gain(3, 7) == first


def test_another_generator_is_another_channel() -> None:
    links, blocks = np.arange(1000), np.zeros(1000, dtype=np.int64)
    one, other = (fading(Rayleigh(), seed=seed).gains(links, blocks) for seed in (1, 2))
    assert abs(np.corrcoef(one, other)[0, 1]) < 5 / math.sqrt(1000)


def test_the_channel_of_a_seed_stays_what_it_was() -> None:
    # A fingerprint, made once: a rewrite must not drift.
    gains = fading(Rayleigh(), seed=0).gains(np.arange(3), np.arange(3))
    assert gains.tolist() == pytest.approx(
        [0.5075977293637489, 0.35756163938502694, 0.3300295049117963], rel=1e-12
    )


@pytest.mark.parametrize(
    ("law", "row"),
    # oracles.md 3.1: mean SNR 10 dB, threshold 0, 3, 5, 10 dB, to 5 digits.
    [
        (Rayleigh(), [0.09516, 0.18088, 0.27111, 0.63212]),
        (Rician(6.0), [0.01647, 0.04738, 0.10079, 0.56506]),
        (Nakagami(2.0), [0.01752, 0.06130, 0.13270, 0.59399]),
    ],
)
def test_outage_is_the_closed_form(law: Law, row: list[float]) -> None:
    thresholds = 10 ** ((np.array([0.0, 3.0, 5.0, 10.0]) - 10) / 10)
    assert law.outage(thresholds) == pytest.approx(row, abs=6e-6)


@pytest.mark.parametrize("k_db", [-10.0, 3.0, 12.0])
@pytest.mark.parametrize("threshold", [0.05, 0.5, 1.5])
def test_rician_outage_is_the_integral_of_rices_density(k_db: float, threshold: float) -> None:
    k = 10 ** (k_db / 10)

    def density(x: float) -> float:
        root = 2 * math.sqrt(k * (k + 1) * x)
        return (k + 1) * math.exp(-k - (k + 1) * x + root) * special.ive(0, root)

    expected, _ = integrate.quad(density, 0, threshold)
    assert Rician(k_db).outage(threshold) == pytest.approx(expected, rel=1e-6, abs=1e-12)


def test_nakagami_1_and_rice_without_direct_path_are_rayleigh() -> None:
    thresholds = np.array([0.01, 0.3, 2.0])
    assert Nakagami(1.0).outage(thresholds) == pytest.approx(Rayleigh().outage(thresholds))
    assert Rician(-100.0).outage(thresholds) == pytest.approx(Rayleigh().outage(thresholds))


def test_infinite_coherence_is_one_block_for_ever() -> None:
    static = fading(Rayleigh(), coherence_s=math.inf)
    century_ns = 100 * 365 * 86_400 * 10**9
    assert century_ns // static.coherence_ns == 0


def test_blocks_are_whole_nanoseconds() -> None:
    assert fading(Rayleigh(), coherence_s=0.0529).coherence_ns == 52_900_000


@pytest.mark.parametrize("bad_s", [0.0, -1.0, float("nan"), 1e-10])
def test_a_bad_coherence_time_is_refused(bad_s: float) -> None:
    with pytest.raises(ValueError, match=r"coherence_s = .*give"):
        fading(Rayleigh(), coherence_s=bad_s)


def test_laws_by_name() -> None:
    assert law_of("none") is None
    assert law_of("rayleigh") == Rayleigh()
    assert law_of("rician", rician_k_db=6.0) == Rician(6.0)
    assert law_of("nakagami", nakagami_m=2.0) == Nakagami(2.0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"fading": "rayliegh"}, "did you mean 'rayleigh'"),
        ({"fading": "rician"}, "rician_k_db is missing"),
        ({"fading": "nakagami"}, "nakagami_m is missing"),
        ({"fading": "rayleigh", "rician_k_db": 3.0}, r"rician_k_db = 3.0 needs"),
        ({"fading": "rician", "rician_k_db": 3.0, "nakagami_m": 2.0}, r"nakagami_m = 2.0 needs"),
        ({"fading": "nakagami", "nakagami_m": 0.4}, r"m = 0.4 .*give"),
        ({"fading": "rician", "rician_k_db": math.inf}, r"k_db = inf .*give"),
    ],
)
def test_a_law_without_sense_is_refused(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        law_of(**arguments)
