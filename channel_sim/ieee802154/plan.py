"""One message up on an empty PAN, by formula: loss, time and energy for each path loss.

No contention: the channel is always found idle. What several devices do to
each other takes one of the two engines.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from channel_sim.checks import check_finite, check_known
from channel_sim.family import LinkPlan
from channel_sim.ieee802154.air import LOCK_SINR_DB
from channel_sim.ieee802154.timing import (
    ACK_BYTES,
    ACK_NS,
    ACK_WAIT_NS,
    CCA_NS,
    PHY_BYTES,
    RATE_BPS,
    TURNAROUND_NS,
    UNIT_BACKOFF_NS,
    frame_ns,
    ifs_ns,
)
from channel_sim.reception.oqpsk import oqpsk_ber
from channel_sim.units import SECOND_NS, linear

if TYPE_CHECKING:
    from channel_sim.ieee802154.family import Zigbee

Floats = npt.NDArray[np.float64]
GAINS = -np.log((np.arange(400) + 0.5) / 400)
"""Power gains of a Rayleigh channel at the middles of 400 equally likely classes."""


@dataclass(slots=True)
class _Sum:
    """Means over a message so far: given that all went well, and over all that can happen."""

    alive: Floats
    air_ns: Floats
    total_ns: Floats
    tx_ns: Floats
    rx_ns: Floats
    spent_ns: Floats


def plan_links(
    family: Zigbee, loss_db: npt.ArrayLike, size_bytes: int, *, fading: str = "none"
) -> LinkPlan:
    """Work out one message of ``size_bytes`` up over each loss in dB (any shape).

    ``packet_error`` is that of the longest frame's data, without its
    acknowledgement. ``fading`` "rayleigh" takes one gain for the whole message,
    the same both ways, and averages over it. Raises ValueError for a loss
    that is not finite, a size below 1 byte and a fading that is not known.
    """
    check_finite("loss_db", loss_db)
    check_known("fading", fading, ("none", "rayleigh"))
    loss = np.asarray(loss_db, dtype=np.float64)
    gains = GAINS if fading == "rayleigh" else np.ones(1)
    snr_db = family.tx_power_dbm - loss - family.noise_dbm
    down_snr_db = family.station_tx_power_dbm - loss - family.noise_dbm
    frames_bytes = family.frames_bytes(size_bytes)
    data_bit = _bit_error(snr_db, gains)
    ack_bit = _bit_error(down_snr_db, gains)
    total, lost = _message(family, frames_bytes, data_bit, ack_bit)
    delivered = (1 - lost).mean(axis=-1)
    longest = -np.expm1((PHY_BYTES + max(frames_bytes)) * 8 * np.log1p(-data_bit))

    def given_delivered(values_ns: Floats) -> Floats:
        """Mean in seconds over the gains, weighted by how often the message arrives."""
        weighted = (values_ns * (1 - lost)).mean(axis=-1)
        infinite = np.full(weighted.shape, np.inf)
        return np.asarray(
            np.divide(weighted, delivered * SECOND_NS, out=infinite, where=delivered > 0)
        )

    radio = family.radio
    energy_j = (
        total.tx_ns * radio.tx_w
        + total.rx_ns * radio.rx_w
        + (total.spent_ns - total.tx_ns - total.rx_ns) * radio.idle_w
    ) / SECOND_NS
    return LinkPlan(
        loss_db=loss,
        rx_power_dbm=family.tx_power_dbm - loss,
        snr_db=snr_db,
        rate_bps=np.where(snr_db >= LOCK_SINR_DB, float(RATE_BPS), 0.0),
        packets=np.full(loss.shape, len(frames_bytes), dtype=np.int64),
        packet_error=longest.mean(axis=-1),
        message_loss=1 - delivered,
        air_s=given_delivered(total.air_ns),
        latency_s=given_delivered(total.total_ns),
        energy_j=energy_j.mean(axis=-1),
    )


def _bit_error(snr_db: Floats, gains: Floats) -> Floats:
    """Bit error rate by loss and gain; a frame that cannot be locked to is all error."""
    sinr = linear(snr_db)[..., None] * gains
    return np.where(sinr >= linear(LOCK_SINR_DB), oqpsk_ber(sinr), 1 - 1e-15)


def _message(
    family: Zigbee, frames_bytes: tuple[int, ...], data_bit: Floats, ack_bit: Floats
) -> tuple[_Sum, Floats]:
    """Run through the frames; return the means and the probability of loss."""
    total = _Sum(np.ones_like(data_bit), *(np.zeros_like(data_bit) for _ in range(5)))
    arrived = np.ones_like(data_bit)
    for place, psdu_bytes in enumerate(frames_bytes):
        last = place == len(frames_bytes) - 1
        data = np.exp((PHY_BYTES + psdu_bytes) * 8 * np.log1p(-data_bit))
        ack = np.exp((PHY_BYTES + ACK_BYTES) * 8 * np.log1p(-ack_bit))
        attempts = 1 + family.max_frame_retries if family.ack else 1
        if not family.ack:
            arrived = arrived * data
            _add_frame(family, total, psdu_bytes, last=last)
        else:
            good = data * ack
            arrived = arrived * (1 - (1 - (data if last else good)) ** attempts)
            _add_acknowledged(family, total, psdu_bytes, data, good, last=last)
    return total, 1 - arrived


def _access_ns(family: Zigbee) -> float:
    """Mean time from the start of CSMA-CA on an idle channel to the first bit."""
    return ((1 << family.min_be) - 1) / 2 * UNIT_BACKOFF_NS + CCA_NS + TURNAROUND_NS


def _add_frame(family: Zigbee, total: _Sum, psdu_bytes: int, *, last: bool) -> None:
    """Add a frame that is sent once, whatever becomes of it."""
    air_ns = frame_ns(psdu_bytes)
    spent_ns = _access_ns(family) + air_ns + (0 if last else ifs_ns(psdu_bytes))
    total.air_ns += air_ns
    total.tx_ns += air_ns
    total.total_ns += spent_ns
    total.spent_ns += spent_ns


def _add_acknowledged(
    family: Zigbee, total: _Sum, psdu_bytes: int, data: Floats, good: Floats, *, last: bool
) -> None:
    """Add a frame whose attempts succeed with ``good`` and arrive with ``data``."""
    limit = 1 + family.max_frame_retries
    air_ns, bad = frame_ns(psdu_bytes), 1 - good
    try_ns = _access_ns(family) + air_ns
    end_ns, pause_ns = TURNAROUND_NS + ACK_NS, 0 if last else ifs_ns(psdu_bytes)
    # Attempt k is the acknowledged one; the last frame may also arrive without.
    weights = [good * bad ** (k - 1) for k in range(1, limit + 1)]
    unheard = bad**limit - (1 - data) ** limit if last else np.zeros_like(data)
    passed = sum(weights) + unheard
    mean_air = sum(weight * k for k, weight in enumerate(weights, 1)) + unheard * limit
    mean_ns = sum(
        weight * (k * try_ns + (k - 1) * ACK_WAIT_NS + end_ns)
        for k, weight in enumerate(weights, 1)
    ) + unheard * limit * (try_ns + ACK_WAIT_NS)
    safe = np.where(passed > 0, passed, 1.0)
    total.air_ns += mean_air / safe * air_ns
    total.total_ns += mean_ns / safe + pause_ns
    # Over all that can happen, as far as the message comes.
    tries = sum(bad ** (k - 1) for k in range(1, limit + 1))
    heard = 1 - bad**limit
    total.tx_ns += total.alive * tries * air_ns
    total.rx_ns += total.alive * tries * data * ACK_NS
    total.spent_ns += total.alive * (
        tries * try_ns + (tries - heard) * ACK_WAIT_NS + heard * (end_ns + pause_ns)
    )
    total.alive *= heard
