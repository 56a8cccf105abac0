"""Messages up of many BLE devices at once: one exchange of every connection per step.

The law of :mod:`channel_sim.ble.events`. Devices never meet, so that a row
needs nothing of its cell but how many share the connection interval.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from channel_sim.ble.events import MAX_WRONG
from channel_sim.ble.phy import ACCESS_BITS, IFS_NS, log_bit_success
from channel_sim.burst import check_burst
from channel_sim.family import Blocks
from channel_sim.outcomes import CODES, Outcomes
from channel_sim.scheduled.cells import rank_within
from channel_sim.units import decibel, to_ns

if TYPE_CHECKING:
    from channel_sim.ble.family import Ble

Ints = npt.NDArray[np.int64]


class Rows:
    """The connections that still have something to send, one row each; times in ns."""

    def __init__(
        self,
        family: Ble,
        losses_db: npt.NDArray[np.float64],
        sizes_bytes: Ints,
        ready_ns: Ints,
        cells: Ints,
    ) -> None:
        count = len(losses_db)
        self.row = np.arange(count)
        devices = np.bincount(cells, minlength=1)
        lengths_ns = np.array([family.event_ns(max(1, int(n))) for n in devices])
        self.event_ns = lengths_ns[cells]
        self.offset_ns = rank_within(cells) * self.event_ns
        self.packets = -(-sizes_bytes // family.value_bytes)
        self.frames_left = self.packets.copy()
        self.last_bytes = sizes_bytes - (self.packets - 1) * family.value_bytes
        self.taken = np.zeros(count, dtype=np.bool_)
        self.wrong_up = np.zeros(count, dtype=np.int64)
        self.wrong_down = np.zeros(count, dtype=np.int64)
        self.heard_up_ns = ready_ns.copy()
        self.heard_down_ns = ready_ns.copy()
        self.now_ns = ready_ns.copy()
        self.event_end_ns = ready_ns.copy()
        self.closed = np.ones(count, dtype=np.bool_)
        self.margin_up_db = family.margin_db(losses_db, up=True)
        self.margin_down_db = family.margin_db(losses_db, up=False)

    def keep(self, alive: npt.NDArray[np.bool_]) -> None:
        """Drop the rows that have ended."""
        for name, column in vars(self).items():
            setattr(self, name, column[alive])


def burst(
    family: Ble,
    losses_db: npt.NDArray[np.float64],
    sizes_bytes: npt.NDArray[np.int64],
    ready_ns: npt.NDArray[np.int64],
    *,
    cells: npt.NDArray[np.int64],
    rng: np.random.Generator,
    blocks: Blocks | None = None,
) -> Outcomes:
    """Run all rows to their end; see :class:`channel_sim.family.Family`."""
    check_burst(losses_db, sizes_bytes, ready_ns, cells)
    ready_ns = np.asarray(ready_ns, dtype=np.int64)
    count = len(losses_db)
    rows = Rows(family, losses_db, np.asarray(sizes_bytes, np.int64), ready_ns, cells)
    totals = {
        name: np.zeros(count, dtype=np.int64) for name in ("attempts", "tx_ns", "rx_ns", "idle_ns")
    }
    reason = np.zeros(count, dtype=np.uint8)
    start_ns = np.full(count, -1, dtype=np.int64)
    finish_ns = np.zeros(count, dtype=np.int64)
    packets = rows.packets.astype(np.int32)
    while len(rows.row):
        lost = _enter_events(family, rows, totals["idle_ns"])
        reason[rows.row[lost]] = CODES["retry_limit"]
        finish_ns[rows.row[lost]] = rows.now_ns[lost]
        rows.keep(~lost)
        if not len(rows.row):
            break
        done, done_ns = _exchange(family, rows, totals, start_ns, rng, blocks)
        finish_ns[rows.row[done]] = done_ns[done]
        rows.keep(~done)
    return Outcomes(
        reason=reason,
        ready_ns=ready_ns,
        start_ns=np.where(start_ns < 0, finish_ns, start_ns),
        finish_ns=finish_ns,
        packets=packets,
        attempts=totals["attempts"].astype(np.int32),
        air_ns=totals["tx_ns"].copy(),
        tx_ns=totals["tx_ns"],
        rx_ns=totals["rx_ns"],
        idle_ns=totals["idle_ns"],
    )


def _enter_events(family: Ble, rows: Rows, idle_ns: Ints) -> npt.NDArray[np.bool_]:
    """Move rows without room in their event to the next anchor; True where the link is lost."""
    empty_ns = family.air.air_ns(0)
    value = np.where(rows.frames_left > 1, family.value_bytes, rows.last_bytes)
    exchange_ns = empty_ns + IFS_NS + _air_ns(family, value) + IFS_NS
    behind = rows.closed | (rows.now_ns + exchange_ns > rows.event_end_ns)
    # A row that goes on has listened through the gap after the last frame.
    idle_ns[rows.row[~rows.closed]] += IFS_NS
    anchor_ns = rows.now_ns + (rows.offset_ns - rows.now_ns) % family.interval_ns
    lost_ns = np.minimum(rows.heard_up_ns, rows.heard_down_ns) + to_ns(family.supervision_timeout_s)
    lost = behind & (lost_ns <= anchor_ns)
    begin = behind & ~lost
    rows.now_ns = np.where(lost, np.maximum(lost_ns, rows.now_ns), rows.now_ns)
    rows.now_ns = np.where(begin, anchor_ns, rows.now_ns)
    rows.event_end_ns = np.where(begin, anchor_ns + rows.event_ns, rows.event_end_ns)
    rows.wrong_up[begin] = 0
    rows.wrong_down[begin] = 0
    idle_ns[rows.row[begin]] += to_ns(family.wake_s)
    return np.asarray(lost)


def _exchange(
    family: Ble,
    rows: Rows,
    totals: dict[str, Ints],
    start_ns: Ints,
    rng: np.random.Generator,
    blocks: Blocks | None,
) -> tuple[npt.NDArray[np.bool_], Ints]:
    """One poll and its answer; True where the message has arrived, and when."""
    row = rows.row
    log_up, log_down = _log_bits(rows, blocks)
    poll = rng.random(len(row))
    right_poll = poll < np.exp(log_down * family.air.frame_bits(0))
    noticed = poll < np.exp(log_down * ACCESS_BITS)
    polled_ns = rows.now_ns + family.air.air_ns(0)
    rows.heard_down_ns = np.where(right_poll, polled_ns, rows.heard_down_ns)
    rows.wrong_down = np.where(right_poll, 0, rows.wrong_down + 1)
    acknowledged = right_poll & rows.taken
    rows.frames_left -= acknowledged
    rows.taken &= ~acknowledged
    answers = noticed & (rows.wrong_down < MAX_WRONG)
    totals["rx_ns"][row[noticed]] += family.air.air_ns(0)
    totals["idle_ns"][row[~noticed]] += family.air.air_ns(0)

    value = np.where(rows.frames_left > 1, family.value_bytes, rows.last_bytes)
    air_ns = _air_ns(family, value)
    sent_ns = polled_ns + IFS_NS
    answered = row[answers]
    totals["idle_ns"][answered] += IFS_NS
    totals["tx_ns"][answered] += air_ns[answers]
    totals["attempts"][answered] += 1
    first = answered[start_ns[answered] < 0]
    start_ns[first] = sent_ns[answers][start_ns[answered] < 0]
    answer = rng.random(len(row))
    overhead_bytes = family.frame_bytes(family.value_bytes) - family.value_bytes
    bits = family.air.frame_bits(0) + 8 * (value + overhead_bytes)
    right = answers & (answer < np.exp(log_up * bits))
    wrong = answers & ~right & (answer < np.exp(log_up * ACCESS_BITS))
    end_ns = sent_ns + air_ns
    rows.heard_up_ns = np.where(right, end_ns, rows.heard_up_ns)
    rows.wrong_up = np.where(right, 0, rows.wrong_up + 1)
    rows.taken |= right
    rows.closed = ~(right | (wrong & (rows.wrong_up < MAX_WRONG)))
    stays_ns = np.where(rows.closed, 0, IFS_NS)
    rows.now_ns = np.where(answers, end_ns + stays_ns, polled_ns)
    return right & (rows.frames_left == 1), end_ns


def _air_ns(family: Ble, value_bytes: Ints) -> Ints:
    """Air time of notifications; every byte lasts equally long."""
    empty_ns = family.air.air_ns(0)
    overhead_bytes = family.frame_bytes(family.value_bytes) - family.value_bytes
    return np.asarray(empty_ns + (value_bytes + overhead_bytes) * family.air.byte_ns)


def _log_bits(
    rows: Rows, blocks: Blocks | None
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """ln(1 - BER) up and down, in the present fading block."""
    if blocks is None:
        gain_db = np.zeros(len(rows.row))
    else:
        gains = blocks.gains(rows.row, rows.now_ns // blocks.coherence_ns)
        gain_db = decibel(np.maximum(gains, 1e-30))
    return (
        log_bit_success(rows.margin_up_db + gain_db),
        log_bit_success(rows.margin_down_db + gain_db),
    )
