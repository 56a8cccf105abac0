"""The air of one PAN: who is sending, who hears it, and what is received.

Frames of unequal power overlap; a reception is cut into chunks wherever the
set of senders changes, and each chunk fails by its own SINR (as ns-3's
lr-wpan does). Capture falls out of it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from channel_sim.family import Blocks
from channel_sim.ieee802154.timing import BIT_NS
from channel_sim.reception.oqpsk import oqpsk_ber
from channel_sim.units import linear

if TYPE_CHECKING:
    from channel_sim.ieee802154.family import Zigbee

LOCK_SINR_DB = -5.0
"""Below it no receiver synchronises (ns-3 lr-wpan-phy.cc, StartRx; 802.15.4-2006 figure E.2)."""
LOCK_SINR = 10 ** (LOCK_SINR_DB / 10)


CLEAN_SINR = 10.0
"""Above it the bit error rate is below 1e-42: no frame shows it in a double."""


def log_bit_success(sinr: float) -> float:
    """Return ln(1 - BER) at an SINR (linear)."""
    return 0.0 if sinr > CLEAN_SINR else _log_bit_success(sinr)


@lru_cache(maxsize=1 << 14)
def _log_bit_success(sinr: float) -> float:
    return math.log1p(-float(oqpsk_ber(sinr)))


@dataclass(slots=True, eq=False)
class Frame:
    """A frame on air; nodes are numbers, devices from 0 on and the station last.

    ``mean_mw`` is its mean power at its receiver, ``gain`` the fading on the way,
    both set when it starts: it keeps them.
    """

    sender: int
    receiver: int
    start_ns: int
    end_ns: int
    acknowledges: bool = False
    mean_mw: float = 0.0
    gain: float = 1.0


@dataclass(slots=True, eq=False)
class Reception:
    """What its receiver has of a frame so far."""

    frame: Frame
    signal_mw: float
    since_ns: int
    log_success: float = 0.0


class Air:
    """Frames on air between the devices and the station of one PAN.

    ``losses_db`` by device, between it and the station. Two devices hear each
    other over the larger loss of the two: their places are not known here.
    Fading holds for a frame from its first bit to its last.
    """

    def __init__(
        self, family: Zigbee, losses_db: Sequence[float], *, blocks: Blocks | None
    ) -> None:
        self.station = len(losses_db)
        self.noise_mw = float(linear(family.noise_dbm))
        self._up_dbm, self._down_dbm = family.tx_power_dbm, family.station_tx_power_dbm
        threshold = family.cca_threshold_dbm
        self._threshold_mw = 0.0 if threshold is None else float(linear(threshold))
        self._up_mw, self._down_mw = [0.0] * self.station, [0.0] * self.station
        for device, loss_db in enumerate(losses_db):
            self.set_loss(device, loss_db)
        self._blocks = blocks
        self._frames: list[Frame] = []
        self._receptions: list[Reception] = []
        # Ends of the latest frames that were loud enough to be heard.
        self._devices_until_ns = 0
        self._station_until_ns = 0

    def set_loss(self, device: int, loss_db: float) -> None:
        """Take the loss between a device and the station."""
        self._up_mw[device] = float(linear(self._up_dbm - loss_db))
        self._down_mw[device] = float(linear(self._down_dbm - loss_db))

    def power_mw(self, frame: Frame, receiver: int) -> float:
        """Return the received power in mW of a frame at a node."""
        if receiver == frame.receiver:
            return frame.mean_mw * frame.gain
        if frame.sender == self.station:
            return self._down_mw[receiver] * self._gain(receiver, frame.start_ns)
        return min(frame.mean_mw, self._up_mw[receiver])

    def is_weak(self, frame: Frame) -> bool:
        """Whether its receiver could not even synchronise to it on an empty channel."""
        return self.power_mw(frame, frame.receiver) < LOCK_SINR * self.noise_mw

    def busy_since(self, node: int, since_ns: int) -> bool:
        """Whether a node that has listened from ``since_ns`` until now heard anybody."""
        if node == self.station:
            return self._devices_until_ns > since_ns
        threshold_mw = self._threshold_mw
        return (self._up_mw[node] >= threshold_mw and self._devices_until_ns > since_ns) or (
            self._down_mw[node] >= threshold_mw and self._station_until_ns > since_ns
        )

    def start(self, frame: Frame, *, deaf: bool) -> None:
        """Put a frame on air; a ``deaf`` receiver (sending or turning) misses it."""
        now_ns = frame.start_ns
        down = frame.sender == self.station
        device = frame.receiver if down else frame.sender
        frame.mean_mw = (self._down_mw if down else self._up_mw)[device]
        frame.gain = self._gain(device, now_ns)
        self._add_chunk(now_ns)
        for reception in list(self._receptions):
            if self._takes_over(frame, reception):
                self._receptions.remove(reception)
        signal_mw = self.power_mw(frame, frame.receiver)
        if frame.acknowledges or (not deaf and self._locks(frame, signal_mw)):
            self._receptions.append(Reception(frame, signal_mw, now_ns))
        self._frames.append(frame)
        if down:
            self._station_until_ns = max(self._station_until_ns, frame.end_ns)
        elif frame.mean_mw >= self._threshold_mw:
            self._devices_until_ns = max(self._devices_until_ns, frame.end_ns)

    def stop(self, frame: Frame, now_ns: int) -> float:
        """Take a frame off air at its end; return the probability that it was received."""
        self._add_chunk(now_ns)
        self._frames.remove(frame)
        for reception in self._receptions:
            if reception.frame is frame:
                self._receptions.remove(reception)
                return math.exp(reception.log_success)
        return 0.0

    def cut(self, frame: Frame, now_ns: int) -> None:
        """Take a frame off air before its end: nobody receives it, nobody hears it any longer."""
        self.stop(frame, now_ns)
        station_ends = [other.end_ns for other in self._frames if other.sender == self.station]
        device_ends = [
            other.end_ns
            for other in self._frames
            if other.sender != self.station and other.mean_mw >= self._threshold_mw
        ]
        self._station_until_ns = min(self._station_until_ns, max(station_ends, default=now_ns))
        self._devices_until_ns = min(self._devices_until_ns, max(device_ends, default=now_ns))

    def deafen(self, node: int) -> None:
        """Break off what a node receives: it turns to sending."""
        self._receptions = [item for item in self._receptions if item.frame.receiver != node]

    def _gain(self, link: int, start_ns: int) -> float:
        if self._blocks is None:
            return 1.0
        return self._blocks.gain(link, start_ns // self._blocks.coherence_ns)

    def _add_chunk(self, now_ns: int) -> None:
        """Close the chunk that ends now, for all receptions."""
        for reception in self._receptions:
            bits = (now_ns - reception.since_ns) / BIT_NS
            if bits:
                receiver = reception.frame.receiver
                interference_mw = sum(
                    self.power_mw(frame, receiver)
                    for frame in self._frames
                    if frame is not reception.frame
                )
                sinr = reception.signal_mw / (self.noise_mw + interference_mw)
                reception.log_success += bits * log_bit_success(sinr)
                reception.since_ns = now_ns

    def _takes_over(self, frame: Frame, reception: Reception) -> bool:
        """Of frames that start in one instant a receiver follows the strongest."""
        held = reception.frame
        return (
            held.start_ns == frame.start_ns
            and not held.acknowledges
            and frame.sender != held.receiver
            and self.power_mw(frame, held.receiver) > reception.signal_mw
        )

    def _locks(self, frame: Frame, signal_mw: float) -> bool:
        """Whether the receiver, listening, synchronises to a frame that starts now.

        It does not while it follows an earlier frame, nor below an SINR of -5 dB.
        """
        receiver = frame.receiver
        earlier_mw = 0.0
        for other in self._frames:
            power_mw = self.power_mw(other, receiver)
            if other.start_ns == frame.start_ns:
                if receiver != self.station and power_mw > signal_mw:
                    return False
                continue
            # What a device follows is not kept: any frame that it could follow holds it.
            if receiver != self.station and power_mw >= LOCK_SINR * self.noise_mw:
                return False
            earlier_mw += power_mw
        followed = any(item.frame.receiver == receiver for item in self._receptions)
        return not followed and signal_mw >= LOCK_SINR * (self.noise_mw + earlier_mw)
