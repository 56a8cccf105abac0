"""Recordings, replayed through the media, against what the data's README measured in them.

Reads ``EDGE_FD_DATA``, by default ``../shared/data``.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from channel_sim.availability import load_phones
from channel_sim.energy import WIFI_NIC
from channel_sim.replay import (
    Capacity,
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
    load_seconds_mbit,
)
from channel_sim.replay.lossy import Frames
from validation.mobility import claim

README = "README of the data, measured there from the same file by other code"
MAHIMAHI = {
    "ATT-LTE-driving-2016.down": 4.56,
    "ATT-LTE-driving-2016.up": 1.91,
    "TMobile-UMTS-driving.down": 2.02,
    "TMobile-UMTS-driving.up": 0.94,
    "Verizon-EVDO-driving.down": 0.52,
    "Verizon-EVDO-driving.up": 0.84,
    "Verizon-LTE-short.down": 5.03,
    "Verizon-LTE-short.up": 5.95,
}
BINS = (
    (-200, -90, 0.014),
    (-90, -85, 0.672),
    (-85, -80, 0.912),
    (-80, -75, 0.942),
    (-75, -70, 0.969),
    (-70, -65, 0.983),
    (-65, -60, 0.991),
    (-60, -55, 0.998),
)
CAMPUS = {
    "campus_by_car": 0.774,
    "campus_walking_by_foot": 0.983,
    "static_LOS_away_from_GW": 0.977,
    "static_LOS_near_GW": 0.988,
    "static_NLOS": 0.907,
}
INDOOR = {
    "WiFi": ((1.89, -36.0, 5.0), (1.87, -36.3, 6.3), (2.56, -33.2, 3.7)),
    "BLE": ((2.06, -62.1, 9.2), (2.00, -61.8, 8.4), (2.47, -62.4, 8.6)),
    "Zigbee": ((2.90, -50.1, 4.5), (1.89, -52.4, 6.4), (2.07, -48.0, 3.5)),
}
ONE_ATTEMPT = Frames(rate_bps=250e3, packet_bytes=127, max_attempts=1, retry_wait_s=0.0)


def figures(*, quick: bool = False) -> dict[str, Any]:
    """Run all comparisons; see ``validation.run``."""
    here = Path(__file__).parents[1]
    data = Path(os.environ.get("EDGE_FD_DATA", here.parent / "shared" / "data"))
    if not (data / "links").is_dir():
        raise SystemExit(f"no links at {data}; set EDGE_FD_DATA")
    claims: list[dict[str, Any]] = []
    curves: dict[str, Any] = {}
    _capacities(claims, curves, data / "links")
    _grenoble(claims, curves, data / "links", every=60 if quick else 6)
    _campus(claims, data / "links")
    _fits(claims, data / "links")
    _phones(claims, curves, data / "device_traces")
    _engines(claims, data / "links", 2_000 if quick else 20_000)
    return {"claims": claims, "curves": curves}


def _saturated_mbps(trace: Capacity, periods: int = 3) -> float:
    """Rate of a sender that always has something to send, through the medium."""
    medium = ReplayLink({"a": Track(trace)}, {"a": Track(trace)}, radio=WIFI_NIC)
    size_bytes = periods * trace.period_millibits // 8_000
    (delivery,) = medium.offer(["a"], [size_bytes], [0.0])
    return size_bytes * 8 / delivery.finish_s / 1e6


def _capacities(claims: list[Any], curves: dict[str, Any], links: Path) -> None:
    curves["rates"] = []
    for name, mbps in MAHIMAHI.items():
        (trace,) = load_mahimahi(links / "mahimahi" / f"{name}.gz")
        ours = _saturated_mbps(trace)
        curves["rates"].append((name.replace("-driving", ""), ours, mbps))
        claims.append(
            claim(f"{name}: saturated sender", ours, mbps, 0.0051, unit="Mbit/s", source=README)
        )
    traces = load_seconds_mbit(links / "hsdpa_3g" / "norway_3g_cooked.tar.gz")
    means = np.array([trace.rates_bps.mean() / 1e6 for trace in traces])
    for text, ours, mbps in (
        ("mean", means.mean(), 1.52),
        ("lowest", means.min(), 0.60),
        ("highest", means.max(), 4.59),
    ):
        claims.append(
            claim(
                f"HSDPA: {text} over 80 traces of the mean of the lines",
                ours, mbps, 0.0051, unit="Mbit/s", source=README,
            )
        )  # fmt: skip
    curves["hsdpa lines"] = means.tolist()
    curves["hsdpa carried"] = [_saturated_mbps(trace) for trace in traces]
    archive = links / "lte_5g_ucc" / "5G-production-dataset.zip"
    for kind, kbps in (("Static", 66_656), ("Driving", 27_597)):
        found = load_g_nettrack(archive, under=f"/Download/{kind}/")
        length_ns = np.array([trace.period_ns for trace in found])
        ours = np.average([_saturated_mbps(trace) for trace in found], weights=length_ns)
        claims.append(
            claim(
                f"5G {kind.lower()}: saturated receiver", ours * 1e3, kbps, kbps * 1e-3,
                unit="kbit/s", source=README,
            )
        )  # fmt: skip


def _grenoble(claims: list[Any], curves: dict[str, Any], links: Path, *, every: int) -> None:
    table = load_connectivity(links / "ieee802154_grenoble" / "grenoble.k7.gz")
    rng = np.random.default_rng(1)
    curve, fine = table.curve(), table.curve(bin_db=1.0)
    heard = rng.binomial(100, fine.delivery(table.rssi_dbm)) / 100
    curves["bins"] = []
    for low, high, share in BINS:
        rows = (table.rssi_dbm >= low) & (table.rssi_dbm < high)
        ours = heard[rows].mean()
        curves["bins"].append((float(table.rssi_dbm[rows].mean()), share))
        claims.append(
            claim(
                f"802.15.4 in Grenoble: delivered from {low} to {high} dBm, through the 1 dB curve",
                ours, share, 0.03 if low < -85 else 0.005, unit="share", source=README,
            )
        )  # fmt: skip
    grid = np.linspace(-95, -40, 111)
    curves["rssi_dbm"] = grid.tolist()
    curves["delivery 5 dB"] = curve.delivery(grid).tolist()
    curves["delivery 1 dB"] = fine.delivery(grid).tolist()
    tracks = {f"d{row}": LossyTrack(trace) for row, trace in enumerate(table.links()[::every])}
    medium = ReplayLossyLink(tracks, tracks, ONE_ATTEMPT, radio=WIFI_NIC, rng=rng)
    frames = 500
    times_s = [
        t_s
        for track in tracks.values()
        for t_s in ((np.arange(frames) + 0.5) * track.trace.period_ns / 1e9 / frames).tolist()
    ]
    devices = [device for device in tracks for _ in range(frames)]
    found = medium.offer(devices, [127] * len(devices), times_s)
    ours = np.mean([delivery.delivered for delivery in found])
    mean = np.mean([track.trace.mean for track in tracks.values()])
    claims.append(
        claim(
            f"802.15.4 in Grenoble: {len(tracks)} links frame by frame", ours, float(mean),
            4 * 0.5 / len(devices) ** 0.5, unit="share", source="time means of the recordings",
        )
    )  # fmt: skip


def _campus(claims: list[Any], links: Path) -> None:
    for name, share in CAMPUS.items():
        trace = load_lora_campus(links / "lora_campus" / f"{name}.csv")
        track = {"node": LossyTrack(trace)}
        medium = ReplayLossyLink(
            track, track, ONE_ATTEMPT, radio=WIFI_NIC, rng=np.random.default_rng(1)
        )
        sent = len(trace.shares)
        found = medium.offer(["node"] * sent, [51] * sent, (8.0 * np.arange(sent)).tolist())
        ours = np.mean([delivery.delivered for delivery in found])
        claims.append(
            claim(f"LoRa, {name}: delivered", ours, share, 0.00051, unit="share", source=README)
        )


def _fits(claims: list[Any], links: Path) -> None:
    for technology, scenarios in INDOOR.items():
        for scenario, (exponent, at_1m_dbm, sigma_db) in enumerate(scenarios, start=1):
            fit = fit_log_distance(
                *load_indoor_rssi(
                    links / "indoor_rssi" / "indoor_rssi.tar.gz",
                    scenario=scenario,
                    technology=technology,
                )
            )
            for text, ours, oracle, tolerance, unit in (
                ("exponent", fit.exponent, exponent, 0.0051, ""),
                ("RSSI at 1 m", fit.rssi_at_1m_dbm, at_1m_dbm, 0.051, "dBm"),
                ("sigma", fit.sigma_db, sigma_db, 0.051, "dB"),
            ):
                text_ = f"indoor {technology} {scenario}: {text}"
                claims.append(claim(text_, ours, oracle, tolerance, unit=unit, source=README))


def _phones(claims: list[Any], curves: dict[str, Any], traces: Path) -> None:
    phones = load_phones(traces / "availability_1000_phones.json.gz")
    share = np.sort([trace.up_share for trace in phones.traces.values()])
    claims.append(claim("phones usable", len(share), 710, 0, unit="", source=README))
    for text, ours, oracle in (
        ("mean", share.mean(), 0.095),
        ("median", np.percentile(share, 50), 0.055),
        ("90th percentile", np.percentile(share, 90), 0.255),
    ):
        text_ = f"710 phones: {text} share of the time ready"
        claims.append(claim(text_, ours, oracle, 0.00051, unit="share", source=README))
    curves["ready share"] = share.tolist()


def _engines(claims: list[Any], links: Path, n: int) -> None:
    family = Replay(
        format="mahimahi",
        up=str(links / "mahimahi" / "TMobile-UMTS-driving.up.gz"),
        down=str(links / "mahimahi" / "TMobile-UMTS-driving.down.gz"),
    )
    devices = [f"d{row}" for row in range(n)]
    medium = family.medium(dict.fromkeys(devices, 0.0), rng=np.random.default_rng(1))
    found = medium.offer(devices, [40_000] * n, [0.0] * n)
    latency_s = np.array([delivery.finish_s for delivery in found])
    outcomes = family.burst(
        np.zeros(n),
        np.full(n, 40_000),
        np.zeros(n, np.int64),
        cells=np.zeros(n, np.int64),
        rng=np.random.default_rng(2),
    )
    joules = np.mean([delivery.energy_j for delivery in found])
    other_j = outcomes.energy_j(family.radio)
    sigma_s, sigma_j = latency_s.std() / n**0.5, other_j.std() / n**0.5
    source = "the lock-step engine, other seeds"
    claims += [
        claim(
            "40 kB over T-Mobile UMTS: mean latency, calendar", latency_s.mean(),
            outcomes.latency_s.mean(), 4 * 2**0.5 * sigma_s, unit="s", source=source,
        ),
        claim(
            "40 kB over T-Mobile UMTS: mean energy, calendar", joules,
            float(other_j.mean()), 4 * 2**0.5 * sigma_j, unit="J", source=source,
        ),
    ]  # fmt: skip


def draw(figures: dict[str, Any], path: Path) -> None:
    """Draw ours as lines or bars and what the README measured as markers."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    curves = figures["curves"]
    picture, panels = plt.subplots(2, 2, figsize=(9, 6.8), layout="constrained")
    (rates, hsdpa), (delivery, ready) = panels
    names, ours, oracle = zip(*curves["rates"], strict=True)
    rates.barh(names, ours, color="C0", alpha=0.6, label="saturated sender")
    rates.plot(oracle, names, "kx", ms=6, label="measured")
    rates.set(xlabel="Mbit/s over mahimahi's recordings")
    rates.tick_params(axis="y", labelsize=7)
    place = (np.arange(len(curves["hsdpa lines"])) + 1) / len(curves["hsdpa lines"])
    hsdpa.step(np.sort(curves["hsdpa carried"]), place, where="post", label="carried (over time)")
    hsdpa.step(np.sort(curves["hsdpa lines"]), place, where="post", ls="--", label="mean of lines")
    hsdpa.plot([0.60, 4.59], [0, 1], "kx", ms=6, label="measured extremes of lines")
    hsdpa.set(xlabel="Mbit/s per HSDPA recording", ylabel="share of recordings")
    delivery.plot(curves["rssi_dbm"], curves["delivery 5 dB"], label="curve, 5 dB bins")
    delivery.plot(curves["rssi_dbm"], curves["delivery 1 dB"], lw=1, label="curve, 1 dB bins")
    delivery.plot(*zip(*curves["bins"], strict=True), "kx", ms=6, label="measured, by bin")
    delivery.set(xlabel="RSSI (dBm), 802.15.4 in Grenoble", ylabel="share delivered")
    shares = curves["ready share"]
    ready.step(shares, (np.arange(len(shares)) + 1) / len(shares), where="post", label="710 phones")
    ready.plot([0.055, 0.255], [0.5, 0.9], "kx", ms=6, label="measured p50 and p90")
    ready.set(xlabel="share of the time ready", ylabel="share of phones")
    for panel in panels.flat:
        panel.grid(alpha=0.3)
        panel.legend(frameon=False, fontsize=8)
    picture.savefig(path)
    plt.close(picture)
