"""Drawing samples so that each label keeps its share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt


def quotas(counts: npt.NDArray[np.int64], total: int) -> npt.NDArray[np.int64]:
    """Share ``total`` out in proportion to ``counts`` (classes,), in whole numbers.

    Largest-remainder rule (Hamilton's): each class gets the floor or the ceiling of
    its exact share, so never more than it has. Ties go to the lower class.
    """
    products = counts * total
    whole, rest = np.divmod(products, counts.sum())
    missing = total - int(whole.sum())
    whole[np.argsort(-rest, kind="stable")[:missing]] += 1
    return whole


def stratified(
    y: npt.NDArray[np.generic], count: int, rng: np.random.Generator
) -> npt.NDArray[np.int64]:
    """Return the positions of ``count`` of the labels ``y`` (n,), sorted.

    The classes keep their shares within one sample (:func:`quotas`); within a class each
    subset is equally likely. ``count`` must not exceed n.
    """
    if count == 0:
        return np.empty(0, np.int64)
    labels, inverse, counts = np.unique(y, return_inverse=True, return_counts=True)
    order = rng.permutation(len(y))
    shares = quotas(counts, count)
    drawn = [order[inverse[order] == k][: shares[k]] for k in range(len(labels))]
    return np.sort(np.concatenate(drawn))


def hold_out(
    y: npt.NDArray[np.generic], fraction: float, rng: np.random.Generator
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return the positions (kept, held out) of a stratified cut of ``y`` (n,)."""
    held = stratified(y, round(fraction * len(y)), rng)
    return np.setdiff1d(np.arange(len(y)), held), held
