"""What every mobility answers, and the one that stands still."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt

from channel_sim.checks import check_finite, check_not_negative
from channel_sim.places.area import Positions


class Mobility(Protocol):
    """Positions of n devices in time.

    Ask for times in increasing order: a mobility keeps where it is, not where
    it was. The path depends on the seed alone, not on the times asked for.
    """

    def positions_m(self, t_s: float) -> Positions:
        """Return x and y in metres at ``t_s`` seconds, shape (n, 2); a copy.

        Raises ValueError for a time that is negative or before the last one.
        """
        ...


class Clock:
    """The last time asked for."""

    def __init__(self) -> None:
        self._last_s = 0.0

    def advance(self, t_s: float) -> None:
        """Go to ``t_s``; raises ValueError for a time that is negative or in the past."""
        check_not_negative("t_s", t_s)
        if t_s < self._last_s:
            raise ValueError(f"t_s = {t_s!r} is before {self._last_s!r}; ask in increasing order")
        self._last_s = t_s


class Static:
    """Devices that stay where they are; metres, shape (n, 2). Any order of times will do."""

    def __init__(self, positions_m: npt.ArrayLike) -> None:
        self._positions_m = np.array(positions_m, np.float64)
        check_finite("positions_m", self._positions_m)
        if self._positions_m.ndim != 2 or self._positions_m.shape[1] != 2:  # noqa: PLR2004
            raise ValueError(f"positions_m has shape {self._positions_m.shape}; give (n, 2)")

    def positions_m(self, t_s: float) -> Positions:
        """Return the same positions at any time of 0 or more, shape (n, 2)."""
        check_not_negative("t_s", t_s)
        return self._positions_m.copy()
