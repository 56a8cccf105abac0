import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from channel_sim.cellular import Cellular, lte_bits, nr_bits
from channel_sim.cellular.modes import block_error, block_threshold_db
from channel_sim.presets.load import load_preset

# 3GPP TS 36.213 table 7.1.7.2.1-1, excerpts of oracles.md 2.10.
TABLE = {
    1: (16, 56, 120, 176, 280, 376, 520, 712),
    6: (152, 408, 808, 1192, 1800, 2344, 3240, 4392),
    50: (1384, 3624, 6968, 9912, 15264, 19848, 27376, 36696),
}
# Columns of 25 and 50 PRB by I_TBS, as remembered, and the I_TBS of each MCS.
PRB25 = (
    *(680, 904, 1096, 1416, 1800, 2216, 2600, 3112, 3496, 4008, 4392, 4968, 5736, 6456),
    *(7224, 7736, 7992, 9144, 9912, 10680, 11448, 12576, 13536, 14112, 15264, 15840, 18336),
)
PRB50 = (
    *(1384, 1800, 2216, 2856, 3624, 4392, 5160, 6200, 6968, 7992, 8760, 9912, 11448, 12960),
    *(14112, 15264, 16416, 18336, 19848, 21384, 22920, 25456, 27376, 28336, 30576, 31704, 36696),
)
I_TBS = (*range(10), 9, *range(10, 16), 15, *range(16, 27))
# oracles.md 3.6, LTE, 10 % BLER.
LTE_DB = (
    *(-7.05, -6.1, -5.6, -4.45, -3.4, -2.4, -1.45, -0.3, 0.75, 1.55, 3.8, 3.85, 4.6, 5.6, 6.5),
    *(7.45, 8.4, 10.1, 10.4, 11.25, 12.3, 13.3, 14.25, 15.2, 16.1, 17.05, 17.85, 19.0, 19.7),
)
MCS = np.arange(29)


def test_lte_table_is_given_back() -> None:
    for prbs, bits in TABLE.items():
        assert lte_bits([0, 4, 8, 12, 16, 20, 24, 28], prbs).tolist() == list(bits)


@pytest.mark.parametrize(("prbs", "column"), [(25, PRB25), (50, PRB50)])
def test_lte_interpolation_is_near_the_full_table(prbs: int, column: tuple[int, ...]) -> None:
    full = np.array([column[index] for index in I_TBS])
    assert np.all(np.abs(lte_bits(MCS, prbs) / full - 1) < 0.09)
    assert np.all(lte_bits(MCS, prbs) % 8 == 0)


def test_nr_bits() -> None:
    # 273 PRB x 156 x 6 x 948/1024 = 236 566.9 bit, 29 570 whole bytes.
    assert nr_bits(6 * 948 / 1024, 273) == 8 * 29570


def test_lte_blocks_cross_ten_percent_where_ns3_has_them() -> None:
    bits = lte_bits(MCS, 50).astype(np.int64)
    assert np.abs(block_threshold_db("lte", MCS, bits) - LTE_DB).max() < 0.1


@pytest.mark.parametrize("standard", ["lte", "nr"])
def test_threshold_is_where_a_block_fails_with_ten_percent(standard: str) -> None:
    bits = np.full(29, 30_000)
    at = block_threshold_db(standard, MCS, bits)  # type: ignore[arg-type]
    assert block_error(standard, MCS, bits, at) == pytest.approx(0.1)  # type: ignore[arg-type]


def test_an_nr_block_needs_all_its_code_blocks() -> None:
    one = float(block_error("nr", 10, 8448, 3.4))
    assert 0.001 < one < 0.999
    assert block_error("nr", 10, 5 * 8448, 3.4) == pytest.approx(1 - (1 - one) ** 5)


@pytest.mark.parametrize(("snr_db", "efficiency"), [(0, 0.600), (10, 2.076), (20, 3.995)])
def test_lte_down_is_near_the_truncated_shannon_of_tr_36_942(
    snr_db: float, efficiency: float
) -> None:
    # alpha 0.6 log2(1 + SINR), oracles.md 2.10; the whole carrier, one layer.
    family = Cellular(downlink_peak_bps=1e9)
    noise_dbm = -174 + 9 + 10 * math.log10(50 * 180e3)
    mode = family.down.choose(noise_dbm + snr_db)
    assert family.down.steps[int(mode)].rate_bps / 9e6 == pytest.approx(efficiency, rel=0.25)


def test_lowest_power_up_by_hand() -> None:
    lowest = Cellular(header_bytes=0).up.steps[0]
    # One PRB, MCS 0: -174 dBm/Hz, noise figure 5, 180 kHz, and a short block costs more.
    noise_dbm = -174 + 5 + 10 * math.log10(180e3)
    assert lowest.noise_dbm == pytest.approx(noise_dbm)
    assert (lowest.mcs, lowest.width_prb) == (0, 1)
    assert noise_dbm - 7.05 < lowest.required_dbm < noise_dbm - 7.05 + 5


