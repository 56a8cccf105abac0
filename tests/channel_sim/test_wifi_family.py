"""Parameters, the plan of one message against the calendar, and the presets."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from channel_sim.medium import Delivery
from channel_sim.presets import load_preset
from channel_sim.reception.wifi_error import wifi_per
from channel_sim.wifi import Wifi
from channel_sim.wifi.timing import StandardName

NOISE_DBM = -174 + 10 * np.log10(20e6) + 7


def simulated(wifi: Wifi, loss_db: float, size_bytes: int, seeds: int = 300) -> list[Delivery]:
    found = []
    for seed in range(seeds):
        medium = wifi.medium({"a": loss_db}, rng=np.random.default_rng(seed))
        found += medium.offer(["a"], [size_bytes], [0])
    return found


@pytest.mark.parametrize(
    ("wifi", "loss_db", "size_bytes"),
    [
        (Wifi(standard="a"), 56.0, 20_000),
        (Wifi(standard="b", ccmp=True), 56.0, 4000),
        (Wifi(standard="n", mode=5), 16 - NOISE_DBM - 16.3, 6000),
        (Wifi(standard="n", ampdu_bytes=65_535), 56.0, 150_000),
        (Wifi(standard="ax", ampdu_bytes=65_535, width_mhz=80), 60.0, 40_000),
    ],
)
def test_plan_is_the_mean_of_the_calendar(wifi: Wifi, loss_db: float, size_bytes: int) -> None:
    plan = wifi.plan(loss_db, size_bytes)
    found = [item for item in simulated(wifi, loss_db, size_bytes) if item.delivered]
    assert plan.packets == found[0].packets
    for name, mine in (
        ("finish_s", plan.latency_s),
        ("air_s", plan.air_s),
        ("energy_j", plan.energy_j),
    ):
        values = np.array([getattr(item, name) for item in found])
        error = 4 * values.std() / np.sqrt(len(values))
        assert abs(values.mean() - float(mine)) <= error + 1e-9 + 0.001 * values.mean(), name


def test_plan_of_losses() -> None:
    """PER p per attempt: lost after R failures, the message with any packet."""
    wifi = Wifi(standard="a", mode=7, retry_limit=2)
    snr_db = 17.5
    loss_db = 16 - NOISE_DBM - snr_db
    plan = wifi.plan(loss_db, 3 * 1500)
    per = float(wifi_per("ofdm54", snr_db, 1536))
    assert plan.snr_db == pytest.approx(snr_db)
    assert float(plan.packet_error) == pytest.approx(per, abs=2e-3)
    assert float(plan.message_loss) == pytest.approx(1 - (1 - per**2) ** 3, abs=5e-3)
    found = simulated(wifi, loss_db, 3 * 1500, seeds=600)
    share = np.mean([not item.delivered for item in found])
    assert share == pytest.approx(float(plan.message_loss), abs=4 * np.sqrt(0.25 / 600))


def test_rayleigh_average() -> None:
    """Against a brute-force mean over drawn fades."""
    wifi = Wifi(standard="n", mode=4)
    loss_db = 16 - NOISE_DBM - 20.0
    fades_db = 20 + 10 * np.log10(np.random.default_rng(1).exponential(size=200_000))
    error = np.where(fades_db < 4, 1.0, wifi_per("ht4", fades_db, 1538)).mean()
    plan = wifi.plan(loss_db, 1500, fading="rayleigh")
    assert float(plan.packet_error) == pytest.approx(error, abs=0.004)
    with pytest.raises(ValueError, match="did you mean"):
        wifi.plan(loss_db, 1500, fading="raileigh")


def test_plan_over_distance() -> None:
    losses_db = np.linspace(50, 120, 141)
    for wifi in (Wifi(standard="g"), Wifi(standard="n", ampdu_bytes=65_535)):
        plan = wifi.plan(losses_db, 40_000)
        assert (np.diff(plan.rate_bps) <= 0).all()
        assert (np.diff(plan.snr_db) < 0).all()
        out = plan.snr_db < 4
        assert (plan.message_loss[out] == 1).all()
        assert np.isinf(plan.latency_s[out]).all()
        assert (plan.rate_bps[out] == 0).all()
        assert np.isfinite(plan.latency_s[~out]).all()


@pytest.mark.parametrize(
    ("snr_db", "index"),
    # 10 % of 1500 B at 17.10 (MCS 5), 18.40 (MCS 6), 19.65 (MCS 7): oracles.md 3.5
    [
        (5.0, 1),
        (12.0, 3),
        (17.0, 4),
        (17.3, 5),
        (18.3, 5),
        (18.6, 6),
        (19.5, 6),
        (19.9, 7),
        (40, 7),
    ],
)
def test_ideal_mode(snr_db: float, index: int) -> None:
    wifi = Wifi(standard="n")
    plan = wifi.plan(16 - NOISE_DBM - snr_db, 1500)
    assert plan.rate_bps == pytest.approx(wifi.modes[index].rate_bps)
    margin = Wifi(standard="n", fade_margin_db=10.0)
    assert margin.plan(16 - NOISE_DBM - snr_db - 10, 1500).rate_bps == plan.rate_bps


def test_noise_and_streams() -> None:
    assert Wifi().noise_dbm == pytest.approx(-93.99, abs=0.005)  # oracles.md 2.4
    assert Wifi(width_mhz=40).noise_dbm == pytest.approx(-90.98, abs=0.005)
    one, two = (Wifi(streams=streams).plan(80.0, 1500) for streams in (1, 2))
    assert one.snr_db - two.snr_db == pytest.approx(3.0103)
    assert two.rate_bps == pytest.approx(2 * one.rate_bps)


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"standard": "m"}, "did you mean"),
        ({"mode": 8}, "mode = 8"),
        ({"width_mhz": 80}, "width_mhz = 80"),
        ({"retry_limit": 0}, "retry_limit = 0"),
        ({"cw_min": 63, "cw_max": 31}, "cw_min = 63"),
        ({"cw_min": 0}, "cw_min = 0"),
        ({"standard": "g", "ampdu_bytes": 65_535}, "ampdu_bytes = 65535"),
        ({"mtu_bytes": 9000}, "mtu_bytes = 9000"),
        ({"on_loss": "retry"}, "on_loss = 'retry'"),
        ({"post_collision": "sifs"}, "post_collision"),
        ({"detection_snr_db": -1.0}, "detection_snr_db"),
        ({"tx_power_dbm": float("nan")}, "tx_power_dbm"),
    ],
)
def test_bad_parameters_are_named(change: dict[str, Any], word: str) -> None:
    with pytest.raises(ValueError, match=word):
        Wifi(**change)


def test_wifi_of_unknown_device() -> None:
    medium = Wifi().medium({"a": 60.0}, rng=np.random.default_rng(0))
    with pytest.raises(ValueError, match="no link"):
        medium.offer(["b"], [100], [0])


@pytest.mark.parametrize(
    ("name", "standard", "fastest_mbps"),
    [("wifi_n_home", "n", 65.0), ("wifi_ax_home", "ax", 600.5), ("wifi_g", "g", 54.0)],
)
def test_presets(name: str, standard: StandardName, fastest_mbps: float) -> None:
    preset = load_preset(name)
    assert preset.family.standard == standard
    plan = preset.family.plan(50.0, 40_000)
    assert float(plan.rate_bps) / 1e6 == pytest.approx(fastest_mbps, abs=0.05)
    # oracles.md 0: 40 kB over Wi-Fi take about 10 ms, an 80 MHz channel far less
    assert 0.0005 < float(plan.latency_s) < 0.011
    assert preset.sources["retry_limit"].text
