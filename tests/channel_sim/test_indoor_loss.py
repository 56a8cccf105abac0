from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from channel_sim.propagation import draw_indoor_db, mean_indoor_db, wall_db


@pytest.mark.parametrize(
    ("building", "loss_db"),
    # TR 38.901 v19.4.0 tables 7.4.3-1 to -3 by hand at 3.5 GHz: glass 2.7 dB, IRR glass 25.785,
    # concrete 19; low 5 - 10 lg(0.3 * 0.537032 + 0.7 * 0.0125893) = 12.698; high 5 - 10 lg(0.7 *
    # 0.00263937 + 0.3 * 0.0125893) = 27.499 (26.85 with the older IRR glass of 23 + 0.3 f).
    [("simple", 20.0), ("low", 12.698), ("high", 27.499)],
)
def test_wall_is_the_table_by_hand(building: str, loss_db: float) -> None:
    assert wall_db(building, 3.5e9) == pytest.approx(loss_db, abs=1e-3)


def draw(building: str, *, depth_m: float = 25.0, count: int = 200_000) -> np.ndarray:
    return draw_indoor_db(
        building, 3.5e9, depth_m=depth_m, count=count, rng=np.random.default_rng(2)
    )


def test_simple_buildings_add_half_a_decibel_per_metre_up_to_25_m() -> None:
    # 20 dB and U(0, 12.5), no normal part.
    assert stats.kstest(draw("simple"), "uniform", args=(20.0, 12.5)).pvalue > 0.001


@pytest.mark.parametrize(("building", "sigma_db"), [("low", 4.4), ("high", 6.5)])
def test_other_buildings_take_the_smaller_of_two_depths(building: str, sigma_db: float) -> None:
    # The smaller of two U(0, D): mean D / 3, variance D^2 / 18; times 0.5 dB/m.
    losses_db = draw(building) - wall_db(building, 3.5e9)
    assert losses_db.mean() == pytest.approx(25 / 6, abs=0.06)
    variance = sigma_db**2 + 25**2 / 18 / 4
    assert losses_db.var() == pytest.approx(variance, rel=0.02)


@pytest.mark.parametrize("building", ["simple", "low", "high"])
def test_the_mean_is_that_of_the_draws(building: str) -> None:
    expected_db = draw(building, depth_m=10.0).mean()
    mean_db = mean_indoor_db(building, 3.5e9, depth_m=10.0)
    assert mean_db == pytest.approx(expected_db, abs=0.08)


def test_a_device_keeps_its_depth_under_another_building() -> None:
    low_db = draw("low", count=50) - wall_db("low", 3.5e9)
    high_db = draw("high", count=50) - wall_db("high", 3.5e9)
    normals = (high_db - low_db) / (6.5 - 4.4)
    assert low_db - 4.4 * normals == pytest.approx(high_db - 6.5 * normals)
    assert np.all(low_db - 4.4 * normals >= 0)


@pytest.mark.parametrize(
    ("building", "carrier_hz", "message"),
    [
        ("simple", 6e9, "holds below 6 GHz"),
        ("low", 0.4e9, "carrier_hz = "),
        ("high", 101e9, "carrier_hz = "),
        ("hihg", 2e9, "did you mean 'high'"),
    ],
)
def test_outside_the_tables_is_an_error(building: str, carrier_hz: float, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        wall_db(building, carrier_hz)
