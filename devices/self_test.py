"""The self-test: a bundle's golden batches replayed on this machine's ONNX Runtime."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from devices.bundle import BundleError
from devices.contents import Array, Golden, golden_vectors
from devices.optimizer import parts, update

if TYPE_CHECKING:
    from devices.student import Student

GOLDEN_MOMENTUM = 0.1  # the golden step starts with momentum GOLDEN_MOMENTUM * theta
GOLDEN_SECOND = 1e-6  # Adam's second moment, all of it,
GOLDEN_STEPS = 3  # after this many steps
STEP_TOLERANCE = 1e-3  # of the largest update
LOGIT_TOLERANCE = 1e-4


def golden_opt(optimizer: str, weights: Array) -> Array:
    """Return the optimiser's state before a golden step; ``weights`` are the trained ones.

    Adam's second moment starts above zero: where its root is as small as a
    rounding error of the gradient, that error would be as large as a whole step.
    """
    momentum = np.float32(GOLDEN_MOMENTUM) * weights
    if optimizer == "sgd":
        return momentum
    second = np.full_like(weights, GOLDEN_SECOND)
    return np.concatenate([momentum, second, np.array([GOLDEN_STEPS], np.float32)])


def self_test(student: Student) -> None:
    """Replay the golden batches; raise :class:`BundleError` where this runtime differs."""
    for golden in student.bundle.golden:
        logits = student.predict(student.initial, golden.x)
        _compare(student, "logits", logits, golden.logits, LOGIT_TOLERANCE)
        for loss in golden.steps:
            _test_step(student, golden, loss)


def _test_step(student: Student, golden: Golden, loss: str) -> None:
    bundle, expected = student.bundle, golden.steps[loss]
    theta, trained = bundle.theta, bundle.trained
    signature = bundle.losses[loss]
    settings = {"lr": bundle.training.lr, "momentum": bundle.training.momentum}
    opt = golden_opt(signature.optimizer, theta[:trained])
    inputs = {**expected.inputs, **golden_vectors(signature, theta)}
    done = student.step(replace(student.initial, opt=opt), loss, golden.x, inputs, **settings)

    def compare(what: str, found: Any, due: Any, tolerance: float = STEP_TOLERANCE) -> None:
        _compare(student, f"{what} of loss {loss!r}", np.asarray(found), due, tolerance)

    moments = parts(signature.optimizer, done.state.opt)
    norms = np.linalg.norm(moments.astype(np.float64), axis=1)
    for i, moment in enumerate(moments):
        compare(f"moment {i + 1}", moment[:: bundle.golden_stride], expected.opt[i])
        compare(f"norm of moment {i + 1}", norms[i], expected.opt_norm[i])
    change = done.state.theta[:trained] - theta[:trained]
    compare("update", change, update(signature.optimizer, done.state.opt, **settings))
    compare("value", done.loss, expected.loss)
    compare("logits", done.logits, expected.logits, LOGIT_TOLERANCE)
    if bundle.buffers:
        compare("statistics", done.state.theta[trained:], expected.statistics)


def _compare(
    student: Student,
    what: str,
    found: npt.NDArray[Any],
    due: npt.ArrayLike,
    tolerance: float,
) -> None:
    # Rounding of theta itself may exceed a thousandth of a very small update.
    error = float(np.abs(found - due).max())
    size = float(np.abs(due).max())
    rounding = float(np.abs(student.bundle.theta).max()) * 2.0**-22
    if not error <= tolerance * size + rounding:
        raise BundleError(
            f"of student {student.bundle.student!r}",
            f"self-test failed: {what} differs by {error:.3g} of {size:.3g}"
            f" on onnxruntime {ort.__version__}",
            "install another version of onnxruntime",
        )
