"""Sharing of a carrier: who gets how much of it, and when each is through.

The carrier is a fluid: an active device of class k gets a share of it, never
above the cap of its class (its widest grant, its category's peak rate). Work is
counted in nanoseconds of the whole carrier. Nothing happens between arrivals
and departures, so only these are events. Within a class all devices get the
same share, hence the attained share is one number per class (virtual time) and
the next departure is the top of a heap: an event costs O(log n + classes).

Grants are whole resource blocks in whole intervals; with more devices than
blocks they take turns. The fluid is the mean of that over a few intervals.
"""

from __future__ import annotations

import math
from bisect import insort
from collections.abc import Sequence
from dataclasses import dataclass
from heapq import heappop, heappush
from itertools import groupby
from typing import Generic, Literal, TypeAlias, TypeVar, get_args

from channel_sim.checks import check_known, check_positive

Scheduler: TypeAlias = Literal["round_robin", "proportional_fair", "max_rate"]
"""How a carrier is divided among n active devices with caps c.

``round_robin``: turns of one size, min(c, 1/n); what a capped device cannot use
is lost. ``proportional_fair``: the maximum of the sum of log rates, which is
water-filling min(c, level) with one level for all, whatever their rates: what a
capped device cannot use goes to the others. ``max_rate``: those with the most
bits per resource first, up to their caps, equal shares among equals.
"""
Item = TypeVar("Item")
_CLOSE_NS = 1e-3
"""Work that would take less time than this is done."""


def divide(
    counts: Sequence[int],
    caps: Sequence[float],
    values: Sequence[float],
    *,
    scheduler: Scheduler,
    capacity: float = 1.0,
) -> list[float]:
    """Return the share of one device of each class.

    ``counts`` of active devices, 1 or more; ``caps`` of one device; ``values``
    in bits per resource, read by ``max_rate`` alone. Classes must come by
    rising cap, for ``max_rate`` by falling value.
    """
    if not counts:
        return []
    if scheduler == "round_robin":
        turn = capacity / sum(counts)
        return [min(cap, turn) for cap in caps]
    if scheduler == "proportional_fair":
        return _fill(counts, caps, capacity)
    shares: list[float] = []
    left = capacity
    for _, places in groupby(range(len(values)), key=values.__getitem__):
        equals = list(places)
        found = _fill([counts[at] for at in equals], [caps[at] for at in equals], left)
        shares += found
        used = sum(counts[at] * share for at, share in zip(equals, found, strict=True))
        left = max(0.0, left - used)
    return shares


def _fill(counts: Sequence[int], caps: Sequence[float], left: float) -> list[float]:
    """Water-filling: one level for all, except where the cap, rising, is lower."""
    shares = []
    waiting = sum(counts)
    for count, cap in zip(counts, caps, strict=True):
        share = min(cap, left / waiting)
        shares.append(share)
        left = max(0.0, left - share * count)
        waiting -= count
    return shares


@dataclass(slots=True, eq=False)
class Job(Generic[Item]):
    """Work of one device on the carrier; ``goal`` is where its class must get to."""

    kind: int
    work_ns: float
    item: Item
    goal: float
    done: bool = False


