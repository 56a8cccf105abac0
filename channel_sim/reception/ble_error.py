"""Packet error of Bluetooth Low Energy: GFSK by its sensitivity.

A receiver is known by its sensitivity, the power at which 0.1 % of the bits
are wrong (Bluetooth Core 5.x, vol. 6 part A, 4). Non-coherent FSK, 1/2
exp(-x / 2), is shifted so that it passes there. The coded PHYs take the same
curve from their own sensitivity; their true curves are steeper.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from channel_sim.checks import check_positive
from channel_sim.units import linear

Floats = npt.NDArray[np.float64]

BLE_SENSITIVITY_DBM = {"1m": -95.0, "2m": -92.0, "coded_s2": -99.0, "coded_s8": -103.0}
"""By PHY: nRF52840 at 1M, 2M and S=8; S=2 is 4 dB better than 1M; as remembered."""

SENSITIVITY_BER = 1e-3
_X_AT_SENSITIVITY = -2 * math.log(2 * SENSITIVITY_BER)


def ble_ber(margin_db: npt.ArrayLike) -> Floats:
    """Return the bit error rate, ``margin_db`` above the sensitivity; any shape.

    ``margin_db`` is received power less sensitivity; with interference of
    power I beside the noise N, less 10 log10(1 + I / N) too. Raises ValueError
    for NaN.
    """
    margin_db = np.asarray(margin_db, dtype=np.float64)
    if np.any(np.isnan(margin_db)):
        raise ValueError("margin_db has NaN; give dB, or -inf for no signal")
    return np.asarray(0.5 * np.exp(-0.5 * _X_AT_SENSITIVITY * linear(margin_db)))


def ble_per(margin_db: npt.ArrayLike, size_bytes: npt.ArrayLike) -> Floats:
    """Return the error rate of a frame: 1 - (1 - BER)^(8 bytes).

    ``size_bytes`` from the access address to the CRC; it and ``margin_db``
    broadcast. Raises ValueError for a size that is not positive and for NaN.
    """
    check_positive("size_bytes", size_bytes)
    bits = 8 * np.asarray(size_bytes, dtype=np.float64)
    return np.asarray(-np.expm1(bits * np.log1p(-ble_ber(margin_db))))
