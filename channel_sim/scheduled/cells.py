"""What the schedules share: the place of a row within its cell, the law of ARQ."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


def rank_within(cells: Ints) -> Ints:
    """Return the place of each row among those of its cell, 0 first, in the order of rows."""
    order = np.argsort(cells, kind="stable")
    ordered = cells[order]
    ranks = np.arange(len(cells))
    if len(cells):
        begins = np.concatenate(([True], ordered[1:] != ordered[:-1]))
        first = np.maximum.accumulate(np.where(begins, np.arange(len(cells)), 0))
        ranks[order] = np.arange(len(cells)) - first
    return ranks


def attempts_if_right(error: Floats, limit: int) -> Floats:
    """Mean attempts of a packet that arrives within ``limit``, by the geometric law."""
    tries = np.arange(1, limit + 1)
    weights = error[..., np.newaxis] ** (tries - 1)
    return np.asarray((weights * tries).sum(axis=-1) / weights.sum(axis=-1))
