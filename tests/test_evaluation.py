"""Accuracy on the shared test part, plain and weighted to a device's own label mix."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score

from edge_fd.evaluation import Evaluator, server_test
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


def test_several_students_of_the_server_are_told_by_their_mean() -> None:
    """FedDF keeps one student of each architecture; each is judged by its own weights."""
    y = np.array([0, 1, 2, 3])
    said = {"first": np.array([0, 1, 2, 4]), "second": np.array([0, 4, 4, 4])}  # 3 and 1 of 4

    def desk_of(name: str) -> Any:
        def predict(state: Any, _x: Any, **_: Any) -> Any:
            assert state == f"weights of {name}"
            return np.eye(CLASSES, dtype=np.float32)[said[name]]

        return SimpleNamespace(
            student=SimpleNamespace(predict=predict), prepare=lambda samples: samples.x
        )

    kit = SimpleNamespace(
        dataset=SimpleNamespace(classes=CLASSES),
        others=("second",),
        servers=(SimpleNamespace(id="first"), SimpleNamespace(id="second")),
        test=Samples(np.zeros((4, 1)), y),
        method=Local(),
    )
    test = server_test(kit, {name: desk_of(name) for name in said})  # type: ignore[arg-type]
    outcome = SimpleNamespace(
        state="weights of first", states={"second": "weights of second"}, memory={}
    )
    assert test(outcome) == (0.75 + 0.25) / 2  # type: ignore[arg-type]
