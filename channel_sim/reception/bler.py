"""Block error of LTE and NR by MCS, and the spectral efficiencies behind it.

The waterfall of a code block over SNR in dB is a normal distribution
function, fixed by the SNR at 10 % and its width, which grows with the inverse
root of a shorter block (normal approximation: Polyanskiy, Poor and Verdu
2010). LTE: thresholds and width of ns-3's MIESM model, the growth by that law.
NR: all fitted to Sionna's simulated LDPC blocks.
"""

from __future__ import annotations

from typing import Literal, TypeAlias, get_args

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr, ndtri

from channel_sim.checks import check_between, check_known, check_positive
from channel_sim.units import decibel, linear

Floats = npt.NDArray[np.float64]
BlerTable: TypeAlias = Literal["lte", "nr1"]

TARGET = 0.1
"""Block error rate at which the thresholds are given."""

LTE_THRESHOLD_DB: tuple[float, ...] = (
    *(-7.05, -6.1, -5.6, -4.45, -3.4, -2.4, -1.45, -0.3, 0.75, 1.55),
    *(3.8, 3.85, 4.6, 5.6, 6.5, 7.45, 8.4),
    *(10.1, 10.4, 11.25, 12.3, 13.3, 14.25, 15.2, 16.1, 17.05, 17.85, 19.0, 19.7),
)
"""MCS 0-28 at 10 %; ns-3.37 LteMiErrorModel, flat channel, 50 PRB, measured."""
LTE_WIDTH_DB = 0.4 / 2.3263
"""Standard deviation of the waterfall: 50 % to 1 % takes 0.3 to 0.5 dB, measured with it."""
_LTE_BLOCK_BITS = np.interp(np.arange(29), (0, 4, 8), (1384, 3624, 6144))
"""Code blocks behind both: 50 PRB hold 1384, 3624, 6968 bit at MCS 0, 4, 8 (TS 36.213),
interpolated between; no code block is longer than 6144 bit."""
LTE_EFFICIENCY: tuple[float, ...] = (
    *(0.15, 0.19, 0.23, 0.31, 0.38, 0.49, 0.6, 0.74, 0.88, 1.03),
    *(1.18, 1.33, 1.48, 1.7, 1.91, 2.16, 2.41),
    *(2.57, 2.73, 3.03, 3.32, 3.61, 3.9, 4.21, 4.52, 4.82, 5.12, 5.33, 5.55),
)
"""bit/s/Hz of MCS 0-28; 3GPP R1-081483, as ns-3's lte-amc.cc lists them."""

NR_BLOCK_BITS = 1000.0
NR_THRESHOLD_DB: tuple[float, ...] = (
    *(-2.72, -1.59, -0.55, 0.50, 1.45, 2.40, 3.25),
    *(3.58, 4.24, 5.30, 6.10, 7.13, 8.13, 8.87),
    *(9.28, 9.82, 10.90, 11.81, 12.83, 13.76, 14.70, 15.64, 16.67, 17.89, 18.53, 19.36),
)
"""MCS 3-28 at 10 %, blocks of 1000 bits: maximum-likelihood fit of the law below
to the simulated points of Sionna 2.2.0, PDSCH_table1.json (docs/channel/reception.md)."""
NR_CODE_RATE_1024: tuple[int, ...] = (
    *(120, 157, 193, 251, 308, 379, 449, 526, 602, 679),
    *(340, 378, 434, 490, 553, 616, 658),
    *(438, 466, 517, 567, 616, 666, 719, 772, 822, 873, 910, 948),
)
"""MCS 0-28; TS 38.214 table 5.1.3.1-1, read in Sionna 2.2.0, phy/nr/utils.py."""
NR_BITS_PER_SYMBOL: tuple[int, ...] = (*(2,) * 10, *(4,) * 7, *(6,) * 12)
NR_EFFICIENCY: tuple[float, ...] = tuple(
    bits * rate / 1024 for bits, rate in zip(NR_BITS_PER_SYMBOL, NR_CODE_RATE_1024, strict=True)
)
"""bit/s/Hz of MCS 0-28."""

CQI_EFFICIENCY: tuple[float, ...] = (
    *(0.15, 0.23, 0.38, 0.60, 0.88, 1.18, 1.48, 1.91),
    *(2.41, 2.73, 3.32, 3.90, 4.52, 5.12, 5.55),
)
"""CQI 1-15 up to 64-QAM; ns-3's lte-amc.cc."""
CQI_EFFICIENCY_256QAM: tuple[float, ...] = (
    *(0.1523, 0.3770, 0.8770, 1.4766, 1.9141, 2.4063, 2.7305, 3.3223),
    *(3.9023, 4.5234, 5.1152, 5.5547, 6.2266, 6.9141, 7.4063),
)
"""CQI 1-15 up to 256-QAM; TS 38.214 table 5.2.2.1-3, as remembered."""

