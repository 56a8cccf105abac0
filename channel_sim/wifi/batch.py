"""Many Wi-Fi cells in lock step: the law of :mod:`channel_sim.wifi.cell`, a million devices.

A round lets every cell of a chunk do its next thing: take the messages that
arrive before its first occupied slot, or have the stations of that slot send.
Slots form a matrix of stations by cells, so that the minimum over stations
runs along memory. Cells that have finished are taken out of it.

Uplink, one message per device, all arrivals known.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from channel_sim.checks import check_not_negative, check_positive
from channel_sim.family import Blocks
from channel_sim.outcomes import CODES, Outcomes
from channel_sim.units import linear
from channel_sim.wifi.batch_frames import Aggregates, Flags, Floats, Frames, Ints, Singles, Sizes
from channel_sim.wifi.curves import LOW_DB, Curves
from channel_sim.wifi.rules import Rules

NONE = 1 << 30
"""A slot that never comes."""
NEVER_NS = 1 << 62
CHUNK = 1 << 17
"""Devices simulated together: what fits into a core's cache."""
KEEP = 0.8
"""Chunks are compacted when fewer cells than this share go on."""


def check_burst(losses_db: Floats, sizes_bytes: Ints, ready_ns: Ints, cells: Ints) -> None:
    """Raise ValueError for arrays of different shape, a size below 1, negative times or cells."""
    shapes = {array.shape for array in (losses_db, sizes_bytes, ready_ns, cells)}
    if len(shapes) != 1 or losses_db.ndim != 1:
        raise ValueError(
            f"losses_db, sizes_bytes, ready_ns and cells have shapes {sorted(shapes)};"
            " give one entry of each per device"
        )
    check_positive("sizes_bytes", sizes_bytes)
    check_not_negative("ready_ns", ready_ns)
    check_not_negative("cells", cells)


def run_burst(
    rules: Rules,
    rx_power_dbm: Floats,
    sizes_bytes: Ints,
    ready_ns: Ints,
    *,
    cells: Ints,
    rng: np.random.Generator,
    blocks: Blocks | None = None,
) -> Outcomes:
    """Send one message up per device; see :meth:`channel_sim.family.Family.burst`.

    ``rx_power_dbm`` mean at the access point.
    """
    columns = _Columns(rules, sizes_bytes, ready_ns)
    curves = Curves(rules.error_model)
    reached = np.flatnonzero(rules.reached(rx_power_dbm))
    order = reached[np.lexsort((ready_ns[reached], cells[reached]))]
    for rows in _chunks(cells[order], order):
        chunk = _Chunk(
            rules,
            rows,
            rx_power_dbm=rx_power_dbm,
            columns=columns,
            curves=curves,
            rng=rng,
            blocks=blocks,
        )
        chunk.run()
    return columns.outcomes()


def _chunks(cells: Ints, order: Ints) -> list[Ints]:
    """Rows of devices as matrices of shape (stations, cells), -1 where a cell has fewer.

    Cells of like size go together.
    """
    if len(order) == 0:
        return []
    _, first, counts = np.unique(cells, return_index=True, return_counts=True)
    by_size = np.argsort(counts, kind="stable")
    first, counts = first[by_size], counts[by_size]
    found = []
    begin = 0
    while begin < len(counts):
        # The widest cell of a chunk sets the height of its matrix.
        sizes = counts[begin:]
        fits = np.searchsorted(sizes * np.arange(1, len(sizes) + 1), CHUNK, side="right")
        alike = np.searchsorted(sizes, 2 * sizes[0], side="right")
        end = begin + max(1, min(int(fits), int(alike)))
        height = int(counts[end - 1])
        places = first[begin:end] + np.arange(height)[:, None]
        inside = np.arange(height)[:, None] < counts[begin:end]
        found.append(np.where(inside, order[np.minimum(places, len(order) - 1)], -1))
        begin = end
    return found


