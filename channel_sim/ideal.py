"""The ideal medium: everything arrives, a fixed time later, at no cost."""

from __future__ import annotations

from channel_sim.calendar import Calendar, Message
from channel_sim.checks import check_not_negative
from channel_sim.energy import RadioPower
from channel_sim.units import to_ns

NO_RADIO = RadioPower(tx_w=0.0, rx_w=0.0, idle_w=0.0, sleep_w=0.0, source="none: an ideal medium")


class Ideal(Calendar):
    """A medium without loss, queue or energy; everything arrives ``delay_s`` later.

    Any device may use it. Raises ValueError for a negative delay.
    """

    def __init__(self, *, delay_s: float = 0.0) -> None:
        check_not_negative("delay_s", delay_s)
        super().__init__(None, radio=NO_RADIO)
        self._delay_ns = to_ns(delay_s)

    def _arrive(self, message: Message) -> None:
        message.start_ns, message.attempts = self.now_ns, 1
        self._at(self.now_ns + self._delay_ns, self._deliver, message)

    def _deliver(self, message: Message) -> None:
        self._end(message, "delivered")

    def _withdraw(self, message: Message) -> None:
        """Nothing is kept of a message but its end, which does nothing the second time."""

    def _relink(self, device: str, loss_db: float) -> None:
        """Everything arrives, whatever a link loses."""
