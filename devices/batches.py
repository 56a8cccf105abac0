"""Which samples each training step sees, and at which rate."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

MAX_RATE = float(np.finfo(np.float32).max)


@dataclass(frozen=True)
class Batches:
    """Mini-batches of ``size`` over ``samples``, the last of each pass partial.

    ``epochs`` counts passes, ``steps`` mini-batches; exactly one is given. With
    ``paired`` no batch holds a single sample, of which batch norm cannot take a
    variance: a last one joins the batch before it. Raises ValueError.
    """

    samples: int
    size: int
    epochs: int | None = None
    steps: int | None = None
    paired: bool = False

    def __post_init__(self) -> None:
        if (self.epochs is None) == (self.steps is None):
            raise ValueError(
                f"give either epochs or steps, got epochs={self.epochs}, steps={self.steps}"
            )
        if min(self.samples, self.size, self.epochs or self.steps or 0) < 1:
            raise ValueError(
                f"nothing to train on: {self.samples} samples, batch {self.size},"
                f" epochs={self.epochs}, steps={self.steps}; all must be at least 1"
            )
        if self.paired and min(self.samples, self.size) < 2:  # noqa: PLR2004 - a pair
            raise ValueError(
                f"{self.samples} samples in batches of {self.size}: batch norm learns from two"
                " samples or more at a time; give it more samples or a batch of at least 2"
            )

    @property
    def per_pass(self) -> int:
        """Mini-batches of one pass."""
        whole, rest = divmod(self.samples, self.size)
        return whole + (rest > 1 if self.paired else rest > 0)

    @property
    def total(self) -> int:
        """Mini-batches of all passes."""
        return self.per_pass * self.epochs if self.epochs is not None else self.steps or 0

    def draw(self, rng: np.random.Generator) -> Iterator[npt.NDArray[np.int64]]:
        """Yield the samples of each mini-batch; each pass visits a fresh permutation."""
        left, last = self.total, self.per_pass - 1
        while left > 0:
            order = rng.permutation(self.samples)
            for place in range(min(left, self.per_pass)):
                start = place * self.size
                yield order[start:] if place == last else order[start : start + self.size]
            left -= self.per_pass


def rates(lr: float | npt.NDArray[np.floating], steps: int) -> list[float]:
    """Return the rate of each step from one for all or one each; raise ValueError."""
    given = np.asarray(lr, np.float64)
    if given.ndim and given.shape != (steps,):
        raise ValueError(
            f"lr has shape {given.shape}, this training takes {steps} steps; give one number, or"
            f" one for each step"
        )
    if not ((given > 0) & (given <= MAX_RATE)).all():
        raise ValueError(f"lr {lr} must be above 0 and finite")
    return [float(rate) for rate in np.broadcast_to(given, (steps,))]
