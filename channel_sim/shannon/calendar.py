"""Shannon links as events: each device and direction has a band and a queue of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from channel_sim.calendar import Message
from channel_sim.energy import RadioPower
from channel_sim.family import Blocks
from channel_sim.medium import Direction
from channel_sim.queued import QueuedCalendar
from channel_sim.shannon.law import Law


class ShannonCalendar(QueuedCalendar):
    """First come, first served per device and direction; both directions at once.

    A message up charges the device's radio for sending, one down for
    receiving. One that is cut is charged for the time that had passed. ``law``
    of a link by its number, loss, direction and message size.
    """

    def __init__(
        self,
        losses_db: Mapping[str, float],
        law: Callable[[int, float, Direction, int], Law],
        *,
        radio: RadioPower,
        rng: np.random.Generator,
        blocks: Blocks | None,
    ) -> None:
        super().__init__(tuple(losses_db), radio=radio)
        self._losses_db = dict(losses_db)
        self._law = law
        self._laws: dict[str, dict[tuple[Direction, int], Law]] = {name: {} for name in losses_db}
        self._rng = rng
        self._blocks = blocks
        self._link = {device: link for link, device in enumerate(losses_db)}
        self._sending: dict[int, tuple[int, bool, int]] = {}

    def submit(
        self,
        device: str,
        size_bytes: int,
        ready_ns: int,
        *,
        direction: Direction = "up",
        deadline_ns: int | None = None,
    ) -> int:
        """Announce a message as every calendar does; refuse one that no slots can carry."""
        self._check_known(device)
        self._law_of(device, direction, size_bytes)
        return super().submit(
            device, size_bytes, ready_ns, direction=direction, deadline_ns=deadline_ns
        )

    def _law_of(self, device: str, direction: Direction, size_bytes: int) -> Law:
        laws, key = self._laws[device], (direction, size_bytes)
        if key not in laws:
            laws[key] = self._law(self._link[device], self._losses_db[device], *key)
        return laws[key]

    def _start(self, message: Message) -> None:
        law = self._law_of(message.device, message.direction, message.size_bytes)
        message.packets = int(law.need)
        if law.rate_bps == 0:
            self._next(message, "below_sensitivity")
            return
        units, delivered = self._units(message.device, law)
        message.start_ns = self.now_ns
        unit_ns = int(law.unit_ns)
        self._sending[message.ticket] = (units, delivered, unit_ns)
        self._note("start", message.device)
        self._at(self.now_ns + units * unit_ns, self._finish, message)

    def _units(self, device: str, law: Law) -> tuple[int, bool]:
        """How many units from now on, and whether they are enough."""
        if self._blocks is None:
            units, delivered = law.draw(self._rng)
            return int(units), bool(delivered)
        link, left = self._link[device], int(law.need)
        for unit in range(law.limit):
            at_ns = self.now_ns + unit * int(law.unit_ns)
            gain = self._blocks.gain(link, at_ns // self._blocks.coherence_ns)
            left -= bool(law.snr * gain >= law.threshold)
            if left == 0:
                return unit + 1, True
        return law.limit, False

    def _finish(self, message: Message) -> None:
        if message.ended:
            return
        units, delivered, unit_ns = self._sending.pop(message.ticket)
        self._charge(message, units * unit_ns, units)
        self._next(message, "delivered" if delivered else "retry_limit")

    def _charge(self, message: Message, air_ns: int, units: int) -> None:
        message.air_ns, message.attempts = air_ns, units
        if message.direction == "up":
            message.tx_ns = air_ns
        else:
            message.rx_ns = air_ns

    def _cut(self, message: Message) -> None:
        sending = self._sending.pop(message.ticket, None)
        if sending is not None and message.start_ns is not None:
            passed_ns = self.now_ns - message.start_ns
            self._charge(message, passed_ns, -(-passed_ns // sending[2]))

    def _relink(self, device: str, loss_db: float) -> None:
        self._losses_db[device] = loss_db
        self._laws[device].clear()
