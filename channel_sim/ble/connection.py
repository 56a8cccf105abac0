"""State of one BLE connection: what waits on it, what is on air, when it was last heard."""

from __future__ import annotations

import math
from collections import deque
from typing import TYPE_CHECKING

from channel_sim.ble.phy import log_bit_success
from channel_sim.calendar import Message

if TYPE_CHECKING:
    from channel_sim.ble.family import Ble


class Transfer:
    """What is left of one message: frames, the bytes of the last, and whether one was taken.

    ``taken``: the receiver has the present frame, the sender does not know yet.
    """

    __slots__ = ("frames_left", "full_bytes", "last_bytes", "message", "taken")

    def __init__(self, message: Message, value_bytes: int) -> None:
        self.message = message
        self.frames_left = message.packets = -(-message.size_bytes // value_bytes)
        self.full_bytes = value_bytes
        self.last_bytes = message.size_bytes - (self.frames_left - 1) * value_bytes
        self.taken = False

    @property
    def value_bytes(self) -> int:
        """Bytes of the message in the present frame."""
        return self.full_bytes if self.frames_left > 1 else self.last_bytes

    def acknowledge(self) -> None:
        """Go on to the next frame where the present one was taken."""
        if self.taken:
            self.frames_left -= 1
            self.taken = False


class Connection:
    """State of one device's connection; times in nanoseconds on the calendar's clock."""

    def __init__(self, index: int, offset_ns: int, loss_db: float, family: Ble) -> None:
        self.index = index
        self.offset_ns = offset_ns
        self.block = -1
        self.up: deque[Transfer] = deque()
        self.down: deque[Transfer] = deque()
        self.epoch = 0
        """Events on the heap of another epoch are void."""
        self.running = False
        self.event_end_ns = 0
        self.last_down = False
        """The last data frame that was sent was the central's."""
        self.heard_up_ns = self.heard_down_ns = 0
        self.wrong_up = self.wrong_down = 0
        self.owner: Transfer | None = None
        """Whom the step of the exchange since ``since_ns`` is charged to, in which state."""
        self.data: Transfer | None = None
        self.state = "idle"
        self.since_ns = 0
        self._family = family
        self._gain_db = 0.0
        self.set_loss(loss_db)

    def enter(
        self, owner: Transfer | None, state: str, now_ns: int, *, data: Transfer | None = None
    ) -> None:
        """Begin a step: the device's radio is in ``state``; ``data`` is on air."""
        self.owner, self.state, self.since_ns, self.data = owner, state, now_ns, data

    def stop(self) -> None:
        """Nothing is left to send: only empty exchanges keep the connection alive."""
        self.running = False
        self.epoch += 1
        self.owner = self.data = None

    def set_gain(self, gain: float) -> None:
        """Take the fading of a new block."""
        self._gain_db = 10 * math.log10(max(gain, 1e-30))
        self._hear()

    def set_loss(self, loss_db: float) -> None:
        """Take the loss between device and central; the fading stays."""
        self._margin_up_db = float(self._family.margin_db(loss_db, up=True))
        self._margin_down_db = float(self._family.margin_db(loss_db, up=False))
        self._hear()

    def _hear(self) -> None:
        self.log_up = float(log_bit_success(self._margin_up_db + self._gain_db))
        self.log_down = float(log_bit_success(self._margin_down_db + self._gain_db))
