"""The medium over measured capacities: one queue per device and direction."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

from channel_sim.calendar import Calendar, Message
from channel_sim.energy import RadioPower
from channel_sim.medium import Direction
from channel_sim.replay.capacity import BYTE_MILLIBITS, Capacity

PACKET_BYTES = 1500


@dataclass(frozen=True)
class Track:
    """A recording and where in it time 0 of the simulation lies."""

    capacity: Capacity
    offset_ns: int = 0


@dataclass(eq=False)
class _Line:
    """One direction of one device: the message being carried, and those that wait."""

    track: Track
    queue: deque[Message] = field(default_factory=deque)
    carried: Message | None = None
    begin: int = 0
    """Level at which the carried message began."""
    end: int = 0
    """Level at which it is through."""


class ReplayLink(Calendar):
    """Devices whose links do what was recorded.

    Each device has a track per direction, ``up`` and ``down`` of the same
    devices, and a queue, first come first served. What a link could carry while nothing
    waited is lost. Nothing is lost otherwise: a recording of deliveries already
    holds the losses and repetitions of the radio below. Devices do not meet,
    up and down run at once.

    The radio sends (up) or receives (down) while the link carries and is idle
    while a message waits for a link that carries nothing.
    """

    def __init__(
        self, up: Mapping[str, Track], down: Mapping[str, Track], *, radio: RadioPower
    ) -> None:
        if set(up) != set(down):
            odd = sorted(set(up) ^ set(down))
            raise ValueError(f"up and down differ in {odd}; give each device both")
        super().__init__(list(up), radio=radio)
        self._lines: dict[tuple[str, Direction], _Line] = {}
        for device in up:
            self._lines[device, "up"] = _Line(up[device])
            self._lines[device, "down"] = _Line(down[device])

    def _arrive(self, message: Message) -> None:
        message.packets = -(-message.size_bytes // PACKET_BYTES)
        line = self._lines[message.device, message.direction]
        line.queue.append(message)
        self._carry(line)

    def _withdraw(self, message: Message) -> None:
        line = self._lines[message.device, message.direction]
        if line.carried is message:
            self._account(line, message)
            line.carried = None
            # Later, for the others of a device that leaves are withdrawn as well.
            self._at(self.now_ns, self._carry, line)
        elif message in line.queue:
            line.queue.remove(message)

    def _relink(self, device: str, loss_db: float) -> None:
        """A recording holds its own losses."""

    def _carry(self, line: _Line, *, left: bool = False) -> None:
        """Begin with the next message if none is being carried.

        ``left``: the message before has just been carried, and what is left of
        its last chance is good for one that was waiting.
        """
        if line.carried is not None or not line.queue:
            return
        message = line.carried = line.queue.popleft()
        message.start_ns = self.now_ns
        capacity, offset_ns = line.track.capacity, line.track.offset_ns
        line.begin = line.end
        if not left or message.ready_ns == self.now_ns:
            line.begin = int(capacity.level(self.now_ns + offset_ns))
        line.end = line.begin + message.size_bytes * BYTE_MILLIBITS
        self._note("carry", message.device)
        self._at(int(capacity.when_ns(line.end)) - offset_ns, self._finish, (line, message))

    def _finish(self, what: tuple[_Line, Message]) -> None:
        line, message = what
        if message.ended:
            return
        self._account(line, message)
        line.carried = None
        self._end(message, "delivered")
        self._carry(line, left=True)

    def _account(self, line: _Line, message: Message) -> None:
        """Book what the carried message has cost up to now."""
        capacity, offset_ns = line.track.capacity, line.track.offset_ns
        now_ns, begin_ns = self.now_ns, message.start_ns or 0
        used = min(int(capacity.level(now_ns + offset_ns)), line.end) - line.begin
        held_ns = now_ns - begin_ns
        busy_ns = int(capacity.busy_ns(now_ns + offset_ns) - capacity.busy_ns(begin_ns + offset_ns))
        message.air_ns = min(busy_ns, held_ns) if used > 0 else 0
        message.idle_ns = held_ns - message.air_ns
        message.attempts = -(-max(used, 0) // (PACKET_BYTES * BYTE_MILLIBITS))
        if used <= 0:
            message.start_ns = None
        if message.direction == "up":
            message.tx_ns = message.air_ns
        else:
            message.rx_ns = message.air_ns
