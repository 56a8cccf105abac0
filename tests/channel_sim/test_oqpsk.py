from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from channel_sim.reception import oqpsk_ber, oqpsk_per

# oracles.md 3.4, ns-3.37 lr-wpan: frames of 20, 40, 100, 127 bytes, by SNR in dB.
TABLE = {
    -2.0: (0.566, 0.811, 0.985, 0.995),
    -1.0: (0.168, 0.308, 0.601, 0.689),
    -0.5: (0.0708, 0.1366, 0.3073, 0.3727),
    0.0: (0.0255, 0.0504, 0.1212, 0.1514),
    0.5: (0.00787, 0.01568, 0.03874, 0.04894),
    1.0: (0.00206, 0.00412, 0.01028, 0.01303),
    2.0: (8.2e-5, 1.6e-4, 4.1e-4, 5.2e-4),
}


@pytest.mark.parametrize("snr_db", TABLE)
def test_packet_error_is_that_of_ns3(snr_db: float) -> None:
    ours = oqpsk_per(snr_db, np.array([20, 40, 100, 127]))
    assert ours == pytest.approx(TABLE[snr_db], rel=5e-3 if snr_db < 2 else 3e-2)


def test_bit_error_is_that_of_the_closed_form() -> None:
    # oracles.md 2.5.
    snr = 10 ** (np.array([-1, 0, 1, 2]) / 10)
    assert oqpsk_ber(snr) == pytest.approx([1.149e-3, 1.615e-4, 1.291e-5, 5.13e-7], rel=1e-3)


def test_it_is_orthogonal_keying_of_16_symbols_drawn_at_random() -> None:
    # Energy detection of 16 orthogonal symbols; a wrong symbol has 8 of 15
    # wrong bits. The exponent 20 SNR is Es/N0 with 10 log2-free spreading gain 5.
    rng = np.random.default_rng(1)
    sinr, n = 0.3, 400_000
    noise = (rng.normal(size=(n, 16)) + 1j * rng.normal(size=(n, 16))) / np.sqrt(2)
    noise[:, 0] += np.sqrt(20 * sinr)
    wrong = (np.abs(noise).argmax(axis=1) != 0).mean()
    sigma = np.sqrt(wrong / n) * 8 / 15
    assert oqpsk_ber(sinr) == pytest.approx(wrong * 8 / 15, abs=5 * sigma)


@given(st.floats(-30, 30), st.floats(-30, 30), st.integers(1, 127), st.integers(1, 127))
def test_error_falls_with_snr_and_grows_with_size(a_db: float, b_db: float, a: int, b: int) -> None:
    (low, high), (short, long) = sorted((a_db, b_db)), sorted((a, b))
    assert oqpsk_per(high, short) <= oqpsk_per(low, short) + 1e-12
    assert oqpsk_per(low, short) <= oqpsk_per(low, long)


def test_without_signal_half_the_bits_are_wrong() -> None:
    assert oqpsk_ber(0.0) == 0.5


def test_bad_input_is_refused() -> None:
    with pytest.raises(ValueError, match=r"sinr = -0.1 is negative"):
        oqpsk_ber(-0.1)
    with pytest.raises(ValueError, match=r"size_bytes = -1 must be above 0"):
        oqpsk_per(0.0, -1)
