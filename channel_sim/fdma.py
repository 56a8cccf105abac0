"""FDMA: every device has a sub-band of its own, so nobody waits for others.

What remains is the queue of each device and direction: its next message
starts when the one before is through, given up or cut off.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from channel_sim.arq import Transfer
from channel_sim.calendar import Message
from channel_sim.energy import RadioPower
from channel_sim.link import Link
from channel_sim.medium import Direction
from channel_sim.queued import QueuedCalendar
from channel_sim.units import SECOND_NS, to_ns


class Fdma(QueuedCalendar):
    """A medium with one :class:`Link` per device and direction.

    A message up charges the device's radio for sending, one down for
    receiving; the station's own energy is not counted. A message that is cut
    (its device left, its time was over) is charged for the share of its air
    time that had passed, and frees its sub-band. Raises ValueError unless
    both directions have links for the same devices.
    """

    def __init__(
        self, up: Mapping[str, Link], down: Mapping[str, Link], *, radio: RadioPower
    ) -> None:
        if up.keys() != down.keys():
            raise ValueError(
                f"devices {sorted(up.keys() ^ down.keys())} have a link in one direction only;"
                " give one up and one down"
            )
        super().__init__(tuple(up), radio=radio)
        self._links: dict[Direction, dict[str, Link]] = {"up": dict(up), "down": dict(down)}
        self.links: Mapping[Direction, Mapping[str, Link]] = MappingProxyType(
            {direction: MappingProxyType(links) for direction, links in self._links.items()}
        )
        self._transfers: dict[int, Transfer] = {}

    def _start(self, message: Message) -> None:
        link = self.links[message.direction][message.device]
        transfer = link.transfer(message.size_bytes, self.now_ns / SECOND_NS)
        message.packets = transfer.packets
        if not transfer.attempts:
            self._next(message, "below_sensitivity")
            return
        message.start_ns = self.now_ns
        self._transfers[message.ticket] = transfer
        self._note("start", message.device)
        # The float of the transfer may lie a rounding before the start.
        self._at(max(to_ns(transfer.finish_s), self.now_ns), self._finish, message)

    def _finish(self, message: Message) -> None:
        if message.ended:
            return
        transfer = self._transfers.pop(message.ticket)
        self._charge(message, transfer.air_s)
        message.attempts = transfer.attempts
        self._next(message, "delivered" if transfer.delivered else "retry_limit")

    def _charge(self, message: Message, air_s: float) -> None:
        message.air_ns = to_ns(air_s)
        if message.direction == "up":
            message.tx_ns = message.air_ns
        else:
            message.rx_ns = message.air_ns

    def _cut(self, message: Message) -> None:
        transfer = self._transfers.pop(message.ticket, None)
        if transfer is None or message.start_ns is None:
            return
        length_s = transfer.finish_s - message.start_ns / SECOND_NS
        passed_s = (self.now_ns - message.start_ns) / SECOND_NS
        share = min(passed_s / length_s, 1.0) if length_s > 0 else 1.0
        self._charge(message, transfer.air_s * share)
        message.attempts = max(1, round(transfer.attempts * share))

    def _relink(self, device: str, loss_db: float) -> None:
        for links in self._links.values():
            # The loss is all of it: what the shadow took is in it.
            links[device] = replace(links[device], path_loss_db=loss_db, shadowing_db=0.0)