class _Columns:
    """The result, a row per device; filled as messages end."""

    def __init__(self, rules: Rules, sizes_bytes: Ints, ready_ns: Ints) -> None:
        count = len(ready_ns)
        packets, self.last_bytes = rules.cut(sizes_bytes)
        self.packets = packets.astype(np.int32)
        self.ready_ns = ready_ns
        self.reason = np.full(count, CODES["below_sensitivity"], dtype=np.uint8)
        self.start_ns = ready_ns.copy()
        self.finish_ns = ready_ns.copy()
        self.awake_ns = np.zeros(count, dtype=np.int64)
        self.attempts = np.zeros(count, dtype=np.int32)
        self.air_ns = np.zeros(count, dtype=np.int64)
        self.rx_ns = np.zeros(count, dtype=np.int64)

    def outcomes(self) -> Outcomes:
        return Outcomes(
            reason=self.reason,
            ready_ns=self.ready_ns,
            start_ns=self.start_ns,
            finish_ns=self.finish_ns,
            packets=self.packets,
            attempts=self.attempts,
            air_ns=self.air_ns,
            tx_ns=self.air_ns.copy(),
            rx_ns=self.rx_ns,
            idle_ns=self.awake_ns - self.air_ns - self.rx_ns,
        )


class _Chunk:
    """Cells side by side; ``rows`` of shape (stations, cells), sorted by arrival."""

    def __init__(
        self,
        rules: Rules,
        rows: Ints,
        *,
        rx_power_dbm: Floats,
        columns: _Columns,
        curves: Curves,
        rng: np.random.Generator,
        blocks: Blocks | None,
    ) -> None:
        self._rules, self._columns, self._rng, self._blocks = rules, columns, rng, blocks
        self._height, self._cells = rows.shape
        self._row = rows.ravel()
        there = self._row >= 0
        power_dbm = np.where(there, rx_power_dbm[self._row], 0.0)
        self._mw = linear(power_dbm)
        self._noise_mw = float(linear(rules.noise_dbm)) * rules.streams
        self._least_mw = 0.0 if rules.detection_dbm is None else float(linear(rules.detection_dbm))
        strong = self._mw[there].max() / self._mw[there].min()
        # Without fading the strongest is at best alone with the weakest.
        self._may_capture = rules.capture and (
            blocks is not None or strong >= linear(rules.detection_snr_db)
        )
        ready_ns = np.where(there, columns.ready_ns[self._row], NEVER_NS)
        self._ready_ns = np.append(ready_ns, np.full(self._cells, NEVER_NS))
        self._arrived = np.zeros(self._cells, dtype=np.int64)
        self._next_ns = self._ready_ns[: self._cells].copy()
        self._open = there.reshape(rows.shape).sum(axis=0)
        self._slot = np.full(rows.size, NONE, dtype=np.int32)
        self._cw = np.full(rows.size, rules.cw_min, dtype=np.int32)
        self._now = np.zeros(self._cells, dtype=np.int64)
        self._clear_ns = np.zeros(self._cells, dtype=np.int64)
        self._attempts = np.zeros(rows.size, dtype=np.int32)
        self._air_ns = np.zeros(rows.size, dtype=np.int64)
        self._rx_ns = np.zeros(rows.size, dtype=np.int64)
        self._frames = self._make_frames(power_dbm, there, curves)

    def _make_frames(self, power_dbm: Floats, there: Flags, curves: Curves) -> Frames:
        rules, columns = self._rules, self._columns
        mode = rules.choose(power_dbm)
        last_bytes = np.where(there, columns.last_bytes[self._row], rules.full_bytes)
        rows = [self._rows(curves, mode, size) for size in (rules.full_bytes, last_bytes)]
        snr_db = rules.snr_db(power_dbm)
        pers = [curves.many(row, snr_db).astype(np.float32) for row in rows]
        sizes = Sizes(
            packets=np.where(there, columns.packets[self._row], 1).astype(np.int32),
            last_bytes=last_bytes.astype(np.int32),
            mode=mode.astype(np.int8),
            full_row=rows[0].astype(np.int32),
            last_row=rows[1].astype(np.int32),
            full_per=pers[0],
            last_per=pers[1],
        )
        single = all(exchange.frames == 1 for exchange in rules.exchanges)
        return (Singles if single else Aggregates)(rules, sizes, curves, self._rng)

    def _rows(self, curves: Curves, mode: Ints, size_bytes: Ints | int) -> Ints:
        """Row of the error curve of each (mode, size)."""
        keys, inverse = np.unique(
            mode + len(self._rules.modes) * np.asarray(size_bytes), return_inverse=True
        )
        rows = [
            curves.row(self._rules.modes[key % len(self._rules.modes)].name, size)
            for key, size in zip(
                keys.tolist(), (keys // len(self._rules.modes)).tolist(), strict=True
            )
        ]
        return np.array(rows, dtype=np.int64)[inverse]

    def run(self) -> None:
        """Go round until every message has ended."""
        while self._cells:
            first = self._slot.reshape(self._height, self._cells).min(axis=0)
            start_ns = self._clear_ns + (first - self._now) * self._rules.slot_ns
            start_ns[first == NONE] = NEVER_NS
            due = (self._next_ns <= start_ns) & (self._next_ns < NEVER_NS)
            if due.any():
                self._take_arrivals(np.flatnonzero(due), first == NONE)
            sending = ~due & (first < NONE)
            if sending.any():
                self._send(np.where(sending, first, -1).astype(np.int32), start_ns)
                self._compact()

    def _take_arrivals(self, cell: Ints, empty: Flags) -> None:
        """Messages that arrive by the next boundary, or while the medium was busy."""
        slot_ns = self._rules.slot_ns
        steps = np.maximum(-((self._clear_ns[cell] - self._next_ns[cell]) // slot_ns), 0)
        boundary_ns = self._clear_ns[cell] + steps * slot_ns
        busy_ns = self._clear_ns[cell]
        # Where nobody waits slots are counted afresh from that boundary.
        self._clear_ns[cell] = np.where(empty[cell], boundary_ns, busy_ns)
        while len(cell):
            at = self._arrived[cell] * self._cells + cell
            ready_ns = self._ready_ns[at]
            here = ready_ns <= boundary_ns
            self._next_ns[cell[~here]] = ready_ns[~here]
            cell, at, ready_ns = cell[here], at[here], ready_ns[here]
            boundary_ns, busy_ns = boundary_ns[here], busy_ns[here]
            wait = np.maximum(-((self._clear_ns[cell] - ready_ns) // slot_ns), 0)
            backoff = self._backoff(self._cw[at])
            self._slot[at] = self._now[cell] + np.where(ready_ns < busy_ns, backoff, wait)
            self._arrived[cell] += 1

    def _backoff(self, cw: npt.NDArray[np.integer]) -> Ints:
        return (self._rng.random(len(cw)) * (cw + 1)).astype(np.int64)

    def _send(self, first: npt.NDArray[np.int32], start_ns: Ints) -> None:
        """In each cell the stations in slot ``first`` send; -1: none."""
        rules, cells = self._rules, self._cells
        sends = self._slot.reshape(self._height, cells) == first
        at = np.flatnonzero(sends)
        cell = at % cells
        together = np.bincount(cell, minlength=cells)
        active = np.flatnonzero(together)
        self._now[active] = first[active] + rules.after_slot
        air_ns, count = self._frames.compose(at)
        fresh = self._attempts[at] == 0
        self._columns.start_ns[self._row[at[fresh]]] = start_ns[cell[fresh]]
        self._attempts[at] += count.astype(np.int32)
        self._air_ns[at] += air_ns
        heard, sinr_db = self._listen(at, cell, together, start_ns)
        arrived, grows, done, answer_ns = self._frames.settle(at, heard, sinr_db)
        answered = arrived > 0
        answer_ns = np.where(answered, answer_ns, 0)
        self._rx_ns[at] += answer_ns
        busy_ns = np.zeros(cells, dtype=np.int64)
        busy_ns[cell] = air_ns
        met = together[cell] > 1
        np.maximum.at(busy_ns, cell[met], air_ns[met])
        gap_ns = np.where(together > 1, rules.collision_ns, rules.noise_gap_ns)
        won = cell[answered]
        with_answer_ns = air_ns[answered] + rules.sifs_ns + answer_ns[answered]
        busy_ns[won] = np.maximum(busy_ns[won], with_answer_ns)
        gap_ns[won] = rules.ifs_ns
        self._clear_ns[active] = (start_ns + busy_ns + gap_ns)[active]
        cw = np.where(grows, np.minimum(2 * self._cw[at] + 1, rules.cw_max), rules.cw_min)
        self._cw[at] = cw
        self._slot[at] = self._now[cell] + self._backoff(cw)
        if done.any():
            self._finish(
                at[done],
                cell[done],
                start_ns[cell[done]] + air_ns[done],
                np.where(answered, rules.sifs_ns + answer_ns, 0)[done],
            )

    def _listen(
        self, at: Ints, cell: Ints, together: Ints, start_ns: Ints
    ) -> tuple[Flags, Floats | None]:
        """Which frames are detected, and their SINR (None: each alone at its mean)."""
        alone = together[cell] == 1
        if not self._may_capture and self._blocks is None:
            return alone, None
        rules = self._rules
        mw = self._mw[at]
        if self._blocks is not None:
            block = start_ns[cell] // self._blocks.coherence_ns
            mw = mw * self._blocks.gains(self._row[at], block)
        others_mw = np.bincount(cell, weights=mw, minlength=self._cells)[cell] - mw
        ratio = mw / (self._noise_mw + np.maximum(others_mw, 0.0))
        with np.errstate(divide="ignore"):
            sinr_db = np.maximum(10 * np.log10(ratio), LOW_DB - 1)
        heard = (sinr_db >= rules.detection_snr_db) & (mw >= self._least_mw)
        if not rules.capture:
            heard &= alone
        # Of several at most one is more than the sum of the others: the detection
        # SNR is 0 dB or more. At exactly 0 dB, noise decides against both.
        return heard, sinr_db

    def _finish(self, at: Ints, cell: Ints, finish_ns: Ints, answer_ns: Ints) -> None:
        columns, row = self._columns, self._row[at]
        lost = self._frames.lost[at]
        columns.reason[row] = np.where(lost, CODES["retry_limit"], CODES["delivered"])
        columns.finish_ns[row] = finish_ns
        columns.awake_ns[row] = finish_ns + answer_ns - columns.ready_ns[row]
        columns.attempts[row] = self._attempts[at]
        columns.air_ns[row] = self._air_ns[at]
        columns.rx_ns[row] = self._rx_ns[at]
        self._slot[at] = NONE
        self._open -= np.bincount(cell, minlength=self._cells)

    def _compact(self) -> None:
        """Take out the cells that have finished, when they are many or all."""
        goes_on = self._open > 0
        if np.count_nonzero(goes_on) > KEEP * self._cells:
            return
        cell = np.flatnonzero(goes_on)
        height = self._height
        places = (np.arange(height)[:, None] * self._cells + cell).ravel()
        for name in ("_row", "_mw", "_slot", "_cw", "_attempts", "_air_ns", "_rx_ns"):
            setattr(self, name, getattr(self, name)[places])
        self._ready_ns = np.append(self._ready_ns[places], np.full(len(cell), NEVER_NS))
        for name in ("_arrived", "_next_ns", "_open", "_now", "_clear_ns"):
            setattr(self, name, getattr(self, name)[cell])
        self._frames.keep(places)
        self._cells = len(cell)
