"""Messages up of many TDMA devices at once: one own slot of every device per step."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from channel_sim.burst import check_burst
from channel_sim.family import Blocks
from channel_sim.outcomes import CODES, Outcomes
from channel_sim.scheduled.cells import rank_within
from channel_sim.units import decibel, to_ns

if TYPE_CHECKING:
    from channel_sim.scheduled.tdma import Tdma

Ints = npt.NDArray[np.int64]


class Slots:
    """When the own slots of each row begin; they are numbered through all tables."""

    def __init__(self, family: Tdma, cells: Ints) -> None:
        self.family = family
        self.slot_ns = to_ns(family.slot_s)
        devices = np.bincount(cells, minlength=1)
        self.table_ns = np.array([family.table_ns(max(1, int(n))) for n in devices])[cells]
        self.offset_ns = self.slot_ns * family.first_slot(0, "up") + rank_within(cells) * (
            self.slot_ns * (family.up_slots + family.down_slots)
        )

    def first(self, ready_ns: Ints) -> Ints:
        """Number of the first own slot that has not begun at ``ready_ns``."""
        tables, into_ns = np.divmod(ready_ns - self.offset_ns, self.table_ns)
        passed = -(-into_ns // self.slot_ns)
        return np.asarray(tables * self.family.up_slots + np.minimum(passed, self.family.up_slots))

    def begin_ns(self, row: Ints, number: Ints) -> Ints:
        """When the packet in own slot ``number`` begins, after the guard."""
        table, place = np.divmod(number, self.family.up_slots)
        begin_ns = table * self.table_ns[row] + self.offset_ns[row] + place * self.slot_ns
        return np.asarray(begin_ns + to_ns(self.family.guard_s))

    def air_ns(self, packet_bytes: Ints) -> Ints:
        """Air time of packets, by the few sizes that there are."""
        sizes, which = np.unique(packet_bytes, return_inverse=True)
        return np.array([self.family.air_ns(int(size)) for size in sizes])[which]


def burst(
    family: Tdma,
    losses_db: npt.NDArray[np.float64],
    sizes_bytes: Ints,
    ready_ns: Ints,
    *,
    cells: Ints,
    rng: np.random.Generator,
    blocks: Blocks | None = None,
) -> Outcomes:
    """Run all rows to their end; see :class:`channel_sim.family.Family`."""
    sizes_bytes, ready_ns = np.asarray(sizes_bytes, np.int64), np.asarray(ready_ns, np.int64)
    check_burst(losses_db, sizes_bytes, ready_ns, cells)
    count = len(losses_db)
    packets = -(-sizes_bytes // family.packet_bytes)
    last_bytes = sizes_bytes - (packets - 1) * family.packet_bytes
    snr_db = family.snr_db(losses_db)
    slots = Slots(family, np.asarray(cells, np.int64))
    own = slots.first(ready_ns)
    left, tries = packets.copy(), np.zeros(count, dtype=np.int64)
    attempts, air_ns = np.zeros(count, dtype=np.int64), np.zeros(count, dtype=np.int64)
    finish_ns = np.zeros(count, dtype=np.int64)
    reason = np.zeros(count, dtype=np.uint8)
    row = np.arange(count)
    start_ns = slots.begin_ns(row, own)
    while len(row):
        begin_ns = slots.begin_ns(row, own[row])
        size = np.where(left[row] > 1, family.packet_bytes, last_bytes[row])
        faded_db = snr_db[row]
        if blocks is not None:
            faded_db = faded_db + decibel(blocks.gains(row, begin_ns // blocks.coherence_ns))
        right = rng.random(len(row)) >= family.error(faded_db, size)
        sent_ns = slots.air_ns(size)
        attempts[row] += 1
        air_ns[row] += sent_ns
        own[row] += 1
        left[row] -= right
        tries[row] = np.where(right, 0, tries[row] + 1)
        lost = tries[row] == family.max_attempts
        ended = lost | (left[row] == 0)
        finish_ns[row[ended]] = (begin_ns + sent_ns)[ended]
        reason[row[lost]] = CODES["retry_limit"]
        row = row[~ended]
    acknowledged = packets - left
    turn_ns, ack_ns = to_ns(family.turnaround_s), to_ns(family.ack_s)
    return Outcomes(
        reason=reason,
        ready_ns=ready_ns,
        start_ns=start_ns,
        finish_ns=finish_ns,
        packets=packets.astype(np.int32),
        attempts=attempts.astype(np.int32),
        air_ns=air_ns,
        tx_ns=air_ns.copy(),
        rx_ns=acknowledged * ack_ns,
        idle_ns=attempts * turn_ns + (attempts - acknowledged) * ack_ns,
    )
