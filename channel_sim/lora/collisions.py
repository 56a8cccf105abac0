"""Millions of LoRa frames at once: who collides, who finds a demodulator.

Frames are sorted by (group, start); a frame meets its k-th neighbour for
k = 1, 2, ... as long as they still overlap. The k-th pairs have distinct
members, so that energies can be added in place. Work is n log n plus the
number of overlapping pairs.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from heapq import heappop, heappush

import numpy as np
import numpy.typing as npt
from scipy.sparse.csgraph import connected_components

from channel_sim.lora.airtime import MIN_SF, symbol_ns
from channel_sim.lora.isolation import InterferenceRule, channels_meet
from channel_sim.units import linear

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

KEY_LIMIT = 2**62
"""Group number times time span must stay below, to be one integer."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Frames:
    """Frames on air as columns of shape (frames,), in any order.

    [``start_ns``, ``end_ns``) int64; ``channel`` and ``cell`` numbers from 0;
    ``spreading_factor`` 7 to 12; ``rx_power_dbm`` at the cell's gateway.
    Raises ValueError for columns of different length.
    """

    start_ns: Ints
    end_ns: Ints
    channel: Ints
    spreading_factor: Ints
    rx_power_dbm: npt.NDArray[np.float64]
    cell: Ints

    def __post_init__(self) -> None:
        lengths = {item.name: len(getattr(self, item.name)) for item in fields(self)}
        if len(set(lengths.values())) != 1:
            raise ValueError(f"columns have lengths {lengths}; give one entry per frame")

    def __len__(self) -> int:
        return len(self.start_ns)


def collided(
    frames: Frames,
    rule: InterferenceRule,
    *,
    channels_hz: Sequence[float],
    bandwidth_hz: int = 125_000,
    preamble_symbols: int = 8,
) -> Bools:
    """Return which frames are lost to others of their cell by ``rule``, shape (frames,)."""
    if not len(frames):
        return np.zeros(0, dtype=np.bool_)
    meet = channels_meet(channels_hz, rule, bandwidth_hz=bandwidth_hz)
    groups, group_of = connected_components(meet, directed=False)
    key = frames.cell * groups + group_of[frames.channel]
    if rule.one_sf:
        key = key * 6 + (frames.spreading_factor - MIN_SF)
    # Within a group of three channels the outer two need not meet.
    whole = bool(np.all(meet == (group_of[:, None] == group_of[None, :])))
    lost = np.zeros(len(frames), dtype=np.bool_)
    for rows, start, end in _sorted_by_key(key, frames.start_ns, frames.end_ns):
        judge = _Judge(frames, rows, rule, end - start, preamble_symbols)
        for early, late in _neighbours(start, end):
            if not whole:
                channel = frames.channel[rows]
                near = meet[channel[early], channel[late]]
                early, late = early[near], late[near]  # noqa: PLW2901 - the pairs that meet
            judge.take(start, end, early, late)
        lost[rows] = judge.lost()
    return lost


class _Judge:
    """Applies a rule to pairs of one batch of sorted frames."""

    def __init__(
        self, frames: Frames, rows: Ints, rule: InterferenceRule, air: Ints, preamble_symbols: int
    ) -> None:
        self._rule = rule
        self._air = air
        self._sf = frames.spreading_factor[rows] - MIN_SF
        self._power = linear(frames.rx_power_dbm[rows])
        self._lost = np.zeros(len(rows), dtype=np.bool_)
        self._energy = np.zeros((len(rows), 6)) if rule.energy else None
        self._spare: Ints | None = None
        if rule.critical_symbols is not None:
            spare = preamble_symbols - rule.critical_symbols
            self._spare = spare * symbol_ns(self._sf + MIN_SF)

    def take(self, start: Ints, end: Ints, early: Ints, late: Ints) -> None:
        """Judge pairs that overlap; ``early`` started no later than ``late``."""
        if self._energy is not None:
            overlap = np.minimum(end[early], end[late]) - start[late]
            self._energy[early, self._sf[late]] += overlap * self._power[late]
            self._energy[late, self._sf[early]] += overlap * self._power[early]
            return
        if self._spare is not None:
            harmful = start[late] + self._spare[late] < end[early]
            early, late = early[harmful], late[harmful]
        if self._rule.one_sf:  # the pair is of one SF by the sorting key
            ratio = self._rule.isolation[0, 0]
            if np.isinf(ratio):
                self._lost[early] = self._lost[late] = True
                return
            to_late = to_early = ratio
        else:
            to_early = self._rule.isolation[self._sf[early], self._sf[late]]
            to_late = self._rule.isolation[self._sf[late], self._sf[early]]
        power_early, power_late = self._power[early], self._power[late]
        self._lost[early[power_early < to_early * power_late]] = True
        self._lost[late[power_late < to_late * power_early]] = True

    def lost(self) -> Bools:
        """Return who is lost, shape of the batch."""
        if self._energy is None:
            return self._lost
        own = self._air * self._power
        with np.errstate(invalid="ignore"):  # infinite isolation from nothing
            limit = self._rule.isolation[self._sf] * self._energy
        return np.asarray(((own[:, None] < limit) & (self._energy > 0)).any(axis=1))


