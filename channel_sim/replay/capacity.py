"""What a measured link could carry: bits up to a time, and the time of a bit.

A trace is a non-decreasing count of bits that begins anew every period. A
queue in front of it then needs no steps: a message that begins at level L is
through when the count reaches L plus its size. Counts are whole millibits,
so that a rate in bit/s over whole milliseconds is exact, and times whole
nanoseconds; nothing drifts over any number of periods.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from channel_sim.units import SECOND_NS

Counts: TypeAlias = npt.NDArray[np.int64]
MILLIBITS = 1000
BYTE_MILLIBITS = 8 * MILLIBITS
MILLISECOND_NS = 1_000_000


class Capacity(ABC):
    """A trace of what a link could carry; ``name`` is that of its recording.

    Arrays of any shape go in and come out as int64. Time 0 is the beginning
    of the recording.
    """

    name: str
    period_ns: int
    """Length of the recording, after which it begins anew."""
    period_millibits: int
    """What it carries in one period; above 0."""
    period_busy_ns: int

    @property
    def mean_rate_bps(self) -> float:
        """Bits per second over the whole recording."""
        return self.period_millibits / MILLIBITS / (self.period_ns / SECOND_NS)

    def level(self, time_ns: npt.ArrayLike) -> Counts:
        """Return the millibits carried up to and including a time."""
        periods, within_ns = np.divmod(np.asarray(time_ns, np.int64), self.period_ns)
        return np.asarray(periods * self.period_millibits + self._level(within_ns))

    def when_ns(self, level: npt.ArrayLike) -> Counts:
        """Return the first time at which the count reaches a level above 0."""
        periods, within = np.divmod(np.asarray(level, np.int64) - 1, self.period_millibits)
        return np.asarray(periods * self.period_ns + self._when_ns(within + 1))

    def busy_ns(self, time_ns: npt.ArrayLike) -> Counts:
        """Return how long up to a time the link was carrying, in nanoseconds."""
        periods, within_ns = np.divmod(np.asarray(time_ns, np.int64), self.period_ns)
        return np.asarray(periods * self.period_busy_ns + self._busy_ns(within_ns))

    @abstractmethod
    def _level(self, within_ns: Counts) -> Counts:
        """Millibits up to a time in [0, period)."""

    @abstractmethod
    def _when_ns(self, within: Counts) -> Counts:
        """Time in [0, period] of a level in [1, period_millibits]."""

    @abstractmethod
    def _busy_ns(self, within_ns: Counts) -> Counts:
        """Time of carrying up to a time in [0, period)."""
