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
from types import CodeType
from typing import Any, Literal, TypeAlias

from edge_fd.errors import UsageError

Tensor = Any
Optimizer: TypeAlias = Literal["sgd", "adam"]


@dataclass(frozen=True)
class Loss:
    """A named loss: a function of logits and of the inputs it declares, and how it is descended.

    ``function(logits, **inputs)`` returns a scalar. ``rows`` are inputs of
    shape (batch, classes) float32 that follow the samples, ``tables`` have
    shape (classes, classes) float32 and hold for the whole request, ``scalars``
    are float32 of shape (). Names in ``distributions`` must have rows of no
    negative number that sum to one within 1e-3; a row of a *table* may be all
    zero, which says that this class has no teacher.

    ``feature_rows`` are (batch, width) and follow the samples,
    ``feature_tables`` are (classes, width), where ``width`` is that of the
    student's features; ``vectors`` are (parameters,) as ``theta`` travels and
    reach the function cut to the trained part, (trained,).

    With ``features`` the function also gets the keyword ``features`` (batch,
    width), the input of the student's head; with ``theta`` the keyword
    ``theta`` (trained,), all trained parameters as one vector. Both are
    differentiated through.

    ``optimizer`` None is that of the bundle's training defaults. ``clip_norm``
    scales a gradient whose Euclidean norm is larger down to it, before the
    optimiser sees it (Pascanu et al. 2013, algorithm 1), as
    ``torch.nn.utils.clip_grad_norm_``.
    """

    function: Callable[..., Tensor]
    rows: tuple[str, ...] = ()
    tables: tuple[str, ...] = ()
    scalars: tuple[str, ...] = ()
    distributions: tuple[str, ...] = ()
    feature_rows: tuple[str, ...] = ()
    feature_tables: tuple[str, ...] = ()
    vectors: tuple[str, ...] = ()
    features: bool = False
    theta: bool = False
    optimizer: Optimizer | None = None
    clip_norm: float | None = None

    @property
    def needs_features(self) -> bool:
        """Whether only a student with features can be trained with it."""
        return bool(self.features or self.feature_rows or self.feature_tables)

    @property
    def source_hash(self) -> str:
        """SHA-256 of the source and of all that is declared; names the exported graph.

        A function without source, typed at a prompt, counts by its code object.
        """
        try:
            text = inspect.getsource(self.function)
        except (OSError, TypeError):
            text = code_text(self.function)
        declared = {k: v for k, v in vars(self).items() if k != "function"}
        return hashlib.sha256(f"{text}{sorted(declared.items())}".encode()).hexdigest()


def code_text(function: Callable[..., Any]) -> str:
    """Text of what a function does, the same in every process that has the same Python."""
    code = getattr(function, "__code__", None)
    if code is None:
        raise UsageError(
            f"the function {function!r} has neither source nor code;"
            " write it as a function with def or lambda"
        )
    defaults = getattr(function, "__defaults__", None), getattr(function, "__kwdefaults__", None)
    return f"{_stable(code)}{defaults}"


def _stable(value: Any) -> str:
    """Text of a constant that is the same in every process."""
    if isinstance(value, CodeType):
        return f"{value.co_code!r}{value.co_names}{_stable(value.co_consts)}"
    if isinstance(value, tuple):
        return f"({','.join(_stable(item) for item in value)})"
    if isinstance(value, frozenset):  # its order changes with the seed of string hashes
        return f"{{{','.join(sorted(_stable(item) for item in value))}}}"
    return repr(value)


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
