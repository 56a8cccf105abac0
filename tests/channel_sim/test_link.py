from __future__ import annotations

import math

import numpy as np
import pytest

from channel_sim import SHANNON, Arq, Link, RayleighBlocks, TruncatedShannon

INDOOR = Link(
    bandwidth_hz=20e6,
    tx_power_dbm=16.0,
    path_loss_db=70.052,
    noise_figure_db=7.0,
    fade_margin_db=10.0,
    shannon=TruncatedShannon(0.6, 4.4, -10.0),
    arq=Arq(1500, 5, 0.045),
)


def link(**changes: object) -> Link:
    fields = {key: getattr(INDOOR, key) for key in INDOOR.__dataclass_fields__}
    return Link(**{**fields, **changes})


def faded(snr_db: float, margin_db: float, **changes: object) -> Link:
    """Return a Rayleigh link of this mean SNR with plain Shannon rates."""
    noise_dbm = -174 + 10 * math.log10(20e6) + 7
    return link(
        path_loss_db=16.0 - noise_dbm - snr_db,
        fade_margin_db=margin_db,
        shannon=SHANNON,
        fading=RayleighBlocks(0.05, np.random.default_rng(11)),
        **changes,
    )


def test_the_chain_of_the_budget_adds_up() -> None:
    # 10 m at 2.4 GHz, n = 3: 40.052 + 30 dB; noise of 20 MHz, NF 7: -93.99 dBm (oracles.md 2.4).
    assert INDOOR.rx_power_dbm == pytest.approx(-54.052)
    assert INDOOR.mean_snr_db == pytest.approx(39.94, abs=0.005)
    shadowed = link(shadowing_db=5.0)
    assert INDOOR.mean_snr_db - shadowed.mean_snr_db == pytest.approx(5.0)


def test_the_rate_is_what_mean_snr_less_margin_carries() -> None:
    # TR 36.942 downlink at 10 dB: 2.076 bit/s/Hz (oracles.md 2.10).
    path_loss_db = 70.052 + INDOOR.mean_snr_db - 20.0
    assert link(path_loss_db=path_loss_db).rate_bps == pytest.approx(20e6 * 2.076, rel=3e-4)


def test_power_beyond_the_cap_buys_margin_and_no_rate() -> None:
    assert INDOOR.rate_bps == pytest.approx(20e6 * 4.4)
    assert INDOOR.required_snr_db == pytest.approx(10 * math.log10(2 ** (4.4 / 0.6) - 1))


@pytest.mark.parametrize(
    ("threshold_db", "probability"),
    # oracles.md 3.1: Rayleigh outage at a mean of 10 dB.
    [(0, 0.09516), (3, 0.18088), (5, 0.27111), (10, 0.63212)],
)
def test_outage_is_the_rayleigh_closed_form(threshold_db: float, probability: float) -> None:
    assert faded(10.0, 10.0 - threshold_db).outage == pytest.approx(probability, abs=5e-6)


@pytest.mark.parametrize("snr_db", np.linspace(-9.5, 60.0, 50).tolist())
def test_without_fading_and_margin_no_packet_fails(snr_db: float) -> None:
    # The threshold must not be lost to rounding on its way through the rate.
    path_loss_db = 70.052 + INDOOR.mean_snr_db - snr_db
    sure = link(path_loss_db=path_loss_db, fade_margin_db=0.0)
    assert sure.outage == 0.0
    assert sure.transfer(40_000, 0.0).attempts == 27


def test_without_fading_a_rate_too_high_always_fails() -> None:
    greedy = link(path_loss_db=100.0, fade_margin_db=-1.0)
    assert greedy.outage == 1.0
    assert not greedy.transfer(100, 0.0).delivered


def test_out_of_reach_nothing_is_sent() -> None:
    far = link(path_loss_db=70.052 + INDOOR.mean_snr_db + 0.1)
    assert far.rate_bps == 0.0
    assert far.outage == 1.0
    transfer = far.transfer(40_000, 3.0)
    assert (transfer.delivered, transfer.attempts, transfer.packets) == (False, 0, 27)
    assert (transfer.air_s, transfer.finish_s) == (0.0, 3.0)


def test_a_transfer_leaves_no_trace_in_the_link() -> None:
    one = faded(10.0, 3.0)
    first = [one.transfer(40_000, t_s) for t_s in (0.0, 9.0, 70.0)]
    assert [one.transfer(40_000, t_s) for t_s in (70.0, 0.0, 9.0)] == [first[2], first[0], first[1]]


def test_packets_of_one_block_share_its_fate() -> None:
    # 100 packets of 100 B last 100 * 8 us at 100 Mb/s, far less than a block:
    # without retries a message fails as often as a single packet does.
    one = faded(20.0, 10.0, arq=Arq(100, 1, 0.0), bandwidth_hz=20e6)
    messages = 5_000
    lost = sum(not one.transfer(10_000, 0.05 * k + 0.01).delivered for k in range(messages))
    sigma = math.sqrt(messages * one.outage * (1 - one.outage))
    assert abs(lost - messages * one.outage) < 3 * sigma


@pytest.mark.parametrize(
    ("key", "value"),
    [("bandwidth_hz", -1.0), ("tx_power_dbm", math.inf), ("path_loss_db", math.nan)],
)
def test_bad_parameters_are_refused_by_key_and_value(key: str, value: float) -> None:
    with pytest.raises(ValueError, match=rf"{key} = {value} .*give"):
        link(**{key: value})
