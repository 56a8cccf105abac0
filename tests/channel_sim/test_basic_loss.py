from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from channel_sim import free_space_db, log_distance_db
from channel_sim.propagation import power_law_db

DISTANCE_M = st.floats(0.01, 1e5)


@pytest.mark.parametrize(
    ("carrier_hz", "loss_db"),
    # ns-3.37 FriisPropagationLossModel at 1 m.
    [(868e6, 31.218), (2.4e9, 40.052), (5.18e9, 46.734)],
)
def test_free_space_at_one_metre_is_that_of_ns3(carrier_hz: float, loss_db: float) -> None:
    assert free_space_db(1.0, carrier_hz) == pytest.approx(loss_db, abs=5e-4)


def test_free_space_grows_20_db_a_decade_in_distance_and_in_carrier() -> None:
    losses_db = free_space_db(np.array([1.0, 10.0, 100.0]), 2.4e9)
    assert np.diff(losses_db) == pytest.approx([20.0, 20.0])
    assert free_space_db(1.0, 24e9) - losses_db[0] == pytest.approx(20.0)


def test_log_distance_gives_lorasims_edge_of_the_disc() -> None:
    # Bor et al. 2016 (LoRaSim): L0 = 127.41 dB at 40 m, n = 2.08; 322 m is 18.84 dB above L0.
    loss_db = log_distance_db(322.0, 2.08, reference_loss_db=127.41, reference_distance_m=40.0)
    assert loss_db == pytest.approx(127.41 + 18.84, abs=0.01)


def test_log_distance_is_flat_inside_the_reference_distance() -> None:
    losses_db = log_distance_db(np.array([0.1, 0.5, 1.0]), 3.0, reference_loss_db=40.0)
    assert losses_db.tolist() == [40.0, 40.0, 40.0]


def test_log_distance_with_exponent_2_is_free_space() -> None:
    distances_m = np.array([1.0, 3.0, 70.0, 1500.0])
    reference_db = float(free_space_db(1.0, 2.4e9))
    assert log_distance_db(distances_m, 2.0, reference_loss_db=reference_db) == pytest.approx(
        free_space_db(distances_m, 2.4e9)
    )


@given(DISTANCE_M, DISTANCE_M, st.floats(1.0, 6.0))
@settings(deadline=None)
def test_more_distance_never_means_less_loss(a_m: float, b_m: float, exponent: float) -> None:
    pair_m = np.array(sorted((a_m, b_m)))
    assert np.diff(free_space_db(pair_m, 2.4e9)) >= 0
    assert np.diff(log_distance_db(pair_m, exponent, reference_loss_db=40.0)) >= 0
    assert np.diff(power_law_db(pair_m, exponent)) >= 0


def test_power_law_is_the_gain_of_the_papers() -> None:
    # g d^-alpha with g = 1e-3 and alpha = 3.5 at 20 m: 1e-3 / 35777.0876 (20^3.5).
    assert power_law_db(20.0, 3.5, reference_loss_db=30.0) == pytest.approx(
        -10 * np.log10(1e-3 / 35777.0876), abs=1e-6
    )
    assert power_law_db(0.1, 2.0) == pytest.approx(-20.0)  # it goes on below 1 m


@pytest.mark.parametrize("bad_m", [0.0, -1.0, float("nan"), float("inf")])
def test_an_impossible_distance_is_refused_by_name_and_value(bad_m: float) -> None:
    with pytest.raises(ValueError, match=rf"distance_m = {bad_m} .*give"):
        free_space_db(bad_m, 2.4e9)
    with pytest.raises(ValueError, match=rf"distance_m = .*{bad_m}.*give"):
        log_distance_db([10.0, bad_m], 3.0, reference_loss_db=40.0)
    with pytest.raises(ValueError, match=rf"distance_m = {bad_m} .*give"):
        power_law_db(bad_m, 3.0)


@pytest.mark.parametrize("exponent", [0.0, -2.0, float("nan")])
def test_an_impossible_exponent_is_refused(exponent: float) -> None:
    with pytest.raises(ValueError, match=rf"exponent = {exponent} .*give"):
        power_law_db(10.0, exponent)
    with pytest.raises(ValueError, match=rf"exponent = {exponent} .*give"):
        log_distance_db(10.0, exponent, reference_loss_db=40.0)
