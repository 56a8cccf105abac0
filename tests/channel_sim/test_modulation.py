from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad

from channel_sim.reception import (
    dbpsk_ber,
    dbpsk_ber_rayleigh,
    fsk_ber,
    fsk_ber_rayleigh,
    psk_ber,
    psk_ber_rayleigh,
    qam_ber,
    qam_ber_rayleigh,
)


def ratio(db: float | list[float]) -> np.ndarray:
    return 10 ** (np.asarray(db) / 10)


def test_bpsk_is_that_of_the_table() -> None:
    # oracles.md 3.1, exact.
    assert psk_ber(ratio([0, 4, 8, 10])) == pytest.approx(
        [7.865e-2, 1.250e-2, 1.909e-4, 3.872e-6], rel=5e-4
    )


def test_bpsk_in_rayleigh_fading_is_that_of_the_table() -> None:
    assert psk_ber_rayleigh(ratio([0, 10, 20])) == pytest.approx(
        [0.14645, 0.023269, 0.0024814], rel=5e-5
    )


def test_qam_is_that_of_the_table() -> None:
    assert qam_ber(ratio(8), 16) == pytest.approx(9.247e-3, rel=1e-4)
    assert qam_ber(ratio(10), 64) == pytest.approx(2.653e-2, rel=2e-4)


def test_qam_of_four_points_is_qpsk() -> None:
    x = ratio([-5, 0, 5, 10])
    assert qam_ber(x, 4) == pytest.approx(psk_ber(x))


@pytest.mark.parametrize("mean", [0.3, 3.0, 100.0])
@pytest.mark.parametrize(
    ("still", "faded"),
    [
        (psk_ber, psk_ber_rayleigh),
        (dbpsk_ber, dbpsk_ber_rayleigh),
        (fsk_ber, fsk_ber_rayleigh),
        (lambda x: qam_ber(x, 64), lambda x: qam_ber_rayleigh(x, 64)),
    ],
)
def test_the_mean_over_an_exponential_gain_is_the_closed_form(
    still: Callable[..., np.ndarray], faded: Callable[..., np.ndarray], mean: float
) -> None:
    by_quadrature, _ = quad(lambda g: float(still(mean * g)) * np.exp(-g), 0, 60, limit=400)
    assert faded(mean) == pytest.approx(by_quadrature, rel=1e-6)


def test_dbpsk_and_fsk_drawn_at_random() -> None:
    rng = np.random.default_rng(5)
    n, x = 200_000, 2.0
    z = (rng.normal(size=(n, 2)) + 1j * rng.normal(size=(n, 2))) / np.sqrt(2)
    # DBPSK: the phase of one bit against the one before, both noisy.
    sent = z + np.sqrt(x)
    wrong = ((sent[:, 0] * sent[:, 1].conj()).real < 0).mean()
    assert dbpsk_ber(x) == pytest.approx(wrong, abs=5 * np.sqrt(wrong / n))
    # FSK: energy in the right tone against energy in the wrong one.
    wrong = (np.abs(z[:, 0] + np.sqrt(x)) < np.abs(z[:, 1])).mean()
    assert fsk_ber(x) == pytest.approx(wrong, abs=5 * np.sqrt(wrong / n))


@given(st.floats(0, 1e6), st.floats(0, 1e6), st.sampled_from([4, 16, 64, 256]))
def test_error_falls_with_the_ratio(a: float, b: float, size: int) -> None:
    low, high = sorted((a, b))
    for law in (
        psk_ber,
        dbpsk_ber,
        fsk_ber,
        psk_ber_rayleigh,
        dbpsk_ber_rayleigh,
        fsk_ber_rayleigh,
    ):
        assert 0 <= law(high) <= law(low) <= 0.5
    assert qam_ber(high, size) <= qam_ber(low, size) <= 0.5
    assert qam_ber_rayleigh(high, size) <= qam_ber_rayleigh(low, size) <= 0.5


@pytest.mark.parametrize("points", [0, 1, 2, 8, 36])
def test_what_is_no_square_constellation_is_refused(points: int) -> None:
    with pytest.raises(ValueError, match=rf"points = {points} is no square QAM; give 4"):
        qam_ber(1.0, points)


def test_a_ratio_in_db_is_refused_where_it_is_negative() -> None:
    with pytest.raises(ValueError, match=r"snr_per_bit = -3.0 is negative"):
        psk_ber(-3.0)
