"""A calendar under a SimPy clock: one process per shared medium.

SimPy carries rounds, deadlines and dropouts; what happens on air stays in the
calendar, in integer nanoseconds. The process sleeps until the calendar's next
event and hands out ends of messages as SimPy events.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import simpy

from channel_sim.calendar import Calendar, Ended
from channel_sim.medium import Delivery, Direction
from channel_sim.units import SECOND_NS, to_ns


class MediumProcess:
    """Drives ``calendar`` by the clock of ``env``.

        medium = MediumProcess(env, calendar)
        delivery = yield medium.send("a", 400)

    Devices may send, leave and come back at any time.
    """

    def __init__(self, env: simpy.Environment, calendar: Calendar) -> None:
        self.calendar = calendar
        self._env = env
        self._waiting: dict[int, Callable[[Delivery], object]] = {}
        self._wake_ns: int | None = None

    def send(
        self,
        device: str,
        size_bytes: int,
        *,
        direction: Direction = "up",
        deadline_s: float | None = None,
    ) -> simpy.Event:
        """Send a message now; the event that comes back is worth its Delivery.

        ``deadline_s`` on the environment's clock. Raises ValueError as
        :meth:`~channel_sim.calendar.Calendar.submit` does.
        """
        event = self._env.event()
        self.carry(device, size_bytes, event.succeed, direction=direction, deadline_s=deadline_s)
        return event

    def carry(
        self,
        device: str,
        size_bytes: int,
        done: Callable[[Delivery], object],
        *,
        direction: Direction = "up",
        deadline_s: float | None = None,
    ) -> None:
        """Send a message now as :meth:`send` does; ``done`` is called with its Delivery."""
        now_ns = self._now_ns()
        due_ns = self.calendar.next_ns()
        if due_ns is not None and due_ns < now_ns:  # a rounding of the float clock ahead of us
            self._hand_out(self.calendar.advance(now_ns - 1))
        ticket = self.calendar.submit(
            device,
            size_bytes,
            now_ns,
            direction=direction,
            deadline_ns=None if deadline_s is None else to_ns(deadline_s),
        )
        self._waiting[ticket] = done
        ended = self.calendar.admit(now_ns)
        if ended:  # at once, but not before the sender has gone on
            wake = self._env.timeout(0.0)
            wake.callbacks.append(lambda _event: self._hand_out(ended))
        self._sleep()

    def leave(self, device: str, *, reason: Literal["off", "battery"] = "off") -> None:
        """End all messages of a device now; their events are worth Deliveries with ``reason``."""
        # What ended before this instant ended first.
        self._hand_out(self.calendar.advance(self._now_ns()))
        self._hand_out(self.calendar.leave(device, reason=reason))
        self._sleep()

    def set_loss(self, device: str, loss_db: float) -> None:
        """Tell the medium that a device has moved; see :meth:`Calendar.set_loss`."""
        self._hand_out(self.calendar.advance(self._now_ns()))
        self.calendar.set_loss(device, loss_db)
        self._sleep()

    def _now_ns(self) -> int:
        # The clock is a float: it may be a nanosecond behind what was done by it.
        return max(to_ns(self._env.now), self.calendar.now_ns)

    def _hand_out(self, ended: list[Ended]) -> None:
        for ticket, delivery in ended:
            self._waiting.pop(ticket)(delivery)

    def _sleep(self) -> None:
        """Have the earliest event of the calendar wake us, once."""
        next_ns = self.calendar.next_ns()
        if next_ns is None or (self._wake_ns is not None and self._wake_ns <= next_ns):
            return
        self._wake_ns = next_ns
        wake = self._env.timeout(max(0.0, next_ns / SECOND_NS - self._env.now))
        wake.callbacks.append(lambda _event: self._wake(next_ns))

    def _wake(self, at_ns: int) -> None:
        if at_ns != self._wake_ns:
            return  # an earlier event came in between and has set another time
        self._wake_ns = None
        self._hand_out(self.calendar.advance(max(at_ns, self._now_ns())))
        self._sleep()
