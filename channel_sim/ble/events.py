"""The connection events of one BLE cell, frame by frame, in the calendar engine.

An event is a run of exchanges: the central sends a frame (empty where it has
no data), T_IFS later the peripheral answers. Each frame acknowledges the last
of the other side. Devices never meet: each has its own event in the interval.

Core Specification 5, Vol 6 Part B, 4.5 (as remembered): a frame whose access
address is not found is not answered and ends the event; one that fails its CRC
is answered; the second in a row that fails at one side ends the event.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from channel_sim.ble.connection import Connection, Transfer
from channel_sim.ble.phy import ACCESS_BITS, IFS_NS
from channel_sim.calendar import Calendar, Message
from channel_sim.family import Blocks
from channel_sim.units import to_ns

if TYPE_CHECKING:
    from channel_sim.ble.family import Ble

RIGHT, WRONG, SILENT = 0, 1, 2
"""A frame is received, fails its CRC, or is not noticed at all."""
MAX_WRONG = 2


class BleCalendar(Calendar):
    """One central and its peripherals; links and anchors in the order of ``losses_db``."""

    def __init__(
        self,
        family: Ble,
        losses_db: Mapping[str, float],
        *,
        rng: np.random.Generator,
        blocks: Blocks | None = None,
    ) -> None:
        super().__init__(tuple(losses_db), radio=family.radio)
        self.family = family
        self._rng = rng
        self._blocks = blocks
        self._event_ns = family.event_ns(len(losses_db))
        self._interval_ns = family.interval_ns
        self._timeout_ns = to_ns(family.supervision_timeout_s)
        self._wake_ns = to_ns(family.wake_s)
        self._connections = {
            device: Connection(index, index * self._event_ns, loss_db, family)
            for index, (device, loss_db) in enumerate(losses_db.items())
        }

    def _arrive(self, message: Message) -> None:
        link = self._connections[message.device]
        transfer = Transfer(message, self.family.value_bytes)
        (link.up if message.direction == "up" else link.down).append(transfer)
        if not link.running:
            link.running = True
            link.epoch += 1
            # Until now empty exchanges have kept the connection alive.
            link.heard_up_ns = link.heard_down_ns = self.now_ns
            self._next_event(link)

    def _withdraw(self, message: Message) -> None:
        link = self._connections[message.device]
        self._settle(link)
        queue = link.up if message.direction == "up" else link.down
        for transfer in list(queue):
            if transfer.message is message:
                queue.remove(transfer)
        if not link.up and not link.down:
            link.stop()

    def _relink(self, device: str, loss_db: float) -> None:
        self._connections[device].set_loss(loss_db)

    def _next_event(self, link: Connection) -> None:
        """Put the next connection event, or the loss of the link if that comes first."""
        interval_ns = self._interval_ns
        anchor_ns = self.now_ns + (link.offset_ns - self.now_ns) % interval_ns
        lost_ns = min(link.heard_up_ns, link.heard_down_ns) + self._timeout_ns
        if lost_ns <= anchor_ns:
            self._at(max(lost_ns, self.now_ns), self._lose, (link, link.epoch))
        else:
            self._at(anchor_ns, self._begin, (link, link.epoch))

    def _lose(self, what: tuple[Connection, int]) -> None:
        """The supervision timeout: all that waits on the link is lost; it is set up anew."""
        link, epoch = what
        if epoch != link.epoch:
            return
        transfers = [*link.up, *link.down]
        link.up.clear()
        link.down.clear()
        link.stop()
        for transfer in transfers:
            self._end(transfer.message, "retry_limit")

    def _begin(self, what: tuple[Connection, int]) -> None:
        """The anchor of an event."""
        link, epoch = what
        if epoch != link.epoch:
            return
        link.event_end_ns = self.now_ns + self._event_ns
        link.wrong_up = link.wrong_down = 0
        (link.up or link.down)[0].message.idle_ns += self._wake_ns
        self._exchange(what)

    def _exchange(self, what: tuple[Connection, int]) -> None:
        """The central begins to send, if the exchange fits into what is left of the event."""
        link, epoch = what
        if epoch != link.epoch:
            return
        self._settle(link)
        up, down = self._choose(link)
        if up is None and down is None:
            self._next_event(link)
            return
        link.last_down = down is not None
        if self._blocks is not None:
            self._fade(link, self._blocks)
        payload = 0 if down is None else self.family.frame_bytes(down.value_bytes)
        heard = self._hear(link.log_down, payload)
        air_ns = self.family.air.air_ns(payload)
        self._note("poll" if down is None else "send down", self.devices[link.index])
        if down is not None:
            self._send(down)
        # A frame that is not noticed is listened for in vain.
        link.enter(down or up, "idle" if heard == SILENT else "rx", self.now_ns, data=down)
        self._at(self.now_ns + air_ns, self._after_central, (link, epoch, up, down, heard))

    def _after_central(
        self, what: tuple[Connection, int, Transfer | None, Transfer | None, int]
    ) -> None:
        """The frame of the central has ended: the peripheral answers, if it has noticed it."""
        link, epoch, up, down, heard = what
        if epoch != link.epoch:
            return
        self._settle(link)
        link.wrong_down = link.wrong_down + 1 if heard == WRONG else 0
        if heard == SILENT or link.wrong_down == MAX_WRONG:
            self._next_event(link)
            return
        if heard == RIGHT:
            link.heard_down_ns = self.now_ns
            if link.up:
                link.up[0].acknowledge()
            if down is not None:
                self._take(link.down, down)
                if not link.up and not link.down:
                    link.stop()
                    return
        link.enter(up or down, "idle", self.now_ns)
        self._at(self.now_ns + IFS_NS, self._answer, (link, epoch, up, down))

    def _answer(self, what: tuple[Connection, int, Transfer | None, Transfer | None]) -> None:
        """The peripheral begins to send."""
        link, epoch, up, down = what
        if epoch != link.epoch:
            return
        self._settle(link)
        if up is not None and up.message.ended:
            up = None
        payload = 0 if up is None else self.family.frame_bytes(up.value_bytes)
        heard = self._hear(link.log_up, payload)
        self._note("answer" if up is None else "send up", self.devices[link.index])
        if up is not None:
            self._send(up)
        link.enter(up or down, "tx", self.now_ns, data=up)
        air_ns = self.family.air.air_ns(payload)
        self._at(self.now_ns + air_ns, self._after_peripheral, (link, epoch, up, down, heard))

    def _after_peripheral(
        self, what: tuple[Connection, int, Transfer | None, Transfer | None, int]
    ) -> None:
        """The answer has ended: the central takes it and goes on, if it has noticed it."""
        link, epoch, up, down, heard = what
        if epoch != link.epoch:
            return
        self._settle(link)
        link.wrong_up = link.wrong_up + 1 if heard == WRONG else 0
        if heard == RIGHT:
            link.heard_up_ns = self.now_ns
            if link.down:
                link.down[0].acknowledge()
            if up is not None:
                self._take(link.up, up)
        if not link.up and not link.down:
            link.stop()
        elif heard == SILENT or link.wrong_up == MAX_WRONG:
            self._next_event(link)
        else:
            link.enter(down or up, "idle", self.now_ns)
            self._at(self.now_ns + IFS_NS, self._exchange, (link, epoch))

    def _choose(self, link: Connection) -> tuple[Transfer | None, Transfer | None]:
        """The data of the next exchange: both directions where both fit, else in turn."""
        up = link.up[0] if link.up else None
        down = link.down[0] if link.down else None
        if self._fits(link, up, down):
            return up, down
        if up is None or down is None:
            return None, None
        alone = (up, None) if link.last_down else (None, down)
        return alone if self._fits(link, *alone) else (None, None)

    def _fits(self, link: Connection, up: Transfer | None, down: Transfer | None) -> bool:
        exchange_ns = self.family.exchange_ns(
            0 if down is None else down.value_bytes, 0 if up is None else up.value_bytes
        )
        return self.now_ns + exchange_ns <= link.event_end_ns

    def _hear(self, log_bit: float, payload_bytes: int) -> int:
        """Draw what becomes of a frame."""
        drawn = self._rng.random()
        if drawn < math.exp(log_bit * self.family.air.frame_bits(payload_bytes)):
            return RIGHT
        return WRONG if drawn < math.exp(log_bit * ACCESS_BITS) else SILENT

    def _fade(self, link: Connection, blocks: Blocks) -> None:
        block = self.now_ns // blocks.coherence_ns
        if block != link.block:
            link.block = block
            link.set_gain(blocks.gain(link.index, block))

    def _send(self, transfer: Transfer) -> None:
        message = transfer.message
        message.attempts += 1
        if message.start_ns is None:
            message.start_ns = self.now_ns

    def _take(self, queue: deque[Transfer], transfer: Transfer) -> None:
        """The receiver has the present frame; with the last one the message has arrived."""
        message = transfer.message
        if message.ended:
            return
        transfer.taken = True
        if transfer.frames_left > 1:
            return
        queue.remove(transfer)
        if message.direction == "down" and not self._connections[message.device].up:
            # The answer to the last frame is sent after the message has arrived.
            message.idle_ns += IFS_NS
            message.tx_ns += self.family.air.air_ns(0)
        self._end(message, "delivered")

    def _settle(self, link: Connection) -> None:
        """Charge the time since the last step of an exchange to the message it was for."""
        if link.owner is None:
            return
        spent_ns = self.now_ns - link.since_ns
        message = link.owner.message
        if link.state == "rx":
            message.rx_ns += spent_ns
        elif link.state == "tx":
            message.tx_ns += spent_ns
        else:
            message.idle_ns += spent_ns
        if link.data is not None:
            link.data.message.air_ns += spent_ns
        link.since_ns = self.now_ns
        link.owner = link.data = None
