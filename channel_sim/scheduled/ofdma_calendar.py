"""The granted intervals of one OFDMA cell in the calendar engine."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from channel_sim.calendar import Calendar, Message
from channel_sim.family import Blocks
from channel_sim.medium import Direction
from channel_sim.scheduled import resource_units as ru
from channel_sim.units import decibel, to_ns

if TYPE_CHECKING:
    from channel_sim.scheduled.ofdma import Ofdma


class Lane:
    """One device and direction: what its link carries in each unit, and its queue."""

    def __init__(self, family: Ofdma, index: int, loss_db: float, direction: Direction) -> None:
        self.index, self.direction = index, direction
        self.served = -1
        """Number of the last interval in which it was served."""
        self.queue: deque[Transfer] = deque()
        self.set_loss(family, loss_db)

    def set_loss(self, family: Ofdma, loss_db: float) -> None:
        """Choose the modes of a loss."""
        snr_db = family.snr_db(loss_db, up=self.direction == "up")
        mcs, unit = family.modes(snr_db)
        self.mcs, self.unit = mcs.tolist(), unit.tolist()
        self.bits = family.bits(mcs, unit).tolist()
        self.snr_db = snr_db.tolist()
        for transfer in self.queue:
            transfer.errors.clear()

    @property
    def reached(self) -> bool:
        """True where at least the narrowest unit carries something."""
        return bool(self.mcs[-1] >= 0)


class Transfer:
    """What is left of one message: MPDUs by the attempts that they have failed."""

    __slots__ = ("errors", "lane", "message", "mpdu_bytes", "stages", "subframe")

    def __init__(self, message: Message, lane: Lane, family: Ofdma, preamble_ns: int) -> None:
        self.message, self.lane = message, lane
        message.packets = self._cut(message.size_bytes, family, preamble_ns)

    def _cut(self, size_bytes: int, family: Ofdma, preamble_ns: int) -> int:
        """Cut bytes into MPDUs that fit into the narrowest unit; return how many they are."""
        narrowest = np.array(self.lane.bits[-1])
        packet = int(family.packet_sizes(size_bytes, narrowest, preamble_ns))
        count = -(-size_bytes // packet)
        self.mpdu_bytes = packet + family.header_bytes
        self.subframe = ru.subframe_bytes(self.mpdu_bytes)
        self.stages = [count] + [0] * (family.max_attempts - 1)
        self.errors: dict[int, float] = {}
        return count

    def cut_again(self, family: Ofdma, preamble_ns: int) -> None:
        """Cut what is left: the link has become too slow for its MPDUs."""
        left = sum(self.stages)
        left_bytes = left * (self.mpdu_bytes - family.header_bytes)
        self.message.packets += self._cut(left_bytes, family, preamble_ns) - left


@dataclass(slots=True)
class Interval:
    """One granted interval; times in nanoseconds."""

    begin_ns: int
    send_ns: int
    end_ns: int
    ack_ns: int
    direction: Direction
    place: int
    grants: dict[int, tuple[Transfer, list[int], float]] = field(default_factory=dict)
    """By ticket: the message, its MPDUs on air by stage, and their error rate."""


class OfdmaCalendar(Calendar):
    """One cell; ``losses_db`` in dB by device."""

    def __init__(
        self,
        family: Ofdma,
        losses_db: Mapping[str, float],
        *,
        rng: np.random.Generator,
        blocks: Blocks | None = None,
    ) -> None:
        super().__init__(tuple(losses_db), radio=family.radio)
        self.family = family
        self._rng, self._blocks = rng, blocks
        self._sifs_ns, self._gap_ns = to_ns(family.sifs_s), to_ns(family.gap_s)
        directions: tuple[Direction, Direction] = ("up", "down")
        self._lanes: dict[Direction, dict[str, Lane]] = {
            direction: {
                device: Lane(family, index, loss_db, direction)
                for index, (device, loss_db) in enumerate(losses_db.items())
            }
            for direction in directions
        }
        most = max(count for _, count in family.units)
        self._longest_preamble_ns: dict[Direction, int] = {
            "up": ru.TB_PREAMBLE_NS,
            "down": ru.mu_preamble_ns(most),
        }
        self._active: dict[Direction, dict[str, Lane]] = {"up": {}, "down": {}}
        self._last: Direction = "down"
        self._intervals = 0
        self._running = False
        self._interval: Interval | None = None

    def _arrive(self, message: Message) -> None:
        lane = self._lanes[message.direction][message.device]
        if not lane.reached:
            self._end(message, "below_sensitivity")
            return
        preamble_ns = self._longest_preamble_ns[message.direction]
        lane.queue.append(Transfer(message, lane, self.family, preamble_ns))
        self._active[message.direction][message.device] = lane
        if not self._running:
            self._running = True
            self._at(self.now_ns + self._gap_ns, self._grant)

    def _withdraw(self, message: Message) -> None:
        lane = self._lanes[message.direction][message.device]
        if self._interval is not None and message.ticket in self._interval.grants:
            self._charge(message, self._interval, self.now_ns)
            del self._interval.grants[message.ticket]
        for transfer in list(lane.queue):
            if transfer.message is message:
                self._forget(transfer)

    def _relink(self, device: str, loss_db: float) -> None:
        for lanes in self._lanes.values():
            lanes[device].set_loss(self.family, loss_db)

    def _forget(self, transfer: Transfer) -> None:
        message, lane = transfer.message, transfer.lane
        lane.queue.remove(transfer)
        if not lane.queue:
            del self._active[message.direction][message.device]

    def _grant(self, _: None) -> None:
        """Begin an interval, in the direction whose turn it is."""
        for lanes in self._active.values():
            for lane in [lane for lane in lanes.values() if not lane.reached]:
                self._drop(lane)
        other: Direction = "down" if self._last == "up" else "up"
        direction = other if self._active[other] else self._last
        active = self._active[direction]
        if not active:
            self._running = False
            return
        self._last = direction
        self._intervals += 1
        place = int(self.family.unit_for(len(active)))
        turn = sorted(active.values(), key=lambda lane: (lane.served, lane.index))
        chosen = turn[: self.family.units[place][1]]
        users = len(chosen)
        up = direction == "up"
        preamble_ns = ru.TB_PREAMBLE_NS if up else ru.mu_preamble_ns(users)
        most = self.family.max_symbols(preamble_ns)
        symbols = 0
        grants = {}
        for lane in chosen:
            lane.served = self._intervals
            transfer, bits = lane.queue[0], lane.bits[place]
            if ru.packets_in(most, transfer.subframe, bits) < 1:
                transfer.cut_again(self.family, self._longest_preamble_ns[direction])
            fit = min(self.family.max_packets, ru.packets_in(most, transfer.subframe, bits))
            batch = _oldest(transfer.stages, fit)
            symbols = max(symbols, ru.symbols_of(sum(batch), transfer.subframe, bits))
            error = self._error(transfer, place)
            grants[transfer.message.ticket] = (transfer, batch, error)
        send_ns = self.now_ns + (ru.trigger_ns(users) + self._sifs_ns if up else 0)
        end_ns = send_ns + preamble_ns + symbols * self.family.symbol_ns
        ack_ns = ru.multi_ack_ns(users) if up else self._answers_ns(place)
        self._interval = Interval(self.now_ns, send_ns, end_ns, ack_ns, direction, place, grants)
        self._note("trigger" if up else "grant", str(users))
        self._at(send_ns, self._send, self._interval)

    def _drop(self, lane: Lane) -> None:
        """No mode carries anything any more."""
        for transfer in list(lane.queue):
            self._forget(transfer)
            self._end(transfer.message, "below_sensitivity")

    def _answers_ns(self, place: int) -> int:
        """BlockAcks of all granted devices at once, in the slowest mode of the unit."""
        bits = ru.bits_per_symbol(self.family.units[place][0], 0)
        symbols = ru.symbols_of(1, ru.BLOCK_ACK_BYTES, bits)
        return int(ru.TB_PREAMBLE_NS + symbols * self.family.symbol_ns)

    def _send(self, interval: Interval) -> None:
        for transfer, batch, _ in interval.grants.values():
            message = transfer.message
            message.attempts += sum(batch)
            if message.start_ns is None:
                message.start_ns = self.now_ns
            self._note("send " + interval.direction, message.device)
        self._at(interval.end_ns, self._received, interval)

    def _received(self, interval: Interval) -> None:
        """The frame has ended: draw which MPDUs arrived."""
        self._interval = None
        for transfer, batch, error in interval.grants.values():
            message = transfer.message
            self._charge(message, interval, self.now_ns)
            message.idle_ns += self._sifs_ns
            if interval.direction == "up":
                message.rx_ns += interval.ack_ns
            else:
                message.tx_ns += interval.ack_ns
            stages = transfer.stages
            lost = 0
            for stage in range(len(stages) - 1, -1, -1):
                failed = int(self._rng.binomial(batch[stage], error)) if batch[stage] else 0
                stages[stage] -= batch[stage]
                if stage + 1 < len(stages):
                    stages[stage + 1] += failed
                else:
                    lost = failed
            if lost or not any(stages):
                self._forget(transfer)
                self._end(message, "retry_limit" if lost else "delivered")
        next_ns = self.now_ns + self._sifs_ns + interval.ack_ns + self._gap_ns
        self._at(next_ns, self._grant)

    def _error(self, transfer: Transfer, place: int) -> float:
        """Error rate of an MPDU in the unit that is granted now, in the present fading block."""
        lane = transfer.lane
        if self._blocks is None and place in transfer.errors:
            return transfer.errors[place]
        snr_db = lane.snr_db[lane.unit[place]]
        if self._blocks is not None:
            block = self.now_ns // self._blocks.coherence_ns
            snr_db += float(decibel(self._blocks.gain(lane.index, block)))
        error = ru.packet_errors(
            np.array([lane.mcs[place]]),
            np.array([snr_db]),
            np.array([transfer.mpdu_bytes]),
            self.family.error_model,
        )
        transfer.errors[place] = float(error[0])
        return transfer.errors[place]

    def _charge(self, message: Message, interval: Interval, now_ns: int) -> None:
        """Charge an interval until now: trigger, SIFS, the frame."""
        sent_ns = max(0, min(now_ns, interval.end_ns) - interval.send_ns)
        message.air_ns += sent_ns
        if interval.direction == "down":
            message.rx_ns += sent_ns
            return
        trigger_ns = interval.send_ns - interval.begin_ns - self._sifs_ns
        before_ns = min(now_ns, interval.send_ns) - interval.begin_ns
        message.rx_ns += min(before_ns, trigger_ns)
        message.idle_ns += max(0, before_ns - trigger_ns)
        message.tx_ns += sent_ns


def _oldest(stages: list[int], fit: int) -> list[int]:
    """Take up to ``fit`` MPDUs, those with most failed attempts first; by stage."""
    batch = [0] * len(stages)
    for stage in range(len(stages) - 1, -1, -1):
        batch[stage] = min(stages[stage], fit)
        fit -= batch[stage]
    return batch
