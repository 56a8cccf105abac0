"""The slot table of one TDMA cell in the calendar engine."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from channel_sim.calendar import Calendar, Message
from channel_sim.family import Blocks
from channel_sim.medium import Direction
from channel_sim.units import decibel, to_ns

if TYPE_CHECKING:
    from channel_sim.scheduled.tdma import Tdma


class Transfer:
    """What is left of one message: packets, bytes of the last, attempts of the present one."""

    __slots__ = ("last_bytes", "left", "message", "tries")

    def __init__(self, message: Message, packet_bytes: int) -> None:
        self.message = message
        self.left = message.packets = -(-message.size_bytes // packet_bytes)
        self.last_bytes = message.size_bytes - (self.left - 1) * packet_bytes
        self.tries = 0


class Lane:
    """The slots of one device and direction."""

    def __init__(self, index: int, direction: Direction, slots_ns: list[int]) -> None:
        self.index, self.direction = index, direction
        self.slots_ns = slots_ns
        """Starts of the slots within the table."""
        self.queue: deque[Transfer] = deque()
        self.epoch = 0
        """Events on the heap of another epoch are void."""
        self.running = False
        self.sent_ns: int | None = None
        """When the packet on air began."""


class TdmaCalendar(Calendar):
    """One cell; devices have their slots in the order of ``losses_db``."""

    def __init__(
        self,
        family: Tdma,
        losses_db: Mapping[str, float],
        *,
        rng: np.random.Generator,
        blocks: Blocks | None = None,
    ) -> None:
        super().__init__(tuple(losses_db), radio=family.radio)
        self.family = family
        self._rng, self._blocks = rng, blocks
        self._table_ns = family.table_ns(len(losses_db))
        self._ack_ns, self._turn_ns = to_ns(family.ack_s), to_ns(family.turnaround_s)
        self._guard_ns = to_ns(family.guard_s)
        self._lanes: dict[tuple[str, Direction], Lane] = {}
        self._snr_db: dict[tuple[str, Direction], float] = {}
        directions: tuple[tuple[Direction, int], ...] = (
            ("up", family.up_slots),
            ("down", family.down_slots),
        )
        for index, (device, loss_db) in enumerate(losses_db.items()):
            for direction, count in directions:
                first = family.first_slot(index, direction)
                slots_ns = [(first + k) * to_ns(family.slot_s) for k in range(count)]
                self._lanes[device, direction] = Lane(index, direction, slots_ns)
            self._relink(device, loss_db)

    def _arrive(self, message: Message) -> None:
        lane = self._lanes[message.device, message.direction]
        lane.queue.append(Transfer(message, self.family.packet_bytes))
        if not lane.running:
            lane.running = True
            lane.epoch += 1
            self._next_slot(lane)

    def _withdraw(self, message: Message) -> None:
        lane = self._lanes[message.device, message.direction]
        if lane.queue and lane.queue[0].message is message and lane.sent_ns is not None:
            self._charge(message, self.now_ns - lane.sent_ns)
            lane.sent_ns = None
            lane.epoch += 1
            lane.queue.popleft()
            lane.running = bool(lane.queue)
            if lane.running:
                self._next_slot(lane)
            return
        for transfer in list(lane.queue):
            if transfer.message is message:
                lane.queue.remove(transfer)
        if not lane.queue:
            lane.running = False
            lane.epoch += 1

    def _relink(self, device: str, loss_db: float) -> None:
        self._snr_db[device, "up"] = float(self.family.snr_db(loss_db, up=True))
        self._snr_db[device, "down"] = float(self.family.snr_db(loss_db, up=False))

    def _next_slot(self, lane: Lane) -> None:
        """Put the next own slot that has not begun; a packet starts after its guard."""
        table_ns = self._table_ns
        waits = ((start_ns - self.now_ns) % table_ns for start_ns in lane.slots_ns)
        begin_ns = self.now_ns + min(waits) + self._guard_ns
        self._at(begin_ns, self._send, (lane, lane.epoch))

    def _send(self, what: tuple[Lane, int]) -> None:
        lane, epoch = what
        if epoch != lane.epoch:
            return
        transfer = lane.queue[0]
        message = transfer.message
        lane.sent_ns = self.now_ns
        message.attempts += 1
        if message.start_ns is None:
            message.start_ns = self.now_ns
        if lane.direction == "down":
            message.idle_ns += self._guard_ns
        self._note("send " + lane.direction, message.device)
        size = transfer.last_bytes if transfer.left == 1 else self.family.packet_bytes
        snr_db = self._snr_db[message.device, lane.direction]
        if self._blocks is not None:
            block = self.now_ns // self._blocks.coherence_ns
            snr_db += float(decibel(self._blocks.gain(lane.index, block)))
        right = bool(self._rng.random() >= self.family.error(snr_db, size))
        self._at(self.now_ns + self.family.air_ns(size), self._sent, (lane, epoch, right))

    def _sent(self, what: tuple[Lane, int, bool]) -> None:
        lane, epoch, right = what
        if epoch != lane.epoch or lane.sent_ns is None:
            return
        transfer = lane.queue[0]
        message = transfer.message
        self._charge(message, self.now_ns - lane.sent_ns)
        lane.sent_ns = None
        message.idle_ns += self._turn_ns
        if not right:
            message.idle_ns += self._ack_ns if lane.direction == "up" else 0
        elif lane.direction == "up":
            message.rx_ns += self._ack_ns
        else:
            message.tx_ns += self._ack_ns
        transfer.tries = 0 if right else transfer.tries + 1
        transfer.left -= right
        if transfer.left == 0 or transfer.tries == self.family.max_attempts:
            lane.queue.popleft()
            self._end(message, "delivered" if right else "retry_limit")
        lane.running = bool(lane.queue)
        if lane.running:
            self._next_slot(lane)

    def _charge(self, message: Message, sent_ns: int) -> None:
        message.air_ns += sent_ns
        if message.direction == "up":
            message.tx_ns += sent_ns
        else:
            message.rx_ns += sent_ns
