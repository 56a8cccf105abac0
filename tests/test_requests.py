"""Requests, and the refusal of targets that are no distributions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_fd.errors import TargetError, UsageError
from edge_fd.losses import CROSS_ENTROPY, LABEL_DISTILLATION, MEAN_ABSOLUTE_ERROR
from edge_fd.requests import Samples, Train, check_targets, one_hot

SAMPLES = Samples(np.zeros((3, 2), np.uint8), np.array([0, 1, 2]))


def distil(y: Any, table: Any) -> Train:
    return Train("distil", SAMPLES, {"y": y, "table": table, "gamma": 1.0}, epochs=1)


@settings(deadline=None)
@given(off=st.floats(-0.5, 0.5), row=st.integers(0, 2), column=st.integers(0, 2))
def test_rows_that_are_off_by_more_than_a_thousandth_are_refused(
    off: float, row: int, column: int
) -> None:
    y = np.full((3, 3), 1 / 3)
    y[row, column] += off
    request = Train("local", SAMPLES, {"y": y}, epochs=1)
    below_zero = y.min() < 0
    if abs(off) > 1.001e-3 or below_zero:
        with pytest.raises(TargetError, match=f"'y' of loss 'local' .* row {row} sums to"):
            check_targets(request, CROSS_ENTROPY)
    elif abs(off) < 0.999e-3:
        check_targets(request, CROSS_ENTROPY)


@pytest.mark.parametrize(
    "row",
    [[0.0, 0.0, 0.0], [1.5, -0.5, 0.0], [np.nan, 0.5, 0.5], [np.inf, 0.0, 0.0], [5.0, 3.0, -7.0]],
)
def test_rows_that_are_no_distribution_are_refused(row: list[float]) -> None:
    # Raw logits as class probabilities: the fault of methods.md 3.2; the last row even sums to 1.
    y = np.array([[1.0, 0, 0], row, [0, 1, 0]])
    with pytest.raises(TargetError, match="row 1 sums to"):
        check_targets(Train("local", SAMPLES, {"y": y}, epochs=1), CROSS_ENTROPY)


def test_a_row_of_zeros_is_allowed_in_a_table_alone() -> None:
    table = np.array([[0.5, 0.5, 0], [0, 0, 0], [0.2, 0.2, 0.6]], np.float32)
    check_targets(distil(np.eye(3), table), LABEL_DISTILLATION)
    with pytest.raises(TargetError, match="'y'"):
        check_targets(distil(table, np.eye(3)), LABEL_DISTILLATION)


@pytest.mark.parametrize("row", [[0.5, 0.4, 0.0], [0.5, -0.5, 0.0], [np.nan, 0.0, 0.0]])
def test_a_table_must_hold_distributions_or_zeros(row: list[float]) -> None:
    table = np.array([[0, 0, 0], [0, 1, 0], row])
    with pytest.raises(TargetError, match=r"'table' .* row 2"):
        check_targets(distil(np.eye(3), table), LABEL_DISTILLATION)


def test_logits_are_no_distributions_and_need_not_be() -> None:
    request = Train("digest", SAMPLES, {"target": np.full((3, 3), -40.0)}, epochs=1)
    check_targets(request, MEAN_ABSOLUTE_ERROR)


@pytest.mark.parametrize(("epochs", "steps"), [(None, None), (1, 1), (0, 0)])
def test_a_training_takes_either_epochs_or_steps(epochs: int | None, steps: int | None) -> None:
    with pytest.raises(ValueError, match="either epochs or steps"):
        Train("local", SAMPLES, {}, epochs=epochs, steps=steps)


def test_samples_are_taken_in_the_order_asked() -> None:
    some = Samples(np.arange(10) * 10, np.arange(10)).take(np.array([7, 2, 2]))
    assert len(some) == 3
    np.testing.assert_array_equal(some.x, [70, 20, 20])
    np.testing.assert_array_equal(some.labels, [7, 2, 2])


def test_samples_without_labels_say_what_to_do() -> None:
    bare = Samples(np.zeros((4, 2)))
    assert len(bare.take(np.array([1]))) == 1
    with pytest.raises(UsageError, match="no labels; give the data file a 'y' array"):
        _ = bare.labels


def test_one_hot_rows() -> None:
    rows = one_hot(np.array([2, 0, 2]), 3)
    assert rows.dtype == np.float32
    np.testing.assert_array_equal(rows, [[0, 0, 1], [1, 0, 0], [0, 0, 1]])
