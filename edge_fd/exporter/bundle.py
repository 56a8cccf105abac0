"""From a torch module and a method's losses to a bundle on disk."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Hashable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import torch

from devices.bundle import Bundle, TrainingDefaults, read_bundle, write_bundle
from devices.optimizer import PARTS
from devices.preprocess import Preprocess
from edge_fd.errors import UnknownNameError, UsageError
from edge_fd.exporter.emit import OPSET
from edge_fd.exporter.flat import copied, feature_width, flatten, load, named_values, statistics
from edge_fd.exporter.golden import check_parity, golden_batches
from edge_fd.exporter.step import SCALARS, inference_graph, signature, training_graph
from edge_fd.losses import Loss
from edge_fd.students.cost import count

Module = Any

_LOSS_NAME = re.compile(r"[A-Za-z0-9_-]+")
_RESERVED = {"theta", "opt", "x", "features", "logits", *SCALARS["adam"]}
_PLAIN = (bool, int, float, str, type(None))

_traced: dict[Hashable, bytes] = {}  # a fleet of one student is traced once in a process


def export_bundle(
    path: str | Path,
    student: str,
    losses: Mapping[str, Loss],
    *,
    module: Module,
    input_shape: tuple[int, ...],
    classes: int,
    preprocess: Preprocess,
    method: Mapping[str, Any],
    lr: float,
    momentum: float,
    batch: int,
    optimizer: str = "sgd",
    lr_decay: float = 1.0,
    capability: Literal["train", "infer"] = "train",
    theta: npt.NDArray[np.float32] | None = None,
) -> Bundle:
    """Write the bundle of ``module`` to ``path`` and return it as read back.

    ``losses`` are the method's, by name; ``method`` is kept as it is, plain
    values only. ``lr``, ``momentum``, ``batch`` and ``optimizer`` ("sgd" or
    "adam", with ``momentum`` as beta1) are the defaults of training. ``theta``
    (parameters,) float32 replaces the module's weights and running statistics;
    ``module`` itself is not changed. With ``capability="infer"`` the bundle
    holds no training graph. Raises UsageError for a module or loss that cannot
    be exported, and ExportError where ONNX Runtime and torch disagree.
    """
    training = _training(student, lr, momentum, batch, optimizer, lr_decay)
    module = _own_copy(student, module, theta)
    trained = {name: losses[name] for name in sorted(losses)} if capability == "train" else {}
    infer_graph = _inference(student, module, input_shape)
    bundle = Bundle(
        student=student,
        classes=classes,
        input_shape=tuple(int(size) for size in input_shape),
        preprocess=preprocess,
        macs=count(module, input_shape).macs,
        features=feature_width(module, input_shape),
        buffers=sum(value.numel() for value in statistics(module).values()),
        training=training,
        method=_plain_method(student, method),
        capability=capability,
        opset=OPSET,
        versions=_versions(),
        theta=flatten(module).numpy(),
        infer_graph=infer_graph,
        infer_takes_theta=_takes_theta(infer_graph),
        losses={name: signature(loss, optimizer) for name, loss in trained.items()},
        train_graphs=_training_steps(student, module, trained, input_shape, classes, training),
        golden=golden_batches(
            module, trained, input_shape=input_shape, classes=classes, training=training
        ),
    )
    check_parity(bundle, module, trained)
    return read_bundle(write_bundle(path, bundle))


def _versions() -> dict[str, str]:
    return {
        "torch": str(torch.__version__),
        "onnx": str(onnx.__version__),
        "onnxruntime": str(onnxruntime.__version__),
        "numpy": str(np.__version__),
    }


def _training(
    student: str, lr: float, momentum: float, batch: int, optimizer: str, lr_decay: float
) -> TrainingDefaults:
    if optimizer not in PARTS:
        raise UnknownNameError("optimizer", optimizer, PARTS)
    if not (0 < lr < float("inf")) or not 0 <= momentum < 1 or batch < 1:
        raise UsageError(
            f"student {student!r}: lr {lr} must be above 0, momentum {momentum} in [0, 1),"
            f" batch {batch} at least 1"
        )
    if not 0 < lr_decay <= 1:
        raise UsageError(f"student {student!r}: lr_decay {lr_decay} must be in (0, 1]")
    return TrainingDefaults(float(lr), float(momentum), int(batch), optimizer, float(lr_decay))


def _plain_method(student: str, method: Mapping[str, Any]) -> Mapping[str, Any]:
    try:
        json.dumps(method, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise UsageError(
            f"student {student!r}: method {method} must hold plain JSON values only ({error})"
        ) from error
    return method


def _own_copy(student: str, module: Module, theta: npt.NDArray[np.float32] | None) -> Module:
    """A copy in training mode with the weights ``theta``; refuses what cannot be exported."""
    for name, layer in module.named_modules():
        wrong = _refusal(layer)
        if wrong is not None:
            raise UsageError(
                f"student {student!r}: layer {name!r} ({type(layer).__name__}) {wrong}"
            )
    for name, parameter in module.named_parameters():
        if not parameter.requires_grad or parameter.dtype != torch.float32:
            raise UsageError(
                f"student {student!r}: parameter {name!r} is frozen or {parameter.dtype}; all must"
                " be trainable float32"
            )
    module = copied(module, training=True)
    if theta is not None:
        size = flatten(module).numel()
        if theta.shape != (size,) or not np.isfinite(theta).all():
            raise UsageError(
                f"student {student!r}: theta {theta.shape} must be {size} finite numbers"
            )
        load(module, torch.tensor(theta, dtype=torch.float32))
    return module


def _refusal(layer: Module) -> str | None:
    """Why a layer cannot be exported, with the remedy; None where it can."""
    if isinstance(layer, torch.nn.modules.dropout._DropoutNd) and layer.p > 0:  # noqa: SLF001
        return "is random, which a device cannot train; leave it out or set p=0"
    if type(layer) in (torch.nn.BatchNorm1d, torch.nn.BatchNorm2d):
        if layer.momentum is None:
            return "averages over all batches; set its momentum, as 0.1"
        if not layer.track_running_stats:
            return "keeps no running statistics; set track_running_stats=True"
    elif any(True for _ in layer.buffers(recurse=False)):
        return (
            "keeps buffers, which a device cannot train; leave it out (of layers with buffers"
            " only BatchNorm1d and BatchNorm2d are known)"
        )
    return None


def _check_loss(name: str, loss: Loss) -> None:
    inputs = signature(loss, "sgd").names
    clash = sorted(_RESERVED.intersection(inputs)) or sorted(
        {key for key in inputs if inputs.count(key) > 1 or not key.isidentifier()}
    )
    if not _LOSS_NAME.fullmatch(name) or clash:
        raise UsageError(
            f"loss {name!r} with inputs {inputs}: names must be plain identifiers, each once, and"
            f" none of {sorted(_RESERVED)}"
        )
    if loss.optimizer is not None and loss.optimizer not in PARTS:
        raise UnknownNameError("optimizer", loss.optimizer, PARTS)
    if loss.clip_norm is not None and not 0 < loss.clip_norm < float("inf"):
        raise UsageError(f"loss {name!r}: clip_norm {loss.clip_norm} must be above 0 and finite")


def _inference(student: str, module: Module, input_shape: tuple[int, ...]) -> bytes:
    make = partial(inference_graph, module, input_shape=input_shape)
    return _graph(_key(module, None, input_shape), f"student {student!r}", make)


def _takes_theta(graph: bytes) -> bool:
    return any(value.name == "theta" for value in onnx.load_from_string(graph).graph.input)


def _training_steps(
    student: str,
    module: Module,
    losses: Mapping[str, Loss],
    input_shape: tuple[int, ...],
    classes: int,
    training: TrainingDefaults,
) -> dict[str, bytes]:
    optimizer, momentum = training.optimizer, training.momentum > 0
    graphs = {}
    for name, loss in losses.items():
        _check_loss(name, loss)
        make = partial(
            training_graph,
            module,
            loss,
            input_shape=input_shape,
            classes=classes,
            optimizer=optimizer,
            momentum=momentum,
        )
        where = f"student {student!r}, loss {name!r}"
        kind = loss.optimizer or optimizer
        key = _key(module, loss, input_shape, classes, kind, momentum)
        graphs[name] = _graph(key, where, make)
    return graphs


def _graph(key: Hashable | None, where: str, make: Callable[[], bytes]) -> bytes:
    """Make a graph, or take that of an equal student traced before; errors say ``where``."""
    if key is not None and key in _traced:
        return _traced[key]
    try:
        graph = make()
    except (UsageError, RuntimeError, TypeError, ValueError, IndexError) as error:
        raise UsageError(f"{where}: {error}") from error
    if key is not None:
        _traced[key] = graph
    return graph


def _key(
    module: Module, loss: Loss | None, input_shape: tuple[int, ...], *settings: Hashable
) -> Hashable | None:
    """What decides a graph, or None where that cannot be told.

    Weights do not: they are an input. The loss counts by its function object,
    since functions of equal source may hold different settings.
    """
    layers = []
    for name, layer in module.named_modules():
        own = {k: v for k, v in vars(layer).items() if not k.startswith("_")}
        known = type(layer).__module__.startswith("torch.nn.")
        if not known and not all(isinstance(value, _PLAIN) for value in own.values()):
            return None
        told = layer.extra_repr() if known else tuple(sorted(own.items()))
        layers.append((name, type(layer), told))
    shapes = tuple((name, tuple(value.shape)) for name, value in named_values(module).items())
    width = feature_width(module, input_shape)
    return (tuple(layers), shapes, loss, input_shape, width, settings)
