"""Messages up of many OFDMA cells at once: one granted interval of every cell per step."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from channel_sim.burst import check_burst
from channel_sim.family import Blocks
from channel_sim.outcomes import CODES, Outcomes
from channel_sim.scheduled import resource_units as ru
from channel_sim.units import decibel, to_ns

if TYPE_CHECKING:
    from channel_sim.scheduled.ofdma import Ofdma

Ints = npt.NDArray[np.int64]


class Rows:
    """One message per row; ``alive`` those that have not ended."""

    def __init__(
        self,
        family: Ofdma,
        losses_db: npt.NDArray[np.float64],
        sizes_bytes: Ints,
        ready_ns: Ints,
        cells: Ints,
    ) -> None:
        count = len(losses_db)
        self.ready_ns, self.cells = ready_ns, cells
        self.snr_db = family.snr_db(losses_db)
        self.mcs, self.unit = family.modes(self.snr_db)
        self.bits = family.bits(self.mcs, self.unit)
        narrowest = np.maximum(self.bits[:, -1], 1)
        packet = family.packet_sizes(sizes_bytes, narrowest, ru.TB_PREAMBLE_NS)
        self.packets = -(-sizes_bytes // packet)
        self.mpdu_bytes = packet + family.header_bytes
        self.subframe = ru.subframe_bytes(self.mpdu_bytes)
        self.stages = np.zeros((count, family.max_attempts), dtype=np.int64)
        self.stages[:, 0] = self.packets
        self.served = np.full(count, -1, dtype=np.int64)
        self.reason = np.zeros(count, dtype=np.uint8)
        self.start_ns = np.full(count, -1, dtype=np.int64)
        self.finish_ns = ready_ns.copy()
        self.attempts = np.zeros(count, dtype=np.int64)
        self.tx_ns, self.rx_ns, self.idle_ns = (np.zeros(count, dtype=np.int64) for _ in range(3))
        self.alive = self.mcs[:, -1] >= 0
        self.reason[~self.alive] = CODES["below_sensitivity"]


def burst(
    family: Ofdma,
    losses_db: npt.NDArray[np.float64],
    sizes_bytes: Ints,
    ready_ns: Ints,
    *,
    cells: Ints,
    rng: np.random.Generator,
    blocks: Blocks | None = None,
) -> Outcomes:
    """Run all rows to their end; see :class:`channel_sim.family.Family`."""
    check_burst(losses_db, sizes_bytes, ready_ns, cells)
    sizes_bytes, ready_ns = np.asarray(sizes_bytes, np.int64), np.asarray(ready_ns, np.int64)
    cells = np.unique(cells, return_inverse=True)[1]
    rows = Rows(family, np.asarray(losses_db, np.float64), sizes_bytes, ready_ns, cells)
    clock_ns = np.full(int(cells.max(initial=-1)) + 1, -1, dtype=np.int64)
    interval = 0
    while rows.alive.any():
        interval += 1
        _wait(rows, clock_ns, to_ns(family.gap_s))
        _interval(family, rows, clock_ns, interval, rng, blocks)
    return Outcomes(
        reason=rows.reason,
        ready_ns=ready_ns,
        start_ns=np.where(rows.start_ns < 0, rows.finish_ns, rows.start_ns),
        finish_ns=rows.finish_ns,
        packets=rows.packets.astype(np.int32),
        attempts=rows.attempts.astype(np.int32),
        air_ns=rows.tx_ns.copy(),
        tx_ns=rows.tx_ns,
        rx_ns=rows.rx_ns,
        idle_ns=rows.idle_ns,
    )


def _wait(rows: Rows, clock_ns: Ints, gap_ns: int) -> None:
    """Move the clock of cells in which nobody waits to a gap after the next message."""
    never = np.iinfo(np.int64).max
    row = np.flatnonzero(rows.alive)
    first_ns = np.full(len(clock_ns), never)
    np.minimum.at(first_ns, rows.cells[row], rows.ready_ns[row])
    empty = (first_ns > clock_ns) & (first_ns < never)
    clock_ns[empty] = first_ns[empty] + gap_ns


def _interval(
    family: Ofdma,
    rows: Rows,
    clock_ns: Ints,
    interval: int,
    rng: np.random.Generator,
    blocks: Blocks | None,
) -> None:
    """Grant, send and acknowledge once in every cell that has something to send."""
    row, place, users = _granted(family, rows, clock_ns)
    cell = rows.cells[row]
    rows.served[row] = interval
    bits, subframe = rows.bits[row, place], rows.subframe[row]
    fit = ru.packets_in(family.max_symbols(ru.TB_PREAMBLE_NS), subframe, bits)
    batch = _oldest(rows.stages[row], np.minimum(fit, family.max_packets))
    on_air = batch.sum(axis=1)
    symbols = np.zeros(len(clock_ns), dtype=np.int64)
    np.maximum.at(symbols, cell, ru.symbols_of(on_air, subframe, bits))
    frame_ns = ru.TB_PREAMBLE_NS + symbols[cell] * family.symbol_ns
    trigger_ns, ack_ns = ru.trigger_ns(users), ru.multi_ack_ns(users)
    sifs_ns = to_ns(family.sifs_s)
    send_ns = clock_ns[cell] + trigger_ns + sifs_ns
    end_ns = send_ns + frame_ns
    rows.attempts[row] += on_air
    rows.tx_ns[row] += frame_ns
    rows.rx_ns[row] += trigger_ns + ack_ns
    rows.idle_ns[row] += 2 * sifs_ns
    rows.start_ns[row] = np.where(rows.start_ns[row] < 0, send_ns, rows.start_ns[row])

    snr_db = rows.snr_db[row, rows.unit[row, place]]
    if blocks is not None:
        snr_db = snr_db + decibel(blocks.gains(row, clock_ns[cell] // blocks.coherence_ns))
    error = ru.packet_errors(rows.mcs[row, place], snr_db, rows.mpdu_bytes[row], family.error_model)
    failed = rng.binomial(batch, error[:, np.newaxis])
    left = rows.stages[row] - batch
    left[:, 1:] += failed[:, :-1]
    rows.stages[row] = left
    lost = failed[:, -1] > 0
    ended = lost | (left.sum(axis=1) == 0)
    rows.reason[row[lost]] = CODES["retry_limit"]
    rows.finish_ns[row[ended]] = end_ns[ended]
    rows.alive[row[ended]] = False
    clock_ns[cell] = end_ns + sifs_ns + ack_ns + to_ns(family.gap_s)


def _granted(family: Ofdma, rows: Rows, clock_ns: Ints) -> tuple[Ints, Ints, Ints]:
    """Rows that are served now, the place of their unit and how many share the interval."""
    waits = rows.alive & (rows.ready_ns <= clock_ns[rows.cells])
    row = np.flatnonzero(waits)
    # Least recently served first, then in the order of rows.
    row = row[np.lexsort((row, rows.served[row], rows.cells[row]))]
    cell = rows.cells[row]
    active = np.bincount(cell, minlength=len(clock_ns))
    begins = np.concatenate(([0], np.cumsum(active)))[:-1]
    rank = np.arange(len(row)) - begins[cell]
    place = family.unit_for(active)[cell]
    counts = np.array([count for _, count in family.units])
    served = rank < counts[place]
    users = np.minimum(active, counts[family.unit_for(active)])[cell]
    return row[served], place[served], users[served]


def _oldest(stages: Ints, fit: Ints) -> Ints:
    """Take up to ``fit`` MPDUs of each row, those with most failed attempts first; by stage."""
    batch = np.zeros_like(stages)
    left = fit.copy()
    for stage in range(stages.shape[1] - 1, -1, -1):
        batch[:, stage] = np.minimum(stages[:, stage], left)
        left = left - batch[:, stage]
    return batch
