"""Measured shares of frames delivered, in time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from channel_sim.checks import check_finite, check_probability
from channel_sim.units import SECOND_NS


class DeliveryTrace:
    """The probability that one attempt of one frame is delivered, constant between times.

    ``shares[i]`` holds from ``times_s[i]`` to ``times_s[i + 1]``; there is one
    more time than shares, the first is time 0 of the trace, and after the last it
    begins anew. Raises ValueError for other lengths, times not in
    order and shares outside [0, 1].
    """

    def __init__(
        self, times_s: npt.ArrayLike, shares: npt.ArrayLike, *, name: str = "shares"
    ) -> None:
        times, self.shares = np.asarray(times_s, np.float64), np.asarray(shares, np.float64)
        if len(times) != len(self.shares) + 1 or not len(self.shares):
            raise ValueError(
                f"times_s and shares of {name!r} have {len(times)} and {len(self.shares)} entries;"
                " give at least one share and one more time than shares"
            )
        check_finite("times_s", times)
        check_probability("shares", self.shares)
        self.times_ns = np.rint((times - times[0]) * SECOND_NS).astype(np.int64)
        """Shape (m + 1,); the first is 0 and the last the period."""
        if np.any(np.diff(self.times_ns) <= 0):
            raise ValueError(f"times_s of {name!r} are not in order; sort them, join doubles")
        self.name = name

    @property
    def period_ns(self) -> int:
        """Length of the trace, after which it begins anew."""
        return int(self.times_ns[-1])

    @property
    def mean(self) -> float:
        """Mean share over time."""
        return float(self.shares @ np.diff(self.times_ns) / self.period_ns)


class ShareTable:
    """Several traces in one table, to look up many (trace, time) at once."""

    def __init__(self, traces: Sequence[DeliveryTrace]) -> None:
        self._periods_ns = np.array([trace.period_ns for trace in traces], np.int64)
        self._stride_ns = int(self._periods_ns.max())
        self._shares = np.concatenate([trace.shares for trace in traces])
        self._keys = np.concatenate(
            [trace.times_ns[:-1] + row * self._stride_ns for row, trace in enumerate(traces)]
        )

    def share(self, number: npt.ArrayLike, time_ns: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Return the shares of traces by number at times of 0 or more, arrays of one shape."""
        rows = np.asarray(number, np.int64)
        within_ns = np.asarray(time_ns, np.int64) % self._periods_ns[rows]
        place = np.searchsorted(self._keys, rows * self._stride_ns + within_ns, side="right") - 1
        return np.asarray(self._shares[place])
