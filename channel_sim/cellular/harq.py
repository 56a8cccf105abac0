"""HARQ and RLC: how often each block is sent, and what that costs.

A block is sent up to four times; the receiver adds up what it has heard
(Chase: the SINR of attempt k is the sum of k) or forgets it. A block that HARQ
gives up is sent afresh by RLC in acknowledged mode, up to its own limit; then
the message is lost (3GPP TS 36.321 5.4.2, 36.322 5.2, as remembered).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from channel_sim.checks import check_count

Floats: TypeAlias = npt.NDArray[np.float64]
Ints: TypeAlias = npt.NDArray[np.int64]
Combining: TypeAlias = Literal["chase", "none"]
SLICE = 1 << 21
"""Blocks worked on at once, for the sake of memory."""


@dataclass(frozen=True, kw_only=True)
class Harq:
    """Limits and waits: ``attempts`` per round of HARQ, ``rounds`` of RLC.

    ``round_trip_ns`` from one attempt of a block to its next, ``round_ns`` that
    RLC adds before it sends a block afresh. Raises ValueError for a limit below 1.
    """

    attempts: int
    rounds: int
    round_trip_ns: int
    round_ns: int
    combining: Combining

    def __post_init__(self) -> None:
        check_count("attempts", self.attempts)
        check_count("rounds", self.rounds)


def failures(errors: Floats) -> Floats:
    """Return the probability that the first j attempts all fail, j = 0 to the limit.

    ``errors`` of attempt k given that the ones before failed, along the first
    axis, with any shape behind; the result is one longer. Attempts fail one by
    one: the product.
    """
    return np.concatenate([np.ones_like(errors[:1]), np.cumprod(errors, axis=0)])


def mean_attempts(failed: Floats, rounds: int) -> Floats:
    """Return the mean attempts of a block, given that it arrives within ``rounds`` rounds.

    ``failed`` as :func:`failures` returns it. NaN where no attempt can succeed.
    """
    limit, residual = len(failed) - 1, failed[-1]
    tries = np.arange(1, limit + 1).reshape(-1, *[1] * (failed.ndim - 1))
    last_round = np.sum(tries * (failed[:-1] - failed[1:]), axis=0)
    total = np.zeros_like(residual)
    for before in range(rounds):
        total += residual**before * (before * limit * (1 - residual) + last_round)
    with np.errstate(invalid="ignore"):
        return np.asarray(total / (1 - residual**rounds))


def message_loss(failed: Floats, rounds: int, blocks: npt.ArrayLike) -> Floats:
    """Return the probability that one of ``blocks`` fails in all rounds."""
    return np.asarray(1 - (1 - failed[-1] ** rounds) ** np.asarray(blocks))


@dataclass(frozen=True, eq=False, kw_only=True)
class Sent:
    """What HARQ did with messages, shape (messages,).

    ``attempts`` of all blocks that were sent, ``last_attempts`` those of the
    last block of a message (0 if it was not sent), ``span_ns`` from the start
    of the first block to the start of the last attempt of any, on an otherwise
    empty carrier; ``lost``.
    """

    attempts: Ints
    last_attempts: Ints
    span_ns: Ints
    lost: npt.NDArray[np.bool_]


def send(
    counts: Ints,
    spacing_ns: Ints,
    start_ns: Ints,
    *,
    rules: Harq,
    gain: Callable[[Ints, Ints], Floats] | None,
    error: Callable[[Ints, Floats], Floats],
    rng: np.random.Generator,
) -> Sent:
    """Draw the attempts of every block of many messages.

    ``counts`` of blocks, ``spacing_ns`` between them and ``start_ns`` have
    shape (messages,). ``gain(messages, times)`` is the power gain that an
    attempt meets (None: always 1), ``error(messages, gains)`` the error
    probability at a (combined) gain.
    """
    ends = np.cumsum(counts)
    parts: list[Sent] = []
    first = 0
    while first < len(counts):
        done = ends[first - 1] if first else 0
        # At least one message, however long.
        last = max(first + 1, int(np.searchsorted(ends, done + SLICE, side="right")))
        rows = np.arange(first, last)
        parts.append(
            _send(
                rows,
                counts[first:last],
                spacing_ns[first:last],
                start_ns,
                rules=rules,
                gain=gain,
                error=error,
                rng=rng,
            )
        )
        first = last
    return Sent(
        attempts=_joined([part.attempts for part in parts]),
        last_attempts=_joined([part.last_attempts for part in parts]),
        span_ns=_joined([part.span_ns for part in parts]),
        lost=_joined([part.lost for part in parts]).astype(np.bool_),
    )


def _joined(columns: Sequence[npt.NDArray[Any]]) -> npt.NDArray[Any]:
    return np.concatenate([np.zeros(0, dtype=np.int64), *columns])


def _send(
    messages: Ints,
    counts: Ints,
    spacing_ns: Ints,
    start_ns: Ints,
    *,
    rules: Harq,
    gain: Callable[[Ints, Ints], Floats] | None,
    error: Callable[[Ints, Floats], Floats],
    rng: np.random.Generator,
) -> Sent:
    """Draw for one slice; a block is a place in flat arrays."""
    heads = np.cumsum(counts) - counts
    owner = np.repeat(messages, counts)
    begin = (np.arange(len(owner)) - np.repeat(heads, counts)) * np.repeat(spacing_ns, counts)
    tries = np.zeros(len(owner), dtype=np.int64)
    latest = begin.copy()
    pending = np.arange(len(owner))
    wait_ns = 0
    for _ in range(rules.rounds):
        heard = np.zeros(len(pending))
        for attempt in range(rules.attempts):
            if not len(pending):
                break
            at_ns = begin[pending] + wait_ns + attempt * rules.round_trip_ns
            who = owner[pending]
            now = np.ones(len(who)) if gain is None else gain(who, start_ns[who] + at_ns)
            heard = heard + now if rules.combining == "chase" else now
            tries[pending] += 1
            latest[pending] = at_ns
            failed = rng.random(len(pending)) < error(who, heard)
            pending, heard = pending[failed], heard[failed]
        wait_ns += rules.attempts * rules.round_trip_ns + rules.round_ns
    lost = np.zeros(len(counts), dtype=np.bool_)
    if len(pending):
        # The message ends with its first lost block; what follows is not sent.
        victims, first = np.unique(owner[pending] - messages[0], return_index=True)
        lost[victims] = True
        stop = heads + counts
        stop[victims] = pending[first] + 1
        unsent = np.arange(len(owner)) >= np.repeat(stop, counts)
        tries[unsent] = 0
        latest[unsent] = 0
    return Sent(
        attempts=np.add.reduceat(tries, heads),
        last_attempts=tries[heads + counts - 1],
        span_ns=np.maximum.reduceat(latest, heads),
        lost=lost,
    )
