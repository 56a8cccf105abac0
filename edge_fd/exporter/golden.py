"""Golden batches: what eager torch makes of fixed inputs, kept for parity and self-test."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from devices.bundle import Bundle, Golden, GoldenStep, LossSignature, TrainingDefaults
from devices.contents import golden_stride, golden_vectors
from devices.optimizer import parts
from devices.self_test import golden_opt
from devices.student import Student
from edge_fd.errors import UsageError
from edge_fd.exporter.eager import TorchStep, torch_predict, torch_step
from edge_fd.exporter.flat import feature_width, flatten, statistics, trained_size
from edge_fd.exporter.step import signature
from edge_fd.losses import Loss

Module = Any
Array = npt.NDArray[np.float32]

BATCHES = (1, 8)
BATCHES_WITH_STATISTICS = (2, 8)  # a variance needs two samples
TOLERANCE = 1e-5  # of the largest update, and of the largest logit
# Batch norm divides by the deviation of few values and takes differences of near ones.
TOLERANCE_WITH_STATISTICS = 1e-4
ADAM_TOLERANCE = 0.02  # of lr, besides: a small gradient's rounding is divided by its size
NUDGE = 1e-6  # what rounding may move an activation by, with a margin
JUMP = 1e-4  # of the largest entry; what is smooth moves by the size of the nudge
DRAWS = 10


class ExportError(UsageError):
    """An exported graph that does not compute what torch computes."""


def golden_batches(
    module: Module,
    losses: Mapping[str, Loss],
    *,
    input_shape: tuple[int, ...],
    classes: int,
    training: TrainingDefaults,
) -> tuple[Golden, ...]:
    """Run torch once per batch size and loss; inputs are drawn from a fixed stream.

    A batch that lies on a kink, where the last bit of an activation decides the
    gradient and any two libraries may differ, is drawn again.
    """
    rng = np.random.default_rng(0)
    draw = _Draw(module, losses, input_shape, classes, training, rng)
    batches = []
    for size in BATCHES_WITH_STATISTICS if statistics(module) else BATCHES:
        for _ in range(DRAWS):
            x, inputs = draw.batch(size)
            steps = draw.steps(x, inputs)
            if draw.is_firm(x, inputs, steps):
                break
        golden = {
            name: _golden_step(inputs[name], steps[name], draw.takes[name], trained_size(module))
            for name in steps
        }
        batches.append(Golden(x, torch_predict(module, x, features=False), golden))
    return tuple(batches)


def _golden_step(
    inputs: Mapping[str, Array], done: TorchStep, takes: LossSignature, trained: int
) -> GoldenStep:
    moments = parts(takes.optimizer, done.opt)
    return GoldenStep(
        inputs=inputs,
        opt=np.ascontiguousarray(moments[:, :: golden_stride(trained)]),
        opt_norm=np.linalg.norm(moments.astype(np.float64), axis=1),
        statistics=done.theta[trained:],
        logits=done.logits,
        loss=done.loss,
    )


class _Draw:
    """Draws batches and lets torch take a step of each loss on them."""

    def __init__(
        self,
        module: Module,
        losses: Mapping[str, Loss],
        input_shape: tuple[int, ...],
        classes: int,
        training: TrainingDefaults,
        rng: np.random.Generator,
    ) -> None:
        self.takes = {
            name: signature(loss, training.optimizer) for name, loss in sorted(losses.items())
        }
        self._module, self._losses, self._training = module, losses, training
        self._input_shape, self._classes, self._rng = input_shape, classes, rng
        self._width = feature_width(module, input_shape)
        self._theta = flatten(module).numpy()

    def batch(self, size: int) -> tuple[Array, dict[str, dict[str, Array]]]:
        """Return samples, and the inputs of each loss without its vectors."""
        x = self._rng.standard_normal((size, *self._input_shape)).astype(np.float32)
        inputs: dict[str, dict[str, Array]] = {}
        for loss, takes in self.takes.items():
            shapes = takes.shapes(
                samples=size,
                classes=self._classes,
                features=self._width,
                parameters=len(self._theta),
            )
            stored = {key: shape for key, shape in shapes.items() if key not in takes.vectors}
            inputs[loss] = {key: self._input(loss, key, stored[key]) for key in stored}
        return x, inputs

    def _input(self, loss: str, key: str, shape: tuple[int, ...]) -> Array:
        if key in self.takes[loss].scalars:
            return np.asarray(self._rng.uniform(0.5, 1.5), np.float32)
        values = self._rng.standard_normal(shape)
        if key in self._losses[loss].distributions:
            values = np.exp(values) / np.exp(values).sum(1, keepdims=True)
        return values.astype(np.float32)

    def steps(self, x: Array, inputs: Mapping[str, Mapping[str, Array]]) -> dict[str, TorchStep]:
        """Return torch's step of each loss."""
        return {
            name: torch_step(
                self._module,
                self._losses[name],
                x,
                {**inputs[name], **golden_vectors(takes, self._theta)},
                self._training,
            )
            for name, takes in self.takes.items()
        }

    def is_firm(
        self,
        x: Array,
        inputs: Mapping[str, Mapping[str, Array]],
        steps: Mapping[str, TorchStep],
    ) -> bool:
        """Whether no gradient jumps when ``x`` moves by what rounding could, there or back."""
        nudge = (NUDGE * self._rng.standard_normal(x.shape)).astype(np.float32)
        for moved in (x + nudge, x - nudge):
            for name, near in self.steps(moved, inputs).items():
                here = parts(self.takes[name].optimizer, steps[name].opt)[0]
                there = parts(self.takes[name].optimizer, near.opt)[0]
                if np.abs(here - there).max() > JUMP * np.abs(here).max():
                    return False
        return True


