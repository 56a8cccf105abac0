"""Recordings give back their own statistics, those that the data's README measured."""

from __future__ import annotations

import csv
import os
import tarfile
from pathlib import Path

import numpy as np
import pytest

from channel_sim.energy import WIFI_NIC
from channel_sim.replay import (
    Capacity,
    Connectivity,
    LossyTrack,
    Replay,
    ReplayLink,
    ReplayLossyLink,
    Track,
    fit_log_distance,
    load_connectivity,
    load_g_nettrack,
    load_indoor_rssi,
    load_lora_campus,
    load_mahimahi,
    load_phone_speeds,
    load_rssi_by_distance,
    load_seconds_mbit,
)
from channel_sim.replay.lossy import Frames

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def data() -> Path:
    root = Path(os.environ.get("EDGE_FD_DATA", REPOSITORY.parent / "shared" / "data"))
    if not (root / "links").is_dir():
        pytest.skip(f"no links at {root}; set EDGE_FD_DATA")
    return root


@pytest.fixture(scope="module")
def links(data: Path) -> Path:
    return data / "links"


@pytest.fixture(scope="module")
def grenoble(links: Path) -> Connectivity:
    return load_connectivity(links / "ieee802154_grenoble" / "grenoble.k7.gz")


def carried_mbps(trace: Capacity, periods: int = 3) -> float:
    """Mbit/s that one saturated sender gets over whole periods."""
    medium = ReplayLink({"a": Track(trace)}, {"a": Track(trace)}, radio=WIFI_NIC)
    size_bytes = periods * trace.period_millibits // 8_000
    (delivery,) = medium.offer(["a"], [size_bytes], [0.0])
    return size_bytes * 8 / delivery.finish_s / 1e6


