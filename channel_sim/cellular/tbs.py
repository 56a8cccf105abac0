"""Bits of one transport block: the LTE table in excerpts, the NR formula."""

from __future__ import annotations

from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

Standard: TypeAlias = Literal["lte", "nr"]

LTE_MCS = (0, 4, 8, 12, 16, 20, 24, 28)
LTE_PRBS = (1, 6, 50, 100)
LTE_BITS = (
    (16, 152, 1384, 2792),
    (56, 408, 3624, 7224),
    (120, 808, 6968, 14112),
    (176, 1192, 9912, 19848),
    (280, 1800, 15264, 30576),
    (376, 2344, 19848, 39232),
    (520, 3240, 27376, 55056),
    (712, 4392, 36696, 75376),
)
"""Bits per 1 ms by MCS and PRBs: 3GPP TS 36.213 table 7.1.7.2.1-1.

1, 6 and 50 PRBs as ns-3 gives them; 100 PRBs as remembered.
"""
NR_RESOURCE_ELEMENTS = 156
"""Per PRB and slot, at most: 3GPP TS 38.214 5.1.3.2."""


def lte_bits(mcs: npt.ArrayLike, prbs: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Return bits of an LTE block of 1 ms, whole bytes; the shapes broadcast.

    ``mcs`` 0 to 28, ``prbs`` from 1 to 110. Between the entries of
    :data:`LTE_BITS` bits go linearly with PRBs, and their logarithm linearly
    with the MCS, as MCS steps are steps in dB: within 9 % of the full table,
    exact at the entries. Beyond 100 PRBs in proportion.
    """
    mcs_of, prbs_of = np.broadcast_arrays(
        np.asarray(mcs, dtype=np.float64), np.asarray(prbs, dtype=np.float64)
    )
    inside = np.minimum(prbs_of, LTE_PRBS[-1])
    by_prbs = np.log([[np.interp(n, LTE_PRBS, row) for n in inside.ravel()] for row in LTE_BITS])
    bits = [
        np.exp(np.interp(index, LTE_MCS, column))
        for index, column in zip(mcs_of.ravel(), by_prbs.T, strict=True)
    ]
    # The logarithm must not lose the byte of an exact entry.
    whole = np.floor(np.reshape(bits, mcs_of.shape) * (prbs_of / inside) / 8 + 1e-6)
    return np.asarray(8 * whole)


def nr_bits(efficiency: npt.ArrayLike, prbs: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Return bits of an NR block of one slot: PRBs x 156 x bits per resource element, whole bytes.

    ``efficiency`` Q R of the MCS; the quantisation of TS 38.214 5.1.3.2 is left out.
    """
    bits = np.asarray(efficiency) * np.asarray(prbs) * NR_RESOURCE_ELEMENTS
    return np.asarray(8 * np.floor(bits / 8))
