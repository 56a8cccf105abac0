"""Surveys: where a crowd stands, when it starts, and that shares add up."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy import stats

from channel_sim import load_preset, survey_crowd, survey_link


class Spy:
    """The propagation of a preset, remembering the distances that it was asked for."""

    def __init__(self, propagation: Any) -> None:
        self._propagation = propagation
        self.distances_m: list[float] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._propagation, name)

    def losses(self, distances_m: Any, **named: Any) -> Any:
        self.distances_m += list(distances_m)
        return self._propagation.losses(distances_m, **named)


def test_a_crowd_is_spread_evenly_over_its_ring() -> None:
    preset = load_preset("shannon")
    spy = Spy(preset.propagation)
    survey_crowd(replace(preset, propagation=spy), 50, 100, min_m=20.0, max_m=40.0, rounds=60)  # type: ignore[arg-type]
    # Even over the area: the squared distance is uniform.
    areas = (np.square(spy.distances_m) - 20**2) / (40**2 - 20**2)
    assert len(areas) == 3000
    assert stats.kstest(areas, "uniform").pvalue > 0.01


def test_shares_add_up_and_all_is_within_the_jitter_and_the_latency() -> None:
    preset = load_preset("shannon")
    crowd = survey_crowd(preset, 20, 1000, max_m=30.0, jitter_s=50.0, rounds=40)
    assert crowd.delivered + sum(crowd.lost.values()) == pytest.approx(1.0)
    # The least and the greatest of 20 uniform times: 50 / 21 and 50 * 20 / 21 s.
    assert crowd.first_s == pytest.approx(50 / 21, abs=4 * 50 / 22 / np.sqrt(40))
    assert crowd.last_s == pytest.approx(50 * 20 / 21, abs=4 * 50 / 22 / np.sqrt(40))
    assert crowd.median_s == pytest.approx(25.0, abs=4 * 50 / np.sqrt(12 * 800) * 1.8)


def test_a_crowd_that_nobody_hears_has_no_times() -> None:
    crowd = survey_crowd(load_preset("zigbee"), 3, 50, min_m=9e5, max_m=1e6, rounds=5)
    assert crowd.delivered == 0.0
    assert crowd.lost["below_sensitivity"] > 0.5
    assert sum(crowd.lost.values()) == pytest.approx(1.0)
    assert np.isnan([crowd.first_s, crowd.median_s, crowd.p95_s, crowd.last_s]).all()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"devices": 0}, r"devices = 0 is no count"),
        ({"min_m": 30.0}, r"max_m = 30.0 must be above min_m = 30.0"),
        ({"min_m": 0.0}, r"min_m = 0.0 must be above 0"),
        ({"jitter_s": -1.0}, r"jitter_s = -1.0 is negative"),
        ({"rounds": 0}, r"rounds = 0 is no count"),
    ],
)
def test_numbers_that_make_no_crowd_are_refused(changes: dict[str, Any], message: str) -> None:
    given: dict[str, Any] = {"devices": 3, "max_m": 30.0, **changes}
    with pytest.raises(ValueError, match=message):
        survey_crowd(load_preset("shannon"), given.pop("devices"), 10, **given)
    with pytest.raises(ValueError, match=r"distance_m = .*0.0"):
        survey_link(load_preset("shannon"), [0.0], 10)
