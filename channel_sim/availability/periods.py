"""What every availability answers, and up and down periods drawn in turn."""

from __future__ import annotations

from abc import ABC, abstractmethod
from bisect import bisect_right
from typing import Protocol

import numpy as np

from channel_sim.checks import check_not_negative


class Availability(Protocol):
    """When something is up. Times are seconds of 0 or more, asked in any order."""

    def is_up(self, t_s: float) -> bool:
        """Tell whether it is up at ``t_s``; a change counts from its instant on."""
        ...

    def next_change_s(self, t_s: float) -> float:
        """Return the time of the first change after ``t_s``; infinity if there is none."""
        ...

    def up_until_s(self, t_s: float) -> float:
        """Return the end of the up period that holds ``t_s``, or ``t_s`` itself when down."""
        ...

    def first_up_s(self, t_s: float) -> float:
        """Return the first time from ``t_s`` on at which it is up; infinity if it never is."""
        ...


class Questions(ABC):
    """Two of the four questions follow from the other two."""

    @abstractmethod
    def is_up(self, t_s: float) -> bool:
        """Tell whether the process is up at ``t_s``; a change counts from its instant on."""

    @abstractmethod
    def next_change_s(self, t_s: float) -> float:
        """Return the time of the first change after ``t_s``; infinity if there is none."""

    def up_until_s(self, t_s: float) -> float:
        """Return the end of the up period that holds ``t_s``, or ``t_s`` itself when down."""
        return self.next_change_s(t_s) if self.is_up(t_s) else t_s

    def first_up_s(self, t_s: float) -> float:
        """Return the first time from ``t_s`` on at which the process is up."""
        return t_s if self.is_up(t_s) else self.next_change_s(t_s)


class DrawnPeriods(Questions):
    """Up and down periods in turn from time 0, drawn in order and kept.

    Queries in any order agree. Raises ValueError for a time below 0.
    """

    def __init__(self, rng: np.random.Generator, *, starts_up: bool) -> None:
        self._rng = rng
        self._starts_up = starts_up
        self._changes_s: list[float] = []

    @abstractmethod
    def _draw_s(self, from_s: float, *, is_up: bool) -> float:
        """Draw the length of a period that begins at ``from_s``; infinity: it never ends."""

    def is_up(self, t_s: float) -> bool:
        """Tell whether the process is up at ``t_s``; a change counts from its instant on."""
        return self._is_up_in(self._period(t_s))

    def next_change_s(self, t_s: float) -> float:
        """Return the time of the first change after ``t_s``; infinity if there is none."""
        return self._changes_s[self._period(t_s)]

    def up_until_s(self, t_s: float) -> float:
        """Return the end of the up period that holds ``t_s``, or ``t_s`` itself when down."""
        period = self._period(t_s)
        return self._changes_s[period] if self._is_up_in(period) else t_s

    def _is_up_in(self, period: int) -> bool:
        return (period % 2 == 0) == self._starts_up

    def _period(self, t_s: float) -> int:
        """Draw periods until one ends after ``t_s``; return the number of the one at ``t_s``."""
        check_not_negative("t_s", t_s)
        last_s = self._changes_s[-1] if self._changes_s else 0.0
        while not self._changes_s or last_s <= t_s:
            last_s += self._draw_s(last_s, is_up=self._is_up_in(len(self._changes_s)))
            self._changes_s.append(last_s)
        return bisect_right(self._changes_s, t_s)
