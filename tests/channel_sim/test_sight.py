from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from channel_sim.propagation import sight

E = 0.36787944117144233  # exp(-1)


@pytest.mark.parametrize(
    ("law", "distance_m", "chance"),
    # TR 38.901 table 7.4.2-1 by hand, where the exponent is -1 or the law is 1.
    [
        (sight.umi_sight, 18.0, 1.0),
        (sight.umi_sight, 36.0, 0.5 + 0.5 * E),
        (sight.uma_sight, 17.0, 1.0),
        (sight.uma_sight, 63.0, 18 / 63 + E * (1 - 18 / 63)),
        (sight.rma_sight, 10.0, 1.0),
        (sight.rma_sight, 1010.0, E),
        (sight.inh_mixed_sight, 1.2, 1.0),
        (sight.inh_mixed_sight, 5.9, E),
        (sight.inh_mixed_sight, 6.5, 0.32),
        (sight.inh_mixed_sight, 39.1, 0.32 * E),
        (sight.inh_open_sight, 5.0, 1.0),
        (sight.inh_open_sight, 49.0, 0.537155),  # exp(-44 / 70.8)
        (sight.inh_open_sight, 260.7, 0.54 * E),
    ],
)
def test_sight_is_the_table_by_hand(law: object, distance_m: float, chance: float) -> None:
    assert law(distance_m) == pytest.approx(chance, abs=1e-6)


def test_high_devices_see_over_the_roofs() -> None:
    # 100 m, 22.5 m up: (0.18 + 0.82 exp(-100/63)) (1 + 0.95^1.5 * 1.25 * exp(-2/3)) = 0.55425.
    assert sight.uma_sight(100.0, device_height_m=22.5) == pytest.approx(0.55425, abs=1e-4)
    assert sight.uma_sight(100.0, device_height_m=13.0) == sight.uma_sight(100.0)


@pytest.mark.parametrize(
    ("clutter", "station_m", "scale_m"),
    # -10 / ln 0.8, -2 / ln 0.4; times (8 - 1.5) / (2 - 1.5) or / (6 - 1.5) for high stations.
    [("sl", 1.5, 44.814), ("dl", 1.5, 2.18271), ("sh", 8.0, 582.58), ("dh", 8.0, 3.15280)],
)
def test_sight_in_a_hall(clutter: str, station_m: float, scale_m: float) -> None:
    chance = sight.inf_sight(scale_m, clutter=clutter, station_height_m=station_m)
    assert chance == pytest.approx(E, rel=1e-4)


@pytest.mark.parametrize(("station_m", "device_m"), [(5.9, 1.5), (8.0, 6.0)])
def test_a_high_station_stands_above_the_clutter_and_the_device_in_it(
    station_m: float, device_m: float
) -> None:
    with pytest.raises(ValueError, match=r"station_height_m = .*take inf_dl"):
        sight.inf_sight(10.0, clutter="dh", station_height_m=station_m, device_height_m=device_m)


LAWS = [
    sight.umi_sight,
    sight.uma_sight,
    sight.rma_sight,
    sight.inh_mixed_sight,
    sight.inh_open_sight,
    lambda distance_m: sight.inf_sight(distance_m, clutter="sh"),
]


@pytest.mark.parametrize("law", LAWS)
@given(pair=st.lists(st.floats(0.01, 5000), min_size=2, max_size=2))
@settings(deadline=None, max_examples=60)
def test_sight_is_a_probability_that_falls_with_distance(law: object, pair: list[float]) -> None:
    near, far = law(np.array(sorted(pair)))
    assert 0 <= far <= near <= 1


@given(st.floats(0.1, 5000), st.floats(1.5, 22.5))
@settings(deadline=None)
def test_high_devices_have_a_probability_too(distance_m: float, height_m: float) -> None:
    assert 0 <= sight.uma_sight(distance_m, device_height_m=height_m) <= 1


def test_effective_height_follows_note_1() -> None:
    # Device at 18.5 m, 100 m away: C = 0.55^1.5 * 1.25 * exp(-2/3) = 0.26177, so 1 m with
    # probability 0.79254, else 12 or 15 m alike; 18 m is above 18.5 - 1.5.
    heights_m = sight.draw_effective_height_m(
        np.full(200_000, 100.0), device_height_m=18.5, rng=np.random.default_rng(0)
    )
    values_m, counts = np.unique(heights_m, return_counts=True)
    assert values_m.tolist() == [1.0, 12.0, 15.0]
    expected = [0.79254, 0.10373, 0.10373]
    assert counts / 200_000 == pytest.approx(expected, abs=0.005)


@pytest.mark.parametrize(("distance_m", "height_m"), [(17.0, 22.5), (300.0, 13.0)])
def test_near_or_low_devices_see_the_ground_at_1_m(distance_m: float, height_m: float) -> None:
    heights_m = sight.draw_effective_height_m(
        np.full(1000, distance_m), device_height_m=height_m, rng=np.random.default_rng(0)
    )
    assert set(heights_m.tolist()) == {1.0}


@pytest.mark.parametrize("law", LAWS)
def test_an_impossible_distance_is_refused(law: object) -> None:
    with pytest.raises(ValueError, match=r"distance_m = .*give"):
        law([5.0, -1.0])
