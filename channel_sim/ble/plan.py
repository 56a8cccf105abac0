"""One BLE message up by formula, alone in its cell.

Exact without frame errors. With errors it is first order: a poll that fails its
CRC is taken as right, and the phase of the last event is that without errors.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from channel_sim.ble.phy import ACCESS_BITS, IFS_NS, log_bit_success
from channel_sim.checks import check_count, check_known
from channel_sim.family import LinkPlan
from channel_sim.units import SECOND_NS, decibel

if TYPE_CHECKING:
    from channel_sim.ble.family import Ble

Floats = npt.NDArray[np.float64]

OUT_OF_REACH = 1 - 1e-9
"""A frame that fails this surely never arrives."""
FADING_NODES = 1024


def plan(family: Ble, loss_db: npt.ArrayLike, size_bytes: int, *, fading: str) -> LinkPlan:
    """Work out one message; ``fading`` "rayleigh" is drawn anew for each frame (hopping).

    Latency is the mean over the phase of the message within the connection
    interval. Raises ValueError for a size below 1 byte and another fading.
    """
    check_count("size_bytes", size_bytes)
    check_known("fading", fading, ("none", "rayleigh"))
    losses_db = np.asarray(loss_db, dtype=np.float64)
    full = min(size_bytes, family.value_bytes)
    packets = -(-size_bytes // family.value_bytes)
    data_bits = family.air.frame_bits(family.frame_bytes(full))
    up_db, down_db = family.margin_db(losses_db), family.margin_db(losses_db, up=False)
    right = _success(up_db, data_bits, fading)
    noticed = _success(up_db, ACCESS_BITS, fading)
    poll_noticed = _success(down_db, ACCESS_BITS, fading)

    room = family.event_ns(1) // family.exchange_ns(0, full)
    per_event, answers, fails = _event(right, noticed, poll_noticed, room)
    reached = right * poll_noticed > 1 - OUT_OF_REACH
    tries = int(family.supervision_timeout_s / family.connection_interval_s)
    events = -(-packets // room)
    with np.errstate(divide="ignore", invalid="ignore"):
        used = np.where(reached, events + packets / per_event - packets / room, tries)
        attempts = np.where(reached, packets * answers / per_event, tries * answers)
        heard = np.maximum(events, packets * (1 - fails) / per_event)
        loss = np.where(reached, 1 - (1 - fails**tries) ** heard, 1.0)
    last_bytes = size_bytes - (packets - 1) * family.value_bytes
    in_last = packets - (events - 1) * room
    tail_ns = (in_last - 1) * family.exchange_ns(0, full)
    tail_ns += family.exchange_ns(0, last_bytes) - IFS_NS
    latency_s = family.connection_interval_s * (used - 0.5) + tail_ns / SECOND_NS
    frames_ns = (packets - 1) * family.air.air_ns(family.frame_bytes(full))
    frames_ns += family.air.air_ns(family.frame_bytes(last_bytes))
    air_s = attempts * frames_ns / packets / SECOND_NS
    # The gap after the last frame of an event is not listened to.
    idle_s = (2 * attempts - used) * IFS_NS / SECOND_NS + used * family.wake_s
    polls_s = attempts * family.air.air_ns(0) / SECOND_NS
    radio = family.radio
    energy_j = air_s * radio.tx_w + polls_s * radio.rx_w + np.maximum(idle_s, 0) * radio.idle_w
    return LinkPlan(
        loss_db=losses_db,
        rx_power_dbm=family.tx_power_dbm - losses_db,
        snr_db=family.snr_db(losses_db),
        rate_bps=np.where(reached, family.air.rate_bps, 0.0),
        packets=np.full(losses_db.shape, packets, dtype=np.int64),
        packet_error=1 - right,
        message_loss=loss,
        air_s=np.where(reached, air_s, np.inf),
        latency_s=np.where(reached, latency_s, np.inf),
        energy_j=energy_j,
    )


def _success(margin_db: Floats, bits: int, fading: str) -> Floats:
    """Probability that all bits of a frame are right, mean over the fading."""
    if fading == "none":
        return np.asarray(np.exp(bits * log_bit_success(margin_db)))
    # The mean over a gain of Exp(1): midpoints of equal probability.
    gains = -np.log1p(-(np.arange(FADING_NODES) + 0.5) / FADING_NODES)
    faded_db = margin_db[..., np.newaxis] + decibel(gains)
    return np.asarray(np.exp(bits * log_bit_success(faded_db)).mean(axis=-1))


def _event(
    right: Floats, noticed: Floats, poll_noticed: Floats, room: int
) -> tuple[Floats, Floats, Floats]:
    """Mean frames that one event of ``room`` exchanges carries, and mean answers in it.

    Last the probability that it carries none. Counted backwards over the
    exchanges that are left, after a right (0) and after a wrong frame (1): the
    second wrong frame in a row and a frame that is not noticed end the event.
    """
    advance = poll_noticed * right
    wrong = poll_noticed * (noticed - right)
    frames_0 = frames_1 = answers_0 = answers_1 = np.zeros_like(advance)
    for _ in range(room):
        after_right = advance * (1 + frames_0)
        frames_0, frames_1 = after_right + wrong * frames_1, after_right
        after_right = poll_noticed + advance * answers_0
        answers_0, answers_1 = after_right + wrong * answers_1, after_right
    fails = 1 - advance * (1 + (wrong if room > 1 else 0))
    return frames_0, answers_0, np.clip(fails, 0.0, 1.0)
