"""The calendar of one ALOHA cell: arrivals, departures and deadlines at any time.

Down, the station has a channel of its own and sends one frame after the
other; only noise and fading hurt there.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from channel_sim.calendar import LAST, Calendar, Message
from channel_sim.family import Blocks
from channel_sim.medium import Reason
from channel_sim.units import linear, to_ns

if TYPE_CHECKING:
    from channel_sim.aloha.family import Aloha

START = LAST + 1
"""Frames start after all else of an instant: one that ends then is not overlapped."""


@dataclass(slots=True, eq=False)
class Sender:
    """A device, or the station towards all: its queue and the message under way."""

    queue: deque[Message] = field(default_factory=deque)
    job: Job | None = None


@dataclass(slots=True, eq=False)
class Job:
    """A message under way: which frame, which attempt, what arrived, what is on air."""

    message: Message
    sender: Sender
    frames_ns: tuple[int, ...]
    place: int = 0
    failures: int = 0
    received: int = 0
    weak: bool = False
    power_mw: float = 0.0
    interference_mw: float = 0.0
    sent_ns: int | None = None
    over: bool = False


class AlohaMedium(Calendar):
    """One ALOHA cell; build it with :meth:`Aloha.medium`.

    A device sends its messages in order, the frames of one back to back. It
    sleeps between attempts and listens only while it waits for the feedback.
    """

    def __init__(
        self,
        family: Aloha,
        losses_db: Mapping[str, float],
        *,
        rng: np.random.Generator,
        blocks: Blocks | None = None,
    ) -> None:
        super().__init__(tuple(losses_db), radio=family.radio)
        self.family = family
        self._numbers = {name: number for number, name in enumerate(losses_db)}
        self._powers_mw = {name: self._power_mw(loss_db) for name, loss_db in losses_db.items()}
        self._sensitivity_mw = float(linear(family.sensitivity_dbm))
        capture_db = family.capture_db
        self._capture = np.inf if capture_db is None else float(linear(capture_db))
        self._timeout_ns = to_ns(family.ack_timeout_s) if family.max_attempts > 1 else 0
        self._rng, self._blocks = rng, blocks
        self._senders = {name: Sender() for name in losses_db}
        self._station = Sender()
        self._on_air: list[Job] = []
        self._jobs: dict[int, Job] = {}

    def _arrive(self, message: Message) -> None:
        message.packets = len(self.family.frames_ns(message.size_bytes))
        sender = self._senders[message.device] if message.direction == "up" else self._station
        sender.queue.append(message)
        if sender.job is None:
            self._next(sender)

    def _withdraw(self, message: Message) -> None:
        job = self._jobs.get(message.ticket)
        if job is None:
            sender = self._senders[message.device] if message.direction == "up" else self._station
            if message in sender.queue:
                sender.queue.remove(message)
            return
        if job.sent_ns is not None:
            self._count(job, self.now_ns - job.sent_ns)
            if job in self._on_air:
                self._on_air.remove(job)
        self._close(job)

    def _relink(self, device: str, loss_db: float) -> None:
        self._powers_mw[device] = self._power_mw(loss_db)

    def _power_mw(self, loss_db: float) -> tuple[float, float]:
        """Received power up and down."""
        family = self.family
        up_dbm, down_dbm = family.tx_power_dbm - loss_db, family.station_tx_power_dbm - loss_db
        return float(linear(up_dbm)), float(linear(down_dbm))

    def _next(self, sender: Sender) -> None:
        if sender.queue:
            message = sender.queue.popleft()
            job = Job(message, sender, self.family.frames_ns(message.size_bytes))
            sender.job = self._jobs[message.ticket] = job
            self._schedule(job, self.now_ns)

    def _close(self, job: Job) -> None:
        job.over, job.sender.job = True, None
        del self._jobs[job.message.ticket]
        self._next(job.sender)

    def _schedule(self, job: Job, from_ns: int) -> None:
        up = job.message.direction == "up"
        start_ns = self.family.next_start_ns(from_ns) if up else from_ns
        self._at(start_ns, self._send, job, priority=START)

    def _send(self, job: Job) -> None:
        if job.over:
            return
        message = job.message
        if message.start_ns is None:
            message.start_ns = self.now_ns
        message.attempts += 1
        up_mw, down_mw = self._powers_mw[message.device]
        gain = 1.0
        if self._blocks is not None:
            link = self._numbers[message.device]
            gain = self._blocks.gain(link, self.now_ns // self._blocks.coherence_ns)
        job.sent_ns, job.interference_mw = self.now_ns, 0.0
        job.power_mw = gain * (up_mw if message.direction == "up" else down_mw)
        if message.direction == "up":
            for other in self._on_air:
                other.interference_mw += job.power_mw
                job.interference_mw += other.power_mw
            self._on_air.append(job)
        self._note("send", message.device)
        self._at(self.now_ns + job.frames_ns[job.place], self._sent, job)

    def _sent(self, job: Job) -> None:
        if job.over:
            return
        self._count(job, job.frames_ns[job.place])
        job.sent_ns = None
        if job.message.direction == "up":
            self._on_air.remove(job)
        weak = job.power_mw < self._sensitivity_mw
        hit = job.interference_mw > 0 and job.power_mw < self._capture * job.interference_mw
        if weak or hit:
            self._note("missed", job.message.device)
            job.weak = weak
            self._fail(job)
        else:
            self._note("received", job.message.device)
            job.received += 1
            self._go_on(job)

    def _fail(self, job: Job) -> None:
        """A frame is lost: repeat it later, give up, or not know of it."""
        family = self.family
        if family.max_attempts == 1:
            self._go_on(job)
            return
        job.failures += 1
        job.message.idle_ns += self._timeout_ns
        known_ns = self.now_ns + self._timeout_ns
        if job.failures == family.max_attempts:
            self._at(known_ns, self._give_up, job)
            return
        wait_ns = 0
        if job.message.direction == "up":
            window_s = family.backoff_s * family.backoff_growth ** (job.failures - 1)
            wait_ns = to_ns(window_s * self._rng.random())
        self._schedule(job, known_ns + wait_ns)

    def _go_on(self, job: Job) -> None:
        """The frame is done with: the next follows at once, or the message ends."""
        job.place += 1
        job.failures = 0
        if job.place < len(job.frames_ns):
            self._schedule(job, self.now_ns)
            return
        delivered = job.received == len(job.frames_ns)
        self._close(job)
        failure: Reason = "below_sensitivity" if job.weak else "collision"
        self._end(job.message, "delivered" if delivered else failure)

    def _give_up(self, job: Job) -> None:
        if not job.over:
            self._close(job)
            self._end(job.message, "below_sensitivity" if job.weak else "retry_limit")

    def _count(self, job: Job, air_ns: int) -> None:
        job.message.air_ns += air_ns
        if job.message.direction == "up":
            job.message.tx_ns += air_ns
        else:
            job.message.rx_ns += air_ns