@pytest.mark.parametrize(
    ("name", "mbps", "seconds"),
    # README: mean Mbit/s down / up and length.
    [
        ("ATT-LTE-driving-2016.down", 4.56, 120),
        ("ATT-LTE-driving-2016.up", 1.91, 120),
        ("TMobile-UMTS-driving.down", 2.02, 930),
        ("TMobile-UMTS-driving.up", 0.94, 930),
        ("Verizon-EVDO-driving.down", 0.52, 1_062),
        ("Verizon-EVDO-driving.up", 0.84, 1_062),
        ("Verizon-LTE-short.down", 5.03, 140),
        ("Verizon-LTE-short.up", 5.95, 140),
    ],
)
def test_a_saturated_sender_gets_the_mean_rate_of_the_chances(
    links: Path, name: str, mbps: float, seconds: int
) -> None:
    (trace,) = load_mahimahi(links / "mahimahi" / f"{name}.gz")
    assert carried_mbps(trace) == pytest.approx(mbps, abs=0.006)
    assert trace.period_ns / 1e9 == pytest.approx(seconds, rel=0.003)
    # README: 0 to 4 % of seconds carry nothing.
    levels = trace.level(np.arange(trace.period_ns // 10**9 + 1) * 10**9)
    assert np.mean(np.diff(levels) == 0) < 0.045


def test_the_3g_traces_carry_their_integral(links: Path) -> None:
    path = links / "hsdpa_3g" / "norway_3g_cooked.tar.gz"
    traces = load_seconds_mbit(path)
    # README: 80 files, 21,013 s, 1.52 Mbit/s the mean over files of the mean of the lines,
    # 0.60 to 4.59.
    assert len(traces) == 80
    assert sum(trace.period_ns for trace in traces) / 1e9 == pytest.approx(21_013, abs=1)
    means = np.array([trace.rates_bps.mean() / 1e6 for trace in traces])
    assert means.mean() == pytest.approx(1.52, abs=0.005)
    assert (means.min(), means.max()) == pytest.approx((0.60, 4.59), abs=0.005)
    # Lines are not evenly spaced: what the link carried is the sum of rate times time, here
    # added up from the file itself.
    with tarfile.open(path) as archive:
        for trace in traces[::16]:
            file = archive.extractfile(trace.name)
            assert file is not None
            table = np.array([line.split() for line in file.read().decode().splitlines()], float)
            mbit = float(np.diff(table[:, 0]) @ table[1:, 1])
            expected = mbit / (table[-1, 0] - table[0, 0])
            assert carried_mbps(trace) == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize(
    ("kind", "files", "mean_kbps", "median_kbps"),
    [("Static", 5, 66_656, 29_359), ("Driving", 16, 27_597, 8_058)],
)
def test_the_5g_downloads_give_back_their_rates(
    links: Path, kind: str, files: int, mean_kbps: float, median_kbps: float
) -> None:
    path = links / "lte_5g_ucc" / "5G-production-dataset.zip"
    traces = load_g_nettrack(path, under=f"/Download/{kind}/")
    assert len(traces) == files
    rates_bps = np.concatenate([trace.rates_bps for trace in traces])
    assert rates_bps.mean() / 1e3 == pytest.approx(mean_kbps, abs=0.5)
    assert np.median(rates_bps) / 1e3 == median_kbps
    carried = sum(carried_mbps(trace) * trace.period_ns for trace in traces)
    total_ns = sum(trace.period_ns for trace in traces)
    assert carried / total_ns * 1e3 == pytest.approx(mean_kbps, rel=1e-3)


def test_a_fleet_on_the_traces_gets_what_the_plan_says(links: Path) -> None:
    family = Replay(
        format="mahimahi",
        up=str(links / "mahimahi" / "Verizon-LTE-short.up.gz"),
        down=str(links / "mahimahi" / "Verizon-LTE-short.down.gz"),
    )
    n = 20_000
    outcomes = family.burst(
        np.zeros(n),
        np.full(n, 40_000),
        np.zeros(n, np.int64),
        cells=np.zeros(n, np.int64),
        rng=np.random.default_rng(1),
    )
    latency_s = family.plan(0.0, 40_000).latency_s
    sigma_s = outcomes.latency_s.std() / n**0.5
    assert latency_s == pytest.approx(outcomes.latency_s.mean(), abs=5 * sigma_s, rel=0.05)


# README: mean delivery by RSSI bin [from, to) in dBm.
BINS = [
    (-200, -90, 0.014),
    (-90, -85, 0.672),
    (-85, -80, 0.912),
    (-80, -75, 0.942),
    (-75, -70, 0.969),
    (-70, -65, 0.983),
    (-65, -60, 0.991),
    (-60, -55, 0.998),
]


def test_grenoble_gives_back_its_delivery_by_rssi(grenoble: Connectivity) -> None:
    assert len(grenoble.share) == 108_659
    assert grenoble.share.mean() == pytest.approx(0.875, abs=5e-4)
    # Each row sent again through the curve: 100 packets, delivered with the share at its RSSI.
    rng = np.random.default_rng(1)
    packets = rng.binomial(100, grenoble.curve().delivery(grenoble.rssi_dbm)) / 100
    through_curve = grenoble.curve(bin_db=1.0).delivery(grenoble.rssi_dbm)
    for low, high, share in BINS:
        rows = (grenoble.rssi_dbm >= low) & (grenoble.rssi_dbm < high)
        assert grenoble.share[rows].mean() == pytest.approx(share, abs=5e-4)
        # Straight lines between 5 dB bins: good to 0.04; between 1 dB bins to 0.005.
        assert packets[rows].mean() == pytest.approx(share, abs=0.09 if low < -85 else 0.04)
        assert through_curve[rows].mean() == pytest.approx(share, abs=0.03 if low < -85 else 0.005)


def test_grenoble_links_give_back_their_shares_through_the_medium(
    grenoble: Connectivity,
) -> None:
    traces = grenoble.links()
    assert len(traces) == 477
    # A frame a minute over the whole recording on every 30th link, one attempt each.
    frames = Frames(rate_bps=250e3, packet_bytes=127, max_attempts=1, retry_wait_s=0.0)
    tracks = {f"d{row}": LossyTrack(trace) for row, trace in enumerate(traces[::30])}
    medium = ReplayLossyLink(tracks, tracks, frames, radio=WIFI_NIC, rng=np.random.default_rng(2))
    devices, times_s, expected = [], [], []
    for device, track in tracks.items():
        period_s = track.trace.period_ns / 1e9
        at_s = np.arange(0.5, 600) * period_s / 600
        devices += [device] * len(at_s)
        times_s += at_s.tolist()
        expected.append(track.trace.mean)
    found = medium.offer(devices, [127] * len(devices), times_s)
    arrived = np.array([delivery.delivered for delivery in found]).reshape(-1, 600).mean(axis=1)
    sigma = np.sqrt(np.array(expected) * (1 - np.array(expected)) / 600)
    assert np.all(np.abs(arrived - expected) < 4 * sigma + 0.005)


@pytest.mark.parametrize(
    ("name", "share"),
    [
        ("campus_by_car", 0.774),
        ("campus_walking_by_foot", 0.983),
        ("static_LOS_away_from_GW", 0.977),
        ("static_LOS_near_GW", 0.988),
        ("static_NLOS", 0.907),
    ],
)
def test_lora_on_the_campus_delivers_what_it_did(links: Path, name: str, share: float) -> None:
    path = links / "lora_campus" / f"{name}.csv"
    trace = load_lora_campus(path)
    frames = Frames(rate_bps=5_470, packet_bytes=51, max_attempts=1, retry_wait_s=0.0)
    track = {"node": LossyTrack(trace)}
    medium = ReplayLossyLink(track, track, frames, radio=WIFI_NIC, rng=np.random.default_rng(1))
    sent = len(trace.shares)
    found = medium.offer(["node"] * sent, [51] * sent, (8.0 * np.arange(sent)).tolist())
    arrived = [delivery.delivered for delivery in found]
    assert np.mean(arrived) == pytest.approx(share, abs=5e-4)
    # One by one those of the file.
    with path.open() as file:
        ids = {int(row["id"]) for row in csv.DictReader(file)}
    assert {min(ids) + row for row, good in enumerate(arrived) if good} == ids


@pytest.mark.parametrize(
    ("technology", "scenario", "exponent", "at_1m_dbm", "sigma_db"),
    # README: exponent / RSSI at 1 m / sigma, fitted there on the same files.
    [
        ("WiFi", 1, 1.89, -36.0, 5.0),
        ("WiFi", 2, 1.87, -36.3, 6.3),
        ("WiFi", 3, 2.56, -33.2, 3.7),
        ("BLE", 1, 2.06, -62.1, 9.2),
        ("BLE", 2, 2.00, -61.8, 8.4),
        ("BLE", 3, 2.47, -62.4, 8.6),
        ("Zigbee", 1, 2.90, -50.1, 4.5),
        ("Zigbee", 2, 1.89, -52.4, 6.4),
        ("Zigbee", 3, 2.07, -48.0, 3.5),
    ],
)
def test_indoor_rssi_has_its_exponent(
    links: Path,
    technology: str,
    scenario: int,
    exponent: float,
    at_1m_dbm: float,
    sigma_db: float,
) -> None:
    fit = fit_log_distance(
        *load_indoor_rssi(
            links / "indoor_rssi" / "indoor_rssi.tar.gz", scenario=scenario, technology=technology
        )
    )
    assert fit.exponent == pytest.approx(exponent, abs=0.0051)
    assert fit.rssi_at_1m_dbm == pytest.approx(at_1m_dbm, abs=0.051)
    assert fit.sigma_db == pytest.approx(sigma_db, abs=0.051)


@pytest.mark.parametrize(
    ("name", "low", "high"),
    [("indoor_LOS", 1.8, 2.2), ("indoor_NLOS", 3.1, 4.2), ("outdoor_LOS", 2.1, 2.4)],
)
def test_lora_by_distance_has_its_exponents(
    links: Path, name: str, low: float, high: float
) -> None:
    # README: range over the ten settings, sigma 1.4 to 3.0 dB.
    distance, rssi = load_rssi_by_distance(links / "lora_distance" / f"{name}_avg_rssi_dist.txt")
    fits = [
        fit_log_distance(distance[measured], column[measured])
        for column in rssi.T
        if (measured := np.isfinite(column)).any()
    ]
    exponents = [fit.exponent for fit in fits]
    assert (min(exponents), max(exponents)) == pytest.approx((low, high), abs=0.051)
    assert min(fit.sigma_db for fit in fits) >= 1.35
    assert max(fit.sigma_db for fit in fits) <= 3.05


def test_phone_speeds_are_those_of_the_file(data: Path) -> None:
    # oracles.md 2.13: 19 users, mean down 2,370 to 17,333, median 4,318; up 431 to 6,635,
    # median 3,286; sigma down 613 to 11,182, up 158 to 2,767.
    speeds = load_phone_speeds(data / "device_traces" / "link_speed_19_phones.json")
    assert len(speeds.names) == 19
    for table, down, up in (
        (speeds.mean_bps, (2_370, 4_318, 17_333), (431, 3_286, 6_635)),
        (speeds.sigma_bps, (613, None, 11_182), (158, None, 2_767)),
    ):
        for column, (low, middle, high) in zip((table / 8e3).T, (down, up), strict=True):
            assert (column.min(), column.max()) == pytest.approx((low, high), abs=1)
            assert middle is None or np.median(column) == pytest.approx(middle, abs=1)
