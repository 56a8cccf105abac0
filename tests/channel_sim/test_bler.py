from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from channel_sim.reception import (
    CQI_EFFICIENCY,
    LTE_EFFICIENCY,
    NR_EFFICIENCY,
    amc_efficiency,
    bler,
    cqi,
    threshold_db,
)

# oracles.md 3.6: LTE, ns-3.37 MIESM, flat channel, 50 PRB, MCS 0-28, SNR at 10 %.
LTE = (
    "-7.05 -6.1 -5.6 -4.45 -3.4 -2.4 -1.45 -.3 .75 1.55 3.8 3.85 4.6 5.6 6.5 7.45 8.4 10.1 10.4"
    " 11.25 12.3 13.3 14.25 15.2 16.1 17.05 17.85 19.0 19.7"
)
# Sionna 2.2.0, sys/bler_tables/PDSCH_table1.json: MCS, bits, SNR in dB, BLER.
# All points of 500 bits and more between 10 and 90 %, of some MCS.
SIONNA = [
    (3, 500, -3.214286, 0.74714),
    (3, 1000, -3.214286, 0.86500),
    (8, 500, 2.142857, 0.43167),
    (8, 1000, 2.142857, 0.37214),
    (11, 500, 3.928571, 0.40385),
    (11, 1000, 3.928571, 0.42333),
    (20, 500, 11.071429, 0.71125),
    (20, 1000, 11.071429, 0.81429),
    (24, 500, 14.642857, 0.85167),
    (28, 500, 18.214286, 0.86833),
]


def snr_at(mcs: int, bits: int, error: float) -> float:
    snr_db = np.linspace(-15, 35, 50_001)
    return float(snr_db[np.argmax(bler(mcs, snr_db, table="nr1", code_block_bits=bits) <= error)])


def test_lte_blocks_fail_with_10_percent_where_ns3_has_it() -> None:
    expected = [float(word) for word in LTE.split()]
    assert threshold_db(np.arange(29), table="lte") == pytest.approx(expected)
    assert bler(np.arange(29), expected, table="lte") == pytest.approx(0.1)


def test_lte_waterfalls_are_as_steep_as_measured() -> None:
    # oracles.md 3.6: 50 % to 1 % spans 0.3 to 0.5 dB.
    snr_db = np.linspace(-10, 22, 32_001)
    for mcs in range(29):
        errors = bler(mcs, snr_db, table="lte")
        span_db = snr_db[np.argmax(errors <= 0.01)] - snr_db[np.argmax(errors <= 0.5)]
        assert 0.3 <= span_db <= 0.5


@pytest.mark.parametrize(("mcs", "bits", "snr_db", "error"), SIONNA)
def test_nr_meets_the_simulated_points(mcs: int, bits: int, snr_db: float, error: float) -> None:
    assert snr_at(mcs, bits, error) == pytest.approx(snr_db, abs=0.15)


@pytest.mark.parametrize(("mcs", "cost_db"), [(3, 2.0), (14, 1.7)])
def test_a_block_of_24_bits_costs_what_the_survey_found(mcs: int, cost_db: float) -> None:
    # oracles.md 3.6, whose grid of 1.8 dB leaves a few tenths open.
    cost = threshold_db(mcs, table="nr1", code_block_bits=24) - threshold_db(mcs, table="nr1")
    assert cost == pytest.approx(cost_db, abs=0.4)


def test_nr_stays_a_steady_distance_above_shannon() -> None:
    # 1000 bits at 10 %: 1 to 3 dB above log2(1 + SNR), in a smooth line.
    shannon_db = 10 * np.log10(np.exp2(np.array(NR_EFFICIENCY)) - 1)
    gap_db = threshold_db(np.arange(29), table="nr1") - shannon_db
    assert np.all((gap_db > 1.0) & (gap_db < 3.0))
    assert gap_db[:3] == pytest.approx(gap_db[3])


def test_thresholds_rise_with_the_mcs() -> None:
    for table in ("lte", "nr1"):
        assert np.all(np.diff(threshold_db(np.arange(29), table=table)) > 0)  # type: ignore[arg-type]