class Carrier(Generic[Item]):
    """One direction of one cell; classes have a cap and a value each.

    ``capacity`` is the part of the time that belongs to this direction (1 with
    paired spectrum). Raises ValueError for an unknown scheduler, and for caps
    or a capacity that are not positive.
    """

    def __init__(
        self,
        caps: Sequence[float],
        values: Sequence[float],
        *,
        scheduler: Scheduler,
        capacity: float = 1.0,
    ) -> None:
        check_known("scheduler", scheduler, get_args(Scheduler))
        check_positive("caps", list(caps))
        check_positive("capacity", capacity)
        self.now_ns = 0
        self._caps = caps
        self._values = values
        self._scheduler: Scheduler = scheduler
        self._capacity = capacity
        by_cap = scheduler != "max_rate"
        order = sorted(
            range(len(caps)), key=lambda kind: (0 if by_cap else -values[kind], caps[kind])
        )
        self._rank = {kind: rank for rank, kind in enumerate(order)}
        self._active: list[tuple[int, int]] = []
        self._shares: list[float] | None = []
        self._counts = [0] * len(caps)
        self._attained = [0.0] * len(caps)
        self._heaps: list[list[tuple[float, int, Job[Item]]]] = [[] for _ in caps]
        self._jobs = 0

    def add(self, now_ns: int, kind: int, work_ns: float, item: Item) -> Job[Item]:
        """Start work of a device of class ``kind``; return what removes it again."""
        self._advance(now_ns)
        if not self._counts[kind]:
            # An idle class starts afresh, which keeps the sums short.
            self._attained[kind] = 0.0
            self._heaps[kind].clear()
            insort(self._active, (self._rank[kind], kind))
        self._counts[kind] += 1
        self._shares = None
        job = Job(kind, work_ns, item, self._attained[kind] + work_ns)
        self._jobs += 1
        heappush(self._heaps[kind], (job.goal, self._jobs, job))
        return job

    def remove(self, now_ns: int, job: Job[Item]) -> float:
        """Stop work; return the fraction that was done."""
        self._advance(now_ns)
        self._drop(job)
        left_ns = max(0.0, job.goal - self._attained[job.kind])
        return 1 - left_ns / job.work_ns

    def next_ns(self) -> int | None:
        """Return when the next work is through, if nothing changes before."""
        return self._next()[0]

    def take(self, now_ns: int) -> list[Item]:
        """Return the items whose work is through, in the order of their ends."""
        predicted_ns, first = self._next()
        self._advance(now_ns)
        items: list[Item] = []
        shares = self._current()
        for (_, kind), share in zip(list(self._active), shares, strict=True):
            heap, reached = self._heaps[kind], self._attained[kind] + share * _CLOSE_NS
            due = kind == first and predicted_ns is not None and predicted_ns <= now_ns
            while heap and (heap[0][2].done or due or heap[0][0] <= reached):
                job = heappop(heap)[2]
                if not job.done:
                    due = False
                    self._drop(job)
                    items.append(job.item)
        return items

    def _next(self) -> tuple[int | None, int | None]:
        """Time and class of the next departure."""
        best_ns, first = math.inf, None
        for (_, kind), share in zip(self._active, self._current(), strict=True):
            heap = self._heaps[kind]
            while heap[0][2].done:
                heappop(heap)
            if share > 0:
                wait_ns = (heap[0][0] - self._attained[kind]) / share
                if wait_ns < best_ns:
                    best_ns, first = wait_ns, kind
        if first is None:
            return None, None
        return self.now_ns + max(0, math.ceil(best_ns - _CLOSE_NS)), first

    def _current(self) -> list[float]:
        """Shares of the active classes, worked out again after a change."""
        if self._shares is None:
            kinds = [kind for _, kind in self._active]
            self._shares = divide(
                [self._counts[kind] for kind in kinds],
                [self._caps[kind] for kind in kinds],
                [self._values[kind] for kind in kinds],
                scheduler=self._scheduler,
                capacity=self._capacity,
            )
        return self._shares

    def _advance(self, now_ns: int) -> None:
        passed_ns = now_ns - self.now_ns
        if passed_ns > 0:
            for (_, kind), share in zip(self._active, self._current(), strict=True):
                self._attained[kind] += share * passed_ns
            self.now_ns = now_ns

    def _drop(self, job: Job[Item]) -> None:
        job.done = True
        self._counts[job.kind] -= 1
        self._shares = None
        if not self._counts[job.kind]:
            self._active.remove((self._rank[job.kind], job.kind))


def serve(
    starts_ns: Sequence[int], kinds: Sequence[int], works_ns: Sequence[float], carrier: Carrier[int]
) -> list[int]:
    """Run one carrier over arrivals that are all known; return when each is through.

    The sequences have one entry per message, in any order.
    """
    through = [0] * len(starts_ns)
    order = sorted(range(len(starts_ns)), key=starts_ns.__getitem__)
    place = 0
    while True:
        next_ns = carrier.next_ns()
        if place < len(order) and (next_ns is None or starts_ns[order[place]] <= next_ns):
            now_ns = starts_ns[order[place]]
            while place < len(order) and starts_ns[order[place]] == now_ns:
                row = order[place]
                carrier.add(now_ns, kinds[row], works_ns[row], row)
                place += 1
        elif next_ns is None:
            return through
        else:
            for row in carrier.take(next_ns):
                through[row] = next_ns
