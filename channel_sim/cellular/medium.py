"""The calendar of one cell: random access, shared carriers up and down, connections.

Up: a device at rest takes the random access, sets up its connection, waits for
a grant and gets its share of the uplink carrier. Down: a device at rest is
paged and answers by random access; then the downlink carrier is shared alike.
A device sends its messages of one direction one after another.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

from channel_sim.calendar import LAST, Calendar, Ended, Message
from channel_sim.cellular.access import alone
from channel_sim.cellular.sharing import Carrier, Job
from channel_sim.cellular.transfer import Sender, Transfers
from channel_sim.family import Blocks
from channel_sim.medium import Direction
from channel_sim.units import to_ns, to_s

if TYPE_CHECKING:
    from channel_sim.cellular.family import Cellular

State = Literal["rest", "paged", "access", "setup", "connected"]
DIRECTIONS: tuple[Direction, ...] = get_args(Direction)


@dataclass(slots=True, eq=False)
class _Device:
    """One device; ``paid_ns`` until when its listening is charged to earlier messages."""

    name: str
    link: int
    paging_ns: int
    state: State = "rest"
    life: int = 0
    tries: int = 0
    until_ns: int = 0
    paid_ns: int = 0
    wakes: int = 0
    preambles: int = 0
    queues: dict[Direction, deque[Message]] = field(
        default_factory=lambda: {"up": deque(), "down": deque()}
    )

    @property
    def busy(self) -> bool:
        """True while a message of it waits or is under way."""
        return any(self.queues.values())


@dataclass(slots=True, eq=False)
class _Running:
    """The message on a carrier, or (no job) in its last retransmissions; ``mode`` it began with."""

    transfer: Transfers
    mode: int
    job: Job[Message] | None


class CellularMedium(Calendar):
    """One cell with the devices of ``losses_db``; see :class:`~channel_sim.cellular.Cellular`.

    A message starts when its first block may go on the carrier; access and
    set-up before that are in ``queue_s`` and in its joules. Promotion and tail of
    the radio are overhead, the tail whole to the last message before it and not
    twice. What is cut is charged for the part of its work that was done. A device
    that leaves loses its connection.
    """

    def __init__(
        self,
        family: Cellular,
        losses_db: Mapping[str, float],
        *,
        rng: np.random.Generator,
        blocks: Blocks | None = None,
    ) -> None:
        super().__init__(tuple(losses_db), radio=family.radio)
        self.family = family
        self._rng = rng
        self._rules = family.access
        losses = np.array(list(losses_db.values()), dtype=np.float64)
        self._senders = {
            direction: Sender(family, direction, losses, blocks=blocks) for direction in DIRECTIONS
        }
        self._carriers: dict[Direction, Carrier[Message]] = {
            direction: Carrier(
                sender.caps, sender.values, scheduler=family.scheduler, capacity=sender.fraction
            )
            for direction, sender in self._senders.items()
        }
        self._setup_ns = to_ns(family.setup_s)
        self._grant_ns = to_ns(family.grant_s)
        self._inactivity_ns = to_ns(family.inactivity_s)
        self._preamble_ns = to_ns(family.preamble_s)
        self._cycle_ns = max(1, to_ns(family.paging_cycle_s))
        phases = rng.integers(self._cycle_ns, size=len(losses)).tolist()
        self._devices = {
            name: _Device(name, link, phases[link]) for link, name in enumerate(losses_db)
        }
        self._leaving: str | None = None
        self._occasions: dict[int, list[tuple[_Device, int]]] = {}
        self._running: dict[int, _Running] = {}
        self._next_ns: dict[Direction, int | None] = dict.fromkeys(DIRECTIONS)

    def leave(self, device: str, *, reason: Literal["off", "battery"] = "off") -> list[Ended]:
        """End all messages of a device now; it will have to come back by random access."""
        self._leaving = device
        ended = super().leave(device, reason=reason)
        self._leaving = None
        if device in self._devices:
            self._rest(self._devices[device])
            self._devices[device].paid_ns = self.now_ns
        return ended

    # Messages come and go.

    def _arrive(self, message: Message) -> None:
        device = self._devices[message.device]
        sender = self._senders[message.direction]
        if not self._reached(device, message.direction):
            self._end(message, "below_sensitivity")
            return
        message.packets = int(
            sender.cut(np.array([device.link]), np.array([message.size_bytes])).packets[0]
        )
        connected = self._connected(device)
        queue = device.queues[message.direction]
        queue.append(message)
        if connected:
            if len(queue) == 1:
                self._grant(message)
        elif message.direction == "up":
            if device.state not in {"access", "setup"}:
                self._rest(device)
                self._seek(device, self._rules.occasion_ns(self.now_ns))
        elif device.state in {"rest", "connected"}:
            self._rest(device)
            device.state = "paged"
            wait_ns = (device.paging_ns - self.now_ns) % self._cycle_ns
            self._at(self.now_ns + wait_ns, self._page, (device, device.life))

    def _withdraw(self, message: Message) -> None:
        device = self._devices[message.device]
        queue = device.queues[message.direction]
        if message not in queue:  # it has not arrived yet
            return
        queue.remove(message)
        running = self._running.pop(message.ticket, None)
        if running is not None:
            done = 1.0
            if running.job is not None:
                done = self._carriers[message.direction].remove(self.now_ns, running.job)
                self._predict(message.direction)
            self._charge(message, running, done)
        self._settle(device, message)
        if queue:
            # Whoever withdraws may be about to withdraw the next one too.
            self._at(self.now_ns, self._begin, queue[0], priority=LAST)

    def _relink(self, device: str, loss_db: float) -> None:
        moved = self._devices[device]
        for sender in self._senders.values():
            sender.set_loss(moved.link, loss_db)
        if moved.busy:
            self._at(self.now_ns, self._drop, moved)

    def _reached(self, device: _Device, direction: Direction) -> bool:
        # Whoever is paged must be heard when it answers.
        heard = self._senders[direction].heard[device.link]
        return bool(heard and self._senders["up"].heard[device.link])

    def _drop(self, device: _Device) -> None:
        """Give up what waits for a carrier that no longer reaches its device."""
        for direction, queue in device.queues.items():
            if not self._reached(device, direction):
                for message in [item for item in queue if item.ticket not in self._running]:
                    queue.remove(message)
                    self._settle(device, message)
                    self._end(message, "below_sensitivity")

    # A device gets in.

    def _connected(self, device: _Device) -> bool:
        if self.family.connected:
            return True
        return device.state == "connected" and (device.busy or self.now_ns <= device.until_ns)

    def _rest(self, device: _Device) -> None:
        """Forget the connection; what is on the calendar for it is void."""
        device.state = "rest"
        device.life += 1
        device.tries = 0

    def _page(self, what: tuple[_Device, int]) -> None:
        device, life = what
        if device.life != life:
            return
        self._note("page", device.name)
        if device.busy:
            self._seek(device, self._rules.occasion_ns(self.now_ns))
        else:
            self._rest(device)

    def _seek(self, device: _Device, occasion_ns: int) -> None:
        device.state = "access"
        if occasion_ns not in self._occasions:
            self._occasions[occasion_ns] = []
            # After all that arrives at this instant.
            self._at(occasion_ns, self._occasion, occasion_ns, priority=LAST)
        self._occasions[occasion_ns].append((device, device.life))

    def _occasion(self, occasion_ns: int) -> None:
        """One occasion of the random access: who is alone on its preamble gets in."""
        present: list[_Device] = []
        for device, life in self._occasions.pop(occasion_ns):
            if device.life == life and device.busy:
                present.append(device)
            elif device.life == life:
                self._rest(device)
        choices = self._rng.integers(self._rules.preambles, size=len(present)).tolist()
        for device, single in zip(present, alone(choices), strict=True):
            device.tries += 1
            device.preambles += 1
            self._note("preamble" if single else "collision", device.name)
            if single:
                device.state = "setup"
                device.wakes += 1
                up = self._senders["up"]
                signalling_ns = int(up.signalling_ns[up.chosen[device.link]])
                setup_ns = self._setup_ns + signalling_ns
                self._at(occasion_ns + setup_ns, self._connect, (device, device.life))
            elif device.tries < self._rules.attempts:
                backoff_ns = int(self._rng.integers(0, self._rules.backoff_ns, endpoint=True))
                self._seek(device, self._rules.retry_ns(occasion_ns, backoff_ns))
            else:
                give_up_ns = occasion_ns + self._rules.response_ns
                self._at(give_up_ns, self._give_up, (device, device.life))

    def _give_up(self, what: tuple[_Device, int]) -> None:
        device, life = what
        if device.life != life:
            return
        for queue in device.queues.values():
            while queue:
                message = queue.popleft()
                self._settle(device, message)
                self._end(message, "retry_limit")
        self._rest(device)

    def _connect(self, what: tuple[_Device, int]) -> None:
        device, life = what
        if device.life != life:
            return
        self._note("connect", device.name)
        device.state = "connected"
        device.until_ns = self.now_ns + self._inactivity_ns
        for queue in device.queues.values():
            if queue:
                self._grant(queue[0])

    # A connected device sends and receives.

    def _grant(self, message: Message) -> None:
        wait_ns = self._grant_ns if message.direction == "up" else 0
        self._at(self.now_ns + wait_ns, self._begin, message)

    def _begin(self, message: Message) -> None:
        """Put a message on its carrier, if it still is the first of its queue."""
        device, direction = self._devices[message.device], message.direction
        queue = device.queues[direction]
        if not (queue and queue[0] is message) or message.start_ns is not None:
            return
        if not self._connected(device):
            return
        sender = self._senders[direction]
        transfer = sender.transfer(
            np.array([device.link]),
            np.array([message.size_bytes]),
            np.array([self.now_ns]),
            rng=self._rng,
        )
        message.start_ns = self.now_ns
        self._note("start", device.name)
        mode = int(sender.chosen[device.link])
        job = self._carriers[direction].add(self.now_ns, mode, float(transfer.work_ns[0]), message)
        self._running[message.ticket] = _Running(transfer, mode, job)
        self._predict(direction)

    def _predict(self, direction: Direction) -> None:
        """Put the next departure of a carrier on the calendar; an earlier forecast is void."""
        next_ns = self._carriers[direction].next_ns()
        if next_ns is not None and next_ns != self._next_ns[direction]:
            self._at(next_ns, self._depart, (direction, next_ns))
        self._next_ns[direction] = next_ns

    def _depart(self, what: tuple[Direction, int]) -> None:
        direction, next_ns = what
        if self._next_ns[direction] != next_ns:
            return
        for message in self._carriers[direction].take(next_ns):
            running = self._running[message.ticket]
            running.job = None
            least_ns = int(running.transfer.least_ns[0])
            self._at(max(next_ns, (message.start_ns or 0) + least_ns), self._finish, message)
        self._next_ns[direction] = None
        self._predict(direction)

    def _finish(self, message: Message) -> None:
        if message.ended:
            return
        device = self._devices[message.device]
        running = self._running.pop(message.ticket)
        transfer = running.transfer
        self._charge(message, running, 1.0)
        queue = device.queues[message.direction]
        queue.popleft()
        self._settle(device, message)
        self._end(message, "retry_limit" if transfer.lost[0] else "delivered")
        if queue:
            self._begin(queue[0])

    # What it costs.

    def _charge(self, message: Message, running: _Running, done: float) -> None:
        """Charge the part of a transfer that was done."""
        sender, transfer = self._senders[message.direction], running.transfer
        message.attempts = max(1, round(int(transfer.attempts[0]) * done))
        message.air_ns = round(int(transfer.air_ns[0]) * done)
        control_ns = message.attempts * int(sender.control_ns[running.mode])
        if message.direction == "up":
            message.tx_ns, message.rx_ns = message.air_ns, control_ns
        else:
            message.rx_ns, message.tx_ns = message.air_ns, control_ns

    def _settle(self, device: _Device, message: Message) -> None:
        """Charge access, listening and tail to a message that ends now."""
        radio = self.radio
        message.tx_ns += device.preambles * self._preamble_ns
        message.overhead_j = device.wakes * radio.wake_j
        device.preambles = device.wakes = 0
        up = message.direction == "up"
        own_ns = message.tx_ns if up else message.rx_ns
        rest_ns = max(0, self.now_ns - max(message.ready_ns, device.paid_ns) - own_ns)
        # Full duplex: what overlaps with its own frames takes no time of its own.
        if up:
            message.rx_ns = min(message.rx_ns, rest_ns)
            message.idle_ns = rest_ns - message.rx_ns
        else:
            message.tx_ns = min(message.tx_ns, rest_ns)
            message.idle_ns = rest_ns - message.tx_ns
        device.paid_ns = max(device.paid_ns, self.now_ns)
        if self._connected(device) and device.name != self._leaving:
            device.until_ns = self.now_ns + self._inactivity_ns
            tail_end_ns = self.now_ns + to_ns(radio.tail_s)
            message.overhead_j += radio.tail_w * to_s(tail_end_ns - device.paid_ns)
            device.paid_ns = tail_end_ns