def test_efficiencies_are_those_of_the_standards() -> None:
    # TS 38.214 table 5.1.3.1-1 and 36.213: first, last, and CQI as even LTE MCS (oracles.md 2.10).
    assert NR_EFFICIENCY[0] == pytest.approx(0.2344, abs=1e-4)
    assert NR_EFFICIENCY[10] == pytest.approx(1.3281, abs=1e-4)
    assert NR_EFFICIENCY[28] == pytest.approx(5.5547, abs=1e-4)
    assert LTE_EFFICIENCY[::2] == CQI_EFFICIENCY


def test_adaptive_modulation_has_the_gap_of_ns3() -> None:
    # oracles.md 2.10: gap = -ln(5 x 5e-5) / 1.5 = 5.529; at that SNR log2 2.
    assert amc_efficiency(10 * np.log10(5.52936)) == pytest.approx(1.0, abs=1e-5)
    # CQI 7 (1.48) needs 5.52936 (2^1.48 - 1) = 9.895, 9.95 dB.
    assert cqi([-100, 9.94, 9.97, 40]).tolist() == [0, 6, 7, 15]
    # An efficiency that is just reached is.
    assert cqi(3.0, efficiencies=(float(amc_efficiency(3.0)),)) == 1


mcss = st.integers(0, 28)
snrs = st.floats(-20, 40)
bits = st.integers(24, 8448)


@given(mcss, snrs, snrs, bits)
def test_error_falls_with_snr(mcs: int, a_db: float, b_db: float, size: int) -> None:
    snr_db = sorted((a_db, b_db))
    for errors in (
        bler(mcs, snr_db, table="lte", code_block_bits=size),
        bler(mcs, snr_db, table="nr1", code_block_bits=size),
    ):
        assert 0 <= errors[1] <= errors[0] <= 1


@given(mcss, bits, bits)
def test_a_longer_block_needs_less_snr(mcs: int, a: int, b: int) -> None:
    sizes = sorted((a, b))
    for short, long in (
        threshold_db(mcs, table="lte", code_block_bits=sizes),
        threshold_db(mcs, table="nr1", code_block_bits=sizes),
    ):
        assert long <= short


@given(mcss, bits)
def test_the_threshold_of_any_block_is_its_10_percent(mcs: int, size: int) -> None:
    lte_db = threshold_db(mcs, table="lte", code_block_bits=size)
    nr_db = threshold_db(mcs, table="nr1", code_block_bits=size)
    assert bler(mcs, lte_db, table="lte", code_block_bits=size) == pytest.approx(0.1)
    assert bler(mcs, nr_db, table="nr1", code_block_bits=size) == pytest.approx(0.1)


def test_an_lte_block_of_a_quarter_of_the_bits_has_a_waterfall_twice_as_wide() -> None:
    # Normal approximation: the deviation goes with the inverse root of the length.
    snr_db = np.linspace(-10, 20, 30_001)
    spans_db = []
    for size in (6144, 1536):
        errors = bler(16, snr_db, table="lte", code_block_bits=size)
        spans_db.append(snr_db[np.argmax(errors <= 0.01)] - snr_db[np.argmax(errors <= 0.5)])
    assert spans_db[1] == pytest.approx(2 * spans_db[0], abs=0.01)


def test_bad_input_is_refused() -> None:
    with pytest.raises(ValueError, match=r"table = 'nr' is unknown; did you mean 'nr1'"):
        bler(3, 0.0, table="nr")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"mcs = 29 is outside 0 to 28"):
        bler(29, 0.0, table="lte")
    with pytest.raises(ValueError, match=r"give whole numbers"):
        bler(2.5, 0.0, table="lte")
    with pytest.raises(ValueError, match=r"code_block_bits = 0 must be above 0"):
        bler(3, 0.0, table="nr1", code_block_bits=0)
    with pytest.raises(ValueError, match=r"snr_db has NaN"):
        bler(3, np.nan, table="lte")
    with pytest.raises(ValueError, match=r"ber = 0.3 is outside"):
        amc_efficiency(3.0, ber=0.3)
