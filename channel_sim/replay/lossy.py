"""The medium over measured delivery shares: frames, attempts, one queue per direction."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from channel_sim.calendar import Calendar, Message
from channel_sim.checks import check_count, check_not_negative, check_positive
from channel_sim.energy import RadioPower
from channel_sim.medium import Direction
from channel_sim.replay.shares import DeliveryTrace, ShareTable
from channel_sim.units import SECOND_NS, to_ns


@dataclass(frozen=True)
class LossyTrack:
    """A recording and where in it time 0 of the simulation lies."""

    trace: DeliveryTrace
    offset_ns: int = 0


@dataclass(frozen=True, kw_only=True)
class Frames:
    """How a message is sent: frames of ``packet_bytes`` at ``rate_bps``, sent again when lost.

    A frame that is lost is sent again ``retry_wait_s`` later, at most
    ``max_attempts`` times in all. Raises ValueError for parameters out of range.
    """

    rate_bps: float
    packet_bytes: int
    max_attempts: int
    retry_wait_s: float

    def __post_init__(self) -> None:
        check_positive("rate_bps", self.rate_bps)
        check_count("packet_bytes", self.packet_bytes)
        check_count("max_attempts", self.max_attempts)
        check_not_negative("retry_wait_s", self.retry_wait_s)

    def air_ns(self, size_bytes: int) -> int:
        """Nanoseconds of one frame on air."""
        return round(size_bytes * 8 * SECOND_NS / self.rate_bps)


@dataclass(eq=False)
class _Line:
    number: int
    offset_ns: int
    rng: np.random.Generator
    queue: deque[Message] = field(default_factory=deque)
    sent: Message | None = None
    packet: int = 0
    attempt: int = 0
    busy_until_ns: int | None = None
    """End of the attempt on air; None while the sender waits."""


class ReplayLossyLink(Calendar):
    """Devices whose frames arrive with the measured probability of their link.

    Each device has a recording per direction and a queue, first come first
    served. A frame is delivered with the share that its recording has
    when the attempt begins; draws are independent. A message whose
    frame has failed ``max_attempts`` times is lost ("retry_limit") and its
    other frames are not sent. Acknowledgements take no air time and are not
    lost; devices do not meet (the interference of the time of measuring is in
    the shares); up and down run at once.
    """

    def __init__(
        self,
        up: Mapping[str, LossyTrack],
        down: Mapping[str, LossyTrack],
        frames: Frames,
        *,
        radio: RadioPower,
        rng: np.random.Generator,
    ) -> None:
        if set(up) != set(down):
            odd = sorted(set(up) ^ set(down))
            raise ValueError(f"up and down differ in {odd}; give each device both")
        super().__init__(list(up), radio=radio)
        self._frames = frames
        self._wait_ns = to_ns(frames.retry_wait_s)
        self._lines: dict[tuple[str, Direction], _Line] = {}
        number_of: dict[DeliveryTrace, int] = {}
        streams = iter(rng.spawn(2 * len(up)))

        def line(track: LossyTrack) -> _Line:
            number = number_of.setdefault(track.trace, len(number_of))
            return _Line(number, track.offset_ns, next(streams))

        for device in up:
            self._lines[device, "up"] = line(up[device])
            self._lines[device, "down"] = line(down[device])
        self._table = ShareTable(list(number_of))

    def _arrive(self, message: Message) -> None:
        message.packets = -(-message.size_bytes // self._frames.packet_bytes)
        line = self._lines[message.device, message.direction]
        line.queue.append(message)
        self._next(line)

    def _withdraw(self, message: Message) -> None:
        line = self._lines[message.device, message.direction]
        if line.sent is message:
            if line.busy_until_ns is not None:  # the rest of this attempt is not sent
                self._book(message, self.now_ns - line.busy_until_ns)
            self._book_idle(message)
            line.sent = None
            # Later, for the others of a device that leaves are withdrawn as well.
            self._at(self.now_ns, self._next, line)
        elif message in line.queue:
            line.queue.remove(message)

    def _relink(self, device: str, loss_db: float) -> None:
        """A recording holds its own losses."""

    def _next(self, line: _Line) -> None:
        """Begin with the next message if none is being sent."""
        if line.sent is None and line.queue:
            line.sent = line.queue.popleft()
            line.packet = line.attempt = 0
            line.sent.start_ns = self.now_ns
            self._attempt((line, line.sent))

    def _attempt(self, what: tuple[_Line, Message]) -> None:
        line, message = what
        if message.ended:
            return
        left_bytes = message.size_bytes - line.packet * self._frames.packet_bytes
        air_ns = self._frames.air_ns(min(left_bytes, self._frames.packet_bytes))
        share = float(self._table.share(line.number, self.now_ns + line.offset_ns))
        arrives = bool(line.rng.random() < share)
        line.busy_until_ns = self.now_ns + air_ns
        line.attempt += 1
        message.attempts += 1
        self._book(message, air_ns)
        self._note("frame", message.device)
        self._at(line.busy_until_ns, self._ended_attempt, (line, message, arrives))

    def _ended_attempt(self, what: tuple[_Line, Message, bool]) -> None:
        line, message, arrives = what
        if message.ended:
            return
        line.busy_until_ns = None
        if arrives:
            line.packet, line.attempt = line.packet + 1, 0
            if line.packet < message.packets:
                self._attempt((line, message))
                return
        elif line.attempt < self._frames.max_attempts:
            self._at(self.now_ns + self._wait_ns, self._attempt, (line, message))
            return
        self._book_idle(message)
        line.sent = None
        self._end(message, "delivered" if arrives else "retry_limit")
        self._next(line)

    def _book(self, message: Message, air_ns: int) -> None:
        message.air_ns += air_ns
        if message.direction == "up":
            message.tx_ns += air_ns
        else:
            message.rx_ns += air_ns

    def _book_idle(self, message: Message) -> None:
        message.idle_ns = self.now_ns - (message.start_ns or 0) - message.air_ns
