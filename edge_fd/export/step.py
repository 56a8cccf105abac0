"""The training step and the forward pass as functions of one flat weight vector.

``theta`` holds all parameters in the order of ``named_parameters``, ``opt`` the
momentum in the same order.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.func import functional_call, grad_and_value

from edge_fd.export.emit import emit
from edge_fd.export.lowerings import decompositions
from edge_fd.export.operators import OPERATORS
from edge_fd.export.trace import EXAMPLE_BATCH, trace
from edge_fd.losses import Loss

Module = Any
Tensor = Any

OUTPUTS = ("new_theta", "new_opt", "loss", "logits")


def flatten(module: Module) -> Tensor:
    """Return all parameters as one vector (parameters,) float32."""
    return torch.cat([p.detach().reshape(-1) for _, p in module.named_parameters()])


def unflatten(module: Module, theta: Tensor) -> dict[str, Tensor]:
    """Return the parts of ``theta`` under the names and shapes of the parameters."""
    named = list(module.named_parameters())
    parts = torch.split(theta, [p.numel() for _, p in named])
    return {name: part.view(p.shape) for (name, p), part in zip(named, parts, strict=True)}


def training_graph(
    module: Module, loss: Loss, *, input_shape: tuple[int, ...], classes: int
) -> bytes:
    """Return the ONNX graph of one SGD step with momentum, as torch.optim.SGD.

    Inputs: theta, opt, x, the loss's rows, tables and scalars, lr, momentum.
    Outputs: new_theta, new_opt, loss (), logits (batch, classes) before the
    step. The batch is open. ``opt = momentum * opt + gradient``,
    ``theta = theta - lr * opt``; Sutskever et al. 2013 scale by lr inside.
    """
    theta = flatten(module)
    example = {"theta": theta, "opt": torch.zeros_like(theta), "x": _batch(*input_shape)}
    example |= {name: torch.full_like(_batch(classes), 1 / classes) for name in loss.rows}
    example |= {name: torch.eye(classes) for name in loss.tables}
    example |= {name: torch.tensor(1.0) for name in (*loss.scalars, "lr", "momentum")}
    batched = frozenset(("x", *loss.rows))
    step = _step(module, loss)
    traced = trace(step, example, batched=batched, decompositions=decompositions())
    return emit(traced, OUTPUTS, OPERATORS)


def inference_graph(module: Module, *, input_shape: tuple[int, ...]) -> bytes:
    """Return the ONNX graph of x -> logits; ``theta`` is an external initialiser."""

    def forward(theta: Tensor, x: Tensor) -> tuple[Tensor, ...]:
        return (functional_call(module, unflatten(module, theta), (x,)),)

    example = {"theta": flatten(module), "x": _batch(*input_shape)}
    table = decompositions()
    traced = trace(forward, example, batched=frozenset({"x"}), decompositions=table)
    return emit(traced, ("logits",), OPERATORS, external=("theta",))


def _step(module: Module, loss: Loss) -> Callable[..., tuple[Tensor, ...]]:
    names = loss.rows + loss.tables + loss.scalars

    def step(theta: Tensor, opt: Tensor, x: Tensor, *rest: Tensor) -> tuple[Tensor, ...]:
        *values, lr, momentum = rest

        def objective(parameters: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
            logits = functional_call(module, parameters, (x,))
            return loss.function(logits, **dict(zip(names, values, strict=True))), logits

        gradients, (value, logits) = grad_and_value(objective, has_aux=True)(
            unflatten(module, theta)
        )
        gradient = torch.cat([gradients[name].reshape(-1) for name in gradients])
        new_opt = momentum * opt + gradient
        return theta - lr * new_opt, new_opt, value, logits

    return step


def _batch(*shape: int) -> Tensor:
    return torch.zeros(EXAMPLE_BATCH, *shape)
