from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from channel_sim.propagation import tr38901 as tr

GRID_M = np.array([10.0, 50.0, 100.0, 200.0, 500.0, 1000.0])
Loss = Callable[..., Any]


@pytest.mark.parametrize(
    ("loss", "carrier_hz", "row_db"),
    # oracles.md 2.1: ns-3.37 without shadowing, default heights, printed to 3 digits.
    [
        (tr.uma_los_db, 2e9, [64.979, 72.351, 78.277, 84.709, 96.885, 108.912]),
        (tr.uma_nlos_db, 2e9, [74.554, 87.650, 98.177, 109.601, 125.055, 136.805]),
        (tr.uma_nlos_db, 0.8e9, [66.595, 79.691, 90.218, 101.642, 117.096, 128.846]),
        (tr.umi_los_db, 3.5e9, [66.761, 79.090, 85.314, 91.611, 107.114, 119.153]),
        (tr.umi_nlos_db, 3.5e9, [73.457, 94.181, 104.644, 115.229, 129.265, 139.889]),
        # 200 m of the page are beyond the table's 150 m.
        (tr.inh_los_db, 2.4e9, [57.452, 69.402, 74.606]),
        (tr.inh_nlos_db, 2.4e9, [65.393, 91.851, 103.371]),
        (tr.inh_nlos_db, 5.2e9, [73.755, 100.212, 111.732]),
    ],
)
def test_losses_are_those_of_ns3(loss: Loss, carrier_hz: float, row_db: list[float]) -> None:
    distances_m = GRID_M[: len(row_db)]
    assert loss(distances_m, carrier_hz) == pytest.approx(row_db, abs=1e-3)


@pytest.mark.parametrize(
    ("loss", "distances_m", "row_db"),
    # ns-3, three-gpp-propagation-loss-model-test-suite.cc: 5 GHz, 35 or 25 and 1.5 m.
    [
        (tr.rma_los_db, [10, 100, 1000, 10_000], [77.3784, 87.2965, 108.5577, 140.3896]),
        (tr.rma_nlos_db, [10, 100, 1000, 5000], [77.3784, 95.7718, 133.5223, 160.5169]),
        (tr.uma_los_db, [10, 100, 1000, 5000], [72.9380, 86.2362, 109.7252, 137.6794]),
        (tr.uma_nlos_db, [10, 100, 1000, 5000], [82.5131, 106.1356, 144.7641, 172.0753]),
        (tr.umi_nlos_db, [10, 100, 1000, 5000], [76.7563, 107.9432, 143.1886, 167.8617]),
    ],
)
def test_losses_are_those_of_ns3s_own_tests(
    loss: Loss, distances_m: list[float], row_db: list[float]
) -> None:
    assert loss(distances_m, 5e9) == pytest.approx(row_db, abs=1e-4)


def test_rural_loss_is_that_of_matlab() -> None:
    # MathWorks, page of nrPathLoss: RMa, buildings 7 m, LOS, 3.5 GHz, (0, 0, 30) to (1000, 1000,
    # 1.5): 110.1615.
    loss_db = tr.rma_los_db(1000 * np.sqrt(2), 3.5e9, station_height_m=30.0, building_height_m=7.0)
    assert loss_db == pytest.approx(110.1615, abs=1e-4)


@pytest.mark.parametrize(
    ("clutter", "at_100_m_db", "at_1_m_db"),
    # Table 7.4.1-1 by hand at 10 GHz and equal heights, where each logarithm is whole:
    # LOS 31.84 + 43 + 19; NLOS a + 2 b + 20 at 100 m, a + 20 at 1 m, where LOS is 50.84.
    [("sl", 104.0, 53.0), ("dl", 110.0, 53.0), ("sh", 98.4, 52.4), ("dh", 97.43, 53.63)],
)
def test_factory_loss_is_the_table_by_hand(
    clutter: str, at_100_m_db: float, at_1_m_db: float
) -> None:
    flat = {"station_height_m": 1.5, "device_height_m": 1.5}
    losses_db = tr.inf_nlos_db([1.0, 100.0], 10e9, clutter=clutter, **flat)
    assert losses_db == pytest.approx([at_1_m_db, at_100_m_db])
    assert tr.inf_los_db([1.0, 100.0], 10e9, **flat) == pytest.approx([50.84, 93.84])


