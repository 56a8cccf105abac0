from __future__ import annotations

import numpy as np
import pytest

from channel_sim.ble import Ble
from channel_sim.ble.phy import PHYS, log_bit_success


@pytest.mark.parametrize(
    ("phy", "shortest_us", "longest_us"),
    # Core Specification 5, Vol 6 Part B, 2.1 and 2.2 (as remembered): 44 to 2120 us
    # uncoded, 462 to 17040 us coded; S=2 ends at 4542 us.
    [("1m", 80, 2120), ("2m", 44, 1064), ("coded_s2", 462, 4542), ("coded_s8", 720, 17040)],
)
def test_shortest_and_longest_frame(phy: str, shortest_us: int, longest_us: int) -> None:
    assert PHYS[phy].air_ns(0) == shortest_us * 1000
    assert PHYS[phy].air_ns(255) == longest_us * 1000


def test_frames_grow_by_the_byte() -> None:
    for phy, byte_us in (("1m", 8), ("2m", 4), ("coded_s2", 16), ("coded_s8", 64)):
        assert PHYS[phy].air_ns(27) - PHYS[phy].air_ns(0) == 27 * byte_us * 1000
        # 4 access address, 2 header, 3 CRC.
        assert PHYS[phy].frame_bits(10) == 8 * (4 + 2 + 10 + 3)


def test_throughput_of_back_to_back_notifications() -> None:
    # oracles.md 2.9: 244 B encrypted every 2.50 ms = 781 kb/s, every 1.408 ms = 1.386 Mb/s.
    assert Ble().exchange_ns(0, 244) == 2_500_000
    assert Ble().throughput_bps == pytest.approx(780.8e3, abs=1)
    assert Ble(phy="2m").exchange_ns(0, 244) == 1_408_000
    assert Ble(phy="2m").throughput_bps == pytest.approx(1.386364e6, abs=1)
    # Not encrypted, 4 bytes less: 2468 us (as vendors' primers count it, 791 kb/s).
    assert Ble(encrypted=False).exchange_ns(0, 244) == 2_468_000
    assert Ble(phy="2m", encrypted=False).exchange_ns(0, 244) == 1_392_000


def test_how_many_devices_fit_into_an_interval() -> None:
    assert Ble(connection_interval_s=0.03).max_devices == 12
    assert Ble(connection_interval_s=0.03, event_s=0.00375).max_devices == 8
    assert Ble(phy="2m", connection_interval_s=0.0075).max_devices == 5
    assert Ble(connection_interval_s=0.03).event_ns(12) == 2_500_000
    with pytest.raises(ValueError, match=r"13 devices has no room.*0\.0325.*12 fit"):
        Ble(connection_interval_s=0.03).event_ns(13)
    with pytest.raises(ValueError, match=r"devices = 9 do not fit: 8 events of 3.75 ms"):
        Ble(connection_interval_s=0.03, event_s=0.00375).medium(
            dict.fromkeys("abcdefghi", 60.0), rng=np.random.default_rng(0)
        )
    assert Ble(connection_interval_s=0.0325).event_ns(13) == 2_500_000


def test_one_bit_in_a_thousand_is_wrong_at_the_sensitivity() -> None:
    # oracles.md 2.5: 0.1 % BER at -95, -92, -103 dBm.
    for phy, sensitivity_dbm in (("1m", -95), ("2m", -92), ("coded_s8", -103), ("coded_s2", -99)):
        family = Ble(phy=phy, tx_power_dbm=4.0)
        margin_db = family.margin_db(4.0 - sensitivity_dbm)
        assert -np.expm1(log_bit_success(margin_db)) == pytest.approx(1e-3)
    # Bluetooth Core, Vol 6 Part A, 4: 0.1 % of bits are 30.8 % of frames of 37 bytes.
    assert Ble().plan(95.0, 37 - 11).packet_error == pytest.approx(0.308, abs=5e-4)
    # 1M and 2M need the same SNR, S=8 8 dB less, S=2 4 dB less.
    snr_db = {phy: float(Ble(phy=phy).snr_db(-s)) for phy, s in _SENSITIVITY.items()}
    assert snr_db["1m"] == pytest.approx(10.944, abs=1e-3)
    assert snr_db["2m"] == pytest.approx(snr_db["1m"])
    assert snr_db["coded_s8"] == pytest.approx(snr_db["1m"] - 8)
    assert snr_db["coded_s2"] == pytest.approx(snr_db["1m"] - 4)
    assert Ble(sensitivity_dbm=-90.0).margin_db(90.0) == 0
    assert Ble(station_sensitivity_dbm=-97.0).margin_db(95.0) == 2
    assert Ble(station_sensitivity_dbm=-97.0).margin_db(95.0, up=False) == 0
    assert Ble(station_tx_power_dbm=8.0).margin_db(95.0, up=False) == 8


_SENSITIVITY = {"1m": -95.0, "2m": -92.0, "coded_s8": -103.0, "coded_s2": -99.0}


def test_an_idle_connection_costs_one_empty_exchange_an_interval() -> None:
    # 3 V: RX 6.26, TX 6.40 mA (Nordic): 80 us each, 150 us T_IFS and the waking at RX current,
    # the rest of 30 ms asleep at 3.16 uA.
    family = Ble(connection_interval_s=0.03, wake_s=0.0)
    joules = 3 * (80e-6 * 6.26e-3 + 150e-6 * 6.26e-3 + 80e-6 * 6.40e-3 + 29.69e-3 * 3.16e-6)
    assert family.connection_w() == pytest.approx(joules / 0.03)
    woken = Ble(connection_interval_s=0.03, wake_s=0.001).connection_w()
    assert woken == pytest.approx((joules + 3 * 0.001 * (6.26e-3 - 3.16e-6)) / 0.03)


def test_parameters_outside_the_specification_are_refused() -> None:
    with pytest.raises(ValueError, match=r"phy = '3m' is unknown; did you mean"):
        Ble(phy="3m")
    with pytest.raises(ValueError, match=r"connection_interval_s = 0.011 is no multiple.*0.01125"):
        Ble(connection_interval_s=0.011)
    with pytest.raises(ValueError, match=r"connection_interval_s = 0.005 is outside"):
        Ble(connection_interval_s=0.005)
    with pytest.raises(ValueError, match=r"supervision_timeout_s = 1.0 must be above two"):
        Ble(connection_interval_s=0.5, supervision_timeout_s=1.0)
    with pytest.raises(ValueError, match="att_mtu = 512"):
        Ble(att_mtu=512)
    with pytest.raises(ValueError, match=r"wake_s = -0\.1"):
        Ble(wake_s=-0.1)
    with pytest.raises(ValueError, match=r"no room.*\(18.06 ms\).*connection_interval_s = 0.01875"):
        Ble(phy="coded_s8", connection_interval_s=0.0075)
