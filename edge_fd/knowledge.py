"""Knowledge: what a device publishes and what the aggregator sends back.

A value of a known kind, with one coded array and exact integer arrays beside
it. Methods see float32; codecs see it just before it becomes a frame.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TypeAlias

import cbor2
import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[np.float32]
Exact: TypeAlias = npt.NDArray[np.integer]

VALUE_OF_KIND: Mapping[str, str] = MappingProxyType(
    {
        "label_table": "table",
        "logits": "logits",
        "probs": "probs",
        "prototypes": "prototypes",
        "symbols": "symbols",
        "weights": "theta",
    }
)
"""Name of the coded array of each kind of knowledge."""


@dataclass(frozen=True)
class Knowledge:
    """One piece of knowledge.

    ``value`` float32: ``label_table`` (classes, classes), rows mean soft labels
    of a class, all zero where there is none; ``logits`` and ``probs``
    (samples, classes); ``prototypes`` (classes, width), mean features of a
    class, all zero where there is none; ``weights`` (parameters,); ``symbols``
    (n,) whole numbers below the ``alphabet`` (1,) in ``exact``, which travel
    packed whatever the codec. ``exact`` holds integer arrays that no codec
    touches: ``counts`` (classes,), ``indices`` (samples,) into the proxy set
    (absent: the whole set in order), ``samples`` (1,).
    """

    kind: str
    value: Array
    exact: Mapping[str, Exact] = field(default_factory=dict)

    @property
    def indices(self) -> Exact | None:
        """Which proxy samples the rows belong to; None means all, in order."""
        return self.exact.get("indices")


@dataclass(frozen=True)
class Fused:
    """Outcome of a round: ``each`` device its own, and ``shared`` for those not named there."""

    shared: Knowledge | None = None
    each: Mapping[str, Knowledge] = field(default_factory=dict)

    def of(self, device: str) -> Knowledge | None:
        """Return what ``device`` is to receive, None where there is nothing for it."""
        return self.each.get(device, self.shared)

    def freeze(self) -> None:
        """Make all arrays read-only: as many frames as are to carry them can share them."""
        for piece in (self.shared, *self.each.values()):
            if piece is not None:
                for array in (piece.value, *piece.exact.values()):
                    array.setflags(write=False)

    def canonical(self) -> bytes:
        """Canonical CBOR of arrays and sample ids, without envelope: what two runs compare."""
        pieces = {"": self.shared, **self.each}
        tree = {name: _tree(piece) for name, piece in pieces.items() if piece is not None}
        return cbor2.dumps(tree, canonical=True)

    @property
    def sha256(self) -> str:
        """Hash of :meth:`canonical`."""
        return hashlib.sha256(self.canonical()).hexdigest()


def _tree(piece: Knowledge) -> dict[str, object]:
    arrays = {VALUE_OF_KIND[piece.kind]: piece.value, **piece.exact}
    return {
        name: [array.dtype.str, list(array.shape), np.ascontiguousarray(array).tobytes()]
        for name, array in arrays.items()
    }


def smallest_unsigned(values: npt.ArrayLike) -> Exact:
    """Return non-negative integers in the smallest unsigned type that holds them."""
    array = np.asarray(values, np.int64)
    top = int(array.max(initial=0))
    if int(array.min(initial=0)) < 0:
        raise ValueError(f"counts and indices cannot be negative, got {int(array.min())}")
    dtype = next(t for t in (np.uint8, np.uint16, np.uint32, np.int64) if top <= np.iinfo(t).max)
    return array.astype(dtype)
