"""The calendar of one PAN: unslotted CSMA-CA with acknowledgements and retries.

IEEE 802.15.4-2006, 7.5.1.4 and 7.5.6.4 (as remembered, and as ns-3's lr-wpan
runs it): wait a random number of unit backoff periods, listen for 8 symbols,
turn the radio, send; the receiver turns its own and acknowledges. The
station (coordinator) contends as one more node for what it sends down.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from channel_sim.calendar import LAST, Calendar, Message
from channel_sim.family import Blocks
from channel_sim.ieee802154.air import Air, Frame
from channel_sim.ieee802154.timing import (
    ACK_NS,
    ACK_WAIT_NS,
    CCA_NS,
    TURNAROUND_NS,
    UNIT_BACKOFF_NS,
    frame_ns,
    ifs_ns,
)
from channel_sim.medium import Reason

if TYPE_CHECKING:
    from channel_sim.ieee802154.family import Zigbee

START = LAST + 1
"""Frames start after all else of an instant: a listener whose time is over has not heard them."""
DRAWS = 4096
"""Uniform numbers drawn at a time."""


@dataclass(slots=True, eq=False)
class Node:
    """A device or the station: its queue and what its radio does."""

    number: int
    name: str
    queue: deque[Message] = field(default_factory=deque)
    job: Job | None = None
    free_ns: int = 0
    deaf_until_ns: int = 0


@dataclass(slots=True, eq=False)
class Job:
    """The message that a node is sending: which frame, which attempt, what arrived."""

    message: Message
    node: Node
    receiver: Node
    frames_bytes: tuple[int, ...]
    began_ns: int
    place: int = 0
    received: int = 0
    frame_received: bool = False
    backoffs: int = 0
    exponent: int = 0
    retries: int = 0
    weak: bool = False
    committed: bool = False
    on_air: Frame | None = None
    acknowledgement: Frame | None = None
    over: bool = False


class Csma(Calendar):
    """Both directions of one PAN; build it with :meth:`Zigbee.medium`.

    A node sends its messages in order of arrival, one after the other. A
    message is its 6LoWPAN fragments; with acknowledgements, a fragment that
    is lost for good ends it; without, the sender cannot know and sends them
    all. A message ends when its sender knows: at the end of the last
    acknowledgement, or when it gives up. A device is listening for downlink
    whenever it does not send.
    """

    def __init__(
        self,
        family: Zigbee,
        losses_db: Mapping[str, float],
        *,
        rng: np.random.Generator,
        blocks: Blocks | None = None,
    ) -> None:
        super().__init__(tuple(losses_db), radio=family.radio)
        self.family = family
        self._air = Air(family, list(losses_db.values()), blocks=blocks)
        self._nodes = {name: Node(number, name) for number, name in enumerate(losses_db)}
        self._station = Node(self._air.station, "station")
        self._jobs: dict[int, Job] = {}
        self._rng = rng
        self._draws: list[float] = []

    def _arrive(self, message: Message) -> None:
        message.packets = len(self.family.frames_bytes(message.size_bytes))
        node = self._sender(message)
        node.queue.append(message)
        if self.now_ns >= node.free_ns:
            self._next(node)
        else:
            self._at(node.free_ns, self._next, node)

    def _withdraw(self, message: Message) -> None:
        job = self._jobs.get(message.ticket)
        if job is None:
            node = self._sender(message)
            if message in node.queue:
                node.queue.remove(message)
            return
        if job.on_air is not None:
            self._count_air(job, self.now_ns - job.on_air.start_ns)
            self._air.cut(job.on_air, self.now_ns)
        acknowledgement = job.acknowledgement
        if acknowledgement is not None:
            self._count_acknowledgement(job, self.now_ns - acknowledgement.start_ns)
            if acknowledgement.sender != self._air.station:
                self._air.cut(acknowledgement, self.now_ns)
                job.acknowledgement = None
                job.receiver.deaf_until_ns = self.now_ns
        if job.committed:
            job.node.deaf_until_ns = self.now_ns
        self._close(job)
        self._next(job.node)

    def _relink(self, device: str, loss_db: float) -> None:
        self._air.set_loss(self._nodes[device].number, loss_db)

    def _sender(self, message: Message) -> Node:
        return self._nodes[message.device] if message.direction == "up" else self._station

    def _next(self, node: Node) -> None:
        """Begin the next message of a node, unless it has one or rests after one."""
        if node.queue and node.job is None and self.now_ns >= node.free_ns:
            message = node.queue.popleft()
            up = message.direction == "up"
            receiver = self._station if up else self._nodes[message.device]
            frames_bytes = self.family.frames_bytes(message.size_bytes)
            job = Job(message, node, receiver, frames_bytes, self.now_ns)
            node.job = self._jobs[message.ticket] = job
            self._contend(job)

    def _contend(self, job: Job) -> None:
        """Begin CSMA-CA for one attempt of one frame."""
        if not job.over:
            job.backoffs, job.exponent = 0, self.family.min_be
            self._back_off(job)

    def _back_off(self, job: Job) -> None:
        periods = int(self._random() * (1 << job.exponent))
        self._at(self.now_ns + periods * UNIT_BACKOFF_NS + CCA_NS, self._assess, job)

    def _assess(self, job: Job) -> None:
        """Judge the channel at the end of a clear channel assessment."""
        if job.over:
            return
        node, since_ns = job.node, self.now_ns - CCA_NS
        if node.deaf_until_ns > since_ns or self._air.busy_since(node.number, since_ns):
            job.backoffs += 1
            job.exponent = min(job.exponent + 1, self.family.max_be)
            if job.backoffs > self.family.max_csma_backoffs:
                self._finish(job, "retry_limit")
            else:
                self._back_off(job)
            return
        job.committed = True
        self._air.deafen(node.number)
        start_ns = self.now_ns + TURNAROUND_NS
        air_ns = frame_ns(job.frames_bytes[job.place])
        node.deaf_until_ns = start_ns + air_ns + TURNAROUND_NS
        self._at(start_ns, self._send, job, priority=START)

    def _send(self, job: Job) -> None:
        if job.over:
            return
        message, receiver = job.message, job.receiver
        if message.start_ns is None:
            message.start_ns = self.now_ns
        message.attempts += 1
        end_ns = self.now_ns + frame_ns(job.frames_bytes[job.place])
        job.on_air = Frame(job.node.number, receiver.number, self.now_ns, end_ns)
        self._air.start(job.on_air, deaf=receiver.deaf_until_ns > self.now_ns)
        self._note("send", job.node.name)
        self._at(end_ns, self._sent, job)

    def _sent(self, job: Job) -> None:
        if job.over or job.on_air is None:
            return
        frame, job.on_air, job.committed = job.on_air, None, False
        weak = self._air.is_weak(frame)
        received = self._random() < self._air.stop(frame, self.now_ns)
        self._note("received" if received else "missed", job.node.name)
        self._count_air(job, self.now_ns - frame.start_ns)
        if received and not job.frame_received:
            job.frame_received = True
            job.received += 1
        if not received or self.family.ack:
            job.weak = weak
        if not self.family.ack:
            self._go_on(job)
        elif received:
            ack_ns = self.now_ns + TURNAROUND_NS
            job.receiver.deaf_until_ns = ack_ns + ACK_NS + TURNAROUND_NS
            self._at(ack_ns, self._acknowledge, job, priority=START)
        else:
            self._at(self.now_ns + ACK_WAIT_NS, self._retry, job)

    def _acknowledge(self, job: Job) -> None:
        """The receiver acknowledges; the station does so even when the device has gone."""
        if job.over and job.receiver is not self._station:
            return
        end_ns = self.now_ns + ACK_NS
        job.acknowledgement = Frame(
            job.receiver.number, job.node.number, self.now_ns, end_ns, acknowledges=True
        )
        self._air.start(job.acknowledgement, deaf=False)
        self._note("acknowledge", job.receiver.name)
        self._at(end_ns, self._acknowledged, job)

    def _acknowledged(self, job: Job) -> None:
        frame, job.acknowledgement = job.acknowledgement, None
        if frame is None:
            return
        received = self._random() < self._air.stop(frame, self.now_ns)
        if job.over:
            return
        self._count_acknowledgement(job, ACK_NS)
        if received:
            self._go_on(job)
        else:
            self._at(self.now_ns - ACK_NS - TURNAROUND_NS + ACK_WAIT_NS, self._retry, job)

    def _retry(self, job: Job) -> None:
        """No acknowledgement came in time."""
        if job.over:
            return
        job.retries += 1
        if job.retries > self.family.max_frame_retries:
            self._finish(job, "below_sensitivity" if job.weak else "retry_limit")
        else:
            self._contend(job)

    def _go_on(self, job: Job) -> None:
        """The frame is done with: go to the next after a pause, or end the message."""
        resume_ns = self.now_ns + ifs_ns(job.frames_bytes[job.place])
        job.place += 1
        job.retries, job.frame_received = 0, False
        if job.place < len(job.frames_bytes):
            self._at(resume_ns, self._contend, job)
            return
        job.node.free_ns = resume_ns
        self._finish(job, "below_sensitivity" if job.weak else "collision")

    def _finish(self, job: Job, failure: Reason) -> None:
        """End a message: delivered when all its frames arrived, else for ``failure``."""
        delivered = job.received == len(job.frames_bytes)
        self._close(job)
        self._end(job.message, "delivered" if delivered else failure)
        node = job.node
        if node.queue and node.free_ns > self.now_ns:
            self._at(node.free_ns, self._next, node)
        else:
            self._next(node)

    def _close(self, job: Job) -> None:
        message = job.message
        message.idle_ns = self.now_ns - job.began_ns - message.tx_ns - message.rx_ns
        job.over, job.node.job = True, None
        del self._jobs[message.ticket]

    def _count_air(self, job: Job, air_ns: int) -> None:
        job.message.air_ns += air_ns
        if job.message.direction == "up":
            job.message.tx_ns += air_ns
        else:
            job.message.rx_ns += air_ns

    def _count_acknowledgement(self, job: Job, air_ns: int) -> None:
        if job.message.direction == "up":
            job.message.rx_ns += air_ns
        else:
            job.message.tx_ns += air_ns

    def _random(self) -> float:
        if not self._draws:
            self._draws = self._rng.random(DRAWS).tolist()
        return self._draws.pop()
