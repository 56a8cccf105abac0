"""Optimisers on a device: their state, and the scalars that a step's graph takes.

The arithmetic on weights is in the graph. ``opt`` is one float32 vector::

    sgd    momentum (trained,)
    adam   first moment (trained,), second moment (trained,), steps taken ()
"""

from __future__ import annotations

import math
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[np.float32]

PARTS = {"sgd": 1, "adam": 2}
"""Vectors of length ``trained`` that each optimiser keeps."""
ADAM_BETA2 = 0.999  # Kingma & Ba 2015, algorithm 1, and torch.optim.Adam
ADAM_EPS = 1e-8


def state_length(optimizer: str, trained: int) -> int:
    """Length of ``opt`` for a student with ``trained`` trained parameters."""
    return trained if optimizer == "sgd" else 2 * trained + 1


def parts(optimizer: str, opt: Array) -> Array:
    """View ``opt`` as (parts, trained): the momentum, and Adam's second moment after it."""
    count = PARTS[optimizer]
    trained = len(opt) // count
    return opt[: count * trained].reshape(count, trained)


def step_scalars(optimizer: str, opt: Array, *, lr: float, momentum: float) -> dict[str, Array]:
    """Return the scalar inputs of one step's graph; ``momentum`` is Adam's beta1.

    Adam's corrections of the bias are computed here in float64 from the count
    of steps: ``1 - beta2**t`` in float32 is off by 3e-5 at the first step.
    """
    values = {"lr": lr, "momentum": momentum}
    if optimizer == "adam":
        steps = float(opt[-1]) + 1
        values["lr"] = lr / (1 - momentum**steps)
        values["correction"] = math.sqrt(1 - ADAM_BETA2**steps)
    return {name: np.asarray(value, np.float32) for name, value in values.items()}


def update(optimizer: str, opt: Array, *, lr: float, momentum: float) -> npt.NDArray[np.floating]:
    """Return the change of weights (trained,) that led to the state ``opt`` after a step."""
    if optimizer == "sgd":
        return np.float32(-lr) * opt
    first, second = parts(optimizer, opt).astype(np.float64)
    steps = float(opt[-1])
    scaled = np.sqrt(second / (1 - ADAM_BETA2**steps)) + ADAM_EPS
    change: npt.NDArray[np.float64] = -lr * (first / (1 - momentum**steps)) / scaled
    return change
