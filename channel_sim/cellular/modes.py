"""Modes of one direction: width, MCS and repetitions, by received power.

A mode is what the scheduler grants a device: PRBs (or a part of one, the tones
of NB-IoT), an MCS and a number of repetitions of every block. Link adaptation
is a staircase: the stronger the device is received, the faster its mode.
Repetition adds up energy like Chase combining: r times lower the needed SNR by
10 log10 r and last r times as long (3GPP TS 36.211 10.1, as remembered).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import product

import numpy as np
import numpy.typing as npt

from channel_sim.cellular.tbs import Standard, lte_bits, nr_bits
from channel_sim.reception.bler import NR_BITS_PER_SYMBOL, NR_CODE_RATE_1024, TARGET, bler
from channel_sim.units import decibel

MCS = np.arange(29)
CODE_BLOCK_BITS = {"lte": 6144, "nr": 8448}
"""Longest code block: 3GPP TS 36.212 5.1.2 and TS 38.212 5.2.2 (base graph 1), as remembered."""

NR_EFFICIENCY = np.multiply(NR_BITS_PER_SYMBOL, NR_CODE_RATE_1024) / 1024
"""Bits per resource element of MCS 0 to 28."""


def block_error(
    standard: Standard, mcs: npt.ArrayLike, bits: npt.ArrayLike, snr_db: npt.ArrayLike
) -> npt.NDArray[np.float64]:
    """Return the error probability of a transport block; the shapes broadcast.

    LTE: the thresholds are those of whole blocks on 50 PRB, so of blocks above
    the longest code block too. NR: a block is cut into equal code blocks and
    needs them all.
    """
    bits, longest = np.asarray(bits), CODE_BLOCK_BITS[standard]
    parts = -(-bits // longest) if standard == "nr" else np.ones_like(bits)
    each = bler(
        mcs,
        snr_db,
        table="lte" if standard == "lte" else "nr1",
        code_block_bits=np.minimum(bits / parts, longest),
    )
    return np.asarray(-np.expm1(parts * np.log1p(-np.minimum(each, 1 - 1e-15))))


def block_threshold_db(
    standard: Standard, mcs: npt.NDArray[np.int64], bits: npt.NDArray[np.int64]
) -> npt.NDArray[np.float64]:
    """Return the SNR at which a transport block fails with 10 %; arrays of one shape."""
    low, high = np.full(mcs.shape, -40.0), np.full(mcs.shape, 60.0)
    for _ in range(60):
        middle = (low + high) / 2
        above = block_error(standard, mcs, bits, middle) > TARGET
        low, high = np.where(above, middle, low), np.where(above, high, middle)
    return high


@dataclass(frozen=True, kw_only=True)
class Grid:
    """Resources of one direction.

    ``prbs`` of ``prb_hz`` each and intervals of ``tti_ns``; grants are
    ``widths_prb`` wide (a part of a PRB: tones). A block fills its grant for
    one interval or, with ``block_units`` above 1, is one of 1 to that many PRB
    intervals, stretched over time where the grant is narrower; ``block_bits``
    is its limit (None: none). ``peak_bps`` the limit of the device's category.
    ``noise_dbm_hz`` includes noise figure and rise; ``margin_db`` is kept above
    each threshold. All power lies in the grant; grants wider than the narrowest
    keep ``target_snr_db`` (None: no such limit).
    """

    standard: Standard
    prbs: int
    prb_hz: float
    tti_ns: int
    widths_prb: tuple[float, ...]
    block_units: int
    block_bits: int | None
    repetitions: tuple[int, ...]
    layers: int
    peak_bps: float
    header_bytes: int
    noise_dbm_hz: float
    margin_db: float
    target_snr_db: float | None


@dataclass(frozen=True, slots=True)
class Mode:
    """One step of the staircase.

    ``required_dbm`` received power from which it is taken, ``noise_dbm`` in its
    width, less the gain of layers and repetitions; ``share`` of the carrier
    while on air, ``duty`` the part of the time that its category may send,
    ``granules`` in how many parts a last, shorter block can be cut, which
    shortens it in time if ``by_time`` and in width if not.
    """

    required_dbm: float
    noise_dbm: float
    mcs: int
    repetitions: int
    width_prb: float
    bits: int
    net_bits: int
    air_ns: int
    share: float
    duty: float
    granules: int
    by_time: bool

    @property
    def rate_bps(self) -> float:
        """Bits per second, all blocks first time right, nobody else there."""
        return self.bits / self.air_ns * 1e9 * self.duty

    @property
    def efficiency(self) -> float:
        """Bits per nanosecond of the whole carrier."""
        return self.bits / (self.air_ns * self.share)


class Modes:
    """The staircase of one direction; ``steps`` by rising power and rate."""

    def __init__(self, grid: Grid) -> None:
        self.grid = grid
        self.steps = _staircase(_candidates(grid))
        self.required_dbm = np.array([step.required_dbm for step in self.steps])
        self.noise_dbm = np.array([step.noise_dbm for step in self.steps])
        self._mcs = np.array([step.mcs for step in self.steps], dtype=np.int64)
        self._bits = np.array([step.bits for step in self.steps], dtype=np.int64)

    def choose(self, rx_power_dbm: npt.ArrayLike) -> npt.NDArray[np.int64]:
        """Return the place of the mode of each received power, -1 where none is heard."""
        return np.asarray(np.searchsorted(self.required_dbm, rx_power_dbm, side="right") - 1)

    def snr_db(
        self, modes: npt.NDArray[np.int64], rx_power_dbm: npt.NDArray[np.float64]
    ) -> npt.NDArray[np.float64]:
        """Return the SNR after the sum of repetitions."""
        return np.asarray(rx_power_dbm - self.noise_dbm[modes])

    def error(
        self, modes: npt.NDArray[np.int64], snr_db: npt.NDArray[np.float64]
    ) -> npt.NDArray[np.float64]:
        """Return the block error probability at an SNR; the shapes broadcast."""
        return block_error(self.grid.standard, self._mcs[modes], self._bits[modes], snr_db)


@lru_cache(maxsize=64)
def modes_of(grid: Grid) -> Modes:
    """Return the modes of a grid; equal families share them."""
    return Modes(grid)


def _staircase(candidates: Iterator[Mode]) -> tuple[Mode, ...]:
    """The useful modes: more power must buy rate or, at the same rate, leave more to others."""
    steps: list[Mode] = []
    best = (0.0, 0.0)
    for mode in sorted(candidates, key=lambda item: (item.required_dbm, -item.rate_bps)):
        # Rounded: at the peak of the category rates differ by rounding errors alone.
        rate = float(f"{mode.net_bits / mode.air_ns * mode.duty:.9g}")
        worth = (rate, mode.efficiency)
        if worth > best:
            best = worth
            if steps and steps[-1].required_dbm == mode.required_dbm:
                steps.pop()
            steps.append(mode)
    return tuple(steps)


def _candidates(grid: Grid) -> Iterator[Mode]:
    """All modes, useful or not."""
    by_time = grid.block_units > 1
    sizes = range(1, grid.block_units + 1) if by_time else grid.widths_prb
    mcs, units = (item.ravel() for item in np.meshgrid(MCS, sizes, indexing="ij"))
    found = lte_bits(mcs, units) if grid.standard == "lte" else nr_bits(NR_EFFICIENCY[mcs], units)
    limit = np.inf if grid.block_bits is None else grid.block_bits
    bits = np.minimum(found * grid.layers, limit).astype(np.int64)
    roomy = bits > 8 * grid.header_bytes
    mcs, units, bits = mcs[roomy], units[roomy], bits[roomy]
    thresholds_db = block_threshold_db(grid.standard, mcs, bits)
    rows = zip(mcs.tolist(), units.tolist(), bits.tolist(), thresholds_db.tolist(), strict=True)
    for (index, unit, size, lowest_db), count in product(rows, grid.repetitions):
        for width in grid.widths_prb if by_time else (unit,):
            yield _mode(grid, index, size, lowest_db, units=unit, width=width, count=count)


def _mode(
    grid: Grid,
    mcs: int,
    bits: int,
    lowest_db: float,
    *,
    units: float,
    width: float,
    count: int,
) -> Mode:
    """One candidate: ``bits`` over ``units``, sent ``count`` times on ``width`` PRBs."""
    by_time = grid.block_units > 1
    hertz = grid.prb_hz * width * grid.layers / count
    noise_dbm = grid.noise_dbm_hz + float(decibel(hertz))
    needed_db = lowest_db + grid.margin_db
    if grid.target_snr_db is not None and width > min(grid.widths_prb):
        needed_db = max(needed_db, grid.target_snr_db)
    air_ns = round(grid.tti_ns * count * (units / width if by_time else 1))
    return Mode(
        required_dbm=noise_dbm + needed_db,
        noise_dbm=noise_dbm,
        mcs=mcs,
        repetitions=count,
        width_prb=width,
        bits=bits,
        net_bits=bits - 8 * grid.header_bytes,
        air_ns=air_ns,
        share=width / grid.prbs,
        duty=min(1.0, grid.peak_bps / (bits / air_ns * 1e9)),
        granules=int(units),
        by_time=by_time,
    )
