from __future__ import annotations

import math
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import pytest
from scipy import stats
from scipy.spatial import cKDTree

from channel_sim.places import (
    Disc,
    Rectangle,
    load_places,
    nearest_station,
    place_clusters,
    place_grid,
    place_ring,
    place_uniform,
)

N = 100_000


def test_a_disc_is_uniform_per_area() -> None:
    # P(distance < r) = (r / R)^2; angles uniform.
    places = place_uniform(N, Disc(50.0, (3.0, -4.0)), np.random.default_rng(1)) - (3.0, -4.0)
    distance = np.hypot(*places.T)
    assert stats.kstest(distance, lambda r: np.clip(r / 50, 0, 1) ** 2).statistic < 0.01
    angle = np.arctan2(places[:, 1], places[:, 0])
    assert stats.kstest(angle, stats.uniform(-math.pi, 2 * math.pi).cdf).statistic < 0.01


def test_a_ring_is_uniform_per_area() -> None:
    places = place_ring(N, 10.0, 50.0, np.random.default_rng(2), centre_m=(1.0, 2.0)) - (1.0, 2.0)
    distance = np.hypot(*places.T)
    assert distance.min() >= 10
    assert distance.max() <= 50
    assert stats.kstest(distance**2, stats.uniform(100, 2400).cdf).statistic < 0.01


def test_a_rectangle_is_uniform_in_both_axes() -> None:
    places = place_uniform(N, Rectangle(10.0, 40.0, (5.0, 0.0)), np.random.default_rng(3))
    assert stats.kstest(places[:, 0], stats.uniform(0, 10).cdf).statistic < 0.01
    assert stats.kstest(places[:, 1], stats.uniform(-20, 40).cdf).statistic < 0.01
    assert abs(np.corrcoef(places.T)[0, 1]) < 0.02


@pytest.mark.parametrize(
    ("area", "mean_m"),
    # Mean distance of two uniform points: unit square (2 + sqrt 2 + 5 ln(1 + sqrt 2)) / 15,
    # unit disc 128 / (45 pi); the 1 x 3 rectangle by Monte Carlo below.
    [(Rectangle(1.0, 1.0), 0.521405), (Disc(1.0), 0.905415)],
)
def test_mean_distance_is_the_known_one(area: Rectangle | Disc, mean_m: float) -> None:
    assert area.mean_distance_m == pytest.approx(mean_m, abs=1e-6)


def test_mean_distance_of_an_oblong_is_that_of_many_pairs() -> None:
    rng, area = np.random.default_rng(4), Rectangle(1.0, 3.0)
    length = np.linalg.norm(rng.random((N, 2)) * (1, 3) - rng.random((N, 2)) * (1, 3), axis=1)
    assert area.mean_distance_m == pytest.approx(length.mean(), abs=4 * length.std() / N**0.5)


def test_a_grid_has_its_spacing_and_its_centre() -> None:
    places = place_grid(9, 2.0, centre_m=(10.0, 20.0))
    assert sorted(map(tuple, places.tolist())) == [
        (x, y) for x in (8.0, 10.0, 12.0) for y in (18.0, 20.0, 22.0)
    ]
    assert place_grid(1, 5.0).tolist() == [[0.0, 0.0]]
    some = place_grid(7, 3.0)
    nearest = cKDTree(some).query(some, k=2)[0][:, 1]
    assert len(some) == 7
    assert np.ptp(some, axis=0).tolist() == [6.0, 6.0]  # three by three
    assert np.allclose(nearest, 3.0)


def test_clusters_have_the_pair_counts_of_a_thomas_process() -> None:
    # Two of one cluster are 2 sigma apart per axis squared: Rayleigh(sigma sqrt 2). With c
    # clusters a share 1 / c of pairs is of one cluster, the others far apart: those nearer than
    # r are (1 - exp(-r^2 / 4 sigma^2)) / c + pi r^2 / area.
    sigma, clusters, n, side, r = 1.0, 20, 2_000, 1_000.0, 2.0
    counts = []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        places = place_clusters(n, clusters, Rectangle(side, side), rng, sigma_m=sigma)
        counts.append(len(cKDTree(places).query_pairs(r, output_type="ndarray")))
    share = (1 - math.exp(-(r**2) / (4 * sigma**2))) / clusters + math.pi * r**2 / side**2
    expected = share * n * (n - 1) / 2
    assert np.mean(counts) == pytest.approx(expected, rel=0.02)


