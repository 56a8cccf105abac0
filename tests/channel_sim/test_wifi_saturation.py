"""Saturated cells against ns-3.37 (oracles.md 3.2); short runs, long ones are in validation."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from channel_sim.wifi import Wifi, saturate, saturation_formula
from channel_sim.wifi.timing import StandardName

UDP = 1472 / 1500
"""ns-3 counts UDP payload, we IP packets."""

NS3 = [
    # standard, stations, Mb/s of UDP, failure probability: oracles.md 3.2
    ("a", 1, 29.937, 0.0),
    ("a", 10, 27.538, 0.3666),
    ("a", 50, 22.045, 0.6111),
    ("b", 1, 6.255, 0.0),
    ("b", 10, 6.204, 0.2813),
    ("b", 50, 5.058, 0.5422),
    ("n", 1, 30.773, 0.0),
    ("n", 10, 28.793, 0.3812),
    ("n", 50, 22.770, 0.6288),
    # the ns-3 column of DCF-NumPy, its file results/final_results_15_1023_retry.csv
    ("a", 2, 30.240, 0.1095),
    ("a", 5, 29.147, 0.2577),
]


@pytest.mark.parametrize(("standard", "stations", "mbps", "failure"), NS3)
def test_saturation_is_that_of_ns3(
    standard: StandardName, stations: int, mbps: float, failure: float
) -> None:
    seconds = 32 if standard == "b" else 16
    found = saturate(
        Wifi(standard=standard), stations, seconds=seconds, rng=np.random.default_rng(1)
    )
    assert found.goodput_bps * UDP / 1e6 == pytest.approx(mbps, rel=0.02)
    assert found.failure == pytest.approx(failure, abs=0.015)


@pytest.mark.parametrize(
    ("gap", "stations", "mbps"),
    [
        ("difs", 5, 29.832),
        ("difs", 20, 26.293),
        ("difs", 50, 23.562),
        ("eifs", 5, 29.286),
        ("eifs", 50, 22.416),
    ],
)
def test_without_a_retry_limit_it_is_bianchis(gap: Any, stations: int, mbps: float) -> None:
    """src/wifi/examples/reference/bianchi_11a_{difs,eifs}.txt of ns-3, packets of 1500 bytes."""
    wifi = Wifi(standard="a", post_collision=gap, retry_limit=10_000)
    found = saturate(wifi, stations, seconds=16, rng=np.random.default_rng(2))
    # Its EIFS has the ACK at 24 Mb/s (78 us), the standard's at 6 Mb/s (94 us).
    within = 0.02 if gap == "difs" else 0.03
    assert found.goodput_bps / 1e6 == pytest.approx(mbps, rel=within)


def test_slow_rate_without_a_retry_limit() -> None:
    """11a at 6 Mb/s with DIFS, 10 stations; the same directory of ns-3."""
    wifi = Wifi(standard="a", mode=0, retry_limit=10_000)
    found = saturate(wifi, 10, seconds=40, rng=np.random.default_rng(3))
    assert found.goodput_bps / 1e6 == pytest.approx(4.345, rel=0.02)


@pytest.mark.parametrize(
    ("stations", "mbps", "within"),
    # At 50, ns-3 loses packets whose lifetime of 500 ms is over, which we do not model.
    [(1, 59.75, 0.02), (10, 43.10, 0.10), (50, 24.8, 0.25)],
)
def test_aggregates_with_bar_recovery(stations: int, mbps: float, within: float) -> None:
    wifi = Wifi(standard="n", ampdu_bytes=65_535)
    found = saturate(wifi, stations, seconds=40, rng=np.random.default_rng(4))
    assert found.goodput_bps * UDP / 1e6 == pytest.approx(mbps, rel=within)


@pytest.mark.parametrize("standard", ["a", "b", "n"])
@pytest.mark.parametrize("stations", [1, 3, 20])
def test_formula_is_near_the_simulation(standard: StandardName, stations: int) -> None:
    wifi = Wifi(standard=standard)
    formula = saturation_formula(wifi, stations)
    found = saturate(wifi, stations, seconds=12, rng=np.random.default_rng(5))
    assert formula.goodput_bps == pytest.approx(found.goodput_bps, rel=0.03)
    assert formula.failure == pytest.approx(found.failure, abs=0.03)


@pytest.mark.parametrize("stations", [10, 50])
def test_under_edca_the_fixed_point_is_the_law(stations: int) -> None:
    """Counters run on over busy periods, as in Bianchi's chain; DCF's fail 0.014 to 0.02 less."""
    failure = saturation_formula(Wifi(standard="n"), stations).failure
    found = saturate(Wifi(standard="n"), stations, seconds=30, rng=np.random.default_rng(6))
    assert found.failure == pytest.approx(failure, abs=0.009)
    dcf = saturate(Wifi(standard="a"), stations, seconds=30, rng=np.random.default_rng(6))
    assert dcf.failure < found.failure - 0.004


def test_formula_refuses_aggregates() -> None:
    with pytest.raises(ValueError, match="ampdu_bytes = 65535"):
        saturation_formula(Wifi(standard="n", ampdu_bytes=65_535), 3)
