"""How long a device's radio listened, whatever messages of it overlap."""

from __future__ import annotations

from dataclasses import dataclass, field

from channel_sim.calendar import Message


@dataclass(slots=True, eq=False)
class Awake:
    """A device's radio: tickets under way, and what it sent and received since ``since_ns``."""

    tickets: set[int] = field(default_factory=set)
    since_ns: int = 0
    active_ns: int = 0

    def take(self, message: Message) -> None:
        """A message is under way from its ready time on."""
        if not self.tickets:
            self.since_ns = max(self.since_ns, message.ready_ns)
        self.tickets.add(message.ticket)

    def spend(self, message: Message, own_ns: int, heard_ns: int) -> None:
        """The sender of a message was on air, and the other side answered."""
        if message.direction == "up":
            message.tx_ns += own_ns
            message.rx_ns += heard_ns
        else:
            message.rx_ns += own_ns
            message.tx_ns += heard_ns
        self.active_ns += own_ns + heard_ns

    def rest(self, message: Message, end_ns: int) -> None:
        """A message is over at ``end_ns``.

        What the radio neither sent nor received since it woke, or since its
        last message ended, it was listening. A message that was withdrawn
        before it was ready has cost nothing.
        """
        if message.ticket not in self.tickets:
            return
        self.tickets.remove(message.ticket)
        end_ns = max(end_ns, self.since_ns)
        message.idle_ns = max(0, end_ns - self.since_ns - self.active_ns)
        self.since_ns = end_ns
        self.active_ns = 0
