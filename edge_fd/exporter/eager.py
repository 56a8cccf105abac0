"""One step and one forward pass of eager torch: what exported graphs are held against."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from devices.bundle import TrainingDefaults
from devices.optimizer import ADAM_BETA2, ADAM_EPS, parts
from devices.self_test import GOLDEN_STEPS, golden_opt
from edge_fd.exporter.flat import call, copied, flatten, named_values, trained_size, unflatten
from edge_fd.exporter.step import signature
from edge_fd.losses import Loss

Module = Any
Array = npt.NDArray[np.float32]


@dataclass(frozen=True)
class TorchStep:
    """One step of torch: the new state as flat vectors, and logits and loss before it."""

    theta: Array
    opt: Array
    logits: Array
    loss: float


def torch_predict(module: Module, x: Array, *, features: bool) -> Array:
    """Logits or features by torch in evaluation mode."""
    module = copied(module, training=False)
    with torch.no_grad():
        out = call(module, named_values(module), torch.from_numpy(x), features=features)
    wanted: Any = out.features if features else out.logits
    found: Array = wanted.numpy()
    return found


def torch_step(
    module: Module, loss: Loss, x: Array, inputs: Mapping[str, Array], training: TrainingDefaults
) -> TorchStep:
    """One step of torch.optim from the state of golden steps, and of torch's own clipping."""
    module = copied(module, training=True)
    named = dict(module.named_parameters())
    takes, trained = signature(loss, training.optimizer), trained_size(module)
    optimiser = _warm_optimiser(module, takes.optimizer, training)
    tensors = {name: torch.from_numpy(np.asarray(value)) for name, value in inputs.items()}
    tensors |= {name: tensors[name][:trained] for name in takes.vectors}
    out = call(module, named_values(module), torch.from_numpy(x), features=loss.features)
    if loss.features:
        tensors["features"] = out.features
    if loss.theta:
        tensors["theta"] = torch.cat([p.reshape(-1) for p in named.values()])
    value = loss.function(out.logits, **tensors)
    value.backward()
    if loss.clip_norm is not None:
        torch.nn.utils.clip_grad_norm_(named.values(), loss.clip_norm)
    for parameter in named.values():
        # torch.optim passes over what the loss does not reach; a graph has a zero there.
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
    optimiser.step()
    with torch.no_grad():
        after = [*named.values(), *out.statistics.values()]
        theta = torch.cat([part.reshape(-1) for part in after]).numpy()
    opt = _flat_state(list(named.values()), optimiser, takes.optimizer)
    return TorchStep(theta, opt, out.logits.detach().numpy(), float(value.item()))


def _warm_optimiser(module: Module, kind: str, training: TrainingDefaults) -> Any:
    named = dict(module.named_parameters())
    weights = flatten(module)[: trained_size(module)].numpy()
    opt = golden_opt(kind, weights)
    moments = [unflatten(named, torch.from_numpy(part.copy())) for part in parts(kind, opt)]
    if kind == "sgd":
        optimiser = torch.optim.SGD(named.values(), lr=training.lr, momentum=training.momentum)
        for name, parameter in named.items():
            optimiser.state[parameter]["momentum_buffer"] = moments[0][name]
        return optimiser
    betas = (training.momentum, ADAM_BETA2)
    optimiser = torch.optim.Adam(named.values(), lr=training.lr, betas=betas, eps=ADAM_EPS)
    for name, parameter in named.items():
        optimiser.state[parameter].update(
            step=torch.tensor(float(GOLDEN_STEPS)),
            exp_avg=moments[0][name],
            exp_avg_sq=moments[1][name],
        )
    return optimiser


def _flat_state(parameters: list[Any], optimiser: Any, kind: str) -> Array:
    keys = ("momentum_buffer",) if kind == "sgd" else ("exp_avg", "exp_avg_sq")
    # Without momentum torch keeps no buffer: it is the gradient.
    plain = kind == "sgd" and optimiser.defaults["momentum"] == 0
    values = [p.grad if plain else optimiser.state[p][key] for key in keys for p in parameters]
    if kind == "adam":
        values.append(optimiser.state[parameters[0]]["step"])
    found: Array = torch.cat([value.reshape(-1) for value in values]).numpy()
    return found