def test_a_higher_device_hears_better_without_sight() -> None:
    # 0.6 dB per metre (UMa), 0.3 (UMi), at the same slant distance.
    for loss, station_m, slope_db in ((tr.uma_nlos_db, 25.0, 0.6), (tr.umi_nlos_db, 10.0, 0.3)):
        level_m = [float(np.sqrt(400**2 - (station_m - height) ** 2)) for height in (1.5, 4.5)]
        low_db = loss(level_m[0], 3.5e9, device_height_m=1.5)
        high_db = loss(level_m[1], 3.5e9, device_height_m=4.5)
        assert low_db - high_db == pytest.approx(3 * slope_db)


def test_a_higher_effective_ground_brings_the_breakpoint_nearer() -> None:
    # h_E = 12 m, device at 22.5 m, 2 GHz: d_BP = 4 * 13 * 10.5 * 2e9 / 3e8 = 3640 m; with
    # h_E = 1 m it is 13 760 m. At 5 km only the first is beyond it: 40 against 22 dB a decade.
    near_db, far_db = tr.uma_los_db(
        [5000.0, 5000.0], 2e9, device_height_m=22.5, effective_height_m=[1.0, 12.0]
    )
    slant_m = np.hypot(5000.0, 2.5)
    assert far_db - near_db == pytest.approx(18 * np.log10(slant_m / 3640.0), abs=1e-4)


CASES = [
    ("uma los", tr.uma_los_db, 5000.0, 100e9),
    ("uma nlos", tr.uma_nlos_db, 5000.0, 100e9),
    ("umi los", tr.umi_los_db, 5000.0, 100e9),
    ("umi nlos", tr.umi_nlos_db, 5000.0, 100e9),
    ("rma los", tr.rma_los_db, 10_000.0, 30e9),
    ("rma nlos", tr.rma_nlos_db, 5000.0, 30e9),
    ("inh los", tr.inh_los_db, 150.0, 100e9),
    ("inh nlos", tr.inh_nlos_db, 150.0, 100e9),
    ("inf los", tr.inf_los_db, 600.0, 100e9),
    *(
        (f"inf {clutter}", partial(tr.inf_nlos_db, clutter=clutter), 600.0, 100e9)
        for clutter in tr.INF_NLOS
    ),
]
each = pytest.mark.parametrize(
    ("loss", "longest_m", "top_hz"), [case[1:] for case in CASES], ids=[case[0] for case in CASES]
)


@each
@given(pair=st.lists(st.floats(0, 1), min_size=2, max_size=2), at=st.floats(0, 1))
@settings(deadline=None, max_examples=60)
def test_loss_grows_with_distance_and_with_carrier(
    loss: Loss, longest_m: float, top_hz: float, pair: list[float], at: float
) -> None:
    shares = np.array(sorted(pair))
    span_m, span_hz = np.log(longest_m / 0.1), np.log(top_hz / 0.5e9)
    carrier_hz = min(0.5e9 * float(np.exp(at * span_hz)), top_hz)
    near_m, far_m = np.minimum(0.1 * np.exp(shares * span_m), longest_m)
    assert loss(far_m, carrier_hz) >= loss(near_m, carrier_hz) - 1e-9
    distance_m = min(0.1 * float(np.exp(at * span_m)), longest_m)
    low_hz, high_hz = np.minimum(0.5e9 * np.exp(shares * span_hz), top_hz)
    assert loss(distance_m, high_hz) >= loss(distance_m, low_hz) - 1e-9


@each
@pytest.mark.parametrize("end", ["low carrier", "high carrier", "far", "zero", "negative", "nan"])
def test_outside_the_table_is_an_error(
    loss: Loss, longest_m: float, top_hz: float, end: str
) -> None:
    distance_m = {"far": 1.001 * longest_m, "zero": 0.0, "negative": -5.0, "nan": np.nan}
    carrier_hz = {"low carrier": 0.499e9, "high carrier": 1.001 * top_hz}
    key = "carrier_hz" if end in carrier_hz else "distance_m"
    with pytest.raises(ValueError, match=f"{key} = "):
        loss([distance_m.get(end, 50.0), 20.0], carrier_hz.get(end, 2e9))
    loss([longest_m, 20.0], top_hz)  # the ends themselves are inside


