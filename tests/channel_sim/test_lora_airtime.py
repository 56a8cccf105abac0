"""Time on air, sensitivities, region, fragments and adaptive data rate against their sources."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from channel_sim.lora import (
    DEFAULT_CHANNELS_HZ,
    EIGHT_CHANNELS_HZ,
    DeviceAdr,
    Lorawan,
    NetworkAdr,
    Setting,
    air_ns,
    bit_error_rate,
    bit_rate_bps,
    converged_spreading_factors,
    find_sub_band,
    frame_success,
    max_payload_bytes,
    sensitivity_dbm,
    symbol_ns,
)
from channel_sim.lora.adr import next_setting
from channel_sim.lora.fragments import alone_starts_ns, cut
from channel_sim.lora.region import off_ns

SF = range(7, 13)
# oracles.md 3.1: milliseconds, 125 kHz, 4/5, 8 preamble symbols, SF7 to SF12.
AIR_MS = {
    20: (56.576, 102.912, 185.344, 370.688, 741.376, 1318.912),
    64: (118.016, 215.552, 390.144, 698.368, 1560.576, 2793.472),
}


def test_time_on_air_is_that_of_the_table() -> None:
    for size_bytes, row_ms in AIR_MS.items():
        assert (air_ns(size_bytes, np.array(SF)) / 1e6).tolist() == list(row_ms)
    assert (air_ns(235, np.array([7, 8])) / 1e6).tolist() == [368.896, 655.872]
    assert int(air_ns(20, 12, coding_rate=4)) == 1_712_128_000


def test_uplinks_per_hour_at_one_percent() -> None:
    # oracles.md 3.1: 12.9 and 97.6.
    assert 36 / (int(air_ns(64, 12)) / 1e9) == pytest.approx(12.9, abs=0.05)
    assert 36 / (int(air_ns(235, 7)) / 1e9) == pytest.approx(97.6, abs=0.05)


@given(
    st.integers(0, 255),
    st.sampled_from(SF),
    st.integers(1, 4),
    st.sampled_from([62_500, 125_000, 250_000, 500_000, 41_700]),
    st.integers(6, 20),
    st.integers(0, 1),
    st.integers(0, 1),
)
def test_time_on_air_follows_the_formula_in_fractions(
    size: int, sf: int, rate: int, bandwidth_hz: int, preamble: int, header: int, crc: int
) -> None:
    symbol_s = Fraction(2**sf, bandwidth_hz)
    low = 1 if symbol_s > Fraction(16, 1000) else 0
    inner = Fraction(8 * size - 4 * sf + 28 + 16 * crc - 20 * (1 - header), 4 * (sf - 2 * low))
    payload = 8 + max(math.ceil(inner) * (rate + 4), 0)
    expected_ns = (preamble + Fraction(17, 4) + payload) * symbol_s * 10**9
    found = int(
        air_ns(
            size,
            sf,
            bandwidth_hz=bandwidth_hz,
            coding_rate=rate,
            preamble_symbols=preamble,
            header=bool(header),
            crc=bool(crc),
        )
    )
    assert abs(found - expected_ns) <= Fraction(1, 2)


def test_low_data_rate_is_forced_either_way() -> None:
    assert air_ns(64, 10, low_data_rate=True) > air_ns(64, 10)
    assert air_ns(64, 12, low_data_rate=False) < air_ns(64, 12)
    assert air_ns(64, 11, bandwidth_hz=250_000) == air_ns(
        64, 11, bandwidth_hz=250_000, low_data_rate=False
    )  # symbols of 8.192 ms


def test_symbols_and_bit_rates() -> None:
    assert symbol_ns(np.array([7, 12])).tolist() == [1_024_000, 32_768_000]
    # LoRaWAN regional parameters, DR0 and DR5: 250 and 5470 bit/s, as remembered.
    assert bit_rate_bps(np.array([12, 7])) == pytest.approx([293, 5469], abs=0.5)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"phy_bytes": 256}, "phy_bytes"),
        ({"phy_bytes": -1}, "phy_bytes"),
        ({"spreading_factor": 6}, "spreading_factor"),
        ({"spreading_factor": 7.5}, "whole"),
        ({"coding_rate": 5}, "coding_rate"),
        ({"bandwidth_hz": 0}, "bandwidth_hz"),
        ({"preamble_symbols": 0}, "preamble_symbols"),
    ],
)
def test_numbers_out_of_range_are_told(change: dict[str, float], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        air_ns(**{"phy_bytes": 20, "spreading_factor": 7, **change})  # type: ignore[arg-type]


def test_sensitivities_are_read_by_key() -> None:
    # oracles.md 2.7, SF7 to SF12 at 125 kHz.
    tables = {
        "sx1276": (-123, -126, -129, -132, -133, -136),
        "sx1272": (-124, -127, -130, -133, -135, -137),
        "sx1301": (-130, -132.5, -135, -137.5, -140, -142.5),
        "bor2016": (-126.5, -127.25, -131.25, -132.75, -134.5, -133.25),
    }
    for table, row_dbm in tables.items():
        assert [sensitivity_dbm(table, sf) for sf in SF] == list(row_dbm)
    # LoRaSim's array: columns 125, 250, 500 kHz.
    assert sensitivity_dbm("bor2016", 7, bandwidth_hz=250_000) == -124.25
    assert sensitivity_dbm("bor2016", 12, bandwidth_hz=500_000) == -132.25
    assert sensitivity_dbm("sx1276", 7, bandwidth_hz=250_000) == pytest.approx(-119.99, abs=0.005)
    # -174 + 10 lg 125e3 + 6 - 7.5
    assert sensitivity_dbm("snr_floor", 7, noise_figure_db=6.0) == pytest.approx(-124.53, abs=0.005)
    with pytest.raises(ValueError, match="did you mean 'sx1276'"):
        sensitivity_dbm("sx1277", 7)


@given(st.sampled_from(SF), st.floats(-40, 10), st.floats(0.01, 10), st.integers(1, 254))
def test_noise_hurts_less_with_more_snr_and_more_with_length(
    sf: int, snr_db: float, more_db: float, size: int
) -> None:
    assert 0 <= bit_error_rate(snr_db + more_db, sf) <= bit_error_rate(snr_db, sf) <= 0.5
    assert frame_success(snr_db + more_db, sf, size) >= frame_success(snr_db, sf, size)
    assert frame_success(snr_db, sf, size + 1) <= frame_success(snr_db, sf, size)


def test_the_smooth_error_rate_falls_at_the_snr_floors() -> None:
    floors_db = {7: -7.5, 8: -10.0, 9: -12.5, 10: -15.0, 11: -17.5, 12: -20.0}
    for sf, floor_db in floors_db.items():
        snr_db = np.linspace(floor_db - 6, floor_db + 6, 1201)
        half = snr_db[np.argmin(np.abs(frame_success(snr_db, sf, 20) - 0.5))]
        # Uncoded and coherent: within 3 dB of what a demodulator is said to need.
        assert abs(half - floor_db) < 3


def test_sub_bands_and_their_duty_cycles() -> None:
    # oracles.md 2.7, ETSI by way of ns-3; low, duty cycle, ERP.
    assert find_sub_band(868.1e6).duty_cycle == 0.01
    assert find_sub_band(868.9e6).duty_cycle == 0.001
    assert (find_sub_band(869.525e6).duty_cycle, find_sub_band(869.525e6).max_erp_dbm) == (0.1, 27)
    with pytest.raises(ValueError, match="868650000"):
        find_sub_band(868_650_000)
    assert {find_sub_band(f) for f in DEFAULT_CHANNELS_HZ} == {find_sub_band(868.3e6)}
    assert len({find_sub_band(f) for f in EIGHT_CHANNELS_HZ}) == 2
    # Next start = end + ToA (1 / d - 1).
    assert off_ns(1_000, 0.01) == 99_000
    assert off_ns(1_000, 0.1) == 9_000


def test_largest_payloads_by_data_rate() -> None:
    # oracles.md 2.7, DR5 to DR0.
    assert [max_payload_bytes(sf) for sf in SF] == [222, 222, 115, 51, 51, 51]
    assert [max_payload_bytes(sf, repeater=False) for sf in SF] == [242, 242, 115, 51, 51, 51]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"tx_power_dbm": 15.0}, "14 dBm ERP"),
        ({"station_tx_power_dbm": 27.0}, "station_tx_power_dbm"),
        ({"rx2_tx_power_dbm": 28.0}, "27 dBm ERP"),
        ({"channels_hz": ()}, "channels_hz"),
        ({"channels_hz": (868_650_000,)}, "no sub-band"),
        ({"coding_rate": 0}, "coding_rate"),
        ({"spreading_factor": 13}, "spreading_factor"),
        ({"interference": "goursand"}, "did you mean 'goursaud'"),
        ({"sensitivity": "sx1275"}, "did you mean"),
        ({"error_model": "threshhold"}, "did you mean 'threshold'"),
        ({"max_attempts": 0}, "max_attempts"),
        ({"poll_s": 0.0}, "poll_s"),
        ({"noise_figure_db": math.nan}, "noise_figure_db"),
        ({"demodulators": 0}, "demodulators"),
    ],
)
def test_parameters_out_of_range_are_told(change: dict[str, object], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        Lorawan(**change)  # type: ignore[arg-type]


@given(st.integers(1, 100_000), st.sampled_from([51, 115, 222, 242]))
def test_fragments_conserve_bytes(size: int, room: int) -> None:
    pieces = cut(size, room)
    count, full, last = int(pieces.count), int(pieces.full_bytes), int(pieces.last_bytes)
    header = 0 if count == 1 else 3
    assert (count - 1) * (full - header) + (last - header) == size
    assert header < last <= room
    assert full <= room
    assert (count == 1) == (size <= room)
    # No fewer frames would do.
    assert count == 1 or (count - 1) * (room - 3) < size


def test_frames_of_one_message_take_turns_over_sub_bands() -> None:
    starts = alone_starts_ns(np.arange(5), 100, 150, [0.01])
    assert starts.tolist() == [0, 10_000, 20_000, 30_000, 40_000]
    starts = alone_starts_ns(np.arange(5), 100, 150, [0.01, 0.01])
    assert starts.tolist() == [0, 150, 10_000, 10_150, 20_000]
    # A law that asks for less than the class does: the class decides.
    starts = alone_starts_ns(np.arange(3), 100, 2_000, [0.1])
    assert starts.tolist() == [0, 2_000, 4_000]


def test_network_steps_follow_the_margin() -> None:
    slow = Setting(spreading_factor=12, tx_power_dbm=14.0)
    # floor((-4 + 20 - 10) / 3) = 2 steps.
    assert next_setting(-4.0, slow) == Setting(spreading_factor=10, tx_power_dbm=14.0)
    # floor((9 + 20 - 10) / 3) = 6: five rates, one power step.
    assert next_setting(9.0, slow) == Setting(spreading_factor=7, tx_power_dbm=12.0)
    assert next_setting(-15.0, slow) == slow
    weak = Setting(spreading_factor=9, tx_power_dbm=8.0)
    # floor((-8 + 12.5 - 10) / 3) = -2: power only.
    assert next_setting(-8.0, weak) == Setting(spreading_factor=9, tx_power_dbm=12.0)
    # ns-3: no margin.
    assert next_setting(-14.0, slow, margin_db=0.0).spreading_factor == 10
    least = next_setting(100.0, slow)
    assert (least.spreading_factor, least.tx_power_dbm) == (7, 2.0)


def test_the_network_looks_back_on_twenty_uplinks_and_takes_the_best() -> None:
    network = NetworkAdr()
    slow = Setting(spreading_factor=12, tx_power_dbm=14.0)
    snrs_db = [-30.0] * 18 + [-4.0]
    assert [network.hear(snr_db, slow) for snr_db in snrs_db] == [None] * 19
    assert network.hear(-30.0, slow) == Setting(spreading_factor=10, tx_power_dbm=14.0)
    assert network.hear(-4.0, slow) is None  # it starts anew


def test_a_device_that_hears_nothing_slows_down() -> None:
    device = DeviceAdr()
    setting = Setting(spreading_factor=7, tx_power_dbm=10.0)
    used, asks = [], []
    for _ in range(64 + 3 * 32):
        setting = device.send(setting)
        used.append((setting.spreading_factor, setting.tx_power_dbm))
        asks.append(device.asks)
    # ADR_ACK_LIMIT 64, ADR_ACK_DELAY 32: full power first, then a rate at a time.
    assert used[94] == (7, 10.0)
    assert used[95] == (7, 14.0)
    assert used[127] == (8, 14.0)
    assert used[159] == (9, 14.0)
    assert asks.index(True) == 63
    device.hear()
    assert not device.asks
    assert device.send(setting) == setting


@given(st.floats(-40, 40))
def test_adaptive_data_rate_settles_where_its_steps_stop(snr_db: float) -> None:
    network = NetworkAdr()
    setting = Setting(spreading_factor=12, tx_power_dbm=14.0)
    for _ in range(200):
        order = network.hear(snr_db, setting)
        if order is not None:
            setting = Setting(spreading_factor=order.spreading_factor, tx_power_dbm=14.0)
    assert int(converged_spreading_factors(snr_db)) == setting.spreading_factor
