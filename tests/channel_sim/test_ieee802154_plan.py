from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest

from channel_sim.ieee802154 import ACK_NS, Zigbee, frame_ns, ifs_ns
from channel_sim.ieee802154.air import log_bit_success
from channel_sim.ieee802154.timing import ACK_WAIT_NS, CCA_NS, TURNAROUND_NS, UNIT_BACKOFF_NS

NS3_NOISE_FIGURE_DB = -106.987 + 174 - 10 * math.log10(2e6)

# ns-3.37, PER against SNR for 20, 40, 100 and 127 bytes (oracles.md 3.4).
PER_BY_SNR = {
    -2.0: (0.566, 0.811, 0.985, 0.995),
    -1.0: (0.168, 0.308, 0.601, 0.689),
    -0.5: (0.0708, 0.1366, 0.3073, 0.3727),
    0.0: (0.0255, 0.0504, 0.1212, 0.1514),
    0.5: (0.00787, 0.01568, 0.03874, 0.04894),
    1.0: (0.00206, 0.00412, 0.01028, 0.01303),
    2.0: (8.2e-5, 1.6e-4, 4.1e-4, 5.2e-4),
}

# ns-3.37, lost share of 4000 frames against metres, 0 dBm, no acknowledgement (oracles.md 3.4).
DISTANCES_M = np.array([90, 95, 100, 105, 110, 115, 120, 125, 130])
PER_BY_DISTANCE = {
    20: (0.0005, 0.0048, 0.0228, 0.095, 0.261, 0.546, 0.810, 0.962, 0.995),
    40: (0.001, 0.0083, 0.0335, 0.138, 0.376, 0.691, 0.918, 0.994, 1.0),
    100: (0.0013, 0.015, 0.0693, 0.258, 0.610, 0.910, 0.996, 1.0, 1.0),
}


def test_times_by_hand() -> None:
    # 6 + 9 + 100 + 2 bytes of 32 us; the acknowledgement 11 bytes; the longest 133 bytes.
    assert frame_ns(111) == 3_744_000
    assert ACK_NS == 352_000
    assert frame_ns(127) == 4_256_000
    assert (UNIT_BACKOFF_NS, CCA_NS, TURNAROUND_NS) == (320_000, 128_000, 192_000)
    assert ACK_WAIT_NS == 864_000
    assert ifs_ns(18) == 192_000
    assert ifs_ns(19) == 640_000


@pytest.mark.parametrize("snr_db", PER_BY_SNR)
def test_error_by_snr_as_ns3(snr_db: float) -> None:
    bit = log_bit_success(10 ** (snr_db / 10))
    found = [-math.expm1(8 * size_bytes * bit) for size_bytes in (20, 40, 100, 127)]
    assert found == pytest.approx(PER_BY_SNR[snr_db], rel=0.02, abs=5e-4)


@pytest.mark.parametrize("payload_bytes", PER_BY_DISTANCE)
def test_error_by_distance_as_ns3(payload_bytes: int) -> None:
    family = Zigbee(noise_figure_db=NS3_NOISE_FIGURE_DB, ack=False)
    plan = family.plan(46.6777 + 30 * np.log10(DISTANCES_M), payload_bytes)
    measured = np.array(PER_BY_DISTANCE[payload_bytes])
    sigma = np.sqrt(plan.packet_error * (1 - plan.packet_error) / 4000)
    # 3.5 sigma of 4000 frames and the last printed digit.
    assert np.all(np.abs(plan.packet_error - measured) < 3.5 * sigma + 6e-4)
    assert plan.message_loss == pytest.approx(plan.packet_error)


def test_default_sensitivity_is_minus_100_dbm() -> None:
    family = Zigbee()
    bit = log_bit_success(10 ** ((-100 - family.noise_dbm) / 10))
    assert -math.expm1(8 * 20 * bit) == pytest.approx(0.01, rel=0.05)


def test_one_frame_on_a_clear_channel_by_hand() -> None:
    plan = Zigbee().plan(np.array([60.0]), 100)
    # 3.5 periods of 320, CCA 128, turn 192, frame 3744, turn 192, acknowledgement 352 us.
    assert plan.latency_s == pytest.approx([(1120 + 128 + 192 + 3744 + 192 + 352) * 1e-6])
    assert plan.air_s == pytest.approx([3744e-6])
    radio = Zigbee().radio
    energy_uj = 3744 * radio.tx_w + 352 * radio.rx_w + (1120 + 128 + 192 + 192) * radio.idle_w
    assert plan.energy_j == pytest.approx([energy_uj * 1e-6])
    assert plan.message_loss == pytest.approx([0.0], abs=1e-12)
    assert plan.packets.tolist() == [1]


