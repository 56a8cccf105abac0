"""Golden batches: what eager torch makes of fixed inputs, kept for parity and self-test."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from devices.bundle import Bundle, Golden, GoldenStep, TrainingDefaults, golden_stride
from devices.student import GOLDEN_MOMENTUM, State, Student
from edge_fd.errors import UsageError
from edge_fd.export.step import flatten, unflatten
from edge_fd.losses import Loss

Module = Any
Array = npt.NDArray[np.float32]

BATCHES = (1, 8)
TOLERANCE = 1e-5  # of the largest update, and of the largest logit


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
    """Run torch once per batch size and loss; inputs are drawn from a fixed stream."""
    rng = np.random.default_rng(0)
    batches = []
    for size in BATCHES:
        x = rng.standard_normal((size, *input_shape)).astype(np.float32)
        steps = {}
        for name, loss in sorted(losses.items()):
            inputs = _inputs(loss, size, classes, rng)
            opt, value = torch_step(module, loss, x, inputs, training)
            kept = opt[:: golden_stride(len(opt))].copy()
            norm = float(np.linalg.norm(opt.astype(np.float64)))
            steps[name] = GoldenStep(inputs, kept, norm, value)
        with torch.no_grad():
            logits = module(torch.from_numpy(x)).numpy()
        batches.append(Golden(x, logits, steps))
    return tuple(batches)


def torch_step(
    module: Module, loss: Loss, x: Array, inputs: Mapping[str, Array], training: TrainingDefaults
) -> tuple[Array, float]:
    """One step of torch.optim.SGD from momentum 0.1 * theta: the new momentum and the loss."""
    module = copy.deepcopy(module)
    theta = flatten(module)
    optimiser = torch.optim.SGD(module.parameters(), lr=training.lr, momentum=training.momentum)
    start = unflatten(module, GOLDEN_MOMENTUM * theta)
    for name, parameter in module.named_parameters():
        optimiser.state[parameter]["momentum_buffer"] = start[name].clone()
    tensors = {name: torch.from_numpy(np.asarray(value)) for name, value in inputs.items()}
    value = loss.function(module(torch.from_numpy(x)), **tensors)
    value.backward()
    optimiser.step()
    if training.momentum == 0:  # torch then keeps no buffer: it is the gradient
        parts = [p.grad for p in module.parameters()]
    else:
        parts = [optimiser.state[p]["momentum_buffer"] for p in module.parameters()]
    return torch.cat([part.reshape(-1) for part in parts]).numpy(), float(value.item())


def check_parity(bundle: Bundle, module: Module, losses: Mapping[str, Loss]) -> None:
    """Raise :class:`ExportError` unless ONNX Runtime and torch agree on the golden batches.

    All weights are compared, where the self-test on a board sees only a sample of them.
    """
    student = Student(bundle)
    training = bundle.training
    before = State(bundle.theta, np.float32(GOLDEN_MOMENTUM) * bundle.theta)
    for golden in bundle.golden:
        where = f"student {bundle.student!r}, batch {len(golden.x)}"
        _agree(f"{where}: logits", student.predict(student.initial, golden.x), golden.logits)
        for name, step in golden.steps.items():
            opt, value = torch_step(module, losses[name], golden.x, step.inputs, training)
            done = student.step(
                before, name, golden.x, step.inputs, lr=training.lr, momentum=training.momentum
            )
            _agree(f"{where}, loss {name!r}: momentum", done.state.opt, opt)
            due = bundle.theta - np.float32(training.lr) * opt
            _agree(f"{where}, loss {name!r}: weights", done.state.theta, due)
            _agree(f"{where}, loss {name!r}: value", np.array([done.loss]), np.array([value]))
    student.self_test()


def _agree(what: str, found: npt.NDArray[Any], due: npt.NDArray[Any]) -> None:
    error, size = float(np.abs(found - due).max()), float(np.abs(due).max())
    if not error <= TOLERANCE * max(size, 1e-3):
        raise ExportError(
            f"{what} differ between ONNX Runtime and torch by {error:.3g} of {size:.3g}; write the"
            " layer or the loss otherwise, or report the operator as a fault of edge-fd"
        )


def _inputs(
    loss: Loss, batch: int, classes: int, rng: np.random.Generator
) -> dict[str, npt.NDArray[np.float32]]:
    inputs: dict[str, npt.NDArray[np.float32]] = {}
    for name in loss.rows + loss.tables:
        rows = batch if name in loss.rows else classes
        values = rng.standard_normal((rows, classes))
        if name in loss.distributions:
            values = np.exp(values) / np.exp(values).sum(1, keepdims=True)
        inputs[name] = values.astype(np.float32)
    for name in loss.scalars:
        inputs[name] = np.asarray(rng.uniform(0.5, 1.5), np.float32)
    return inputs
