"""Availability: when something is up, as a random process in time.

The same process serves a link (computing goes on, nothing is sent) and a
device (what it was doing is lost); what a down time means is told by the user.
"""

from __future__ import annotations

from bisect import bisect_right

import numpy as np

from channel_sim.checks import check_not_negative, check_positive


class MarkovOnOff:
    """A two-state Markov process: exponential up times and down times in turn.

    The long-run availability is mean_up_s / (mean_up_s + mean_down_s), that
    is lambda_on / (lambda_on + lambda_off) with the rates lambda_on =
    1 / mean_down_s and lambda_off = 1 / mean_up_s. Starts at time 0 in the
    state ``starts_up``. Periods are drawn in order and kept, so that queries
    in any order agree. An infinite mean is a state that never ends. Times are
    seconds >= 0; raises ValueError for others and for a mean that is not
    positive.
    """

    def __init__(
        self,
        mean_up_s: float,
        mean_down_s: float,
        rng: np.random.Generator,
        *,
        starts_up: bool = True,
    ) -> None:
        check_positive("mean_up_s", mean_up_s, finite=False)
        check_positive("mean_down_s", mean_down_s, finite=False)
        self._means_s = (mean_up_s, mean_down_s)
        self._starts_up = starts_up
        self._rng = rng
        self._changes_s: list[float] = []

    def is_up(self, t_s: float) -> bool:
        """Tell whether the process is up at ``t_s``; a change counts from its instant on."""
        return self._is_up_in(self._period(t_s))

    def next_change_s(self, t_s: float) -> float:
        """Return the time of the first change after ``t_s``; infinity if there is none."""
        return self._changes_s[self._period(t_s)]

    def up_until_s(self, t_s: float) -> float:
        """Return the end of the up period that holds ``t_s``, or ``t_s`` itself when down."""
        return self.next_change_s(t_s) if self.is_up(t_s) else t_s

    def first_up_s(self, t_s: float) -> float:
        """Return the first time from ``t_s`` on at which the process is up."""
        return t_s if self.is_up(t_s) else self.next_change_s(t_s)

    def _is_up_in(self, period: int) -> bool:
        return (period % 2 == 0) == self._starts_up

    def _period(self, t_s: float) -> int:
        """Draw periods until one ends after ``t_s``; return the number of the one at ``t_s``."""
        check_not_negative("t_s", t_s)
        last_s = self._changes_s[-1] if self._changes_s else 0.0
        while not self._changes_s or last_s <= t_s:
            mean_s = self._means_s[0 if self._is_up_in(len(self._changes_s)) else 1]
            last_s += self._rng.standard_exponential() * mean_s
            self._changes_s.append(last_s)
        return bisect_right(self._changes_s, t_s)