@pytest.mark.parametrize(
    ("loss", "heights"),
    [
        (tr.uma_los_db, {"station_height_m": 30.0}),
        (tr.uma_nlos_db, {"device_height_m": 23.0}),
        (tr.umi_los_db, {"station_height_m": 25.0}),
        (tr.umi_nlos_db, {"device_height_m": 1.0}),
        (tr.rma_los_db, {"station_height_m": 9.0}),
        (tr.rma_los_db, {"device_height_m": 11.0}),
        (tr.rma_los_db, {"building_height_m": 4.0}),
        (tr.rma_nlos_db, {"street_width_m": 51.0}),
        (tr.inh_los_db, {"device_height_m": 0.0}),
    ],
)
def test_heights_outside_the_table_are_an_error(loss: Loss, heights: dict[str, float]) -> None:
    (key,) = heights
    with pytest.raises(ValueError, match=f"{key} = "):
        loss(100.0, 2e9, **heights)


@pytest.mark.parametrize(
    ("loss", "break_m", "jump_db"),
    # 4 (h_BS - 1)(h_UT - 1) f / c and, rural, 2 pi h_BS h_UT f / c at 2 GHz. The rural law takes
    # the horizontal breakpoint for a slant distance, which leaves a step.
    [
        (tr.uma_los_db, 4 * 24 * 0.5 * 2 / 0.3, 1e-9),
        (tr.umi_los_db, 4 * 9 * 0.5 * 2 / 0.3, 1e-9),
        (tr.rma_los_db, 2 * np.pi * 35 * 1.5 * 2 / 0.3, 2e-3),
    ],
)
def test_loss_is_continuous_at_the_breakpoint_and_bends_there(
    loss: Loss, break_m: float, jump_db: float
) -> None:
    below_db, above_db = loss([break_m * (1 - 1e-12), break_m * (1 + 1e-12)], 2e9)
    assert abs(above_db - below_db) < jump_db
    slopes_db = np.diff(loss(break_m * np.array([0.97, 0.99, 1.01, 1.03]), 2e9))
    assert slopes_db[2] > 1.3 * slopes_db[0]


def test_an_unknown_clutter_names_the_nearest() -> None:
    with pytest.raises(ValueError, match="clutter = 'dll' is unknown; did you mean 'dl'"):
        tr.inf_nlos_db(10.0, 2e9, clutter="dll")


@pytest.mark.parametrize(
    ("los", "nlos", "height_m"),
    [(tr.uma_los_db, tr.uma_nlos_db, 22.5), (tr.umi_los_db, tr.umi_nlos_db, 9.0)],
)
def test_near_a_high_device_the_loss_is_that_in_sight(
    los: Loss, nlos: Loss, height_m: float
) -> None:
    # The formula without sight falls below: 13.54 + 39.08 lg d - 12.6 against 28 + 22 lg d at
    # 10 m, 22.4 + 35.3 lg d - 2.25 against 32.4 + 21 lg d at 3 m.
    near_m = 10.0 if nlos is tr.uma_nlos_db else 3.0
    in_sight_db = los(near_m, 1e9, device_height_m=height_m)
    assert nlos(near_m, 1e9, device_height_m=height_m) == in_sight_db
    assert nlos(200.0, 1e9, device_height_m=height_m) > los(200.0, 1e9, device_height_m=height_m)


def test_office_loss_is_the_table_by_hand() -> None:
    # 10 GHz, equal heights: LOS 32.4 + 20 at 1 m; NLOS 17.3 + 24.9 there, less than LOS, and
    # 17.3 + 76.6 + 24.9 at 100 m.
    flat = {"station_height_m": 2.0, "device_height_m": 2.0}
    assert tr.inh_nlos_db([1.0, 100.0], 10e9, **flat) == pytest.approx([52.4, 118.8])
