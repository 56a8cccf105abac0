from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from channel_sim.fading import (
    Clarke,
    Rayleigh,
    amplitude_correlation,
    crossing_rate_hz,
    doppler_hz,
    mean_fade_s,
)


def test_the_formulas_give_the_numbers_of_the_page() -> None:
    # oracles.md 2.3: rho = -10 dB (rho^2 = 0.1), f_d = 8 Hz: 5.738 /s, 16.59 ms.
    assert crossing_rate_hz(0.1, 8.0) == pytest.approx(5.738, abs=5e-4)
    assert mean_fade_s(0.1, 8.0) == pytest.approx(16.59e-3, abs=6e-6)
    # and the second is (exp(rho^2) - 1) / (rho f_d sqrt(2 pi)) at any threshold
    rho = np.sqrt([0.01, 1.0, 2.5])
    expected_s = (np.exp(rho**2) - 1) / (rho * 8.0 * np.sqrt(2 * np.pi))
    assert mean_fade_s(rho**2, 8.0) == pytest.approx(expected_s)


def test_walking_at_2_4_ghz_is_a_shift_of_8_hz() -> None:
    assert doppler_hz(1.0, 2.4e9) == pytest.approx(8.006, abs=1e-3)


def test_fades_come_as_often_and_last_as_long_as_rice_says() -> None:
    times_s = np.arange(0.0, 100.0, 1e-3)
    starts, below = [], []
    for seed in range(12):
        gains = Clarke(8.0, rng=np.random.default_rng(seed), paths=48).gains(times_s)
        bad = gains < 0.1
        starts.append(np.count_nonzero(~bad[:-1] & bad[1:]))
        below.append(bad.mean())
    rate_hz = sum(starts) / 1200.0
    assert rate_hz == pytest.approx(5.738, rel=0.06)
    assert np.mean(below) / rate_hz == pytest.approx(16.59e-3, rel=0.06)


def test_the_amplitude_forgets_like_bessels_function() -> None:
    # Zeros and extremes of J0 (Abramowitz and Stegun, table 9.5): J0(2.404826) = 0,
    # J0(3.831706) = -0.402759.
    apart_s = np.array([0.0, 2.404826, 3.831706]) / (2 * np.pi * 8.0)
    expected = [1.0, 0.0, -0.402759]
    assert amplitude_correlation(8.0, apart_s) == pytest.approx(expected, abs=1e-5)
    amplitudes = np.stack(
        [
            Clarke(8.0, rng=np.random.default_rng(seed), paths=8).amplitudes(3.0 + apart_s)
            for seed in range(6000)
        ]
    )
    ours = (amplitudes * amplitudes[:, :1].conj()).mean(axis=0)
    assert ours.real == pytest.approx(expected, abs=0.06)
    assert ours.imag == pytest.approx(np.zeros(3), abs=0.06)


def test_over_links_the_gain_is_exponential() -> None:
    gains = np.array(
        [float(Clarke(8.0, rng=np.random.default_rng(seed)).gains(7.0)) for seed in range(6000)]
    )
    assert stats.kstest(gains, "expon").statistic < 0.025
    assert np.mean(gains < 0.3) == pytest.approx(float(Rayleigh().outage(0.3)), abs=0.02)


def test_a_static_link_does_not_fade() -> None:
    gains = Clarke(0.0, rng=np.random.default_rng(0)).gains([0.0, 1.0, 1e6])
    assert np.ptp(gains) == 0.0


def test_any_shape_of_times() -> None:
    link = Clarke(8.0, rng=np.random.default_rng(0))
    assert link.gains(np.zeros((2, 3))).shape == (2, 3)
    assert link.gains(1.5) == link.gains([0.5, 1.5])[1]


def test_bad_numbers_are_refused() -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match=r"doppler_hz = -1.0 .*give"):
        Clarke(-1.0, rng=rng)
    with pytest.raises(ValueError, match=r"paths = 7 .*give 8"):
        Clarke(8.0, rng=rng, paths=7)
    with pytest.raises(ValueError, match=r"threshold = 0.0 .*give"):
        crossing_rate_hz(0.0, 8.0)
    with pytest.raises(ValueError, match=r"doppler_hz = 0.0 .*give"):
        mean_fade_s(0.1, 0.0)
