"""Packet error of 802.15.4 at 2.4 GHz: O-QPSK with 16 spread symbols, 250 kbit/s.

The closed form of IEEE 802.15.4-2006 annex E.4.1.8, as ns-3's LrWpanErrorModel
evaluates it: non-coherent detection of one of 16 orthogonal symbols.
"""

from __future__ import annotations

from math import comb

import numpy as np
import numpy.typing as npt

from channel_sim.checks import check_not_negative, check_positive
from channel_sim.units import linear

Floats = npt.NDArray[np.float64]


def oqpsk_ber(sinr: npt.ArrayLike) -> Floats:
    """Return the bit error rate at a linear SINR over 2 MHz, any shape; 1/2 without signal.

    Raises ValueError for a SINR that is negative or not finite.
    """
    check_not_negative("sinr", sinr)
    sinr = np.asarray(sinr, dtype=np.float64)
    total = np.zeros_like(sinr)
    for k in range(2, 17):
        total += (-1) ** k * comb(16, k) * np.exp(20 * sinr * (1 / k - 1))
    return np.asarray(np.clip(total * 8 / 15 / 16, 0.0, 0.5))


def oqpsk_per(snr_db: npt.ArrayLike, size_bytes: npt.ArrayLike) -> Floats:
    """Return the error rate of a frame: 1 - (1 - BER)^(8 bytes).

    ``size_bytes`` is the PSDU (header, payload and FCS); it and ``snr_db``
    broadcast. Raises ValueError for a size that is not positive and an SNR
    that is NaN or infinite.
    """
    check_positive("size_bytes", size_bytes)
    bits = 8 * np.asarray(size_bytes, dtype=np.float64)
    return np.asarray(-np.expm1(bits * np.log1p(-oqpsk_ber(linear(snr_db)))))
