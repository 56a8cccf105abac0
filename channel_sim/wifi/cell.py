"""One Wi-Fi cell as a calendar of idle slots: DCF and EDCA, both directions.

The medium is a sequence of busy periods and idle slots. A station with a
backoff of b slots stands in the calendar b idle slots ahead; nothing happens
in between, so an access costs O(log n) whatever the number of stations. All
stations of the first occupied slot send together: one alone meets noise and
fading, of several at most the strongest is understood (capture).

Rules. Under DCF a counter does not run while the medium is busy, so whoever
has just sent may win the very first slot after it alone; under EDCA it goes
down by one at the end of the gap, and the others are level. (So ns-3.37 does,
ChannelAccessManager::UpdateBackoff; without it 802.11n collides too rarely.)
After its last packet a station counts down once more (post-backoff). A message
that finds the medium idle and the counter at rest is sent at the next slot
boundary, without backoff; one that finds it busy (or within the gap after a
busy period) draws a backoff. Boundaries go on from the last busy period while
the medium is idle, so that two messages that arrive within one slot collide.
Acknowledgements are always heard. IEEE 802.11-2016 10.3 and 10.22 (as remembered).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from heapq import heappop, heappush

import numpy as np

from channel_sim.calendar import ARRIVAL, Calendar, Ended, Message
from channel_sim.energy import RadioPower
from channel_sim.family import Blocks
from channel_sim.wifi.awake import Awake
from channel_sim.wifi.curves import LOW_DB
from channel_sim.wifi.jobs import Aggregate, Link, Single
from channel_sim.wifi.listening import Listening
from channel_sim.wifi.rules import Rules

NEVER = 1 << 62
STATION = "station"
"""Name of the access point in traces."""
UNIFORMS = 4096
"""Random numbers drawn at once."""


@dataclass(slots=True, eq=False)
class _Sender:
    """A station that contends: its queue, window and slot; ``listed`` in the calendar."""

    number: int
    name: str
    cw: int
    jobs: deque[Single | Aggregate] = field(default_factory=deque)
    slot: int = 0
    listed: bool = False


@dataclass(slots=True, eq=False)
class _OnAir:
    """A frame on air now."""

    sender: _Sender
    job: Single | Aggregate
    end_ns: int
    withdrawn: bool = False


class WifiCell(Calendar):
    """Devices and one access point on one channel, everybody hearing everybody.

    ``losses_db`` by device; ``up_dbm`` and ``down_dbm`` are the powers of device
    and access point. Messages down wait in one queue at the access point, which
    contends as one more station; a collision that it takes part in loses all
    its frames, since the loss between two devices is not known.

    ``sent`` and ``received`` count packets tried and arrived in both directions.
    """

    def __init__(
        self,
        losses_db: Mapping[str, float],
        *,
        rules: Rules,
        up_dbm: float,
        down_dbm: float,
        radio: RadioPower,
        rng: np.random.Generator,
        blocks: Blocks | None = None,
    ) -> None:
        super().__init__(tuple(losses_db), radio=radio)
        self.sent = 0
        self.received = 0
        self._rules = rules
        self._rng = rng
        self._pool: list[float] = []
        self._listening = Listening(rules, blocks)
        self._powers_dbm = (up_dbm, down_dbm)
        loss_db = np.array(list(losses_db.values()), dtype=np.float64)
        up, down = (self._listening.links(power_dbm - loss_db) for power_dbm in self._powers_dbm)
        self._up = dict(zip(losses_db, up, strict=True))
        self._down = dict(zip(losses_db, down, strict=True))
        self._senders = {
            name: _Sender(number, name, rules.cw_min) for number, name in enumerate(losses_db)
        }
        self._station = _Sender(len(self._senders), STATION, rules.cw_min)
        self._awake = {name: Awake() for name in losses_db}
        self._listed: dict[int, list[_Sender]] = {}
        self._slots: list[int] = []
        self._slot = 0
        self._clear_ns = 0
        self._air: list[_OnAir] = []
        self._air_ns = 0
        self._due_ns = NEVER

    # The clock: one own event at a time, beside the heap of arrivals and deadlines.

    def next_ns(self) -> int | None:
        """Return the time of the next event; None when nothing will happen."""
        first_ns = min(self._due_ns, self._events[0][0] if self._events else NEVER)
        return None if first_ns == NEVER else first_ns

    def advance(self, until_ns: int | None) -> list[Ended]:
        """Do all events up to and including ``until_ns``; see :meth:`Calendar.advance`."""
        events = self._events
        end_ns = NEVER - 1 if until_ns is None else until_ns
        while True:
            due_ns = self._due_ns
            if events and (
                events[0][0] < due_ns or (events[0][0] == due_ns and events[0][1] == ARRIVAL)
            ):
                if events[0][0] > end_ns:
                    break
                self.now_ns, _, _, act, what = heappop(events)
                act(what)
            elif due_ns <= end_ns:
                self.now_ns = due_ns
                if self._air:
                    self._settle()
                else:
                    self._send()
            else:
                break
        if until_ns is not None:
            self.now_ns = max(self.now_ns, until_ns)
        ended, self._ended = self._ended, []
        return ended

    # What a driver makes happen.

    def _arrive(self, message: Message) -> None:
        up = message.direction == "up"
        link = self._link(message)
        self._awake[message.device].take(message)
        job = self._listening.job(message, link)
        if not link.reached:
            self._awake[message.device].rest(message, self.now_ns)
            self._end(message, "below_sensitivity")
            return
        sender = self._senders[message.device] if up else self._station
        sender.jobs.append(job)
        if len(sender.jobs) == 1 and not any(frame.sender is sender for frame in self._air):
            self._join(sender)

    def _withdraw(self, message: Message) -> None:
        up = message.direction == "up"
        sender = self._senders[message.device] if up else self._station
        at_head = bool(sender.jobs) and sender.jobs[0].message is message
        for job in list(sender.jobs):
            if job.message is message:
                sender.jobs.remove(job)
        cut = False
        for frame in self._air:
            if frame.job.message is message and not frame.withdrawn:
                # Cut off: the others still wait for its announced end.
                frame.withdrawn = cut = True
                self._charge(frame, self._air, min(self.now_ns, frame.end_ns))
        if at_head:
            sender.cw = self._rules.cw_min
        if sender.listed and not sender.jobs:
            self._listed[sender.slot].remove(sender)
            sender.listed = False
            self._look_ahead()
        # Another frame of the device that is on air now is charged when it ends.
        going_on = any(
            frame.job.message.device == message.device
            and not frame.withdrawn
            and not (cut and frame.sender is self._station)
            for frame in self._air
        )
        self._awake[message.device].rest(message, self._air_ns if going_on else self.now_ns)

    def _relink(self, device: str, loss_db: float) -> None:
        number = self._senders[device].number
        for links, power_dbm in zip((self._up, self._down), self._powers_dbm, strict=True):
            (links[device],) = self._listening.links(np.array([power_dbm - loss_db]), first=number)

    def _link(self, message: Message) -> Link:
        return (self._up if message.direction == "up" else self._down)[message.device]

    # Contention.

    def _join(self, sender: _Sender) -> None:
        """Put a station with a fresh message into the calendar."""
        if self._air or self.now_ns < self._clear_ns:
            if sender.slot <= self._slot:
                sender.slot = self._slot + self._backoff(sender)
        else:
            slot_ns = self._rules.slot_ns
            passed = -((self._clear_ns - self.now_ns) // slot_ns)
            sender.slot = max(sender.slot, self._slot + passed)
        self._list(sender)
        if not self._air:
            self._look_ahead()

    def _backoff(self, sender: _Sender) -> int:
        return int(self._uniform() * (sender.cw + 1))

    def _uniform(self) -> float:
        if not self._pool:
            self._pool = self._rng.random(UNIFORMS).tolist()
        return self._pool.pop()

    def _list(self, sender: _Sender) -> None:
        sender.listed = True
        together = self._listed.get(sender.slot)
        if together is None:
            self._listed[sender.slot] = [sender]
            heappush(self._slots, sender.slot)
        else:
            together.append(sender)

    def _look_ahead(self) -> None:
        """Set the clock to the first occupied slot; while a frame is on air, its end stands."""
        while self._slots and not self._listed[self._slots[0]]:
            del self._listed[heappop(self._slots)]
        if self._air:
            return
        if self._slots:
            ahead = self._slots[0] - self._slot
            self._due_ns = self._clear_ns + ahead * self._rules.slot_ns
        else:
            self._due_ns = NEVER

    def _send(self) -> None:
        """The first occupied slot has come: all its stations send."""
        slot = heappop(self._slots)
        senders = self._listed.pop(slot)
        self._slot = slot + self._rules.after_slot
        if len(senders) > 1:
            senders.sort(key=lambda sender: sender.number)
        now_ns = self._air_ns = self.now_ns
        end_ns = now_ns
        for sender in senders:
            sender.listed = False
            job = sender.jobs[0]
            link = self._link(job.message)
            if link is not job.link:
                self._listening.relink(job, link)
            frame = _OnAir(sender, job, now_ns + job.compose())
            self._air.append(frame)
            end_ns = max(end_ns, frame.end_ns)
            if job.message.start_ns is None:
                job.message.start_ns = now_ns
            if self.trace is not None:
                self.trace(now_ns, "send", sender.name)
        self._due_ns = end_ns

    def _settle(self) -> None:
        """The longest frame has ended: who was understood, who is next."""
        rules = self._rules
        frames, self._air = self._air, []
        heard, sinr_db = self._heard(frames)
        free_ns = self.now_ns
        answered = False
        for frame in frames:
            if frame.withdrawn:
                continue
            self._charge(frame, frames, frame.end_ns)
            answer_ns = self._result(frame, sinr_db if frame is heard else None)
            if answer_ns:
                answered = True
                free_ns = max(free_ns, frame.end_ns + answer_ns)
        gap_ns = rules.ifs_ns
        if not answered:
            gap_ns = rules.collision_ns if len(frames) > 1 else rules.noise_gap_ns
        self._clear_ns = free_ns + gap_ns
        for frame in frames:
            self._redraw(frame.sender)
        self._look_ahead()

    def _heard(self, frames: list[_OnAir]) -> tuple[_OnAir | None, float]:
        """The frame that is detected, if any, and its SINR in dB."""
        links = [frame.job.link for frame in frames]
        if len(frames) > 1 and (
            not self._rules.capture or any(frame.sender is self._station for frame in frames)
        ):
            return None, LOW_DB
        place, sinr_db = self._listening.strongest(links, self._air_ns)
        return (None if place is None else frames[place]), sinr_db

    def _result(self, frame: _OnAir, sinr_db: float | None) -> int:
        """Settle one frame, detected at ``sinr_db`` or not; return SIFS and answer in ns, or 0."""
        job, sender, rules = frame.job, frame.sender, self._rules
        count, data = job.count, not job.request
        answer_ns = arrived = 0
        if sinr_db is not None:
            curves = self._listening.curves
            arrived = job.heard(lambda row: curves.one(row, sinr_db), self._uniform)
        if data:
            self.sent += count
            self.received += arrived
        if arrived:
            sender.cw = rules.cw_min
            exchange = job.link.exchange
            answer_ns = exchange.ack_ns if data and count == 1 else exchange.block_ack_ns
            self._awake[job.message.device].spend(job.message, 0, answer_ns)
            answer_ns += rules.sifs_ns
        else:
            if self.trace is not None:
                self.trace(self.now_ns, "fail", sender.name)
            sender.cw = min(2 * sender.cw + 1, rules.cw_max) if job.missed() else rules.cw_min
        if job.done:
            sender.jobs.popleft()
            self._close(job, at_ns=frame.end_ns, end_ns=frame.end_ns + answer_ns)
        return answer_ns

    def _redraw(self, sender: _Sender) -> None:
        """A new backoff, or the one after the last packet."""
        sender.slot = self._slot + self._backoff(sender)
        if sender.jobs:
            self._list(sender)

    # Accounts.

    def _charge(self, frame: _OnAir, frames: list[_OnAir], until_ns: int) -> None:
        """A frame was on air until ``until_ns``; a device that sends itself does not receive it."""
        message = frame.job.message
        air_ns = until_ns - self._air_ns
        message.air_ns += air_ns
        message.attempts += frame.job.count
        if frame.sender is self._station:
            own = self._senders[message.device]
            own_ns = max((item.end_ns for item in frames if item.sender is own), default=0)
            air_ns = max(0, until_ns - max(self._air_ns, own_ns))
        self._awake[message.device].spend(message, air_ns, 0)

    def _close(self, job: Single | Aggregate, *, at_ns: int, end_ns: int) -> None:
        self._awake[job.message.device].rest(job.message, end_ns)
        self._end(job.message, "retry_limit" if job.lost else "delivered", at_ns)
