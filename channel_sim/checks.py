"""Checks of parameters: the message names the key, the value and the remedy.

Every check takes a number or an array and raises ``ValueError``; nothing is
clipped in silence.
"""

from __future__ import annotations

from numbers import Integral

import numpy as np
import numpy.typing as npt


def check_finite(key: str, value: npt.ArrayLike) -> None:
    """Raise ValueError unless every value is a finite number."""
    if not np.all(np.isfinite(value)):
        raise ValueError(f"{key} = {_shown(value)} is not finite; give a finite number")


def check_positive(key: str, value: npt.ArrayLike, *, finite: bool = True) -> None:
    """Raise ValueError unless every value is above zero; infinity passes if not ``finite``."""
    if finite:
        check_finite(key, value)
    if not np.all(np.greater(value, 0)):
        raise ValueError(f"{key} = {_shown(value)} must be above 0; give a positive number")


def check_not_negative(key: str, value: npt.ArrayLike) -> None:
    """Raise ValueError unless every value is finite and zero or above."""
    check_finite(key, value)
    if not np.all(np.greater_equal(value, 0)):
        raise ValueError(f"{key} = {_shown(value)} is negative; give 0 or more")


def check_count(key: str, value: int) -> None:
    """Raise ValueError unless the value is a whole number of 1 or more."""
    if not isinstance(value, Integral) or value < 1:
        raise ValueError(f"{key} = {value!r} is no count; give a whole number of 1 or more")


def _shown(value: npt.ArrayLike) -> str:
    return str(np.asarray(value).tolist())
