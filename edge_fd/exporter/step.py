"""The training step and the forward pass as functions of one flat vector (``flat.py``)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch.func import grad_and_value

from devices.contents import LossSignature
from devices.optimizer import ADAM_BETA2, ADAM_EPS, state_length
from edge_fd.errors import UsageError
from edge_fd.exporter.emit import emit
from edge_fd.exporter.flat import (
    call,
    copied,
    feature_width,
    flatten,
    named_values,
    statistics,
    trained_size,
    unflatten,
)
from edge_fd.exporter.lowerings import decompositions
from edge_fd.exporter.operators import OPERATORS
from edge_fd.exporter.trace import EXAMPLE_BATCH, trace
from edge_fd.losses import Loss

Module = Any
Tensor = Any

OUTPUTS = ("new_theta", "new_opt", "loss", "logits")
CLIP_EPS = 1e-6  # that of torch.nn.utils.clip_grad_norm_

LARGE_GRAPH = 300
"""Nodes; a recurrent student over 128 steps has 600, a session of it takes half a second."""

SCALARS = {"sgd": ("lr", "momentum"), "adam": ("lr", "momentum", "correction")}


def signature(loss: Loss, optimizer: str) -> LossSignature:
    """Return what a graph of ``loss`` takes; ``optimizer`` is meant where the loss names none."""
    return LossSignature(
        loss.rows,
        loss.tables,
        loss.scalars,
        loss.feature_rows,
        loss.feature_tables,
        loss.vectors,
        loss.optimizer or optimizer,
    )


def training_graph(
    module: Module,
    loss: Loss,
    *,
    input_shape: tuple[int, ...],
    classes: int,
    optimizer: str = "sgd",
    momentum: bool = True,
) -> bytes:
    """Return the ONNX graph of one step by the loss's optimiser, or else by ``optimizer``.

    Inputs: theta, opt, x, the inputs of the loss in the order of its signature,
    and the optimiser's scalars. Outputs: new_theta, new_opt, loss (), logits
    (batch, classes) of training mode, before the step. The batch is open.

    sgd, scalars lr and momentum, as torch.optim.SGD: ``opt = momentum * opt +
    gradient``, ``theta = theta - lr * opt``; Sutskever et al. 2013 scale by lr
    inside. Without ``momentum`` there is no opt and no scalar momentum to take
    in, which saves a good part of a small step, and new_opt is the gradient.
    adam, Kingma & Ba 2015, algorithm 1, in the order of its section 2:
    scalars lr over the correction of the first moment, momentum (beta1), and
    correction, the root of the second moment's.
    """
    takes, width = signature(loss, optimizer), feature_width(module, input_shape)
    if loss.needs_features and not width:
        raise UsageError(
            "the loss needs the student's features, and no layer's output alone is its logits;"
            " call the last layer 'head' and return its output"
        )
    theta = flatten(module)
    plain = takes.optimizer == "sgd" and not momentum
    opt = torch.zeros(state_length(takes.optimizer, trained_size(module)))
    example = {"theta": theta} if plain else {"theta": theta, "opt": opt}
    example["x"] = _batch(*input_shape)
    shapes = takes.shapes(
        samples=EXAMPLE_BATCH, classes=classes, features=width, parameters=theta.numel()
    )
    example |= {name: torch.full(shape, 1 / classes) for name, shape in shapes.items()}
    scalars = ("lr",) if plain else SCALARS[takes.optimizer]
    example |= {name: torch.tensor(1.0) for name in scalars}
    batched = frozenset(("x", *takes.batched))
    step = _step(copied(module, training=True), loss, takes)
    if plain:
        step = partial(_without_opt, step)
    traced = trace(step, example, batched=batched, decompositions=decompositions())
    return emit(traced, OUTPUTS, OPERATORS)


def inference_graph(module: Module, *, input_shape: tuple[int, ...]) -> bytes:
    """Return the ONNX graph of x -> logits, features.

    ``theta`` is an external initialiser, so that a session folds and packs the
    weights; in a large graph, where a session for each new theta would cost
    more than it saves, it is an input. Without features the second output is
    left out.
    """
    module = copied(module, training=False)
    named = named_values(module)
    has_features = feature_width(module, input_shape) > 0

    def forward(theta: Tensor, x: Tensor) -> tuple[Tensor, ...]:
        out = call(module, unflatten(named, theta), x, features=has_features)
        return (out.logits, out.features) if has_features else (out.logits,)

    example = {"theta": flatten(module), "x": _batch(*input_shape)}
    table = decompositions()
    traced = trace(forward, example, batched=frozenset({"x"}), decompositions=table)
    outputs = ("logits", "features") if has_features else ("logits",)
    external = () if len(traced.module.graph.nodes) > LARGE_GRAPH else ("theta",)
    return emit(traced, outputs, OPERATORS, external=external)


def _step(module: Module, loss: Loss, takes: LossSignature) -> Callable[..., tuple[Tensor, ...]]:
    parameters, buffers = dict(module.named_parameters()), statistics(module)
    trained, total = trained_size(module), flatten(module).numel()
    descend = _adam if takes.optimizer == "adam" else _sgd

    def step(theta: Tensor, opt: Tensor | None, x: Tensor, *rest: Tensor) -> tuple[Tensor, ...]:
        given = dict(zip(takes.names, rest, strict=False))
        weights, kept = (theta.split((trained, total - trained))) if buffers else (theta, None)
        given |= {name: given[name][:trained] for name in takes.vectors if buffers}
        before = unflatten(buffers, kept) if buffers else {}

        def objective(weights: Tensor) -> tuple[Tensor, Any]:
            values = {**unflatten(parameters, weights), **before}
            out = call(module, values, x, features=loss.features)
            extra = {"features": out.features} if loss.features else {}
            extra |= {"theta": weights} if loss.theta else {}
            return loss.function(out.logits, **given, **extra), (out.logits, out.statistics)

        gradient, (value, (logits, after)) = grad_and_value(objective, has_aux=True)(weights)
        if loss.clip_norm is not None:
            gradient = gradient * (loss.clip_norm / (gradient.norm() + CLIP_EPS)).clamp(max=1)
        change, new_opt = descend(gradient, opt, *rest[len(takes.names) :])
        parts = [weights - change, *(after[name].reshape(-1) for name in buffers)]
        return torch.cat(parts) if buffers else parts[0], new_opt, value, logits

    return step


def _without_opt(step: Callable[..., Any], theta: Tensor, x: Tensor, *rest: Tensor) -> Any:
    return step(theta, None, x, *rest)


def _sgd(
    gradient: Tensor, opt: Tensor | None, lr: Tensor, momentum: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    new_opt = gradient if opt is None else momentum * opt + gradient
    return lr * new_opt, new_opt


def _adam(
    gradient: Tensor, opt: Tensor, lr: Tensor, momentum: Tensor, correction: Tensor
) -> tuple[Tensor, Tensor]:
    size = gradient.numel()
    first, second, steps = opt.split((size, size, 1))
    first = first + (1 - momentum) * (gradient - first)
    second = ADAM_BETA2 * second + (1 - ADAM_BETA2) * (gradient * gradient)
    change = lr * (first / (second.sqrt() / correction + ADAM_EPS))
    return change, torch.cat([first, second, steps + 1])


def _batch(*shape: int) -> Tensor:
    return torch.zeros(EXAMPLE_BATCH, *shape)
