"""Evaluation: the driver's business, outside the method and not charged."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from devices.student import State
from edge_fd.desk import Desk
from edge_fd.knowledge import Exact
from edge_fd.methods.base import Memory, Method
from edge_fd.outcome import Outcome
from edge_fd.requests import Array, Samples

if TYPE_CHECKING:
    from edge_fd.kit import Kit


@dataclass(frozen=True)
class Accuracy:
    """Shares of right answers: ``test`` on the shared test part, ``own`` on the device's mix."""

    test: float
    own: float


class Evaluator:
    """The shared test part, prepared once for one student; ``method`` judges its outputs."""

    def __init__(self, desk: Desk, test: Samples, method: Method) -> None:
        self._student, self._method = desk.student, method
        self._x: Array = desk.prepare(test)
        self._y = test.labels

    def accuracy(self, state: State, memory: Memory, own_counts: Exact) -> Accuracy:
        """Test the weights; ``own_counts`` (classes,) are the device's private labels.

        ``memory`` is what the device remembers; some methods judge by it.

        Accuracy on the own label mix is the per-class accuracy on the shared
        test part weighted by the device's label shares: the expectation over
        test parts that are drawn with the device's mix. Labels without a test
        sample are left out of it.
        """
        outputs = self._student.predict(state, self._x, output=self._method.judges)
        right = self._method.judge(memory, outputs).argmax(-1) == self._y
        classes = len(own_counts)
        seen = np.bincount(self._y, minlength=classes)
        hits = np.bincount(self._y, weights=right, minlength=classes)
        share = np.where(seen > 0, own_counts, 0).astype(np.float64)
        own = float((share * hits / np.maximum(seen, 1)).sum() / max(share.sum(), 1.0))
        return Accuracy(float(right.mean()), own)


def server_test(kit: Kit, desks: Mapping[str, Desk]) -> Callable[[Outcome], float]:
    """Return the test of the aggregator's students: their mean accuracy on the shared test part."""
    everyone = np.ones(kit.dataset.classes, np.int64)
    names = ("", *kit.others)
    tests = {
        name: Evaluator(desks[bundle.id], kit.test, kit.method)
        for name, bundle in zip(names, kit.servers, strict=True)
    }

    def accuracy(outcome: Outcome) -> float:
        states = {"": outcome.state, **outcome.states}
        found = [
            test.accuracy(state, outcome.memory, everyone).test
            for name, test in tests.items()
            if (state := states[name]) is not None
        ]
        return sum(found) / len(found)

    return accuracy
