"""Power that a device harvests, as a trace: constant between given times."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from channel_sim.checks import check_finite, check_not_negative, check_positive
from channel_sim.lines import read_lines


class Harvest:
    """A trace of watts: ``power_w[i]`` from ``times_s[i]`` until the next time.

    The last power lasts for ever, or until ``period_s``, after which the trace
    begins anew. Raises ValueError for sequences of different or no length,
    times that do not begin at 0 or do not rise, a power that is negative or not
    finite, and a period that does not end after the last time.
    """

    def __init__(
        self, times_s: Sequence[float], power_w: Sequence[float], *, period_s: float | None = None
    ) -> None:
        self.times_s = np.asarray(times_s, dtype=np.float64)
        self.power_w = np.asarray(power_w, dtype=np.float64)
        self.period_s = period_s
        if self.times_s.ndim != 1 or self.times_s.shape != self.power_w.shape:
            raise ValueError(
                f"times_s and power_w have shapes {self.times_s.shape} and {self.power_w.shape};"
                " give one power per time"
            )
        if len(self.times_s) == 0 or self.times_s[0] != 0:
            raise ValueError(f"times_s = {self.times_s[:3].tolist()} must begin with 0")
        check_finite("times_s", self.times_s)
        check_not_negative("power_w", self.power_w)
        if np.any(np.diff(self.times_s) <= 0):
            place = int(np.argmax(np.diff(self.times_s) <= 0))
            raise ValueError(
                f"times_s[{place}:{place + 2}] = {self.times_s[place : place + 2].tolist()}"
                " does not rise; sort the trace and drop equal times"
            )
        if period_s is not None:
            check_positive("period_s", period_s)
            if period_s <= self.times_s[-1]:
                raise ValueError(
                    f"period_s = {period_s!r} must end after the last time, {self.times_s[-1]:g}"
                )
        # Joules from 0 to each time, and of a whole period.
        ends_s = np.append(self.times_s, self.times_s[-1] if period_s is None else period_s)
        self._joules = np.concatenate(([0.0], np.cumsum(self.power_w * np.diff(ends_s))))

    def energy_j(self, from_s: float, to_s: float) -> float:
        """Joules harvested from one time to a later one.

        Raises ValueError for a time below 0 and for ``to_s`` before ``from_s``.
        """
        check_not_negative("from_s", from_s)
        check_finite("to_s", to_s)
        if to_s < from_s:
            raise ValueError(f"to_s = {to_s!r} is before from_s = {from_s!r}; give a later time")
        return max(0.0, self._until_j(to_s) - self._until_j(from_s))

    def pieces(self, from_s: float, to_s: float) -> Iterator[tuple[float, float, float]]:
        """Yield (start, end, watts) of constant power that cover [from_s, to_s) in order."""
        period_s = self.period_s
        lap = 0 if period_s is None else int(from_s // period_s)
        times_s, power_w = self.times_s.tolist(), self.power_w.tolist()
        start_s = from_s
        while start_s < to_s:
            offset_s = 0.0 if period_s is None else lap * period_s
            ends_s = [*times_s[1:], math.inf if period_s is None else period_s]
            for ends_at_s, watts in zip(ends_s, power_w, strict=True):
                end_s = min(offset_s + ends_at_s, to_s)
                if end_s > start_s:
                    yield start_s, end_s, watts
                    start_s = end_s
            lap += 1

    def _until_j(self, t_s: float) -> float:
        laps = 0
        if self.period_s is not None:
            laps = int(t_s // self.period_s)
            t_s -= laps * self.period_s
        place = int(np.searchsorted(self.times_s, t_s, side="right")) - 1
        partial_j = self.power_w[place] * (t_s - self.times_s[place])
        return float(laps * self._joules[-1] + self._joules[place] + partial_j)


def load_harvest(path: Path | str, *, period_s: float | None = None) -> Harvest:
    """Read a trace with two columns, seconds and watts, separated by a comma.

    Empty lines and lines that begin with ``#`` are skipped. Raises ValueError
    with file and line number for any other line that is not two numbers, and
    as :class:`Harvest` does.
    """
    times_s, power_w = [], []
    for number, line in read_lines(path):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        try:
            seconds, watts = (float(cell) for cell in line.split(","))
        except ValueError:
            raise ValueError(f"{path}, line {number}: {line!r} is not 'seconds,watts'") from None
        times_s.append(seconds)
        power_w.append(watts)
    return Harvest(times_s, power_w, period_s=period_s)
