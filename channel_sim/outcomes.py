"""What became of many messages, as columns: the result of the lock-step engines.

A million messages are ten arrays, not a million objects. Row i is the i-th
message as it was offered.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

from channel_sim.energy import RadioPower
from channel_sim.medium import REASONS, Delivery, Reason
from channel_sim.units import SECOND_NS

CODES: dict[Reason, int] = {reason: code for code, reason in enumerate(REASONS)}
"""Code of each reason in ``Outcomes.reason``; 0 is delivered."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Outcomes:
    """Columns of shape (messages,); times in integer nanoseconds, int64.

    ``reason`` uint8, see :data:`CODES`; ``ready_ns``, ``start_ns``,
    ``finish_ns`` as in :class:`~channel_sim.medium.Delivery`; ``packets`` and
    ``attempts`` int32; ``air_ns`` on air over all attempts; ``tx_ns``,
    ``rx_ns``, ``idle_ns`` of the device's radio by state; ``wakes`` (int32, None:
    never) how often it was woken, each time with the tail that follows;
    ``tails`` (likewise) how many tails followed without waking.
    Raises ValueError for columns of different length.
    """

    reason: npt.NDArray[np.uint8]
    ready_ns: npt.NDArray[np.int64]
    start_ns: npt.NDArray[np.int64]
    finish_ns: npt.NDArray[np.int64]
    packets: npt.NDArray[np.int32]
    attempts: npt.NDArray[np.int32]
    air_ns: npt.NDArray[np.int64]
    tx_ns: npt.NDArray[np.int64]
    rx_ns: npt.NDArray[np.int64]
    idle_ns: npt.NDArray[np.int64]
    wakes: npt.NDArray[np.int32] | None = None
    tails: npt.NDArray[np.int32] | None = None

    def __post_init__(self) -> None:
        columns = {item.name: getattr(self, item.name) for item in fields(self)}
        lengths = {name: len(column) for name, column in columns.items() if column is not None}
        if len(set(lengths.values())) != 1:
            raise ValueError(f"columns have lengths {lengths}; give one entry per message")

    def __len__(self) -> int:
        return len(self.reason)

    @property
    def delivered(self) -> npt.NDArray[np.bool_]:
        """True where the message arrived."""
        return np.asarray(self.reason == CODES["delivered"])

    @property
    def latency_s(self) -> npt.NDArray[np.float64]:
        """Seconds from ready to finish, delivered or given up."""
        return (self.finish_ns - self.ready_ns) / SECOND_NS

    def counts(self) -> dict[Reason, int]:
        """Messages by reason, all reasons named: their sum is what was offered."""
        found = np.bincount(self.reason, minlength=len(REASONS)).tolist()
        return dict(zip(REASONS, found, strict=True))

    def energy_j(self, radio: RadioPower) -> npt.NDArray[np.float64]:
        """Joules of each message: a radio's transmit, receive and idle state, wakes and tails."""
        states_ns_w = (
            self.tx_ns * radio.tx_w + self.rx_ns * radio.rx_w + self.idle_ns * radio.idle_w
        )
        return np.asarray(states_ns_w / SECOND_NS + self.overhead_j(radio))

    def overhead_j(self, radio: RadioPower) -> npt.NDArray[np.float64]:
        """Joules of each message for wakes and tails alone."""
        overhead_j = np.zeros(len(self))
        if self.wakes is not None:
            overhead_j += self.wakes * radio.overhead_j()
        if self.tails is not None:
            overhead_j += self.tails * radio.overhead_j(wakes=0)
        return overhead_j

    def deliveries(self, device_ids: Sequence[str], radio: RadioPower) -> list[Delivery]:
        """Return the same as one object per message, for few messages."""
        names = [item.name for item in fields(self) if item.name not in ("wakes", "tails")]
        columns = [getattr(self, name).tolist() for name in names]
        rows = zip(device_ids, self.overhead_j(radio).tolist(), *columns, strict=True)
        return [
            Delivery(
                device=device,
                delivered=reason == CODES["delivered"],
                reason=REASONS[reason],
                ready_s=ready_ns / SECOND_NS,
                start_s=start_ns / SECOND_NS,
                finish_s=finish_ns / SECOND_NS,
                queue_s=(start_ns - ready_ns) / SECOND_NS,
                air_s=air_ns / SECOND_NS,
                attempts=attempts,
                packets=packets,
                tx_j=tx_ns / SECOND_NS * radio.tx_w,
                rx_j=rx_ns / SECOND_NS * radio.rx_w,
                idle_j=idle_ns / SECOND_NS * radio.idle_w,
                overhead_j=overhead_j,
                busy_s=(tx_ns + rx_ns + idle_ns) / SECOND_NS,
            )
            for (
                device,
                overhead_j,
                reason,
                ready_ns,
                start_ns,
                finish_ns,
                packets,
                attempts,
                air_ns,
                tx_ns,
                rx_ns,
                idle_ns,
            ) in rows
        ]
