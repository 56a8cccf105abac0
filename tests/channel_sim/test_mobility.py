from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from channel_sim.places import (
    Disc,
    GaussMarkov,
    Mobility,
    RandomWaypoint,
    Rectangle,
    Static,
    TraceMobility,
    load_mobility,
)

AREA = Rectangle(100.0, 60.0, (50.0, 30.0))


def waypoint(
    n: int, seed: int = 0, area: Rectangle | Disc = AREA, **given: float
) -> RandomWaypoint:
    speeds = {"v_min_m_s": 0.5, "v_max_m_s": 2.5, **given}
    return RandomWaypoint(n, area, np.random.default_rng(seed), **speeds)


def gauss_markov(n: int, seed: int = 0, **given: object) -> GaussMarkov:
    parameters = {"mean_speed_m_s": 1.0, "sigma_m_s": 0.5, "alpha": 0.8, **given}
    return GaussMarkov(n, AREA, np.random.default_rng(seed), **parameters)  # type: ignore[arg-type]


@pytest.mark.parametrize("t_s", [0.0, 500.0])
def test_random_waypoint_speeds_are_steady_from_the_beginning(t_s: float) -> None:
    # Navidi and Camp 2004: density proportional to 1 / v, so that P(V < v) =
    # ln(v / v_min) / ln(v_max / v_min), mean (v_max - v_min) / ln(v_max / v_min) = 1.2427.
    speed = waypoint(100_000).speeds_m_s(t_s)
    assert speed.mean() == pytest.approx(1.24267, abs=0.01)
    assert stats.kstest(speed, stats.loguniform(0.5, 2.5).cdf).statistic < 0.01


def plain_walk(seed: int, n: int, walks: int) -> np.ndarray:
    """Places of a random waypoint walk of constant speed, at a uniform time on a way.

    Independent of the code: ways of a long walk, weighted by length, a uniform point on each.
    """
    rng = np.random.default_rng(seed)
    points = rng.random((n, walks, 2)) * (100, 60)
    ways = np.diff(points, axis=1).reshape(-1, 2)
    begin = points[:, :-1].reshape(-1, 2)
    length = np.linalg.norm(ways, axis=1)
    chosen = rng.choice(len(ways), size=n, p=length / length.sum())
    return np.asarray(begin[chosen] + rng.random((n, 1)) * ways[chosen])


@pytest.mark.parametrize("t_s", [0.0, 300.0])
def test_random_waypoint_places_are_those_of_a_long_walk(t_s: float) -> None:
    n = 60_000
    places, oracle = waypoint(n, 1).positions_m(t_s), plain_walk(2, n, 20)
    for axis in (0, 1):
        assert stats.ks_2samp(places[:, axis], oracle[:, axis]).statistic < 0.015
    # Denser in the middle: a uniform law has variance 100^2 / 12.
    assert places[:, 0].var() < 0.75 * 100**2 / 12


@pytest.mark.parametrize("t_s", [0.0, 200.0])
def test_random_waypoint_in_a_disc_has_the_known_density(t_s: float) -> None:
    # Hyytia, Lassila and Virtamo 2006 (as remembered; it integrates to 1): density at r of the
    # unit disc 45 (1 - r^2) / (64 pi) times the integral of sqrt(1 - r^2 cos^2 phi) over a half
    # turn.
    r = np.linspace(0, 1, 1_001)
    turn = (np.arange(500) + 0.5) / 500 * math.pi
    inner = np.sqrt(1 - np.outer(r, np.cos(turn)) ** 2).mean(axis=1) * math.pi
    density = 2 * math.pi * r * 45 * (1 - r**2) / (64 * math.pi) * inner
    cdf = np.append(0, np.cumsum((density[1:] + density[:-1]) / 2 * np.diff(r)))
    assert cdf[-1] == pytest.approx(1, abs=1e-4)
    places = waypoint(50_000, 11, Disc(80.0)).positions_m(t_s)
    distance = np.hypot(*places.T) / 80
    assert stats.kstest(distance, lambda x: np.interp(x, r, cdf)).statistic < 0.01


def test_random_waypoint_pauses_for_its_share_of_the_time() -> None:
    # Mean way: mean distance of the rectangle over the speed, 1 / v having mean
    # ln(v_max / v_min) / (v_max - v_min).
    n, pause_s = 50_000, 60.0
    rng = np.random.default_rng(3)
    pairs = rng.random((2, n, 2)) * (100, 60)
    way_s = np.linalg.norm(pairs[0] - pairs[1], axis=1).mean() * math.log(5.0) / 2.0
    share = pause_s / (pause_s + way_s)
    one = waypoint(n, 4, pause_s=pause_s)
    for t_s in (0.0, 37.0, 400.0):
        paused = np.mean(one.speeds_m_s(t_s) == 0)
        assert paused == pytest.approx(share, abs=4 * math.sqrt(share * (1 - share) / n) + 0.002)


