"""Accuracy on the shared test part, plain and weighted to a device's own label mix."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score

from edge_fd.evaluation import Evaluator
from edge_fd.methods import Local
from edge_fd.requests import Samples

CLASSES = 5


def evaluator(y: Any, predicted: Any) -> Evaluator:
    """One whose student says what ``predicted`` says."""
    logits = np.eye(CLASSES, dtype=np.float32)[predicted]
    student = SimpleNamespace(predict=lambda _state, _x, **_: logits)
    desk = SimpleNamespace(student=student, prepare=lambda samples: samples.x)
    return Evaluator(desk, Samples(np.zeros((len(y), 1)), np.asarray(y)), Local())  # type: ignore[arg-type]


labels = st.lists(st.integers(0, CLASSES - 1), min_size=1, max_size=40)


@settings(deadline=None)
@given(
    y=labels,
    seed=st.integers(0, 100),
    counts=st.lists(st.integers(0, 9), min_size=CLASSES, max_size=CLASSES),
)
def test_accuracies_are_scikit_learns(y: list[int], seed: int, counts: list[int]) -> None:
    predicted = np.random.default_rng(seed).integers(0, CLASSES, len(y))
    found = evaluator(y, predicted).accuracy(None, {}, np.array(counts))  # type: ignore[arg-type]
    assert found.test == pytest.approx(accuracy_score(y, predicted))
    # A test part drawn with the device's mix: each sample weighs its class' share over its class.
    seen = np.bincount(y, minlength=CLASSES)
    weights = np.array([counts[label] / seen[label] for label in y])
    if weights.sum() > 0:
        expected = accuracy_score(y, predicted, sample_weight=weights)
        assert found.own == pytest.approx(expected)
    else:  # none of the device's labels is in the test part
        assert found.own == 0


def test_a_device_that_holds_one_class_is_judged_by_it() -> None:
    found = evaluator([0, 0, 0, 0, 1, 1], [0, 0, 0, 1, 0, 0])
    own = found.accuracy(None, {}, np.array([0, 7, 0, 0, 0]))  # type: ignore[arg-type]
    assert (own.test, own.own) == (0.5, 0.0)
