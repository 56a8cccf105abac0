"""FedGen's division of MNIST over users, draw for draw.

The authors' generator (zhuangdizhu/FedGen, data/Mnist/generate_niid_dirichlet.py)
seeds Python's and numpy's old generators with 42, so that each alpha has one
partition, which all of their seeds share. Both streams are frozen by their
makers: the same draws in the same order give the very same users.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Indices = npt.NDArray[np.int64]

SEED = 42
LEAST = 10
"""Samples that each user must have; else all is drawn anew."""


@dataclass(frozen=True, eq=False)
class Partition:
    """Rows of the training part (n,) with the ``user`` of each, and rows of the test part.

    ``test`` (m,) are the test images of all users together: each user has its
    share of the images of every label that it holds.
    """

    train: Indices
    user: Indices
    test: Indices


def fedgen_partition(
    y: Indices, test_y: Indices, *, alpha: float, users: int = 20, ratio: float = 0.5
) -> Partition:
    """Divide labels ``y`` (n,) and ``test_y`` (m,) over users.

    Of each label at most ``ratio`` * n / ``users`` samples are used (1,500 of
    MNIST, 15,000 in all), and go by shares from a symmetric Dirichlet of
    ``alpha``; users that hold as many already get none. A label's test images
    are cut into ``users`` parts, of which each holder of the label gets one.
    """
    classes = np.arange(int(y.max()) + 1)
    order = classes.tolist()
    random.Random(SEED).shuffle(order)  # noqa: S311 (the stream of the original)
    rows = [np.flatnonzero(y == label) for label in classes]
    draws, most = np.random.RandomState(SEED), ratio * len(y) / users
    while True:
        parts = _draw(rows, order, draws, alpha=alpha, users=users, most=most, ratio=ratio)
        sizes = [sum(len(part) for part in parts[user].values()) for user in range(users)]
        if min(sizes) >= LEAST:
            break
    train = [part for user in range(users) for part in parts[user].values()]
    return Partition(
        np.concatenate(train),
        np.repeat(np.arange(users), sizes),
        _test(test_y, [{k for k, part in mine.items() if len(part)} for mine in parts], users),
    )


def _draw(
    rows: list[Indices],
    order: list[int],
    draws: np.random.RandomState,
    *,
    alpha: float,
    users: int,
    most: float,
    ratio: float,
) -> list[dict[int, Indices]]:
    """Draw once: for each user the rows of each label."""
    parts: list[dict[int, Indices]] = [{} for _ in range(users)]
    held = np.zeros(users, np.int64)
    for label in order:
        places = np.arange(len(rows[label]))
        draws.shuffle(places)
        used = rows[label][places[: int(min(most, int(ratio * len(places))))]]
        shares = draws.dirichlet(np.full(users, alpha)) * (held < most)
        ends = (np.cumsum(shares / shares.sum()) * len(used)).astype(np.int64)[:-1]
        for user, part in enumerate(np.split(used, ends)):
            parts[user][label] = part
            held[user] += len(part)
    return parts


def _test(test_y: Indices, labels: list[set[int]], users: int) -> Indices:
    """Rows of the test part, in rising order: so many shares of a label as it has holders."""
    found = []
    for label in sorted(set().union(*labels)):
        rows = np.flatnonzero(test_y == label)
        holders = sum(label in mine for mine in labels)
        found.append(rows[: holders * (len(rows) // users)])
    return np.sort(np.concatenate(found))
