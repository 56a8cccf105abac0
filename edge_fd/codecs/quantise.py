"""Uniform quantisation to one byte, with its error bound."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[np.float32]
Coded: TypeAlias = npt.NDArray[np.uint8]

LEVELS = 255


def to_unit(value: Array) -> Coded:
    """Quantise values in [0, 1]; the error is at most 1/510 for each."""
    return np.rint(np.asarray(value, np.float64) * LEVELS).astype(np.uint8)


def from_unit(coded: Coded) -> Array:
    """Undo :func:`to_unit`."""
    return (coded.astype(np.float64) / LEVELS).astype(np.float32)


def to_range(value: Array) -> tuple[Coded, float, float]:
    """Quantise over the array's own range; return codes, lowest value and step.

    The error is at most half a step, plus the float32 rounding of the result.
    """
    wide = np.asarray(value, np.float64)
    low = float(wide.min(initial=np.inf)) if wide.size else 0.0
    step = (float(wide.max()) - low) / LEVELS if wide.size else 0.0
    if step == 0.0:
        return np.zeros(value.shape, np.uint8), low, 0.0
    return np.rint((wide - low) / step).astype(np.uint8), low, step


def from_range(coded: Coded, low: float, step: float) -> Array:
    """Undo :func:`to_range`; a range that leaves float32 gives infinities."""
    with np.errstate(over="ignore", invalid="ignore"):
        return (low + coded.astype(np.float64) * step).astype(np.float32)
