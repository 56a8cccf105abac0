"""A recorded trace of up times, repeated for ever."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from typing import Any

from channel_sim.availability.periods import Questions
from channel_sim.checks import check_finite, check_not_negative, check_positive


class TraceOnOff(Questions):
    """Up during each [from, to) of ``up_s``, in seconds; begins anew every ``period_s``.

    Every question is answered from the time alone, so a jump by any number of
    periods is as exact as a step. Time 0 is ``offset_s`` within the trace. Intervals
    may come in any order; those that overlap or touch are joined, also
    over the end of the period, and those of zero length are left out. Raises
    ValueError for an interval that ends before it begins or leaves [0,
    period_s], and for a period that is not positive.
    """

    def __init__(
        self,
        up_s: Sequence[Sequence[float]],
        period_s: float,
        *,
        offset_s: float = 0.0,
    ) -> None:
        check_positive("period_s", period_s)
        check_finite("offset_s", offset_s)
        self.period_s = period_s
        self.offset_s = offset_s % period_s
        self.up_s = _joined(up_s, period_s)
        """The intervals, in order and apart."""
        edges_s = [edge_s for interval_s in self.up_s for edge_s in interval_s]
        self._ends_first = bool(edges_s) and edges_s[0] == 0 and edges_s[-1] == period_s
        if self._ends_first:  # the last up time goes on into the first
            edges_s = edges_s[1:-1]
        self._edges_s = edges_s

    @classmethod
    def from_fedscale(cls, record: Mapping[str, Any], *, offset_s: float = 0.0) -> TraceOnOff:
        """Build from one record of FedScale's trace: ``active``, ``inactive``, ``finish_time``.

        Up from active[i] to inactive[i]; repeats every ``finish_time``
        seconds (client_metadata.py, commit 27d7cd3; its ``duration`` and
        ``model`` are not used there and not here). Raises ValueError for
        lists of different length.
        """
        active, inactive = record["active"], record["inactive"]
        if len(active) != len(inactive):
            raise ValueError(
                f"active and inactive have {len(active)} and {len(inactive)} entries;"
                " give one inactive for each active"
            )
        up_s = list(zip(active, inactive, strict=True))
        return cls(up_s, record["finish_time"], offset_s=offset_s)

    @property
    def up_share(self) -> float:
        """Part of the time that it is up."""
        return sum(to_s - from_s for from_s, to_s in self.up_s) / self.period_s

    def shifted(self, offset_s: float) -> TraceOnOff:
        """Return the same trace with time 0 at ``offset_s`` within it."""
        return TraceOnOff(self.up_s, self.period_s, offset_s=offset_s)

    def is_up(self, t_s: float) -> bool:
        """Tell whether it is up at ``t_s``; a change counts from its instant on."""
        if not self._edges_s:
            check_not_negative("t_s", t_s)
            return bool(self.up_s)
        # An even place is an end where the first edge is one, else a beginning.
        return (self._next_edge(t_s) % 2 == 0) == self._ends_first

    def next_change_s(self, t_s: float) -> float:
        """Return the time of the first change after ``t_s``; infinity if there is none."""
        if not self._edges_s:
            check_not_negative("t_s", t_s)
            return math.inf
        return self._edge_s(self._next_edge(t_s))

    def _edge_s(self, number: int) -> float:
        periods, place = divmod(number, len(self._edges_s))
        return periods * self.period_s + self._edges_s[place] - self.offset_s

    def _next_edge(self, t_s: float) -> int:
        """Return the number of the first edge after ``t_s``, counted over all periods."""
        check_not_negative("t_s", t_s)
        periods, within_s = divmod(t_s + self.offset_s, self.period_s)
        number = int(periods) * len(self._edges_s) + bisect_right(self._edges_s, within_s)
        # The sums above round: what counts is how t_s compares with the edges' own times.
        while self._edge_s(number) <= t_s:
            number += 1
        while self._edge_s(number - 1) > t_s:
            number -= 1
        return number


def _joined(up_s: Sequence[Sequence[float]], period_s: float) -> tuple[tuple[float, float], ...]:
    joined: list[tuple[float, float]] = []
    for from_s, to_s in sorted((float(from_s), float(to_s)) for from_s, to_s in up_s):
        if not 0 <= from_s <= to_s <= period_s:
            raise ValueError(
                f"up_s holds [{from_s:g}, {to_s:g}]; give intervals that begin before they end,"
                f" within 0 and period_s = {period_s:g}"
            )
        if from_s == to_s:
            continue
        if joined and from_s <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(joined[-1][1], to_s))
        else:
            joined.append((from_s, to_s))
    return tuple(joined)
