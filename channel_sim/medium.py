"""What a medium is: messages are offered to it, deliveries come back.

Every offered message comes back exactly once, delivered or lost with a
reason, in the order in which it was offered. ``Ideal`` is the smallest
medium; the others differ in who may send when.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

from channel_sim.checks import check_count, check_not_negative

Reason: TypeAlias = Literal["delivered", "below_sensitivity", "retry_limit"]


@dataclass(frozen=True, slots=True)
class Delivery:
    """What became of one message; seconds on the caller's clock.

    ``ready_s`` offered, ``start_s`` first on air, ``finish_s`` received or
    given up, ``queue_s`` waiting from ready to start, ``air_s`` on air over
    all ``attempts`` of its ``packets``. ``tx_j`` and ``rx_j`` are what the
    device's radio spent sending and receiving.
    """

    device: str
    delivered: bool
    reason: Reason
    ready_s: float
    start_s: float
    finish_s: float
    queue_s: float
    air_s: float
    attempts: int
    packets: int
    tx_j: float
    rx_j: float


class Medium(Protocol):
    """One direction between many devices and one station."""

    def offer(
        self, device_ids: Sequence[str], sizes_bytes: Sequence[int], ready_times_s: Sequence[float]
    ) -> list[Delivery]:
        """Offer messages; the three sequences have one entry per message.

        Returns one delivery per message, in the same order. Raises ValueError
        for sequences of different length, a size below 1 byte, a time that is
        negative or not finite, and a device that the medium does not know.
        """
        ...


def check_offer(
    device_ids: Sequence[str], sizes_bytes: Sequence[int], ready_times_s: Sequence[float]
) -> None:
    """Raise ValueError unless the three sequences can be offered to a medium."""
    lengths = (len(device_ids), len(sizes_bytes), len(ready_times_s))
    if len(set(lengths)) != 1:
        raise ValueError(
            f"device_ids, sizes_bytes and ready_times_s have {lengths} entries;"
            " give one of each per message"
        )
    for size_bytes in sizes_bytes:
        check_count("sizes_bytes", size_bytes)
    for ready_s in ready_times_s:
        if not 0 <= ready_s < math.inf:
            raise ValueError(f"ready_times_s = {ready_s!r}; give finite seconds of 0 or more")


class Ideal:
    """A medium without loss, queue or energy; everything arrives ``delay_s`` later.

    Any device may use it. Raises ValueError for a negative delay.
    """

    def __init__(self, *, delay_s: float = 0.0) -> None:
        check_not_negative("delay_s", delay_s)
        self.delay_s = delay_s

    def offer(
        self, device_ids: Sequence[str], sizes_bytes: Sequence[int], ready_times_s: Sequence[float]
    ) -> list[Delivery]:
        """Deliver every message whole, in one attempt; see :meth:`Medium.offer`."""
        check_offer(device_ids, sizes_bytes, ready_times_s)
        return [
            Delivery(
                device=device,
                delivered=True,
                reason="delivered",
                ready_s=ready_s,
                start_s=ready_s,
                finish_s=ready_s + self.delay_s,
                queue_s=0.0,
                air_s=0.0,
                attempts=1,
                packets=1,
                tx_j=0.0,
                rx_j=0.0,
            )
            for device, ready_s in zip(device_ids, ready_times_s, strict=True)
        ]