@pytest.mark.parametrize("name", ["nbiot", "ltem", "lte_cat1", "lte_cat4", "nr_fr1"])
def test_staircase_of_a_preset(name: str) -> None:
    family = load_preset(name).family
    for modes in (family.up, family.down):
        required = [step.required_dbm for step in modes.steps]
        goodput = [step.net_bits / step.air_ns * step.duty for step in modes.steps]
        assert required == sorted(required)
        assert np.all(np.diff(goodput) > -1e-9 * np.array(goodput[1:]))
        peak_bps = modes.grid.peak_bps
        for step in modes.steps:
            full_bps = step.bits / step.air_ns * 1e9
            assert step.rate_bps == pytest.approx(min(full_bps, peak_bps))
        places = np.arange(len(modes.steps))
        # From where a mode is taken on, no more than a tenth of its blocks fail.
        at = modes.error(places, modes.snr_db(places, modes.required_dbm))
        assert at.max() <= 0.1 * (1 + 1e-6)
        assert modes.choose(modes.required_dbm).tolist() == places.tolist()
        assert modes.choose(required[0] - 0.01) == -1


@pytest.mark.parametrize(
    ("name", "up_bps", "down_bps", "within"),
    [
        # oracles.md 2.15.
        ("nbiot", 62e3, 26e3, 0.001),
        ("ltem", 375e3, 300e3, 0.001),
        ("lte_cat1", 5.2e6, 10.3e6, 0.01),
        ("lte_cat4", 51.0e6, 150.8e6, 0.001),
    ],
)
def test_peak_rates(name: str, up_bps: float, down_bps: float, within: float) -> None:
    family = load_preset(name).family
    assert family.up.steps[-1].rate_bps == pytest.approx(up_bps, rel=within)
    assert family.down.steps[-1].rate_bps == pytest.approx(down_bps, rel=within)


def test_peak_rates_of_nb2() -> None:
    family = load_preset(
        "nbiot",
        uplink_peak_bps=159e3,
        downlink_peak_bps=127e3,
        uplink_block_bits=2536,
        downlink_block_bits=2536,
    ).family
    assert family.up.steps[-1].rate_bps == pytest.approx(159e3)
    assert family.down.steps[-1].rate_bps == pytest.approx(127e3)


def test_peak_rate_of_nr_is_the_formula_of_the_tdd_share() -> None:
    family = load_preset("nr_fr1").family
    rate_bps = 273 * 156 * 6 * 948 / 1024 / 0.5e-3
    assert family.plan(60.0, 40_000).rate_bps == pytest.approx(0.2 * rate_bps, rel=0.001)


def test_repetitions_carry_nb_iot_to_164_db() -> None:
    family = load_preset("nbiot").family
    plan = family.plan([100.0, 164.0, 164.1], 40)
    assert plan.rate_bps[0] == pytest.approx(62e3)
    # TR 45.820: at least 160 bit/s at 164 dB, and less than 10 s for a report, as remembered.
    assert 160 < plan.rate_bps[1] < 1600
    assert 1.3 < plan.latency_s[0] < 2
    assert 2 < plan.latency_s[1] < 10
    assert plan.rate_bps[2] == 0
    assert plan.message_loss[2] == 1


def test_a_repetition_halves_the_power_and_doubles_the_time() -> None:
    one, two = (
        Cellular(repetitions=(count,), block_units=10, prbs=1, widths_prb=(1.0,), header_bytes=0)
        for count in (1, 2)
    )
    for first, second in zip(one.up.steps, two.up.steps, strict=True):
        assert second.required_dbm == pytest.approx(first.required_dbm - 10 * math.log10(2))
        assert second.air_ns == 2 * first.air_ns
        assert second.bits == first.bits


def test_tones_last_longer_by_as_much_as_they_are_narrower() -> None:
    family = Cellular(block_units=4, prbs=1, widths_prb=(0.25,), target_snr_db=-40.0)
    narrow = family.up.steps[0]
    assert narrow.width_prb == 0.25
    assert narrow.noise_dbm == pytest.approx(-174 + 5 + 10 * math.log10(45e3))
    assert narrow.air_ns * narrow.share % 1_000_000 == 0


def test_margin_and_noise_move_every_step() -> None:
    plain = Cellular().up.required_dbm
    assert Cellular(noise_rise_db=3.0).up.required_dbm == pytest.approx(plain + 3)
    margin = Cellular(fade_margin_db=3.0).up
    assert margin.required_dbm[0] == pytest.approx(plain[0] + 3)
    places = np.arange(len(margin.steps))
    # 3 dB above 10 % there is nothing left of the waterfall of a long block.
    assert margin.error(places, margin.snr_db(places, margin.required_dbm))[-5:].max() < 1e-3


@given(snr=st.floats(-15, 30), more=st.floats(0, 5), mcs=st.integers(0, 28))
def test_error_falls_with_snr(snr: float, more: float, mcs: int) -> None:
    for standard in ("lte", "nr"):
        errors = block_error(standard, mcs, 40_000, [snr, snr + more])  # type: ignore[arg-type]
        assert 0 <= errors[1] <= errors[0] <= 1
