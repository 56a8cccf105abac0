from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from channel_sim import SHANNON, TruncatedShannon, noise_dbm

DOWNLINK = TruncatedShannon(alpha=0.6, cap_bps_hz=4.4, floor_db=-10.0)
UPLINK = TruncatedShannon(alpha=0.4, cap_bps_hz=2.0, floor_db=-10.0)


@pytest.mark.parametrize(
    ("bandwidth_hz", "power_dbm"),
    # oracles.md 2.4, noise figure 7 dB.
    [(125e3, -116.03), (180e3, -114.45), (2e6, -103.99), (20e6, -93.99)],
)
def test_thermal_noise_is_that_of_the_table(bandwidth_hz: float, power_dbm: float) -> None:
    assert noise_dbm(bandwidth_hz, 7.0) == pytest.approx(power_dbm, abs=5e-3)


@pytest.mark.parametrize(
    ("shannon", "carried"),
    # oracles.md 2.10, TR 36.942 at -10, 0, 10, 20 dB.
    [(DOWNLINK, [0.083, 0.600, 2.076, 3.995]), (UPLINK, [0.055, 0.400, 1.384, 2.0])],
)
def test_truncated_shannon_is_that_of_the_table(
    shannon: TruncatedShannon, carried: list[float]
) -> None:
    efficiency = shannon.efficiency_bps_hz([-10.0, 0.0, 10.0, 20.0])
    assert efficiency == pytest.approx(carried, abs=5e-4)


def test_below_the_floor_nothing_is_carried() -> None:
    assert DOWNLINK.efficiency_bps_hz([-10.001, -60.0, -math.inf]).tolist() == [0.0, 0.0, 0.0]


@given(st.floats(-60.0, 120.0))
@settings(deadline=None)
def test_plain_shannon_is_log2_of_1_plus_snr(snr_db: float) -> None:
    expected = math.log1p(10 ** (snr_db / 10)) / math.log(2)
    assert SHANNON.efficiency_bps_hz(snr_db) == pytest.approx(expected, rel=1e-12)


def test_the_cap_is_reached_at_its_snr_and_not_before() -> None:
    # 0.6 log2(1 + x) = 4.4  <=>  x = 2^(4.4 / 0.6) - 1 = 160.27, 22.05 dB.
    assert DOWNLINK.cap_snr_db == pytest.approx(10 * math.log10(2 ** (4.4 / 0.6) - 1))
    around_db = DOWNLINK.cap_snr_db + np.array([-0.01, 0.0, 0.01])
    below, at, above = DOWNLINK.efficiency_bps_hz(around_db)
    assert below < 4.4
    assert at == pytest.approx(4.4)
    assert above == 4.4


def test_without_a_cap_there_is_no_snr_at_which_it_is_reached() -> None:
    assert SHANNON.cap_snr_db == math.inf


@given(st.floats(-50.0, 80.0), st.floats(-50.0, 80.0))
@settings(deadline=None)
def test_more_snr_never_carries_less(a_db: float, b_db: float) -> None:
    low, high = DOWNLINK.efficiency_bps_hz(sorted((a_db, b_db)))
    assert low <= high <= 4.4


@pytest.mark.parametrize(
    ("key", "value"), [("alpha", -0.6), ("cap_bps_hz", 0.0), ("floor_db", math.nan)]
)
def test_a_bad_curve_is_refused_by_key_and_value(key: str, value: float) -> None:
    good = {"alpha": 0.6, "cap_bps_hz": 4.4, "floor_db": -10.0}
    with pytest.raises(ValueError, match=rf"{key} = {value}.*give"):
        TruncatedShannon(**{**good, key: value})


def test_a_negative_bandwidth_is_refused() -> None:
    with pytest.raises(ValueError, match=r"bandwidth_hz = -20000000.0 .*give"):
        noise_dbm(-20e6, 7.0)
