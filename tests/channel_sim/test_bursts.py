from __future__ import annotations

import math

import numpy as np
import pytest

from channel_sim.fading import BurstLosses, GilbertElliott

PACKET_S = 0.01


def example() -> GilbertElliott:
    """oracles.md 2.3: p = 0.01, r = 0.1 per packet, e_G = 0.001, e_B = 0.5."""
    # 1 - p - r = exp(-(1/good + 1/bad) T) and bad / good = p / r.
    rate = -math.log(1 - 0.11) / PACKET_S
    return GilbertElliott(
        good_s=1 / (rate * 0.01 / 0.11),
        bad_s=1 / (rate * 0.1 / 0.11),
        good_loss=0.001,
        bad_loss=0.5,
    )


def losses(chain: GilbertElliott, times_s: np.ndarray, *, seed: int = 0) -> np.ndarray:
    link = BurstLosses(chain, rng=np.random.default_rng(seed))
    return np.array([link.lost(time_s) for time_s in times_s.tolist()])


def test_mean_loss_and_memory_are_those_of_the_page() -> None:
    # oracles.md 2.3: 0.04636, lag-1 correlation 1 - p - r.
    assert example().mean_loss == pytest.approx(0.04636, abs=5e-6)
    assert example().memory(PACKET_S) == pytest.approx(0.89)


def test_packets_are_lost_as_often_as_the_formula_says() -> None:
    lost = losses(example(), np.arange(200_000) * PACKET_S)
    # Losses come in bursts of (1 + 0.89) / (1 - 0.89) packets' worth: sigma 0.0013.
    assert lost.mean() == pytest.approx(0.04636, abs=0.006)
    # P(lost, lost next) - mean^2 = (e_B - e_G)^2 pi (1 - pi) 0.89 = 0.01831.
    together = np.mean(lost[1:] & lost[:-1]) - lost.mean() ** 2
    assert together == pytest.approx(0.499**2 * (1 / 11) * (10 / 11) * 0.89, abs=0.002)


def test_states_last_as_long_as_they_should_however_often_one_looks() -> None:
    chain = GilbertElliott(good_s=0.4, bad_s=0.1)
    bad = losses(chain, np.arange(300_000) * 0.002, seed=3)
    starts = np.count_nonzero(~bad[:-1] & bad[1:])
    assert bad.mean() == pytest.approx(0.2, abs=0.025)
    # Looked at every 2 ms, 2 % of the short bad times slip through.
    assert bad.sum() * 0.002 / starts == pytest.approx(0.1, rel=0.13)


def test_a_pause_between_packets_is_a_pause_for_the_channel() -> None:
    chain = GilbertElliott(good_s=0.4, bad_s=0.1)
    for pause_s, seed in ((0.001, 1), (0.05, 2), (100.0, 3)):
        bad = losses(chain, np.arange(60_000) * pause_s, seed=seed)
        again = np.mean(bad[1:][bad[:-1]])
        # P(bad | bad before) = pi + (1 - pi) exp(-t (1 / 0.4 + 1 / 0.1)).
        assert again == pytest.approx(0.2 + 0.8 * math.exp(-12.5 * pause_s), abs=0.02)


def test_the_chain_of_rayleigh_fades() -> None:
    # oracles.md 2.3: threshold -10 dB, 8 Hz: fades of 16.59 ms, 5.738 of them a second.
    chain = GilbertElliott.from_rayleigh(0.1, 8.0)
    assert chain.bad_s == pytest.approx(16.59e-3, abs=6e-6)
    assert 1 / (chain.good_s + chain.bad_s) == pytest.approx(5.738, abs=5e-4)
    assert chain.mean_loss == pytest.approx(-math.expm1(-0.1))


def test_time_does_not_run_backwards() -> None:
    link = BurstLosses(example(), rng=np.random.default_rng(0))
    link.lost(2.0)
    with pytest.raises(ValueError, match=r"time_s = 1.0 is before 2.0"):
        link.lost(1.0)


@pytest.mark.parametrize(
    ("key", "value"),
    [("good_s", 0.0), ("bad_s", -1.0), ("good_loss", -0.1), ("bad_loss", 1.1)],
)
def test_bad_numbers_are_refused(key: str, value: float) -> None:
    arguments = {"good_s": 1.0, "bad_s": 0.1, key: value}
    with pytest.raises(ValueError, match=rf"{key} = {value} "):
        GilbertElliott(**arguments)