def lone(
    family: Zigbee, losses_db: np.ndarray, size_bytes: int, repeats: int, blocks: object = None
) -> dict[str, np.ndarray]:
    """Means over ``repeats`` PANs of one device for each loss, by the lock-step engine."""
    count = len(losses_db) * repeats
    found = family.burst(
        np.repeat(losses_db, repeats),
        np.full(count, size_bytes),
        np.zeros(count, dtype=np.int64),
        cells=np.arange(count),
        rng=np.random.default_rng(11),
        blocks=blocks,  # type: ignore[arg-type]
    )
    shape = (len(losses_db), repeats)
    return {
        "delivered": found.delivered.reshape(shape),
        "latency_s": found.latency_s.reshape(shape),
        "air_s": found.air_ns.reshape(shape) / 1e9,
        "energy_j": found.energy_j(family.radio).reshape(shape),
    }


@pytest.mark.parametrize("ack", [True, False])
@pytest.mark.parametrize("size_bytes", [60, 500])
def test_formulas_agree_with_the_engine(size_bytes: int, *, ack: bool) -> None:
    family = Zigbee(ack=ack, station_tx_power_dbm=-1.0)
    losses_db = np.array([97.0, 99.5, 100.0, 100.5, 101.0])
    plan = family.plan(losses_db, size_bytes)
    repeats = 3000
    found = lone(family, losses_db, size_bytes, repeats)
    lost = 1 - found["delivered"].mean(axis=1)
    sigma = np.sqrt(plan.message_loss * (1 - plan.message_loss) / repeats)
    assert np.all(np.abs(lost - plan.message_loss) < 4.5 * sigma + 1e-9)
    spent = found["energy_j"]
    assert np.all(
        np.abs(spent.mean(axis=1) - plan.energy_j)
        < 4.5 * spent.std(axis=1) / repeats**0.5 + 2e-4 * plan.energy_j
    )
    for key in ("latency_s", "air_s"):
        for row, expected in enumerate(getattr(plan, key)):
            values = found[key][row][found["delivered"][row]]
            if len(values) > 30:
                assert (
                    abs(values.mean() - expected)
                    < 4.5 * values.std() / len(values) ** 0.5 + 2e-4 * expected
                )


class OneBlock:
    """Static Rayleigh gains by link, drawn by inverse transform of a fixed grid."""

    coherence_ns = 2**62

    def gains(self, links: np.ndarray, blocks: np.ndarray) -> np.ndarray:
        assert not blocks.any()
        return -np.log(((links * 0.6180339887498949) % 1.0) * (1 - 1e-9) + 1e-9)


def test_rayleigh_mean_agrees_with_the_engine() -> None:
    family = Zigbee()
    losses_db = np.array([85.0, 92.0, 98.0])
    plan = family.plan(losses_db, 300, fading="rayleigh")
    found = lone(family, losses_db, 300, 4000, OneBlock())
    assert 1 - found["delivered"].mean(axis=1) == pytest.approx(plan.message_loss, abs=0.012)
    assert found["energy_j"].mean(axis=1) == pytest.approx(plan.energy_j, rel=0.03)


def test_plan_is_monotone() -> None:
    losses_db = np.linspace(90, 110, 81)
    for fading in ("none", "rayleigh"):
        plans = [Zigbee().plan(losses_db, size, fading=fading) for size in (20, 100, 500, 2000)]
        for plan in plans:
            assert np.all(np.diff(plan.packet_error) >= -1e-12)
            assert np.all(np.diff(plan.message_loss) >= -1e-12)
        for short, long in pairwise(plans):
            assert np.all(long.message_loss >= short.message_loss - 1e-12)


def test_out_of_reach_is_told() -> None:
    plan = Zigbee().plan(np.array([60.0, 130.0]), 100)
    assert plan.rate_bps.tolist() == [250e3, 0.0]
    assert plan.message_loss[1] == pytest.approx(1.0)
    assert math.isinf(plan.latency_s[1])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"min_be": 6}, "max_be = 5 is outside 6 to 8"),
        ({"max_csma_backoffs": 6}, "max_csma_backoffs = 6"),
        ({"max_frame_retries": -1}, "max_frame_retries = -1"),
        ({"mac_header_bytes": 120}, "mac_header_bytes = 120"),
        ({"tx_power_dbm": math.nan}, "tx_power_dbm = nan"),
        ({"cca_threshold_dbm": math.inf}, "cca_threshold_dbm = inf"),
        ({"mtu_bytes": 4000}, "mtu_bytes = 4000"),
    ],
)
def test_bad_parameters_are_named(change: dict[str, float], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Zigbee(**change)  # type: ignore[arg-type]


def test_bad_arguments_are_named() -> None:
    with pytest.raises(ValueError, match="'rayleigh'"):
        Zigbee().plan(80.0, 10, fading="rayleight")
    with pytest.raises(ValueError, match="loss_db"):
        Zigbee().plan(math.nan, 10)
    with pytest.raises(ValueError, match="size_bytes = 0"):
        Zigbee().plan(80.0, 0)
