"""FDMA: every device has a sub-band of its own, so nobody waits for others.

What remains is the queue of each device: its next message starts when the
one before is through or given up. One object serves one direction.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Literal

from channel_sim.energy import RadioPower
from channel_sim.link import Link
from channel_sim.medium import Delivery, Reason, check_offer


class Fdma:
    """A medium with one :class:`Link` per device and direction.

    ``direction`` "up" charges the device's radio for sending, "down" for
    receiving; the station's own energy is not counted.
    """

    def __init__(
        self,
        links: Mapping[str, Link],
        *,
        radio: RadioPower,
        direction: Literal["up", "down"],
    ) -> None:
        self.links = MappingProxyType(dict(links))
        self._tx_w = radio.tx_w if direction == "up" else 0.0
        self._rx_w = radio.rx_w if direction == "down" else 0.0
        self._free_at_s: dict[str, float] = {}

    def offer(
        self, device_ids: Sequence[str], sizes_bytes: Sequence[int], ready_times_s: Sequence[float]
    ) -> list[Delivery]:
        """Send the messages; see :meth:`channel_sim.medium.Medium.offer`.

        Messages of one device go in the order of their ready times, those of
        an earlier offer first.
        """
        check_offer(device_ids, sizes_bytes, ready_times_s)
        for device in device_ids:
            if device not in self.links:
                raise ValueError(
                    f"device {device!r} has no link in this medium;"
                    f" build it with that device (it has {len(self.links)} others)"
                )
        order = sorted(range(len(device_ids)), key=ready_times_s.__getitem__)
        sent = {
            index: self._send(device_ids[index], sizes_bytes[index], ready_times_s[index])
            for index in order
        }
        return [sent[index] for index in range(len(device_ids))]

    def _send(self, device: str, size_bytes: int, ready_s: float) -> Delivery:
        link = self.links[device]
        start_s = max(ready_s, self._free_at_s.get(device, 0.0))
        transfer = link.transfer(size_bytes, start_s)
        self._free_at_s[device] = transfer.finish_s
        reason: Reason = "delivered"
        if not transfer.delivered:
            reason = "retry_limit" if transfer.attempts else "below_sensitivity"
        return Delivery(
            device=device,
            delivered=transfer.delivered,
            reason=reason,
            ready_s=ready_s,
            start_s=start_s,
            finish_s=transfer.finish_s,
            queue_s=start_s - ready_s,
            air_s=transfer.air_s,
            attempts=transfer.attempts,
            packets=transfer.packets,
            tx_j=transfer.air_s * self._tx_w,
            rx_j=transfer.air_s * self._rx_w,
        )
