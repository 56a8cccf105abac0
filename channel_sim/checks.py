"""Checks of parameters: the message names the key, the value and the remedy.

Every check takes a number or an array and raises ``ValueError``; nothing is
clipped in silence.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from difflib import get_close_matches
from numbers import Integral

import numpy as np
import numpy.typing as npt

SHOWN = 8
"""Arrays longer than this are shown in an error by their extremes."""


def check_finite(key: str, value: npt.ArrayLike) -> None:
    """Raise ValueError unless every value is a finite number."""
    # Most are single floats, in loops: numpy takes ten times as long for them.
    finite = math.isfinite(value) if isinstance(value, float) else np.all(np.isfinite(value))
    if not finite:
        raise ValueError(f"{key} = {_shown(value)} is not finite; give a finite number")


def check_positive(key: str, value: npt.ArrayLike, *, finite: bool = True) -> None:
    """Raise ValueError unless every value is above zero; infinity passes if not ``finite``."""
    if finite:
        check_finite(key, value)
    if not (value > 0 if isinstance(value, float) else np.all(np.greater(value, 0))):
        raise ValueError(f"{key} = {_shown(value)} must be above 0; give a positive number")


def check_not_negative(key: str, value: npt.ArrayLike) -> None:
    """Raise ValueError unless every value is finite and zero or above."""
    check_finite(key, value)
    if not (value >= 0 if isinstance(value, float) else np.all(np.greater_equal(value, 0))):
        raise ValueError(f"{key} = {_shown(value)} is negative; give 0 or more")


def check_count(key: str, value: int) -> None:
    """Raise ValueError unless the value is a whole number of 1 or more."""
    # Most are plain ints, in loops: asking the abstract class takes ten times as long.
    if not (type(value) is int or isinstance(value, Integral)) or value < 1:
        raise ValueError(f"{key} = {value!r} is no count; give a whole number of 1 or more")


def check_between(key: str, value: npt.ArrayLike, low: float, high: float, *, why: str) -> None:
    """Raise ValueError unless every value lies in [low, high]; ``why`` names the limit's source."""
    check_finite(key, value)
    if not np.all((np.asarray(value) >= low) & (np.asarray(value) <= high)):
        raise ValueError(f"{key} = {_shown(value)} is outside {low:g} to {high:g} ({why})")


def check_probability(key: str, value: npt.ArrayLike) -> None:
    """Raise ValueError unless every value lies in [0, 1]."""
    check_between(key, value, 0.0, 1.0, why="a probability")


def check_known(key: str, value: str, known: Iterable[str]) -> None:
    """Raise ValueError for a name that is not known, with the nearest one that is."""
    names = sorted(known)
    if value in names:
        return
    near = get_close_matches(str(value), names, n=1, cutoff=0.0)
    raise ValueError(
        f"{key} = {value!r} is unknown; did you mean {near[0]!r}? Known: {', '.join(names)}"
    )


def _shown(value: npt.ArrayLike) -> str:
    """The value, of a long array its extremes."""
    array = np.asarray(value)
    if array.size > SHOWN:
        return f"[{array.min()} ... {array.max()}]"
    return str(array.tolist())
