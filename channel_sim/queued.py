"""Media whose devices do not meet: a queue per device and direction, first come first served."""

from __future__ import annotations

from abc import abstractmethod
from collections import deque
from collections.abc import Sequence

from channel_sim.calendar import Calendar, Message
from channel_sim.energy import RadioPower
from channel_sim.medium import Direction, Reason


class QueuedCalendar(Calendar):
    """The queues; a technology says how a message at the head of one is sent.

    The next message starts when the one before is through, given up or cut.
    """

    def __init__(self, devices: Sequence[str], *, radio: RadioPower) -> None:
        super().__init__(devices, radio=radio)
        self._queues: dict[tuple[str, Direction], deque[Message]] = {}

    @abstractmethod
    def _start(self, message: Message) -> None:
        """Send the message at the head of its queue from now on; call ``_next`` at its end."""

    @abstractmethod
    def _cut(self, message: Message) -> None:
        """Charge a message that is withdrawn for what was sent of it, if anything was."""

    def _next(self, message: Message, reason: Reason) -> None:
        """End the message at the head of its queue and start the one behind it."""
        queue = self._queues[message.device, message.direction]
        queue.popleft()
        self._end(message, reason)
        if queue:
            self._start(queue[0])

    def _arrive(self, message: Message) -> None:
        queue = self._queues.setdefault((message.device, message.direction), deque())
        queue.append(message)
        if len(queue) == 1:
            self._start(message)

    def _withdraw(self, message: Message) -> None:
        queue = self._queues.get((message.device, message.direction))
        if queue is None or message not in queue:  # it has not arrived yet
            return
        queue.remove(message)
        self._cut(message)
        if queue:
            # Whoever withdraws may be about to withdraw the next one too.
            self._at(self.now_ns, self._begin, queue[0])

    def _begin(self, message: Message) -> None:
        if not message.ended and message.start_ns is None:
            self._start(message)
