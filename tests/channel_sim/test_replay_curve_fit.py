from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from channel_sim.replay import (
    DeliveryCurve,
    fit_log_distance,
    load_indoor_rssi,
    load_phone_speeds,
    load_rssi_by_distance,
)


def test_a_curve_goes_through_the_means_of_its_bins() -> None:
    rssi = [-91.0, -93.0, -84.0, -82.0, -71.0]
    curve = DeliveryCurve.from_measured(rssi, [0.0, 0.2, 0.4, 0.6, 1.0], bin_db=5)
    assert curve.rssi_dbm.tolist() == [-92, -83, -71]
    assert curve.share.tolist() == pytest.approx([0.1, 0.5, 1.0])
    assert curve.delivery([-120, -92, -87.5, -77, 0]).tolist() == pytest.approx(
        [0.1, 0.1, 0.3, 0.75, 1.0]
    )
    assert curve.packet_error(-83.0) == pytest.approx(0.5)


def test_bins_that_fall_are_joined_by_their_weight() -> None:
    # -82.5: 0.8 three times, -77.5: 0.4 once -> 0.7 at -81.25.
    curve = DeliveryCurve.from_measured(
        [-90, -82.5, -82.5, -82.5, -77.5], [0.1, 0.8, 0.8, 0.8, 0.4]
    )
    assert curve.share.tolist() == pytest.approx([0.1, 0.7])
    assert curve.rssi_dbm.tolist() == pytest.approx([-90, -81.25])


@given(st.lists(st.tuples(st.floats(-100, -20), st.floats(0, 1)), min_size=1, max_size=60))
def test_a_curve_never_falls_and_keeps_the_mean(pairs: list[tuple[float, float]]) -> None:
    rssi, share = map(np.array, zip(*pairs, strict=True))
    curve = DeliveryCurve.from_measured(rssi, share)
    assert np.all(np.diff(curve.delivery(np.linspace(-110, 0, 300))) >= 0)
    assert share.min() - 1e-9 <= curve.share.min()
    assert curve.share.max() <= share.max() + 1e-9


def test_a_fit_gives_back_the_law_that_made_the_points() -> None:
    rng = np.random.default_rng(1)
    distance = rng.uniform(1, 100, 50_000)
    rssi = -40 - 27 * np.log10(distance) + rng.normal(0, 4, len(distance))
    fit = fit_log_distance(distance, rssi)
    assert fit.exponent == pytest.approx(2.7, abs=0.03)
    assert fit.rssi_at_1m_dbm == pytest.approx(-40, abs=0.4)
    assert fit.sigma_db == pytest.approx(4, abs=0.06)
    assert fit.rssi_dbm(10.0) == pytest.approx(-67, abs=0.2)


def test_rssi_by_distance_comes_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "los.txt"
    path.write_text("\n1\t-40\t0\n10\t-60\t-70.5\n")
    distance, rssi = load_rssi_by_distance(path)
    assert distance.tolist() == [1, 10]
    assert np.isnan(rssi[0, 1])
    assert rssi[1].tolist() == [-60, -70.5]
    for text, line in (("1\t-40\n2\n", 2), ("1\tx\n", 1), ("0\t-40\n", 1), ("1 2\n1 2 3\n", 2)):
        path.write_text(text)
        with pytest.raises(ValueError, match=rf"los.txt, line {line}: .* is malformed"):
            load_rssi_by_distance(path)


SPEEDS = {"a": {"down_u": 4000.0, "down_sigma": 2000.0, "up_u": 300.0, "up_sigma": 600.0}}


def test_speeds_are_log_normal_with_the_measured_mean_and_deviation(tmp_path: Path) -> None:
    path = tmp_path / "speeds.json"
    path.write_text(json.dumps(SPEEDS))
    n = 200_000
    speeds_bps = load_phone_speeds(path).draw_bps(n, np.random.default_rng(1))
    assert speeds_bps.min() > 0
    assert speeds_bps.mean(axis=0) / 8e3 == pytest.approx([4000, 300], rel=0.03)
    assert speeds_bps.std(axis=0)[0] / 8e3 == pytest.approx(2000, rel=0.03)
    # ln X is N(mu, s^2) with s^2 = ln(1 + (600 / 300)^2), exp(mu + s^2 / 2) = 300 kB/s.
    s2 = math.log(5.0)
    law = stats.norm(math.log(300 * 8e3) - s2 / 2, math.sqrt(s2))
    assert stats.kstest(np.log(speeds_bps[:, 1]), law.cdf).statistic < 0.01
    # 1000 bytes each: FLASH counts 1024 on the way down and 1000 on the way up.
    assert load_phone_speeds(path).mean_bps.tolist() == [[32e6, 2.4e6]]
    slow = load_phone_speeds(path, unit="kbit/s")
    assert slow.mean_bps.tolist() == [[4e6, 3e5]]
    assert abs(np.corrcoef(speeds_bps.T)[0, 1]) < 0.02


def test_bad_input_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "speeds.json"
    path.write_text('{"a": {"down_u": 1}}')
    with pytest.raises(ValueError, match=r"speeds.json holds no speeds .*give down_u"):
        load_phone_speeds(path)
    with pytest.raises(ValueError, match=r"unit = 'kb' is unknown"):
        load_phone_speeds(path, unit="kb")
    with pytest.raises(ValueError, match=r"technology = 'wifi' is unknown; did you mean 'WiFi'"):
        load_indoor_rssi(path, scenario=1, technology="wifi")
    with pytest.raises(ValueError, match=r"distance_m = .*must be above 0"):
        fit_log_distance([0.0, 1.0], [-1.0, -2.0])
    with pytest.raises(ValueError, match=r"at two distances or more"):
        fit_log_distance([1.0, 1.0], [-1.0, -2.0])
    with pytest.raises(ValueError, match=r"share falls"):
        DeliveryCurve(np.array([-90.0, -80.0]), np.array([0.5, 0.4]))
