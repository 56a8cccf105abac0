"""Build a student by name, with weights that depend on the seed alone."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from edge_fd.errors import UnknownNameError, UsageError
from edge_fd.students.nets import (
    IMAGE_RANK,
    SMALLEST_DSCNN_IMAGE,
    SMALLEST_IMAGE,
    dscnn,
    gru,
    har_cnn,
    lenet5,
    mlp,
)

Module = Any

_SMALLEST = {"lenet5": SMALLEST_IMAGE, "dscnn": SMALLEST_DSCNN_IMAGE}

STUDENTS: dict[str, Callable[[tuple[int, ...], int], Module]] = {
    "dscnn": dscnn,
    "gru": gru,
    "har_cnn": har_cnn,
    "lenet5": lenet5,
    "mlp": mlp,
}


def build(name: str, input_shape: tuple[int, ...], classes: int, *, seed: int) -> Module:
    """Return a torch module from (batch, *input_shape) float32 to logits (batch, classes).

    ``name`` is one of :data:`STUDENTS` or a user's own ``package.module:factory``
    with ``factory(input_shape, classes)``; the current folder is searched last.
    Weights come from torch's CPU generator seeded with ``seed``; the caller's
    generator is left as it was. Raises UnknownNameError and UsageError.
    """
    if not input_shape or any(size < 1 for size in input_shape) or classes < 1:
        raise UsageError(
            f"student {name!r}: input shape {input_shape} and classes {classes} must be positive"
        )
    factory = _own(name) if ":" in name else STUDENTS.get(name)
    if factory is None:
        raise UnknownNameError("student", name, STUDENTS)
    with torch.random.fork_rng(devices=[]):
        # The CPU generator alone: torch.manual_seed would reseed every GPU as well.
        torch.default_generator.manual_seed(seed)
        module = factory(input_shape, classes)
    _check(name, module, input_shape, classes)
    return module


def default_input_shape(name: str, data_shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the input shape of student ``name`` for samples of ``data_shape``.

    ``lenet5`` and ``dscnn`` get images as (channels, height, width), those with
    a side below 12 and 8 as 28x28 (Preprocess resizes); every other student
    gets ``data_shape``.
    """
    if name not in _SMALLEST:
        return data_shape
    shape = (1, *data_shape) if len(data_shape) == IMAGE_RANK - 1 else data_shape
    if len(shape) == IMAGE_RANK and min(shape[1:]) < _SMALLEST[name]:
        return (shape[0], 28, 28)
    return shape


def _own(name: str) -> Callable[[tuple[int, ...], int], Module]:
    path, _, attribute = name.partition(":")
    here = str(Path.cwd())
    if here not in sys.path and "" not in sys.path:
        sys.path.append(here)  # appended, so that nothing of the user's hides an installed package
    try:
        factory = getattr(importlib.import_module(path), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise UsageError(
            f"student {name!r} cannot be loaded ({error}); give package.module:factory, installed"
            f" or in {here}"
        ) from error
    if not callable(factory):
        raise UsageError(f"student {name!r} is a {type(factory).__name__}, not a factory")
    own: Callable[[tuple[int, ...], int], Module] = factory
    return own


def _check(name: str, module: Module, input_shape: tuple[int, ...], classes: int) -> None:
    if not isinstance(module, torch.nn.Module):
        raise UsageError(
            f"student {name!r} gave a {type(module).__name__}; factory(input_shape, classes)"
            " must return a torch.nn.Module"
        )
    training = module.training
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            logits = module.eval()(torch.zeros(2, *input_shape))
    except (RuntimeError, TypeError, ValueError, IndexError) as error:
        raise UsageError(
            f"student {name!r} does not take an input of shape (2, *{input_shape}): {error}"
        ) from error
    finally:
        module.train(training)
    if not isinstance(logits, torch.Tensor) or logits.shape != (2, classes):
        found = tuple(logits.shape) if isinstance(logits, torch.Tensor) else type(logits).__name__
        raise UsageError(
            f"student {name!r} gives {found} for a batch of two, not logits (2, {classes})"
        )
    if logits.dtype != torch.float32:
        raise UsageError(f"student {name!r} gives {logits.dtype} logits; float32 is needed")
