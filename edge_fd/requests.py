"""What a method may ask to be computed: a small fixed set of requests.

A method's device half and server half are generators. They yield these
requests and receive the answers; who answers (ONNX Runtime on a board, the
same under the simulator's clock, a table in a test) is not their business.

    Train    run a loss over samples for some epochs or steps
    Predict  forward passes, as logits, probabilities or features
    Load     replace the weights
    Read     hand out the weights
    Reset    go back to the weights that the bundle came with

``student`` in a request names one of several students of a server half that
has them (:class:`~edge_fd.methods.base.Server`); a device has one, ``""``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from edge_fd.errors import TargetError, UsageError
from edge_fd.losses import Loss

Array: TypeAlias = npt.NDArray[np.float32]

ROW_SUM_TOLERANCE = 1e-3


@dataclass(frozen=True)
class Samples:
    """Samples of a data set as a device holds them.

    ``x`` (n, ...) in the data set's own dtype, before preprocessing; ``y`` (n,)
    int64 labels, or None where there are none (unlabelled proxy data).
    """

    x: npt.NDArray[np.generic]
    y: npt.NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return len(self.x)

    @property
    def labels(self) -> npt.NDArray[np.int64]:
        """The labels; raises UsageError where there are none."""
        if self.y is None:
            raise UsageError("these samples have no labels; give the data file a 'y' array")
        return self.y

    def take(self, indices: npt.NDArray[np.integer]) -> Samples:
        """Return the samples at ``indices`` in that order."""
        return Samples(self.x[indices], None if self.y is None else self.y[indices])


def one_hot(y: npt.NDArray[np.int64], classes: int) -> Array:
    """Labels (n,) as float32 rows (n, classes)."""
    return np.eye(classes, dtype=np.float32)[y]


Rates: TypeAlias = "float | npt.NDArray[np.floating]"


@dataclass(frozen=True)
class Train:
    """Train with the loss called ``loss`` (a key of the method's ``losses``).

    ``inputs`` holds what that loss declares: rows (n, classes) aligned with the
    samples, tables (classes, classes), rows and tables of features, vectors
    (parameters,), scalars. Exactly one of ``epochs`` (passes over the samples)
    and ``steps`` (mini-batches, passing over the samples as often as needed) is
    given. ``lr`` may hold one rate for each step; ``momentum`` is Adam's beta1 where
    the loss names Adam. What is None is the student's own. The optimiser starts from
    zero unless ``keep_momentum``. The answer is a :class:`Trained`.
    """

    loss: str
    samples: Samples
    inputs: Mapping[str, npt.NDArray[np.floating] | float]
    epochs: int | None = None
    steps: int | None = None
    lr: Rates | None = None
    momentum: float | None = None
    batch: int | None = None
    keep_momentum: bool = False
    outputs: bool = False
    student: str = ""

    def __post_init__(self) -> None:
        if (self.epochs is None) == (self.steps is None):
            raise ValueError(
                f"Train({self.loss!r}) needs either epochs or steps,"
                f" got epochs={self.epochs}, steps={self.steps}"
            )


@dataclass(frozen=True)
class Trained:
    """Answer to :class:`Train`.

    ``loss`` is the mean over the steps. With ``outputs=True``: ``logits``
    (visited, classes) float32 as the student gave them before each step's
    update, and ``index`` (visited,) int64, the sample behind each row.
    """

    loss: float
    steps: int
    logits: Array | None = None
    index: npt.NDArray[np.int64] | None = None


@dataclass(frozen=True)
class Predict:
    """Forward passes; the answer is float32 (n, classes), or (n, width) for features.

    ``theta`` (parameters,) predicts with other weights than the student's own,
    which stay as they are: a global model as teacher.
    """

    samples: Samples
    output: Literal["logits", "probs", "features"] = "logits"
    theta: Array | None = None
    student: str = ""


@dataclass(frozen=True)
class Load:
    """Replace the weights by ``theta`` (parameters,) float32; the answer is None."""

    theta: Array
    student: str = ""


@dataclass(frozen=True)
class Read:
    """The answer is ``theta`` (parameters,) float32."""

    student: str = ""


@dataclass(frozen=True)
class Reset:
    """Go back to the bundle's weights, equal on all devices of one student; the answer is None."""

    student: str = ""


Request: TypeAlias = Train | Predict | Load | Read | Reset


def check_targets(request: Train, loss: Loss) -> None:
    """Raise :class:`TargetError` unless the request's distributions are distributions.

    Rows must hold no negative number and sum to one. Run by every driver before
    it computes. Other targets make cross-entropy unbounded below, a fault found
    in two published code bases.
    """
    for name in loss.distributions:
        rows = np.asarray(request.inputs[name], np.float64)
        sums = rows.sum(-1)
        # Written so that NaN is wrong.
        wrong = ~(np.abs(sums - 1) <= ROW_SUM_TOLERANCE) | (rows < 0).any(-1)
        if name in loss.tables:
            wrong &= (rows != 0).any(-1)
        if wrong.any():
            row = int(np.argmax(wrong))
            raise TargetError(
                f"targets {name!r} of loss {request.loss!r} must be 0 or more and sum to one within"
                f" {ROW_SUM_TOLERANCE}: row {row} sums to {sums[row]:.6g}, its lowest value is"
                f" {rows[row].min():.6g}; normalise them"
            )