def find_demodulators(start_ns: Ints, end_ns: Ints, cell: Ints, *, demodulators: int = 8) -> Bools:
    """Return which frames find a demodulator free when they start, shape (frames,).

    A frame that finds one keeps it to its end; frames of one instant come in
    the order of their rows, and an end frees before a start takes. Exact.
    Only frames that a gateway can hear may be given.
    """
    free = np.ones(len(start_ns), dtype=np.bool_)
    for rows, start, end in _sorted_by_key(cell, start_ns, end_ns):
        ends = np.sort(end)
        on_air = np.arange(len(start)) - np.searchsorted(ends, start, side="right")
        crowded = np.flatnonzero(on_air >= demodulators)
        kept = np.ones(len(start), dtype=np.bool_)
        if len(crowded):
            # Lists, because the sweep reads number by number.
            _sweep_all(start.tolist(), end.tolist(), kept, crowded.tolist(), demodulators)
        free[rows] = kept
    return free


def _sweep_all(
    start: list[int], end: list[int], kept: Bools, crowded: list[int], demodulators: int
) -> None:
    """Clear ``kept`` where a frame is refused; ``crowded`` rows may be, others are not first."""
    row, place = 0, 0
    while place < len(crowded):
        row = _sweep(start, end, kept, crowded[place], demodulators)
        place = bisect_left(crowded, row, place)


def _sweep(start: list[int], end: list[int], kept: Bools, row: int, demodulators: int) -> int:
    """Go on from ``row``, the first that finds all taken, until no refused frame is on air.

    Clears ``kept`` where a frame is refused; returns the row to go on from.
    """
    busy: list[int] = []
    back = row - 1
    while len(busy) < demodulators:
        if end[back] > start[row]:
            heappush(busy, end[back])
        back -= 1
    refused_until = start[row] + 1
    while row < len(start) and start[row] < refused_until:
        while busy and busy[0] <= start[row]:
            heappop(busy)
        if len(busy) < demodulators:
            heappush(busy, end[row])
            row += 1
            continue
        # All that start before the first end are refused at one stroke.
        stop = bisect_left(start, busy[0], row)
        kept[row:stop] = False
        refused_until = max(refused_until, *end[row:stop])
        row = stop
    return row


def _sorted_by_key(key: Ints, start_ns: Ints, end_ns: Ints) -> Iterator[tuple[Ints, Ints, Ints]]:
    """Yield batches: rows sorted by (key, start, row), and their starts and ends.

    Times are moved so that those of different keys never overlap. There is
    one batch unless keys times time would not fit an integer.
    """
    if not len(key):
        return
    origin = int(start_ns.min())
    span = int(end_ns.max()) - origin
    batch = max(1, KEY_LIMIT // max(span, 1))
    for first in range(0, int(key.max()) + 1, batch):
        rows = np.flatnonzero((key >= first) & (key < first + batch))
        moved = (key[rows] - first) * span - origin
        start = start_ns[rows] + moved
        order = np.argsort(start, kind="stable")
        rows = rows[order]
        yield rows, start[order], (end_ns[rows] + moved[order])


def _neighbours(start: Ints, end: Ints) -> Iterator[tuple[Ints, Ints]]:
    """Yield all overlapping pairs, (earlier, later) in sorted order, k-th neighbours at a time."""
    early = np.arange(len(start) - 1)
    step = 1
    while len(early):
        early = early[start[early + step] < end[early]]
        if not len(early):
            return
        yield early, early + step
        step += 1
        early = early[: np.searchsorted(early, len(start) - step)]