def test_who_pauses_at_the_beginning_is_anywhere_and_leaves_evenly() -> None:
    one = waypoint(40_000, 5, pause_s=100.0)
    still = one.speeds_m_s(0.0) == 0
    places = one.positions_m(0.0)[still]
    assert stats.kstest(places[:, 0], stats.uniform(0, 100).cdf).statistic < 0.02
    # What is left of a constant pause is uniform: half have gone after half of it.
    gone = np.any(one.positions_m(50.0)[still] != places, axis=1)
    assert gone.mean() == pytest.approx(0.5, abs=0.02)


def test_random_waypoint_goes_straight_on_at_its_speed() -> None:
    one = waypoint(2_000, 6)
    before, speed = one.positions_m(10.0), one.speeds_m_s(10.0)
    moved = np.linalg.norm(one.positions_m(10.001) - before, axis=1) / 0.001
    turned = np.abs(moved - speed) > 1e-6
    assert turned.mean() < 0.001


def test_random_waypoint_stays_in_a_disc() -> None:
    one = waypoint(5_000, 7, Disc(40.0, (10.0, 0.0)), pause_s=5.0)
    for t_s in (0.0, 11.0, 200.0):
        assert np.hypot(*(one.positions_m(t_s) - (10.0, 0.0)).T).max() <= 40 + 1e-9


def test_one_speed_for_all_is_allowed() -> None:
    one = waypoint(100, 8, v_min_m_s=2.0, v_max_m_s=2.0, pause_s=1.0)
    assert set(np.round(one.speeds_m_s(33.0), 9)) <= {0.0, 2.0}


def test_gauss_markov_velocity_remembers_with_alpha_to_the_k() -> None:
    n, alpha = 50_000, 0.8
    one = gauss_markov(n, mean_speed_m_s=0.0, alpha=alpha, border="wrap")
    tracks = np.array([one.velocities_m_s(float(t))[:, 0] for t in range(8)])
    assert tracks.std() == pytest.approx(0.5, rel=0.01)
    for k in range(1, 8):
        ours = np.corrcoef(tracks[0], tracks[k])[0, 1]
        assert ours == pytest.approx(alpha**k, abs=4 / math.sqrt(n))


def test_gauss_markov_velocity_is_steady_around_the_mean() -> None:
    # |v|^2 of N(mean, sigma^2) in two axes has mean 1^2 + 2 0.5^2 at any time.
    one = gauss_markov(50_000, 1, border="wrap")
    for t_s in (0.0, 5.0, 40.0):
        velocity = one.velocities_m_s(t_s)
        assert np.mean(velocity**2) * 2 == pytest.approx(1.5, rel=0.02)
        assert np.abs(velocity.mean(axis=0)).max() < 0.02


@pytest.mark.parametrize("border", ["bounce", "wrap"])
def test_gauss_markov_places_stay_uniform_and_inside(border: str) -> None:
    one = gauss_markov(40_000, 2, border=border)
    for t_s in (0.0, 123.4):
        places = one.positions_m(t_s)
        assert stats.kstest(places[:, 0], stats.uniform(0, 100).cdf).statistic < 0.012
        assert stats.kstest(places[:, 1], stats.uniform(0, 60).cdf).statistic < 0.012


def test_gauss_markov_bounces_as_a_ball_does() -> None:
    # alpha 1: straight on. Followed here second by second with reflections.
    one = gauss_markov(200, 3, alpha=1.0, sigma_m_s=0.0, mean_speed_m_s=30.0)
    place, velocity = one.positions_m(0.0), one.velocities_m_s(0.0)
    low, high = np.zeros(2), np.array([100.0, 60.0])
    for t in range(1, 60):
        place = place + velocity
        for _ in range(3):
            velocity = np.where((place < low) | (place > high), -velocity, velocity)
            place = np.where(place < low, 2 * low - place, place)
            place = np.where(place > high, 2 * high - place, place)
        assert np.allclose(one.positions_m(float(t)), place, atol=1e-6)
        assert np.allclose(one.velocities_m_s(float(t)), velocity)


def test_gauss_markov_wraps_without_a_turn() -> None:
    one = gauss_markov(
        200, 4, alpha=1.0, sigma_m_s=0.0, mean_speed_m_s=30.0, step_s=0.7, border="wrap"
    )
    begin, velocity = one.positions_m(0.0), one.velocities_m_s(0.0)
    expected = (begin + 10 * velocity) % (100.0, 60.0)
    assert np.allclose(one.positions_m(10.0), expected)


def test_gauss_markov_velocity_changes_at_each_step_and_not_between() -> None:
    one = gauss_markov(50, 6, step_s=2.0, border="wrap")
    found = [one.velocities_m_s(t_s) for t_s in (0.0, 1.9, 2.0, 3.9, 4.0)]
    assert np.array_equal(found[0], found[1])
    assert np.array_equal(found[2], found[3])
    assert not np.any(found[1] == found[2])
    assert not np.any(found[3] == found[4])


