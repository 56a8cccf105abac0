"""Size and cost of a student: parameters and multiply-accumulates."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

Module = Any

_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)


@dataclass(frozen=True)
class Counts:
    """Trained ``parameters`` of the student, ``macs`` of one forward pass of one sample."""

    parameters: int
    macs: int


def count(module: Module, input_shape: tuple[int, ...]) -> Counts:
    """Count by watching one forward pass of one sample of ``input_shape``.

    Convolution, linear and recurrent layers are counted, as is usual; biases,
    activations, pooling, batch norm (which folds into the layer before it) and
    products written outside a layer are not.
    """
    macs = 0

    def watch(layer: Module, _inputs: Any, output: Any) -> None:
        nonlocal macs
        if isinstance(layer, nn.RNNBase):
            steps = output[0].shape[1 if layer.batch_first else 0]
            weights = (p for name, p in layer.named_parameters() if name.startswith("weight"))
            macs += steps * sum(weight.numel() for weight in weights)
        elif isinstance(layer, nn.Linear):
            macs += output.numel() * layer.in_features
        else:
            taps = math.prod(layer.kernel_size) * layer.in_channels // layer.groups
            macs += output.numel() * taps

    hooks = [
        layer.register_forward_hook(watch)
        for layer in module.modules()
        if isinstance(layer, (nn.Linear, nn.RNNBase, *_CONVOLUTIONS))
    ]
    training = module.training
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            module.eval()(torch.zeros(1, *input_shape))
    finally:
        module.train(training)
        for hook in hooks:
            hook.remove()
    return Counts(sum(p.numel() for p in module.parameters()), macs)