def test_clusters_have_the_counts_of_a_draw() -> None:
    # Each device belongs to any cluster alike: counts are multinomial, the variance of one
    # n / c (1 - 1 / c).
    n, clusters, counts = 1_000, 10, []
    for seed in range(200):
        rng = np.random.default_rng(seed)
        places = place_clusters(n, clusters, Disc(1e6), rng, sigma_m=1e-3)
        counts += np.unique(np.round(places, -1), axis=0, return_counts=True)[1].tolist()
    assert np.mean(counts) == pytest.approx(n / clusters, rel=0.05)
    assert np.var(counts) == pytest.approx(n / clusters * (1 - 1 / clusters), rel=0.3)


@pytest.mark.parametrize(
    "place",
    [
        lambda n, rng: place_uniform(n, Disc(50.0), rng),
        lambda n, rng: place_uniform(n, Rectangle(10.0, 40.0), rng),
        lambda n, rng: place_ring(n, 10.0, 50.0, rng),
        lambda n, rng: place_clusters(n, 10, Disc(50.0), rng, sigma_m=3.0),
        lambda n, _: place_grid(n, 2.0),
    ],
)
def test_work_of_placing_is_not_done_device_by_device(place: Callable[..., object]) -> None:
    # LoRaSim looks at every earlier node for each. Steps of Python and bytes, not seconds.
    rng = np.random.default_rng(6)
    place(200, rng)
    assert steps(lambda: place(800, rng)) == steps(lambda: place(200, rng))
    assert peak_bytes(lambda: place(8000, rng)) < 5 * peak_bytes(lambda: place(2000, rng))


def steps(work: Callable[[], object]) -> int:
    """Return how many lines, calls and returns of ours it takes.

    Of ours alone: whatever else runs in between, such as callbacks of a
    garbage collection, is not the work that is counted.
    """
    count = 0

    def trace(frame: FrameType, _event: str, _what: object) -> Any:
        nonlocal count
        if "channel_sim" not in frame.f_globals["__name__"].split("."):
            return None
        count += 1
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(before)
    return count


def peak_bytes(work: Callable[[], object]) -> int:
    """Return the most memory that it holds at once."""
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_nearest_station_is_that_of_brute_force() -> None:
    rng = np.random.default_rng(5)
    devices, stations = rng.random((300, 2)) * 100, rng.random((17, 2)) * 100
    table = np.linalg.norm(devices[:, np.newaxis] - stations, axis=2)
    station, distance_m = nearest_station(devices, stations)
    assert np.array_equal(station, table.argmin(axis=1))
    assert np.allclose(distance_m, table.min(axis=1))


def test_places_come_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "places.csv"
    path.write_text("name,x_m,y_m\na,1,2\nb, -3.5,4e1\n\n")
    places = load_places(path)
    assert places.names == ("a", "b")
    assert places.positions_m.tolist() == [[1, 2], [-3.5, 40]]
    assert places.heights_m is None
    path.write_text("name,x_m,y_m,z_m\na,1,2,30\n")
    places = load_places(path)
    assert places.heights_m is not None
    assert places.heights_m.tolist() == [30]
    assert places.positions_m.tolist() == [[1, 2]]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("x,y\n", 1),
        ("name,x_m,y_m\na,1\n", 2),
        ("name,x_m,y_m\na,1,2\nb,1,nan\n", 3),
        ("name,x_m,y_m\na,1,2\na,1,3\n", 3),
        ("name,x_m,y_m,z_m\na,1,2\n", 2),
        ("name,x_m,y_m\n,1,2\n", 2),
    ],
)
def test_a_malformed_line_is_named_with_its_file(tmp_path: Path, text: str, line: int) -> None:
    path = tmp_path / "places.csv"
    path.write_text(text)
    with pytest.raises(ValueError, match=rf"places.csv, line {line}: .* is malformed; "):
        load_places(path)


def test_bad_parameters_are_refused_by_key_and_value() -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match=r"radius_m = 0 must be above 0"):
        Disc(0)
    with pytest.raises(ValueError, match=r"min_m = 3 is above max_m = 2"):
        place_ring(1, 3, 2, rng)
    with pytest.raises(ValueError, match=r"n = 0 is no count"):
        place_uniform(0, Disc(1), rng)
    with pytest.raises(ValueError, match=r"sigma_m = -1.0 must be above 0"):
        place_clusters(5, 2, Disc(1), rng, sigma_m=-1.0)
    with pytest.raises(ValueError, match=r"at least one station"):
        nearest_station(np.zeros((3, 2)), np.zeros((0, 2)))
    with pytest.raises(ValueError, match=r"devices_m = .*not finite"):
        nearest_station([[math.nan, 0]], [[0, 0]])
