"""What a medium is: messages are offered to it, deliveries come back.

Every offered message comes back exactly once, delivered or lost with a
reason, in the order in which it was offered. Media differ in who may send
when.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias, get_args

from channel_sim.checks import check_count

Reason: TypeAlias = Literal[
    "delivered",
    "below_sensitivity",
    "collision",
    "retry_limit",
    "duty_cycle",
    "queue",
    "deadline",
    "battery",
    "off",
]
REASONS: tuple[Reason, ...] = get_args(Reason)
"""Every end of a message; the place in this tuple is its code in :class:`Outcomes`.

``below_sensitivity``: too weak to be heard, or no mode carries it. ``collision``:
sent once, without acknowledgement, and hit by others (or lost to their noise).
``retry_limit``: every allowed attempt, or every allowed look at the channel,
failed. ``duty_cycle``: the law allows no start before the end. ``queue``: a
buffer or all demodulators were full. ``deadline``: its time was over.
``battery``, ``off``: the device was.
"""
Direction: TypeAlias = Literal["up", "down"]


@dataclass(frozen=True, slots=True)
class Delivery:
    """What became of one message; seconds on the caller's clock.

    ``ready_s`` offered, ``start_s`` first on air, ``finish_s`` received or
    given up, ``queue_s`` waiting from ready to start, ``air_s`` on air over
    all ``attempts`` of its ``packets`` (acknowledgements not counted). A
    message that never went on air has ``start_s == finish_s``.

    Joules are those of the device's radio, by state: ``tx_j`` sending,
    ``rx_j`` receiving what is meant for it, ``idle_j`` listening meanwhile
    (carrier sense, backoff, waiting for an acknowledgement), ``overhead_j``
    waking and tails. ``busy_s`` is how long the radio was not at rest for it.
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
    idle_j: float = 0.0
    overhead_j: float = 0.0
    busy_s: float = 0.0

    @property
    def energy_j(self) -> float:
        """All joules of the device's radio for this message."""
        return self.tx_j + self.rx_j + self.idle_j + self.overhead_j


class Medium(Protocol):
    """What carries messages between many devices and one station."""

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
