"""One message up over an otherwise empty cell, by formula."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from channel_sim.cellular.harq import Floats, Ints, failures, mean_attempts, message_loss
from channel_sim.cellular.transfer import Sender
from channel_sim.checks import check_count, check_known
from channel_sim.family import LinkPlan
from channel_sim.units import SECOND_NS, decibel

if TYPE_CHECKING:
    from channel_sim.cellular.family import Cellular

QUANTILES = 400
"""Gains that stand for Rayleigh fading: the middles of equal parts of its distribution."""


def plan(
    family: Cellular, loss_db: npt.ArrayLike, size_bytes: int, *, fading: str = "none"
) -> LinkPlan:
    """Work out one message of ``size_bytes`` over each loss.

    A device at rest waits half a period for the random access, where it is
    alone. ``fading`` "rayleigh": every round of HARQ meets a gain of its own,
    its attempts the same one. Where no mode reaches, the rate and the joules
    are 0 and the times infinite. Raises ValueError for another fading and a
    size below 1 byte.
    """
    check_count("size_bytes", size_bytes)
    check_known("fading", fading, ("none", "rayleigh"))
    loss = np.asarray(loss_db, dtype=np.float64)
    flat = loss.reshape(-1)
    sender = Sender(family, "up", flat, blocks=None)
    heard = np.flatnonzero(sender.heard)
    mode, cut = sender.chosen[heard], sender.cut(heard, np.full(len(heard), size_bytes))
    failed = _failed(family, sender, heard, fading)
    attempts = mean_attempts(failed, family.rlc_rounds)
    access_s = _access_s(family, sender, mode)
    transfer_s = _transfer_ns(family, sender, heard, cut.packets, cut.last, failed) / SECOND_NS
    air_s = attempts * ((cut.packets - 1) * sender.air_ns[mode] + cut.last_air_ns) / SECOND_NS
    latency_s = access_s + transfer_s
    tx_s = air_s + (0.0 if family.connected else family.preamble_s)
    rest_s = np.maximum(latency_s - tx_s, 0)
    rx_s = np.minimum(attempts * cut.packets * sender.control_ns[mode] / SECOND_NS, rest_s)
    radio = family.radio
    energy_j = tx_s * radio.tx_w + rx_s * radio.rx_w + (rest_s - rx_s) * radio.idle_w

    def spread(values: npt.ArrayLike, elsewhere: float) -> Floats:
        column = np.full(len(flat), elsewhere)
        column[heard] = values
        return column.reshape(loss.shape)

    rates = [step.rate_bps * sender.fraction for step in sender.modes.steps]
    rx_power_dbm = family.tx_power_dbm - loss
    # Out of reach: as the lowest mode would hear it.
    snr_db = sender.modes.snr_db(np.maximum(sender.chosen, 0).reshape(loss.shape), rx_power_dbm)
    return LinkPlan(
        loss_db=loss,
        rx_power_dbm=rx_power_dbm,
        snr_db=snr_db,
        rate_bps=spread(np.array(rates)[mode], 0.0),
        packets=spread(cut.packets, 1).astype(np.int64),
        packet_error=spread(failed[1], 1.0),
        message_loss=spread(message_loss(failed, family.rlc_rounds, cut.packets), 1.0),
        air_s=spread(air_s, np.inf),
        latency_s=spread(latency_s, np.inf),
        energy_j=spread(energy_j + radio.overhead_j(wakes=0 if family.connected else 1), 0.0),
    )


def _failed(family: Cellular, sender: Sender, heard: Ints, fading: str) -> Floats:
    """Probability that the first j attempts of a round all fail, shape (attempts + 1, links)."""
    assert sender.errors is not None  # noqa: S101 - built without fading blocks
    if fading == "none":
        return failures(sender.errors[:, heard])
    gains = -np.log1p(-(np.arange(QUANTILES) + 0.5) / QUANTILES)
    heard_gain = np.ones(family.harq_attempts)
    if family.harq_combining == "chase":
        heard_gain = np.cumsum(heard_gain)
    gain_db = decibel(heard_gain)[:, None] + decibel(gains)
    errors = [
        sender.modes.error(sender.chosen[link], sender.snr_db[link] + gain_db) for link in heard
    ]
    means = [failures(error).mean(axis=1) for error in errors]
    return np.reshape(means, (len(heard), family.harq_attempts + 1)).T


def _access_s(family: Cellular, sender: Sender, mode: Ints) -> Floats:
    """Mean seconds from ready to the first grant."""
    if family.connected:
        return np.full(len(mode), family.grant_s)
    wait_s = family.prach_period_s / 2 + family.setup_s + family.grant_s
    return np.asarray(wait_s + sender.signalling_ns[mode] / SECOND_NS)


def _transfer_ns(
    family: Cellular, sender: Sender, heard: Ints, packets: Ints, last: Floats, failed: Floats
) -> Floats:
    """Mean time from the first grant to the last block received.

    The larger of two means: the carrier is through with all attempts, or the
    latest retransmission of a block ends the message. Block m from the end, spaced
    s, has its attempt k + 1 at k round trips, m s earlier than the last block; the
    mean of the maximum is the integral of 1 - the product of the chances. The mean
    of the larger one lies above the larger mean, by 3 % at most where we looked.
    """
    mode = sender.chosen[heard]
    spacing = sender.air_ns[mode] / (sender.duty[mode] * sender.fraction)
    shortened = np.where([sender.modes.steps[place].by_time for place in mode], last, 1.0)
    work = mean_attempts(failed, family.rlc_rounds) * (packets - 1 + last) * spacing
    base = (packets - 1) * spacing + sender.air_ns[mode] * shortened
    trip_ns = max(family.harq.round_trip_ns, 1)
    horizon = trip_ns * (family.harq_attempts - 1)
    late = np.linspace(0, 1, 241)[:, None] * horizon
    within = np.ones((len(late), len(mode)))
    chances = np.concatenate([failed[:-1], np.zeros_like(failed[:1])])
    for back in range(
        int(min(packets.max(initial=0), np.ceil(horizon / spacing).max(initial=0) + 1))
    ):
        tries = np.minimum((late + back * spacing) // trip_ns + 1, len(chances) - 1)
        missed = np.take_along_axis(chances, tries.astype(np.int64), axis=0)
        within *= np.where(back < packets, 1 - missed, 1.0)
    tail = (1 - within).sum(axis=0) * horizon / (len(late) - 1)
    return np.asarray(np.maximum(work, base + tail))