# The law: of n bits at MCS m, BLER = Q((snr - middle) / width), width =
# (W0 + W1 m) / sqrt n, middle = M + (S0 + S1 m) / sqrt n. Fitted together with
# the NR thresholds, over blocks of 24 to 2000 bits.
_W0, _W1, _S0, _S1 = 6.008, 0.232, 2.357, -0.381
_DEVIATES = float(-ndtri(TARGET))


def bler(
    mcs: npt.ArrayLike,
    snr_db: npt.ArrayLike,
    *,
    table: BlerTable,
    code_block_bits: npt.ArrayLike | None = None,
) -> Floats:
    """Return the error rate of one code block.

    ``mcs`` 0-28, ``snr_db`` (effective, see ``effective_sinr_db``) and
    ``code_block_bits`` broadcast. ``nr1`` is MCS table 1, up to 64-QAM. None
    is the length of the thresholds: NR 1000 bits, LTE the blocks of 50 PRB.
    Raises ValueError for an unknown table or MCS, a length that is not
    positive and an SNR that is NaN.
    """
    middle_db = threshold_db(mcs, table=table, code_block_bits=code_block_bits)
    snr_db = np.asarray(snr_db, dtype=np.float64)
    if np.any(np.isnan(snr_db)):
        raise ValueError("snr_db has NaN; give dB, or -inf for no signal")
    width_db = _width_db(_checked(mcs), table, code_block_bits)
    return np.asarray(ndtr((middle_db - snr_db) / width_db - _DEVIATES))


def threshold_db(
    mcs: npt.ArrayLike, *, table: BlerTable, code_block_bits: npt.ArrayLike | None = None
) -> Floats:
    """Return the SNR in dB at which a code block fails with 10 %, see :func:`bler`.

    NR MCS 0-2 have no simulated points: they keep the distance to Shannon's
    bound, as a ratio of SNRs, of MCS 3.
    """
    check_known("table", table, get_args(BlerTable))
    mcs = _checked(mcs)
    known_db = np.asarray(LTE_THRESHOLD_DB if table == "lte" else _NR_ALL_DB)[mcs]
    if code_block_bits is None:
        return np.asarray(known_db)
    check_positive("code_block_bits", code_block_bits)
    wider_db = _width_db(mcs, table, code_block_bits) - _width_db(mcs, table, None)
    later_db = 0.0
    if table == "nr1":
        roots = np.power(code_block_bits, -0.5) - NR_BLOCK_BITS**-0.5
        later_db = (_S0 + _S1 * mcs) * roots
    return np.asarray(known_db + _DEVIATES * wider_db + later_db)


def _width_db(
    mcs: npt.NDArray[np.int64], table: BlerTable, code_block_bits: npt.ArrayLike | None
) -> Floats:
    """Standard deviation of the waterfall."""
    known = _LTE_BLOCK_BITS[mcs] if table == "lte" else np.asarray(NR_BLOCK_BITS)
    bits = known if code_block_bits is None else np.asarray(code_block_bits)
    if table == "lte":
        return np.asarray(LTE_WIDTH_DB * np.sqrt(known / bits))
    return np.asarray((_W0 + _W1 * mcs) / np.sqrt(bits))


def _checked(mcs: npt.ArrayLike) -> npt.NDArray[np.int64]:
    mcs = np.asarray(mcs)
    if not np.issubdtype(mcs.dtype, np.integer):
        raise ValueError(f"mcs has dtype {mcs.dtype}; give whole numbers 0 to 28")
    check_between("mcs", mcs, 0, 28, why="MCS of data; 29-31 are reserved")
    return mcs


def _with_lowest() -> Floats:
    shannon_db = decibel(np.exp2(NR_EFFICIENCY[:4]) - 1)
    gap_db = NR_THRESHOLD_DB[0] - shannon_db[3]
    return np.concatenate((shannon_db[:3] + gap_db, NR_THRESHOLD_DB))


_NR_ALL_DB = _with_lowest()


def amc_efficiency(snr_db: npt.ArrayLike, *, ber: float = 5e-5) -> Floats:
    """Return bit/s/Hz that ns-3's adaptive modulation expects: log2(1 + SNR / gap).

    gap = -ln(5 BER) / 1.5 (Goldsmith's M-QAM bound; ns-3 lte-design.rst).
    Raises ValueError for a BER outside (0, 0.2).
    """
    check_between("ber", ber, 1e-300, 0.2 - 1e-12, why="the gap must be positive")
    gap = -np.log(5 * ber) / 1.5
    return np.asarray(np.log2(1 + linear(snr_db) / gap))


def cqi(
    snr_db: npt.ArrayLike, *, ber: float = 5e-5, efficiencies: tuple[float, ...] = CQI_EFFICIENCY
) -> npt.NDArray[np.int64]:
    """Return the highest CQI whose efficiency :func:`amc_efficiency` reaches; 0 is out of range."""
    return np.asarray(
        np.searchsorted(efficiencies, amc_efficiency(snr_db, ber=ber), side="right"),
        dtype=np.int64,
    )
