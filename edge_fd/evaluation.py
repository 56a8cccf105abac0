"""Evaluation: the driver's business, outside the method and not charged."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from devices.student import State
from edge_fd.desk import Desk
from edge_fd.knowledge import Exact
from edge_fd.requests import Array, Samples


@dataclass(frozen=True)
class Accuracy:
    """Shares of right answers: ``test`` on the shared test part, ``own`` on the device's mix."""

    test: float
    own: float


class Evaluator:
    """The shared test part, prepared once for one student."""

    def __init__(self, desk: Desk, test: Samples) -> None:
        self._student = desk.student
        self._x: Array = desk.prepare(test)
        self._y = test.labels

    def accuracy(self, state: State, own_counts: Exact) -> Accuracy:
        """Test the weights; ``own_counts`` (classes,) are the device's private labels.

        Accuracy on the own label mix is the per-class accuracy on the shared
        test part weighted by the device's label shares: the expectation over
        test parts that are drawn with the device's mix. Labels without a test
        sample are left out of it.
        """
        right = self._student.predict(state, self._x).argmax(-1) == self._y
        classes = len(own_counts)
        seen = np.bincount(self._y, minlength=classes)
        hits = np.bincount(self._y, weights=right, minlength=classes)
        share = np.where(seen > 0, own_counts, 0).astype(np.float64)
        own = float((share * hits / np.maximum(seen, 1)).sum() / max(share.sum(), 1.0))
        return Accuracy(float(right.mean()), own)
