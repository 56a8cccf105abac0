"""The calendar engine: a shared medium as events in integer nanoseconds.

The base of every medium whose users meet. It keeps the clock, the heap of
events in total order (time, priority, sequence), the messages under way and
their ends. A technology adds what its stations do: it puts events on the
heap with :meth:`Calendar._at` and ends a message with :meth:`Calendar._end`.
No clock of its own runs: whoever drives it says how far to advance, so one
code serves ``offer`` (all arrivals known) and a SimPy process (arrivals,
departures and dropouts at any time).
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from heapq import heappop, heappush
from typing import Any, Literal, TypeAlias

from channel_sim.checks import check_count, check_finite
from channel_sim.energy import RadioPower
from channel_sim.medium import Delivery, Direction, Reason, check_offer
from channel_sim.units import SECOND_NS, to_ns

Ended: TypeAlias = tuple[int, Delivery]
"""The ticket of a message and what became of it."""
Trace: TypeAlias = Callable[[int, str, str], None]
"""Called with time in ns, event and node, for each event that matters."""

ARRIVAL, NORMAL, LAST = 0, 1, 2
"""Priorities at one instant: messages arrive first, deadlines strike last."""


@dataclass(slots=True, eq=False)
class Message:
    """A message under way and what it has cost so far, in nanoseconds.

    ``start_ns`` is None until it is first on air. ``tx_ns`` and ``rx_ns`` are
    the device's radio sending and receiving, whoever the sender is;
    ``overhead_j`` what it spent on waking and tails.
    """

    ticket: int
    device: str
    size_bytes: int
    ready_ns: int
    direction: Direction
    deadline_ns: int | None
    packets: int = 1
    start_ns: int | None = None
    attempts: int = 0
    air_ns: int = 0
    tx_ns: int = 0
    rx_ns: int = 0
    idle_ns: int = 0
    overhead_j: float = 0.0
    ended: bool = False


class Calendar(ABC):
    """A medium driven by events; ``devices`` are the names that may use it (None: any).

    ``trace``, where set, sees every event (see :class:`Fingerprint`).
    """

    def __init__(self, devices: Sequence[str] | None, *, radio: RadioPower) -> None:
        self.devices = tuple(devices or ())
        self.radio = radio
        self.now_ns = 0
        self.trace: Trace | None = None
        self._known = None if devices is None else frozenset(devices)
        self._events: list[tuple[int, int, int, Callable[..., None], Any]] = []
        self._sequence = 0
        self._tickets = 0
        self._messages: dict[int, Message] = {}
        self._ended: list[Ended] = []

    # What a driver calls.

    def submit(
        self,
        device: str,
        size_bytes: int,
        ready_ns: int,
        *,
        direction: Direction = "up",
        deadline_ns: int | None = None,
    ) -> int:
        """Announce a message that is ready at ``ready_ns``; return its ticket.

        Raises ValueError for an unknown device, a size below 1 byte and a
        time before :attr:`now_ns`.
        """
        check_count("size_bytes", size_bytes)
        self._check_known(device)
        if ready_ns < self.now_ns:
            raise ValueError(f"ready_ns = {ready_ns!r} is in the past; give {self.now_ns} or more")
        self._tickets += 1
        message = Message(self._tickets, device, size_bytes, ready_ns, direction, deadline_ns)
        self._messages[message.ticket] = message
        self._at(ready_ns, self._receive, message, priority=ARRIVAL)
        if deadline_ns is not None:
            self._at(max(deadline_ns, ready_ns), self._expire, message, priority=LAST)
        return message.ticket

    def next_ns(self) -> int | None:
        """Return the time of the next event; None when nothing will happen."""
        return self._events[0][0] if self._events else None

    def admit(self, now_ns: int) -> list[Ended]:
        """Let in the messages that are ready at this very instant, and do nothing else.

        The same as :meth:`advance` does first; it saves a driver a wake-up.
        """
        events = self._events
        while events and events[0][:2] == (now_ns, ARRIVAL):
            self.now_ns, _, _, act, what = heappop(events)
            act(what)
        ended, self._ended = self._ended, []
        return ended

    def advance(self, until_ns: int | None) -> list[Ended]:
        """Do all events up to and including ``until_ns`` (None: all there are).

        Returns the messages that ended, in the order in which they did.
        """
        events = self._events
        while events and (until_ns is None or events[0][0] <= until_ns):
            self.now_ns, _, _, act, what = heappop(events)
            act(what)
        if until_ns is not None:
            self.now_ns = max(self.now_ns, until_ns)
        ended, self._ended = self._ended, []
        return ended

    def leave(self, device: str, *, reason: Literal["off", "battery"] = "off") -> list[Ended]:
        """End all messages of a device now, up and down: it is off or empty.

        Those announced for later are left alone: it may be back by then.
        """
        mine = [
            item
            for item in self._messages.values()
            if item.device == device and item.ready_ns <= self.now_ns
        ]
        for message in mine:
            self._withdraw(message)
            self._end(message, reason)
        ended, self._ended = self._ended, []
        return ended

    def set_loss(self, device: str, loss_db: float) -> None:
        """A device has moved: frames that begin from now on meet this loss.

        One on air keeps the power it began with. Where a medium works a message
        out as a whole when it starts, the message is the frame. Raises ValueError
        for an unknown device and a loss that is not finite.
        """
        self._check_known(device)
        check_finite("loss_db", loss_db)
        self._relink(device, loss_db)

    def offer(
        self,
        device_ids: Sequence[str],
        sizes_bytes: Sequence[int],
        ready_times_s: Sequence[float],
        *,
        direction: Direction = "up",
        deadline_s: float | None = None,
    ) -> list[Delivery]:
        """Offer messages and run until all have ended; see :meth:`channel_sim.medium.Medium.offer`.

        The order of the sequences changes nothing: messages enter by ready
        time, then by device. ``deadline_s`` is one for all. Needs a calendar
        that nobody else drives.
        """
        check_offer(device_ids, sizes_bytes, ready_times_s)
        for device in device_ids:
            self._check_known(device)
        offered = list(zip(ready_times_s, device_ids, sizes_bytes, strict=True))
        order = sorted(range(len(offered)), key=offered.__getitem__)
        deadline_ns = None if deadline_s is None else to_ns(deadline_s)
        row_of = {}
        for row in order:
            ready_s, device, size_bytes = offered[row]
            ticket = self.submit(
                device, size_bytes, to_ns(ready_s), direction=direction, deadline_ns=deadline_ns
            )
            row_of[ticket] = row
        found = {row_of[ticket]: delivery for ticket, delivery in self.advance(None)}
        return [found[row] for row in range(len(offered))]

    # What a technology does.

    @abstractmethod
    def _arrive(self, message: Message) -> None:
        """Take a message that is ready now."""

    @abstractmethod
    def _withdraw(self, message: Message) -> None:
        """Forget a message that is about to be ended from outside."""

    @abstractmethod
    def _relink(self, device: str, loss_db: float) -> None:
        """Take the new loss of a device; a message may end by it at an event, not here."""

    # What a technology uses.

    def _at(
        self, time_ns: int, act: Callable[..., None], what: Any = None, *, priority: int = NORMAL
    ) -> None:
        """Call ``act(what)`` at ``time_ns``; events of one instant in order of being put."""
        self._sequence += 1
        heappush(self._events, (time_ns, priority, self._sequence, act, what))

    def _end(self, message: Message, reason: Reason, at_ns: int | None = None) -> None:
        """End a message once, now or at ``at_ns``; a second call does nothing."""
        if message.ended:
            return
        message.ended = True
        del self._messages[message.ticket]
        finish_ns = self.now_ns if at_ns is None else at_ns
        start_ns = finish_ns if message.start_ns is None else message.start_ns
        radio = self.radio
        self._ended.append(
            (
                message.ticket,
                Delivery(
                    device=message.device,
                    delivered=reason == "delivered",
                    reason=reason,
                    ready_s=message.ready_ns / SECOND_NS,
                    start_s=start_ns / SECOND_NS,
                    finish_s=finish_ns / SECOND_NS,
                    queue_s=(start_ns - message.ready_ns) / SECOND_NS,
                    air_s=message.air_ns / SECOND_NS,
                    attempts=message.attempts,
                    packets=message.packets,
                    tx_j=message.tx_ns / SECOND_NS * radio.tx_w,
                    rx_j=message.rx_ns / SECOND_NS * radio.rx_w,
                    idle_j=message.idle_ns / SECOND_NS * radio.idle_w,
                    overhead_j=message.overhead_j,
                    busy_s=(message.tx_ns + message.rx_ns + message.idle_ns) / SECOND_NS,
                ),
            )
        )
        self._note(reason, message.device)

    def _check_known(self, device: str) -> None:
        if self._known is not None and device not in self._known:
            raise ValueError(
                f"device {device!r} has no link in this medium;"
                f" build it with that device (it has {len(self.devices)} others)"
            )

    def _note(self, event: str, node: str) -> None:
        if self.trace is not None:
            self.trace(self.now_ns, event, node)

    def _receive(self, message: Message) -> None:
        if not message.ended:
            self._note("arrive", message.device)
            self._arrive(message)

    def _expire(self, message: Message) -> None:
        if not message.ended:
            self._withdraw(message)
            self._end(message, "deadline")


class Fingerprint:
    """A hash over (time, event, node): a rewrite that changes the run changes it.

    The practice of OMNeT++/INET's fingerprint tests. Use as ``calendar.trace``.
    """

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self.events = 0

    def __call__(self, time_ns: int, event: str, node: str) -> None:
        """Take one event."""
        self._hash.update(f"{time_ns} {event} {node}\n".encode())
        self.events += 1

    @property
    def digest(self) -> str:
        """The first 16 hexadecimal digits of the SHA-256 so far."""
        return self._hash.hexdigest()[:16]
