"""Losses of the methods, in tensor methods only: no torch is imported here.

A loss is traced once at export, forward and backward, into a training-step
graph. The device runs the graph and never this code. Labels enter as one-hot
float rows, so a table of per-label teachers is applied by ``y @ table``.

Every loss sums over classes and takes the mean over the batch.
"""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Tensor = Any


@dataclass(frozen=True)
class Loss:
    """A named loss: a function of logits and of the inputs it declares.

    ``function(logits, **inputs)`` returns a scalar. ``rows`` are inputs of
    shape (batch, classes) float32 that follow the samples, ``tables`` have
    shape (classes, classes) float32 and hold for the whole request, ``scalars``
    are float32 of shape (). Names in ``distributions`` must have rows of no
    negative number that sum to one within 1e-3; a row of a *table* may be all
    zero, which says that this class has no teacher.
    """

    function: Callable[..., Tensor]
    rows: tuple[str, ...] = ()
    tables: tuple[str, ...] = ()
    scalars: tuple[str, ...] = ()
    distributions: tuple[str, ...] = ()

    @property
    def source_hash(self) -> str:
        """SHA-256 of the source and the declared inputs; names the exported graph."""
        text = inspect.getsource(self.function)
        declared = f"{self.rows}{self.tables}{self.scalars}"
        return hashlib.sha256((text + declared).encode()).hexdigest()


def cross_entropy(logits: Tensor, y: Tensor) -> Tensor:
    """Cross-entropy with targets ``y`` (batch, classes), rows summing to one."""
    return -(y * logits.log_softmax(-1)).sum(-1).mean()


def mean_absolute_error(logits: Tensor, target: Tensor) -> Tensor:
    """Mean absolute difference of logits, FedMD's digest loss (Li & Wang 2019, author code)."""
    return (logits - target).abs().mean()


def label_distillation(logits: Tensor, y: Tensor, table: Tensor, gamma: Tensor) -> Tensor:
    """Jeong et al. 2018, equation of the local update: CE plus gamma times CE to the teacher.

    ``table`` holds the teacher's mean soft label of each class as a row. An
    all-zero row contributes nothing, so a class without a teacher is learned
    from its labels alone.
    """
    log_p = logits.log_softmax(-1)
    return -((y + gamma * (y @ table)) * log_p).sum(-1).mean()


CROSS_ENTROPY = Loss(cross_entropy, rows=("y",), distributions=("y",))
MEAN_ABSOLUTE_ERROR = Loss(mean_absolute_error, rows=("target",))
LABEL_DISTILLATION = Loss(
    label_distillation,
    rows=("y",),
    tables=("table",),
    scalars=("gamma",),
    distributions=("y", "table"),
)
