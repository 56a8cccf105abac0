"""Units: seconds to integer nanoseconds, dB to linear and back.

Media count integer nanoseconds: sums of floats would break the equality of
slots. dB and linear values never share a name.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

SECOND_NS = 1_000_000_000
MICROSECOND_NS = 1_000


def to_ns(seconds: float) -> int:
    """Return whole nanoseconds, rounded to the nearest."""
    return round(seconds * SECOND_NS)


def to_s(time_ns: int) -> float:
    """Return seconds."""
    return time_ns / SECOND_NS


def linear(value_db: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Return 10^(x / 10) of dB (a ratio) or dBm (milliwatts), same shape."""
    return np.power(10.0, np.asarray(value_db, dtype=np.float64) / 10)


def decibel(value: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Return 10 log10 x of a ratio (dB) or of milliwatts (dBm); 0 is -inf, without a warning."""
    with np.errstate(divide="ignore"):
        return 10 * np.log10(np.asarray(value, dtype=np.float64))
