from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from channel_sim.reception import BLE_SENSITIVITY_DBM, ble_ber, ble_per


def test_one_bit_of_1000_is_wrong_at_the_sensitivity() -> None:
    assert ble_ber(0.0) == pytest.approx(1e-3)


def test_away_from_it_the_error_is_that_of_fsk_without_phase() -> None:
    # 1/2 exp(-x / 2) at 12.43 (0.1 %), 3 dB less and more: by hand.
    x = 2 * np.log(500)
    ratio = np.array([0.5, 1.0, 2.0])
    assert ble_ber(10 * np.log10(ratio)) == pytest.approx(0.5 * np.exp(-x * ratio / 2))


def test_the_reference_packet_has_the_rate_of_the_specification() -> None:
    # Bluetooth Core vol. 6 part A 4.1: 0.1 % BER is 30.8 % PER for 37 bytes of
    # payload (access address 4, header 2, payload 37, CRC 3).
    assert ble_per(0.0, 46) == pytest.approx(0.308, abs=2e-3)


def test_coded_phys_reach_further_by_their_coding_gain() -> None:
    # oracles.md 2.5: 8 and 4 dB below 1M.
    assert BLE_SENSITIVITY_DBM["1m"] - BLE_SENSITIVITY_DBM["coded_s8"] == 8
    assert BLE_SENSITIVITY_DBM["1m"] - BLE_SENSITIVITY_DBM["coded_s2"] == 4


@given(st.floats(-40, 40), st.floats(-40, 40), st.integers(1, 265), st.integers(1, 265))
def test_error_falls_with_power_and_grows_with_size(
    a_db: float, b_db: float, a: int, b: int
) -> None:
    (low, high), (short, long) = sorted((a_db, b_db)), sorted((a, b))
    assert ble_per(high, short) <= ble_per(low, short)
    assert ble_per(low, short) <= ble_per(low, long)


def test_bad_input_is_refused() -> None:
    with pytest.raises(ValueError, match=r"margin_db has NaN"):
        ble_ber(np.nan)
    with pytest.raises(ValueError, match=r"size_bytes = 0 must be above 0"):
        ble_per(0.0, 0)
