from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from channel_sim import shadowing_db
from channel_sim.propagation import correlated_normals, moved_shadowing_db


def test_shadowing_is_normal_with_the_given_spread() -> None:
    rng = np.random.default_rng(3)
    draws_db = [shadowing_db(7.8, rng) for _ in range(20_000)]
    assert stats.kstest(draws_db, "norm", args=(0.0, 7.8)).pvalue > 0.01


def test_no_spread_is_no_shadowing() -> None:
    assert shadowing_db(0.0, np.random.default_rng(0)) == 0.0


def test_a_negative_spread_is_refused() -> None:
    with pytest.raises(ValueError, match=r"sigma_db = -1.0 .*give"):
        shadowing_db(-1.0, np.random.default_rng(0))


def move(before_db: np.ndarray, moved_m: float) -> np.ndarray:
    return moved_shadowing_db(
        before_db, moved_m, sigma_db=6.0, correlation_m=50.0, rng=np.random.default_rng(7)
    )


def test_a_link_that_does_not_move_keeps_its_shadow() -> None:
    before_db = np.array([-3.0, 0.5, 11.0])
    assert move(before_db, 0.0).tolist() == before_db.tolist()


@pytest.mark.parametrize("moved_m", [5.0, 50.0, 300.0])
def test_a_moving_link_forgets_over_the_correlation_distance(moved_m: float) -> None:
    before_db = 6.0 * np.random.default_rng(1).standard_normal(100_000)
    after_db = move(before_db, moved_m)
    correlation = np.corrcoef(before_db, after_db)[0, 1]
    assert correlation == pytest.approx(math.exp(-moved_m / 50.0), abs=0.015)
    assert after_db.std() == pytest.approx(6.0, rel=0.015)


# Pairs at 0, 0.05, 0.25, 1 and 3 correlation distances, in every direction.
APART = np.array([0.0, 0.05, 0.25, 1.0, 3.0])
TURNS = np.array([0.3, 1.1, 1.9, 2.7])


@pytest.fixture(scope="module")
def fields() -> np.ndarray:
    """Fields at the origin and at each of the places around it, (drops, 1 + 20)."""
    around = APART[:, None, None] * np.stack([np.cos(TURNS), np.sin(TURNS)], axis=1)
    places_m = 13.0 * np.concatenate([np.zeros((1, 2)), around.reshape(-1, 2)]) + [400.0, -70.0]
    return np.stack(
        [
            correlated_normals(places_m, correlation_m=13.0, rng=np.random.default_rng(seed))
            for seed in range(12_000)
        ]
    )


def test_neighbours_share_their_shadow_exponentially(fields: np.ndarray) -> None:
    assert fields.std(axis=0) == pytest.approx(np.ones(21), abs=0.03)
    correlations = np.array([np.corrcoef(fields[:, 0], column)[0, 1] for column in fields.T[1:]])
    # Sionna's threshold for correlations is 0.03, here in every direction.
    assert correlations.reshape(5, 4) == pytest.approx(
        np.repeat(np.exp(-APART)[:, None], 4, axis=1), abs=0.03
    )


def test_over_drops_the_field_is_normal(fields: np.ndarray) -> None:
    assert stats.kstest(fields[:, -1], "norm").pvalue > 0.001


def test_within_one_drop_of_many_devices_the_spread_and_the_correlation_hold() -> None:
    rng = np.random.default_rng(5)
    places_m = rng.uniform(0.0, 1000.0, (20_000, 2))
    turns = rng.uniform(0.0, 2 * np.pi, 20_000)
    shifted_m = places_m + 6.5 * np.stack([np.cos(turns), np.sin(turns)], axis=1)
    field = correlated_normals(np.concatenate([places_m, shifted_m]), correlation_m=13.0, rng=rng)
    assert field.std() == pytest.approx(1.0, abs=0.05)
    correlation = np.corrcoef(field[:20_000], field[20_000:])[0, 1]
    assert correlation == pytest.approx(math.exp(-0.5), abs=0.03)


def test_one_more_device_changes_no_others_shadow() -> None:
    places_m = np.random.default_rng(0).uniform(0.0, 100.0, (5000, 2))
    fields = [
        correlated_normals(places_m[:count], correlation_m=9.0, rng=np.random.default_rng(1))
        for count in (4999, 5000)
    ]
    assert fields[1][:4999] == pytest.approx(fields[0], abs=1e-9)


def test_places_of_another_shape_are_refused() -> None:
    for places_m in (np.zeros(4), np.zeros((4, 3))):
        with pytest.raises(ValueError, match=r"positions_m has shape .*give \(devices, 2\)"):
            correlated_normals(places_m, correlation_m=9.0, rng=np.random.default_rng(1))