def test_gauss_markov_velocity_is_the_slope_of_the_place() -> None:
    one = gauss_markov(3_000, 5, step_s=2.0)
    before, velocity = one.positions_m(7.0), one.velocities_m_s(7.0)
    slope = (one.positions_m(7.0001) - before) / 0.0001
    assert np.mean(np.abs(slope - velocity) > 1e-6) < 0.001


@pytest.mark.parametrize(
    "build",
    [lambda seed: waypoint(500, seed, pause_s=3.0), lambda seed: gauss_markov(500, seed)],
)
def test_the_path_depends_on_the_seed_and_not_on_the_times_asked_for(
    build: Callable[[int], Mobility],
) -> None:
    often, seldom, other = build(1), build(1), build(2)
    for t_s in np.arange(0.0, 200.0, 0.7):
        often.positions_m(float(t_s))
    assert np.allclose(often.positions_m(200.0), seldom.positions_m(200.0), atol=1e-9)
    assert not np.allclose(often.positions_m(200.0), other.positions_m(200.0))


def test_devices_move_apart_from_each_other() -> None:
    places = waypoint(20_000, 9).positions_m(0.0)
    for lag in (1, 2, 7):
        assert abs(np.corrcoef(places[:-lag, 0], places[lag:, 0])[0, 1]) < 0.03


def test_a_track_is_straight_between_its_points_and_stands_outside() -> None:
    tracks = TraceMobility({"b": [[10, 0, 0], [20, 10, -20]], "a": [[5, 7, 8]]})
    assert tracks.names == ("b", "a")
    for t_s, where in (
        (0, (0, 0)),
        (10, (0, 0)),
        (12.5, (2.5, -5)),
        (20, (10, -20)),
        (99, (10, -20)),
    ):
        assert tracks.positions_m(t_s).tolist() == [list(where), [7, 8]]


def test_tracks_are_those_of_numpy_interp() -> None:
    rng = np.random.default_rng(10)
    points = {
        f"d{i}": np.column_stack((np.cumsum(rng.random(k) + 0.01), rng.random((k, 2))))
        for i, k in enumerate(rng.integers(1, 30, 40))
    }
    tracks = TraceMobility(points)
    for t_s in np.sort(rng.random(50) * 20):
        expected = [
            [np.interp(t_s, p[:, 0], p[:, axis]) for axis in (1, 2)] for p in points.values()
        ]
        assert np.allclose(tracks.positions_m(float(t_s)), expected)


def test_tracks_come_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "tracks.csv"
    path.write_text("time_s,name,x_m,y_m\n0,a,0,0\n0,b,5,5\n2,a,4,8\n\n")
    assert load_mobility(path).positions_m(1.0).tolist() == [[2, 4], [5, 5]]
    assert load_mobility(path, ["b", "a"]).positions_m(1.0).tolist() == [[5, 5], [2, 4]]
    with pytest.raises(ValueError, match=r"no positions of \['c'\]; it has a, b"):
        load_mobility(path, ["a", "c"])


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("time,name,x,y\n", 1),
        ("time_s,name,x_m,y_m\n0,a,0\n", 2),
        ("time_s,name,x_m,y_m\n0,a,0,zero\n", 2),
        ("time_s,name,x_m,y_m\n3,a,0,0\n3,a,1,1\n", 3),
        ("time_s,name,x_m,y_m\n3,,0,0\n", 2),
    ],
)
def test_a_malformed_line_is_named_with_its_file(tmp_path: Path, text: str, line: int) -> None:
    path = tmp_path / "tracks.csv"
    path.write_text(text)
    with pytest.raises(ValueError, match=rf"tracks.csv, line {line}: .* is malformed; "):
        load_mobility(path)


def test_static_devices_stay_and_their_positions_are_a_copy() -> None:
    still = Static([[1.0, 2.0]])
    still.positions_m(0.0)[0, 0] = 9.0
    assert still.positions_m(1e9).tolist() == [[1.0, 2.0]]


def test_bad_parameters_and_times_are_refused_by_key_and_value() -> None:
    with pytest.raises(ValueError, match=r"v_min_m_s = 0.0 must be above 0"):
        waypoint(1, v_min_m_s=0.0)
    with pytest.raises(ValueError, match=r"v_min_m_s = 3.0 is above v_max_m_s = 2.5"):
        waypoint(1, v_min_m_s=3.0)
    with pytest.raises(ValueError, match=r"alpha = 1.5 is outside"):
        gauss_markov(1, alpha=1.5)
    with pytest.raises(ValueError, match=r"border = 'bounc' is unknown; did you mean 'bounce'"):
        gauss_markov(1, border="bounc")
    with pytest.raises(ValueError, match=r"shape \(3,\); give \(n, 2\)"):
        Static([1.0, 2.0, 3.0])
    with pytest.raises(ValueError, match=r"points of 'a' are no track"):
        TraceMobility({"a": [[1, 0, 0], [1, 1, 1]]})
    for one in (waypoint(2), gauss_markov(2), TraceMobility({"a": [[0, 0, 0]]})):
        one.positions_m(5.0)
        with pytest.raises(ValueError, match=r"t_s = 4.0 is before 5.0"):
            one.positions_m(4.0)
