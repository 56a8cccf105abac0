"""The losses against torch's own, value and gradient."""

from __future__ import annotations

import functools
import inspect
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from edge_fd.errors import UsageError
from edge_fd.losses import (
    CROSS_ENTROPY,
    LABEL_DISTILLATION,
    MEAN_ABSOLUTE_ERROR,
    Loss,
    cross_entropy,
    label_distillation,
    mean_absolute_error,
)

torch = pytest.importorskip("torch", reason="the oracle is torch, of the extra 'server'")

ROWS, CLASSES = 7, 5


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(8)


def logits_of(rng: np.random.Generator) -> Any:
    return torch.tensor(rng.standard_normal((ROWS, CLASSES)) * 3, requires_grad=True)


def soft(rng: np.random.Generator, rows: int = ROWS) -> Any:
    return torch.tensor(rng.dirichlet(np.ones(CLASSES), rows))


def same(ours: Any, theirs: Any, logits: Any) -> None:
    """Value and gradient agree in double precision."""
    assert ours.item() == pytest.approx(theirs.item(), rel=1e-12)
    (mine,) = torch.autograd.grad(ours, logits)
    (other,) = torch.autograd.grad(theirs, logits)
    torch.testing.assert_close(mine, other, rtol=1e-10, atol=1e-12)


def test_cross_entropy_is_torchs_with_class_probabilities(rng: np.random.Generator) -> None:
    logits, target = logits_of(rng), soft(rng)
    theirs = torch.nn.functional.cross_entropy(logits, target)
    same(cross_entropy(logits, target), theirs, logits)


def test_cross_entropy_is_torchs_with_labels(rng: np.random.Generator) -> None:
    logits, labels = logits_of(rng), torch.tensor(rng.integers(0, CLASSES, ROWS))
    one_hot = torch.nn.functional.one_hot(labels, CLASSES).double()
    theirs = torch.nn.functional.cross_entropy(logits, labels)
    same(cross_entropy(logits, one_hot), theirs, logits)


def test_mean_absolute_error_is_torchs(rng: np.random.Generator) -> None:
    logits, target = logits_of(rng), torch.tensor(rng.standard_normal((ROWS, CLASSES)))
    same(mean_absolute_error(logits, target), torch.nn.L1Loss()(logits, target), logits)


@pytest.mark.parametrize("gamma", [0.0, 1.0, 2.5])
def test_label_distillation_is_the_sum_of_two_cross_entropies(
    rng: np.random.Generator, gamma: float
) -> None:
    # Jeong et al. 2018: phi(F, y) + gamma * phi(F, teacher of y).
    logits, table = logits_of(rng), soft(rng, CLASSES)
    labels = torch.tensor(rng.integers(0, CLASSES, ROWS))
    one_hot = torch.nn.functional.one_hot(labels, CLASSES).double()
    ce = torch.nn.functional.cross_entropy
    theirs = ce(logits, labels) + gamma * ce(logits, table[labels])
    same(label_distillation(logits, one_hot, table, torch.tensor(gamma)), theirs, logits)


def test_a_class_without_a_teacher_is_learned_from_its_labels_alone(
    rng: np.random.Generator,
) -> None:
    logits, table = logits_of(rng), soft(rng, CLASSES)
    labels = torch.tensor([2] * ROWS)
    one_hot = torch.nn.functional.one_hot(labels, CLASSES).double()
    table[2] = 0
    theirs = torch.nn.functional.cross_entropy(logits, labels)
    same(label_distillation(logits, one_hot, table, torch.tensor(9.0)), theirs, logits)


@pytest.mark.parametrize("loss", [CROSS_ENTROPY, MEAN_ABSOLUTE_ERROR, LABEL_DISTILLATION])
def test_a_loss_declares_exactly_the_inputs_of_its_function(loss: Any) -> None:
    takes = list(inspect.signature(loss.function).parameters)[1:]
    assert [*loss.rows, *loss.tables, *loss.scalars] == takes
    assert set(loss.distributions) <= {*loss.rows, *loss.tables}


def test_the_hash_of_a_loss_follows_its_source_and_its_inputs() -> None:
    hashes = [x.source_hash for x in (CROSS_ENTROPY, MEAN_ABSOLUTE_ERROR, LABEL_DISTILLATION)]
    other = replace(CROSS_ENTROPY, rows=(), tables=("y",))
    assert len({*hashes, other.source_hash}) == 4
    assert replace(CROSS_ENTROPY).source_hash == CROSS_ENTROPY.source_hash


def typed(source: str) -> Any:
    """A function as one types it at a prompt: there is no file to read it from."""
    names: dict[str, Any] = {}
    exec(compile(source, "<stdin>", "exec"), names)  # noqa: S102 - that is the case under test
    return names["loss"]


def test_a_function_typed_at_a_prompt_has_a_hash_of_its_code() -> None:
    source = "def loss(logits, y):\n    return (logits * y).{}() * {}"
    hashes = [
        Loss(typed(source.format(*words)), rows=("y",)).source_hash
        for words in (("sum", 2.0), ("sum", 3.0), ("mean", 2.0), ("sum", 2.0))
    ]
    assert hashes[0] == hashes[3]
    assert len(set(hashes)) == 3
    nested = (
        "def loss(logits, y):\n    return [q * {} for q in (logits if 'a' in {{'a', 'b'}} else y)]"
    )
    inner = [Loss(typed(nested.format(n)), rows=("y",)).source_hash for n in (2, 3)]
    assert inner[0] != inner[1]


def test_a_loss_that_is_no_function_is_refused_with_the_remedy() -> None:
    with pytest.raises(UsageError, match="def or lambda"):
        _ = Loss(functools.partial(max, 3)).source_hash


@pytest.mark.parametrize(
    "change",
    [
        {"feature_rows": ("f",)},
        {"feature_tables": ("f",)},
        {"vectors": ("f",)},
        {"features": True},
        {"theta": True},
        {"optimizer": "adam"},
        {"clip_norm": 1.0},
        {"distributions": ()},
    ],
)
def test_all_that_is_declared_enters_the_hash(change: dict[str, Any]) -> None:
    assert replace(CROSS_ENTROPY, **change).source_hash != CROSS_ENTROPY.source_hash
