"""A torch module as a function of one flat vector, and the head that its features lead to.

``theta`` holds all trained parameters in the order of ``named_parameters`` and
after them the running statistics of batch norm in the order of ``named_buffers``.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.func import functional_call

Module = Any
Tensor = Any

_COUNTER = "num_batches_tracked"  # read by torch where momentum is None, which export refuses


def copied(module: Module, *, training: bool) -> Module:
    """Return a copy in training or evaluation mode, without counters of batches."""
    module = copy.deepcopy(module).train(training)
    for layer in module.modules():
        if getattr(layer, _COUNTER, None) is not None:
            setattr(layer, _COUNTER, None)
    return module


def trained_size(module: Module) -> int:
    """How many values of ``theta`` have a gradient."""
    return sum(p.numel() for p in module.parameters())


def statistics(module: Module) -> dict[str, Tensor]:
    """Return the running statistics by name."""
    return {k: v for k, v in module.named_buffers() if k.rpartition(".")[2] != _COUNTER}


def flatten(module: Module) -> Tensor:
    """Return trained parameters and statistics as one vector (parameters,) float32."""
    return torch.cat([value.detach().reshape(-1) for value in named_values(module).values()])


def named_values(module: Module) -> dict[str, Tensor]:
    """Return what ``theta`` is made of, in its order."""
    return {**dict(module.named_parameters()), **statistics(module)}


def unflatten(named: dict[str, Tensor], vector: Tensor) -> dict[str, Tensor]:
    """Return the parts of ``vector`` under the names and shapes of ``named``."""
    parts = torch.split(vector, [value.numel() for value in named.values()])
    return {
        name: part.view(value.shape)
        for (name, value), part in zip(named.items(), parts, strict=True)
    }


def load(module: Module, theta: Tensor) -> None:
    """Give ``module`` the weights and statistics ``theta``."""
    named = named_values(module)
    with torch.no_grad():
        for name, part in unflatten(named, theta).items():
            named[name].copy_(part)


@dataclass(frozen=True)
class Outputs:
    """What a forward pass gives: logits, features where they are asked for, new statistics."""

    logits: Tensor
    features: Tensor | None
    statistics: dict[str, Tensor]


def call(module: Module, theta: dict[str, Tensor], x: Tensor, *, features: bool) -> Outputs:
    """Run ``module``, a :func:`copied` one, with values by name, which are not written to."""
    own = {name: theta[name].clone() for name in statistics(module)}
    seen: list[Tensor] = []
    name = head(module) if features else None
    hook = None
    if name is not None:
        hook = module.get_submodule(name).register_forward_pre_hook(
            lambda _layer, inputs: seen.append(inputs[0])
        )
    try:
        logits = functional_call(module, {**theta, **own}, (x,))
    finally:
        if hook is not None:
            hook.remove()
    return Outputs(logits, seen[0].flatten(1) if seen else None, own)


def head(module: Module) -> str | None:
    """Name of the layer whose input are the features: ``head``, else the last Linear."""
    layers = dict(module.named_modules())
    if "head" in layers:
        return "head"
    return next((name for name in reversed(layers) if isinstance(layers[name], nn.Linear)), None)


def feature_width(module: Module, input_shape: tuple[int, ...]) -> int:
    """Width of the features; 0 where the head does not map them to the logits.

    Watched in one forward pass of two samples in evaluation mode.
    """
    calls: list[tuple[tuple[Any, ...], Any]] = []
    name = head(module)
    if name is None:
        return 0
    layer = module.get_submodule(name)
    hook = layer.register_forward_hook(
        lambda _layer, inputs, output: calls.append((inputs, output))
    )
    training = module.training
    x = torch.linspace(-1, 1, 2 * torch.Size(input_shape).numel()).reshape(2, *input_shape)
    try:
        with torch.no_grad():
            logits = module.eval()(x)
    finally:
        module.train(training)
        hook.remove()
    if len(calls) != 1 or len(calls[0][0]) != 1:
        return 0
    (features,), output = calls[0]
    if not isinstance(features, torch.Tensor) or len(features) != len(x):
        return 0
    if not isinstance(output, torch.Tensor) or not torch.equal(output, logits):
        return 0
    return int(features[0].numel())
