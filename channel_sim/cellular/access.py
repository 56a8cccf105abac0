"""Random access: slotted ALOHA on preambles, the way into a cell for a device at rest.

At every occasion each waiting device sends one of M preambles at random. Who
is alone on its preamble gets in; the others find out after a response time,
wait a random backoff and take the next occasion, up to a number of attempts
(3GPP TS 36.321 5.1, as remembered). Of several devices on one preamble none
gets in: no capture, no power ramping, and no limit on the answers per occasion.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from channel_sim.checks import check_count, check_not_negative

NEVER = -1
"""Occasion number of a device that did not get in."""


def collision_probability(devices: npt.ArrayLike, preambles: int) -> npt.NDArray[np.float64]:
    """Return the probability that one of ``devices`` meets another: 1 - (1 - 1/M)^(n-1).

    Same shape as ``devices``, numbers of 1 or more in one occasion.
    """
    check_count("preambles", preambles)
    others = np.asarray(devices, dtype=np.float64) - 1
    check_not_negative("devices - 1", others)
    return np.asarray(1 - (1 - 1 / preambles) ** others)


def expected_singletons(devices: npt.ArrayLike, preambles: int) -> npt.NDArray[np.float64]:
    """Return how many of ``devices`` get in at one occasion, in the mean: n (1 - 1/M)^(n-1)."""
    return np.asarray(np.asarray(devices) * (1 - collision_probability(devices, preambles)))


def alone(choices: Sequence[int]) -> list[bool]:
    """Return who is alone on its preamble."""
    users = Counter(choices)
    return [users[choice] == 1 for choice in choices]


@dataclass(frozen=True, kw_only=True)
class RandomAccess:
    """Rules of the random access of one cell; times in nanoseconds.

    Occasions lie at multiples of ``period_ns``; ``response_ns`` from an
    occasion until a device knows that it failed; the backoff is uniform in
    [0, ``backoff_ns``]. Raises ValueError for numbers out of range.
    """

    preambles: int
    period_ns: int
    response_ns: int
    backoff_ns: int
    attempts: int

    def __post_init__(self) -> None:
        for key in ("preambles", "period_ns", "attempts"):
            check_count(key, getattr(self, key))
        check_not_negative("response_ns", self.response_ns)
        check_not_negative("backoff_ns", self.backoff_ns)

    def occasion_ns(self, time_ns: int) -> int:
        """Return the first occasion at or after a time."""
        return -(-time_ns // self.period_ns) * self.period_ns

    def retry_ns(self, occasion_ns: int, backoff_ns: int) -> int:
        """Return the occasion after one that failed, which is always a later one."""
        earliest_ns = occasion_ns + max(self.response_ns + backoff_ns, 1)
        return self.occasion_ns(earliest_ns)


def contend(
    cells: npt.NDArray[np.int64],
    ready_ns: npt.NDArray[np.int64],
    rules: RandomAccess,
    *,
    rng: np.random.Generator,
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Let devices into their cells, all in lock step.

    All arrays have shape (devices,), int64. Returns the time of the last
    occasion that each used, the one at which it got in or :data:`NEVER`, and
    the number of attempts.

    Who fails comes back no earlier than the shortest wait. So occasions within
    one such window cannot touch one another and are done at once, for all cells.
    """
    period = rules.period_ns
    shortest = max(1, -(-rules.response_ns // period))
    used = -(-ready_ns // period)
    entered = np.full(len(ready_ns), NEVER, dtype=np.int64)
    tries = np.zeros(len(ready_ns), dtype=np.int64)
    if not len(ready_ns):
        return used, entered, tries
    order = np.argsort(used // shortest, kind="stable")
    numbers, starts = np.unique((used // shortest)[order], return_index=True)
    waiting = {
        number: [rows]
        for number, rows in zip(numbers.tolist(), np.split(order, starts[1:]), strict=True)
    }
    while waiting:
        rows = np.concatenate(waiting.pop(min(waiting)))
        tries[rows] += 1
        choices = rng.integers(rules.preambles, size=len(rows))
        key = (cells[rows] * shortest + used[rows] % shortest) * rules.preambles + choices
        _, inverse, users = np.unique(key, return_inverse=True, return_counts=True)
        single = users[inverse] == 1
        entered[rows[single]] = used[rows[single]] * period
        again = rows[~single & (tries[rows] < rules.attempts)]
        backoff = rng.integers(0, rules.backoff_ns, size=len(again), endpoint=True)
        wait = np.maximum(rules.response_ns + backoff, 1)
        used[again] = -(-(used[again] * period + wait) // period)
        _file(waiting, used[again] // shortest, again)
    return used * period, entered, tries


def _file(
    waiting: dict[int, list[npt.NDArray[np.int64]]],
    windows: npt.NDArray[np.int64],
    rows: npt.NDArray[np.int64],
) -> None:
    """Put rows under the number of their window."""
    for number in np.unique(windows).tolist():
        waiting.setdefault(number, []).append(rows[windows == number])