def check_parity(bundle: Bundle, module: Module, losses: Mapping[str, Loss]) -> None:
    """Raise :class:`ExportError` unless ONNX Runtime and torch agree on the golden batches.

    All weights are compared, where the self-test on a board sees only a sample of them.
    """
    student = Student(bundle)
    for golden in bundle.golden:
        where = f"student {bundle.student!r}, batch {len(golden.x)}"
        _agree(f"{where}: logits", student.predict(student.initial, golden.x), golden.logits)
        if bundle.features:
            found = student.predict(student.initial, golden.x, output="features")
            due = torch_predict(module, golden.x, features=True)
            _agree(f"{where}: features", found, due)
        for name in golden.steps:
            _check_step(student, module, losses[name], name, golden)
    student.self_test()


def _check_step(student: Student, module: Module, loss: Loss, name: str, golden: Golden) -> None:
    bundle = student.bundle
    takes, training, trained = bundle.losses[name], bundle.training, bundle.trained
    inputs = {**golden.steps[name].inputs, **golden_vectors(takes, bundle.theta)}
    due = torch_step(module, loss, golden.x, inputs, training)
    opt = golden_opt(takes.optimizer, bundle.theta[:trained])
    before = replace(student.initial, opt=opt)
    found = student.step(before, name, golden.x, inputs, lr=training.lr, momentum=training.momentum)
    where = f"student {bundle.student!r}, batch {len(golden.x)}, loss {name!r}"
    tolerance = TOLERANCE_WITH_STATISTICS if bundle.buffers else TOLERANCE
    moments = (parts(takes.optimizer, step.opt) for step in (found.state, due))
    for i, (ours, theirs) in enumerate(zip(*moments, strict=True)):
        _agree(f"{where}: moment {i + 1}", ours, theirs, tolerance)
    slack = ADAM_TOLERANCE * training.lr if takes.optimizer == "adam" else 0.0
    theta = found.state.theta
    _agree(f"{where}: weights", theta[:trained], due.theta[:trained], tolerance, slack)
    if bundle.buffers:
        _agree(f"{where}: statistics", theta[trained:], due.theta[trained:], tolerance)
    _agree(f"{where}: logits", found.logits, due.logits, tolerance)
    _agree(f"{where}: value", np.array([found.loss]), np.array([due.loss]), tolerance)


def _agree(
    what: str,
    found: npt.NDArray[Any],
    due: npt.NDArray[Any],
    tolerance: float = TOLERANCE,
    slack: float = 0.0,
) -> None:
    error, size = float(np.abs(found - due).max()), float(np.abs(due).max())
    if not error <= tolerance * max(size, 1e-3) + slack:
        raise ExportError(
            f"{what} differ between ONNX Runtime and torch by {error:.3g} of {size:.3g}; write the"
            " layer or the loss otherwise, or report the operator as a fault of edge-fd"
        )
