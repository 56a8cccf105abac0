"""Many ALOHA cells at once: the law of the calendar in numpy, one frame per cell and step.

Each step judges, in every cell, the frame that ends first. All frames that
can overlap it are known by then: those of others end later and have begun or
not. So each pair is met once, and the result is exact, retries included.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from channel_sim.burst import check_burst, side_by_side
from channel_sim.family import Blocks
from channel_sim.medium import Reason
from channel_sim.outcomes import CODES, Outcomes
from channel_sim.units import SECOND_NS, linear, to_ns

if TYPE_CHECKING:
    from channel_sim.aloha.family import Aloha

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
NEVER = np.iinfo(np.int64).max
SHRINK = 0.6
"""Finished cells are dropped when fewer than this share are left."""


@dataclass(slots=True, eq=False)
class State:
    """The frame on air, or due, of each device; shape (cells, devices)."""

    row: Ints
    start_ns: Ints
    end_ns: Ints
    power_mw: Floats
    interference_mw: Floats
    mean_mw: Floats
    place: Ints
    failures: Ints
    received: Ints
    weak: npt.NDArray[np.bool_]


def run_batch(
    family: Aloha,
    losses_db: npt.NDArray[np.float64],
    sizes_bytes: npt.NDArray[np.int64],
    ready_ns: npt.NDArray[np.int64],
    *,
    cells: npt.NDArray[np.int64],
    rng: np.random.Generator,
    blocks: Blocks | None = None,
) -> Outcomes:
    """Send one message up per device; arrays of shape (devices,), ``cells`` from 0 on.

    The work is frames times devices per cell: for one cell of many thousand
    devices the calendar is faster. Raises ValueError for arrays of different
    shape, a loss that is not finite, a size below 1 byte and a time below 0.
    """
    check_burst(losses_db, sizes_bytes, ready_ns, cells)
    batch = _Batch(family, np.asarray(sizes_bytes), np.asarray(ready_ns), rng=rng, blocks=blocks)
    for rows in side_by_side(np.asarray(cells)):
        batch.run(rows, np.asarray(losses_db))
    return batch.outcomes()


class _Batch:
    """The messages of a burst and what becomes of them; columns of shape (messages,)."""

    def __init__(
        self,
        family: Aloha,
        sizes_bytes: Ints,
        ready_ns: Ints,
        *,
        rng: np.random.Generator,
        blocks: Blocks | None,
    ) -> None:
        self._family, self._rng, self._blocks = family, rng, blocks
        self._ready_ns = ready_ns.astype(np.int64)
        sizes, kind = np.unique(sizes_bytes, return_inverse=True)
        cuts = [family.frames_ns(int(size)) for size in sizes]
        counts = np.array([len(cut) for cut in cuts], dtype=np.int64)
        self._frames_ns = np.array([air_ns for cut in cuts for air_ns in cut], dtype=np.int64)
        self._first_frame = (np.cumsum(counts) - counts)[kind]
        self._packets = counts[kind]
        shape = self._ready_ns.shape
        self._start_ns = np.full(shape, NEVER)
        self._finish_ns = np.zeros(shape, dtype=np.int64)
        self._attempts = np.zeros(shape, dtype=np.int64)
        self._air_ns = np.zeros(shape, dtype=np.int64)
        self._idle_ns = np.zeros(shape, dtype=np.int64)
        self._reason = np.zeros(shape, dtype=np.uint8)
        self._sensitivity_mw = float(linear(family.sensitivity_dbm))
        capture_db = family.capture_db
        self._capture = np.inf if capture_db is None else float(linear(capture_db))
        self._timeout_ns = to_ns(family.ack_timeout_s) if family.max_attempts > 1 else 0

    def run(self, row: Ints, losses_db: Floats) -> None:
        """Run the cells whose rows are given side by side, to the end."""
        mean_dbm = self._family.tx_power_dbm - losses_db[row]
        state = State(
            row=row,
            start_ns=np.full(row.shape, NEVER),
            end_ns=np.full(row.shape, NEVER),
            power_mw=np.zeros(row.shape),
            interference_mw=np.zeros(row.shape),
            mean_mw=linear(mean_dbm),
            place=np.zeros(row.shape, dtype=np.int64),
            failures=np.zeros(row.shape, dtype=np.int64),
            received=np.zeros(row.shape, dtype=np.int64),
            weak=np.zeros(row.shape, dtype=np.bool_),
        )
        cell, device = np.nonzero(row >= 0)
        self._schedule(state, cell, device, self._ready_ns[row[cell, device]])
        while len(state.row):
            device = state.end_ns.argmin(axis=1)
            live = state.end_ns[np.arange(len(device)), device] != NEVER
            if np.count_nonzero(live) < SHRINK * len(live):
                for item in fields(state):
                    setattr(state, item.name, getattr(state, item.name)[live])
                device, live = device[live], live[live]
            self._judge(state, np.flatnonzero(live), device[live])

    def outcomes(self) -> Outcomes:
        """Columns of the result."""
        return Outcomes(
            reason=self._reason,
            ready_ns=self._ready_ns,
            start_ns=self._start_ns,
            finish_ns=self._finish_ns,
            packets=self._packets.astype(np.int32),
            attempts=self._attempts.astype(np.int32),
            air_ns=self._air_ns,
            tx_ns=self._air_ns.copy(),
            rx_ns=np.zeros_like(self._air_ns),
            idle_ns=self._idle_ns,
        )

    def _schedule(self, state: State, cell: Ints, device: Ints, from_ns: Ints) -> None:
        """Put the next frame of devices on air as soon as they may."""
        row = state.row[cell, device]
        start_ns = from_ns
        if self._family.slotted:
            start_ns = -(-from_ns // self._family.slot_ns) * self._family.slot_ns
        air_ns = self._frames_ns[self._first_frame[row] + state.place[cell, device]]
        state.start_ns[cell, device] = start_ns
        state.end_ns[cell, device] = start_ns + air_ns
        state.interference_mw[cell, device] = 0.0
        power_mw = state.mean_mw[cell, device]
        if self._blocks is not None:
            power_mw = power_mw * self._blocks.gains(row, start_ns // self._blocks.coherence_ns)
        state.power_mw[cell, device] = power_mw
        self._start_ns[row] = np.minimum(self._start_ns[row], start_ns)
        self._attempts[row] += 1
        self._air_ns[row] += air_ns

    def _judge(self, state: State, cell: Ints, device: Ints) -> None:
        """Judge the frame of each cell that ends first, and let its device go on."""
        end_ns, power_mw = state.end_ns[cell, device], state.power_mw[cell, device]
        overlaps = state.start_ns[cell] < end_ns[:, None]
        overlaps[np.arange(len(cell)), device] = False
        others_mw = np.where(overlaps, state.power_mw[cell], 0.0).sum(axis=1)
        interference_mw = state.interference_mw[cell, device] + others_mw
        state.interference_mw[cell] += np.where(overlaps, power_mw[:, None], 0.0)
        weak = power_mw < self._sensitivity_mw
        hit = interference_mw > 0
        hit[hit] = power_mw[hit] < self._capture * interference_mw[hit]
        lost = weak | hit
        state.received[cell, device] += ~lost
        state.weak[cell[lost], device[lost]] = weak[lost]
        goes_on = ~lost | (self._family.max_attempts == 1)
        self._go_on(state, cell[goes_on], device[goes_on], end_ns[goes_on])
        self._fail(state, cell[~goes_on], device[~goes_on], end_ns[~goes_on])

    def _go_on(self, state: State, cell: Ints, device: Ints, end_ns: Ints) -> None:
        """The frame is done with: the next follows at once, or the message ends."""
        state.place[cell, device] += 1
        state.failures[cell, device] = 0
        last = state.place[cell, device] == self._packets[state.row[cell, device]]
        self._finish(state, cell[last], device[last], end_ns[last], "collision")
        self._schedule(state, cell[~last], device[~last], end_ns[~last])

    def _fail(self, state: State, cell: Ints, device: Ints, end_ns: Ints) -> None:
        """The frame is lost, and its sender knows: repeat it later, or give up."""
        family = self._family
        failures = state.failures[cell, device] + 1
        state.failures[cell, device] = failures
        self._idle_ns[state.row[cell, device]] += self._timeout_ns
        known_ns = end_ns + self._timeout_ns
        over = failures == family.max_attempts
        self._finish(state, cell[over], device[over], known_ns[over], "retry_limit")
        windows_s = family.backoff_s * family.backoff_growth ** (failures[~over] - 1.0)
        waits_ns = np.rint(windows_s * self._rng.random(len(windows_s)) * SECOND_NS)
        from_ns = known_ns[~over] + waits_ns.astype(np.int64)
        self._schedule(state, cell[~over], device[~over], from_ns)

    def _finish(
        self, state: State, cell: Ints, device: Ints, time_ns: Ints, reason: Reason
    ) -> None:
        """End messages: delivered when all frames arrived, else weak, else for ``reason``."""
        row = state.row[cell, device]
        state.start_ns[cell, device] = NEVER
        state.end_ns[cell, device] = NEVER
        self._finish_ns[row] = time_ns
        delivered = state.received[cell, device] == self._packets[row]
        failed = np.where(state.weak[cell, device], CODES["below_sensitivity"], CODES[reason])
        self._reason[row] = np.where(delivered, CODES["delivered"], failed)
