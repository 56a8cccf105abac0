"""Soft labels on a grid of the simplex, and hard labels as changes (CFD).

F. Sattler, A. Marban, R. Rischke, W. Samek, "CFD: Communication-efficient
federated distillation via soft-label quantization and delta coding", IEEE Trans.
Netw. Sci. Eng. 2022. With b bits a probability takes one of the levels 0 to
2**b - 1, in steps of 1 / (2**b - 1), and the levels of a row sum to 2**b - 1. So
b = 1 is the arg-max, one-hot.

A row is one of binom(2**b - 2 + C, C - 1). Where these are at most 2**16 it
travels as its number (:func:`rank`), else as its levels but the last, which
follows. ``symbols.py`` makes bytes of either.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from edge_fd.codecs.symbols import ALPHABET_MAX
from edge_fd.errors import TargetError

Floats: TypeAlias = npt.NDArray[np.floating[Any]]
Integers: TypeAlias = npt.NDArray[Any]
Levels: TypeAlias = npt.NDArray[np.uint16]

BITS_MAX: Final = 16
ROW_SUM_TOLERANCE: Final = 1e-3


@dataclass(frozen=True)
class Coding:
    """What a row of levels becomes: ``symbols_per_row`` integers of ``[0, alphabet)``."""

    alphabet: int
    symbols_per_row: int


def quantise(probs: Floats, bits: int, *, rng: np.random.Generator | None = None) -> Levels:
    """Return the ``(n, C)`` levels nearest in L1 to ``(n, C)`` probabilities.

    By largest remainder: each share is rounded down, and what is missing goes,
    one level each, to the largest remainders. Rows are first divided by their
    sum. Between equal remainders the paper draws; here the lowest class wins, so
    that no stream is needed, unless ``rng`` is given (one draw per probability).
    Raises TargetError for rows that are negative or do not sum to one within 1e-3.
    """
    top = _top(bits)
    wide = np.asarray(probs, np.float64)
    if wide.ndim != 2 or not wide.shape[1]:  # noqa: PLR2004
        raise TargetError(f"probabilities must have rows and columns, got shape {wide.shape}")
    with np.errstate(invalid="ignore"):  # inf - inf is no number, and refused below
        sums = wide.sum(1)
    wrong = ~(np.abs(sums - 1) <= ROW_SUM_TOLERANCE) | (wide < 0).any(1)
    if wrong.any():
        row = int(np.argmax(wrong))
        raise TargetError(
            f"row {row} is no distribution: sum {sums[row]:g}, least {wide[row].min():g};"
            " pass probabilities, not logits"
        )
    shares = wide / sums[:, None] * top
    levels = np.floor(shares)
    missing = top - levels.sum(1)
    ties = np.zeros_like(wide) if rng is None else rng.random(wide.shape)
    order = np.lexsort((ties, levels - shares))
    place = np.argsort(order, axis=1)
    nearest: Levels = (levels + (place < missing[:, None])).astype(np.uint16)
    return nearest


def dequantise(levels: Integers, bits: int) -> npt.NDArray[np.float32]:
    """Return the ``(n, C)`` float32 probabilities of levels; rows sum to one.

    Raises ValueError for rows of levels that do not sum to ``2**bits - 1``.
    """
    _check_rows(levels, bits)
    return (levels / np.float64(_top(bits))).astype(np.float32)


def delta(labels: Integers, base: Integers) -> Levels:
    """Return ``(n,)`` symbols: 0 where a label equals the base's, else the label plus one.

    ``labels``, ``base``: (n,) integers from 0, below 2**16 - 1. The alphabet is
    the number of classes plus one. Raises ValueError for another shape or range.
    """
    _check_labels("labels", labels)
    _check_labels("base", base)
    if labels.shape != base.shape:
        raise ValueError(f"{labels.size} labels cannot follow a base of {base.size}")
    return np.where(labels == base, 0, labels.astype(np.int64) + 1).astype(np.uint16)


def undelta(symbols: Integers, base: Integers) -> Levels:
    """Undo :func:`delta`, given the same base.

    Raises ValueError where a symbol names the label that the base has already:
    no sender writes that, so its base was another one.
    """
    _check_labels("base", base)
    if symbols.shape != base.shape:
        raise ValueError(f"{symbols.size} delta symbols cannot follow a base of {base.size}")
    wide = symbols.astype(np.int64)
    if (wide == base.astype(np.int64) + 1).any():
        raise ValueError("delta symbols repeat labels of the base; they were made against another")
    return np.where(wide == 0, base, wide - 1).astype(np.uint16)


def coding(classes: int, bits: int) -> Coding:
    """Return what :func:`encode` makes of a row of ``classes`` levels."""
    if classes < 2:  # noqa: PLR2004
        raise ValueError(f"a row of levels needs 2 classes or more, got {classes}")
    rows = math.comb(_top(bits) + classes - 1, classes - 1)
    return Coding(rows, 1) if rows <= ALPHABET_MAX else Coding(1 << bits, classes - 1)


def encode(levels: Integers, bits: int) -> tuple[Levels, int]:
    """Return ``(n * symbols_per_row,)`` symbols of ``(n, C)`` levels, and their alphabet."""
    _check_rows(levels, bits)
    how = coding(levels.shape[1], bits)
    symbols = rank(levels, bits) if how.symbols_per_row == 1 else levels[:, :-1].reshape(-1)
    return symbols.astype(np.uint16), how.alphabet


def decode(symbols: Integers, alphabet: int, *, classes: int, bits: int) -> Levels:
    """Undo :func:`encode`: ``(n, classes)`` levels.

    Raises ValueError for another alphabet, an incomplete row, or levels whose
    sum is beyond ``2**bits - 1``.
    """
    how = coding(classes, bits)
    if alphabet != how.alphabet:
        raise ValueError(
            f"{bits} bits and {classes} classes have alphabet {how.alphabet}, got {alphabet}"
        )
    if symbols.ndim != 1 or symbols.size % how.symbols_per_row:
        raise ValueError(
            f"symbols of shape {symbols.shape} are no whole rows of {how.symbols_per_row}"
        )
    if how.symbols_per_row == 1:
        return unrank(symbols, classes=classes, bits=bits)
    first = symbols.reshape(-1, how.symbols_per_row).astype(np.int64)
    last = _top(bits) - first.sum(1)
    levels = np.concatenate((first, last[:, None]), axis=1)
    _check_rows(levels, bits)
    return levels.astype(np.uint16)


def rank(levels: Integers, bits: int) -> npt.NDArray[np.int64]:
    """Return the ``(n,)`` numbers of ``(n, C)`` rows of levels, of binom(2**b - 2 + C, C - 1).

    Stars and bars in the combinatorial number system (Knuth, TAOCP 4A, 7.2.1.3):
    bar i, with s levels before it, counts binom(s + i, i + 1). Classes are taken
    from the last, so that with one bit the number is the label. Raises ValueError
    for no rows of levels, or more than 2**16 possible ones.
    """
    _check_rows(levels, bits)
    weights = _weights(levels.shape[1], bits)
    before = np.cumsum(levels[:, :0:-1], axis=1, dtype=np.int64)
    numbers: npt.NDArray[np.int64] = weights[np.arange(len(weights)), before].sum(1)
    return numbers


def unrank(numbers: Integers, *, classes: int, bits: int) -> Levels:
    """Undo :func:`rank`; raises ValueError for a number that no row has."""
    weights = _weights(classes, bits)
    rest = np.array(numbers, np.int64)
    rows = math.comb(_top(bits) + classes - 1, classes - 1)
    if rest.size and not (rest.min() >= 0 and rest.max() < rows):
        raise ValueError(f"row numbers {rest.min()} to {rest.max()} are not within 0 to {rows - 1}")
    before = np.empty((rest.size, classes + 1), np.int64)
    before[:, 0], before[:, -1] = 0, _top(bits)
    for bar in reversed(range(classes - 1)):
        before[:, bar + 1] = np.searchsorted(weights[bar], rest, side="right") - 1
        rest -= weights[bar, before[:, bar + 1]]
    return np.diff(before, axis=1)[:, ::-1].astype(np.uint16)


def _weights(classes: int, bits: int) -> npt.NDArray[np.int64]:
    """``(C - 1, 2**b)``: binom(s + i, i + 1) for bar i and s, by sums of sums."""
    if coding(classes, bits).symbols_per_row != 1:
        raise ValueError(f"rows of {classes} classes and {bits} bits are too many to number")
    weights = np.empty((classes - 1, _top(bits) + 1), np.int64)
    weights[0] = np.arange(_top(bits) + 1)
    for bar in range(1, classes - 1):
        np.cumsum(weights[bar - 1], out=weights[bar])
    return weights


def _top(bits: int) -> int:
    if not 1 <= bits <= BITS_MAX:
        raise ValueError(f"a probability takes 1 to {BITS_MAX} bits, got {bits}")
    return (1 << bits) - 1


def _check_rows(levels: Integers, bits: int) -> None:
    top = _top(bits)
    if levels.ndim != 2 or levels.dtype.kind not in "iu":  # noqa: PLR2004
        raise ValueError(f"levels must be rows of integers, got {levels.dtype} {levels.shape}")
    sums = levels.sum(1, dtype=np.int64)
    wrong = (sums != top) | (levels < 0).any(1)
    if wrong.any():
        row = int(np.argmax(wrong))
        raise ValueError(
            f"levels of row {row} sum to {sums[row]}, the least is {levels[row].min()};"
            f" {bits} bits need {top} and none below 0"
        )


def _check_labels(what: str, labels: Integers) -> None:
    if labels.ndim != 1 or labels.dtype.kind not in "iu":
        raise ValueError(f"{what} must be one row of integers, got {labels.dtype} {labels.shape}")
    if labels.size and not (labels.min() >= 0 and labels.max() < ALPHABET_MAX - 1):
        raise ValueError(f"{what} from {labels.min()} to {labels.max()} do not fit 16 bits")
