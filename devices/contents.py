"""What a bundle holds, and how it lies in the file: members and manifest.

Reading, writing and verifying the file is ``bundle.py``'s part.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from devices.optimizer import PARTS
from devices.preprocess import Preprocess

Array: TypeAlias = npt.NDArray[np.float32]
Shape: TypeAlias = tuple[int, ...]

FORMAT = 2
MANIFEST = "manifest.json"
GOLDEN_ENTRIES = 4096


@dataclass(frozen=True)
class LossSignature:
    """What a loss takes, and the optimiser that its graph holds.

    rows (batch, classes), tables (classes, classes), scalars (), feature_rows
    (batch, features), feature_tables (classes, features), vectors (parameters,).
    """

    rows: tuple[str, ...] = ()
    tables: tuple[str, ...] = ()
    scalars: tuple[str, ...] = ()
    feature_rows: tuple[str, ...] = ()
    feature_tables: tuple[str, ...] = ()
    vectors: tuple[str, ...] = ()
    optimizer: str = "sgd"

    @property
    def names(self) -> tuple[str, ...]:
        """All inputs in the order of the graph."""
        return (
            self.rows
            + self.tables
            + self.scalars
            + self.feature_rows
            + self.feature_tables
            + self.vectors
        )

    @property
    def batched(self) -> tuple[str, ...]:
        """The inputs that follow the samples."""
        return self.rows + self.feature_rows

    def shapes(
        self, *, samples: int, classes: int, features: int, parameters: int
    ) -> dict[str, Shape]:
        """Shape of every input, by name."""
        kinds: tuple[tuple[tuple[str, ...], Shape], ...] = (
            (self.rows, (samples, classes)),
            (self.tables, (classes, classes)),
            (self.scalars, ()),
            (self.feature_rows, (samples, features)),
            (self.feature_tables, (classes, features)),
            (self.vectors, (parameters,)),
        )
        return {name: shape for names, shape in kinds for name in names}


@dataclass(frozen=True)
class TrainingDefaults:
    """Step size, momentum factor, samples per step and optimiser where nothing else is asked.

    With ``optimizer="adam"`` the momentum factor is Adam's beta1. The step size
    is that of the first round; each round takes ``lr_decay`` times the last one's.
    """

    lr: float
    momentum: float
    batch: int
    optimizer: str = "sgd"
    lr_decay: float = 1.0


@dataclass(frozen=True)
class GoldenStep:
    """One step of torch from the bundle's ``theta`` and a warm optimiser state.

    ``inputs`` as the loss declares them, without its vectors, which follow from
    ``theta`` (:func:`golden_vectors`). ``opt`` (parts, kept) are the entries
    ``0, stride, 2 * stride, ...`` of the new momentum and, for Adam, of the new
    second moment; ``opt_norm`` (parts,) are the Euclidean norms of all of them.
    ``statistics`` (buffers,) are the new running statistics, ``logits`` (batch,
    classes) those of training mode, before the step.
    """

    inputs: Mapping[str, Array]
    opt: Array
    opt_norm: npt.NDArray[np.float64]
    statistics: Array
    logits: Array
    loss: float


@dataclass(frozen=True)
class Golden:
    """One batch ``x`` (batch, *input_shape), its ``logits`` and one step per loss."""

    x: Array
    logits: Array
    steps: Mapping[str, GoldenStep]


@dataclass(frozen=True)
class Bundle:
    """Contents of a bundle; arrays are float32.

    ``macs`` are multiply-accumulates of one forward pass of one sample.
    ``features`` is the width of the head's input, 0 where the student has none.
    ``buffers`` counts the running statistics of batch norm at the end of
    ``theta``. ``infer_takes_theta``: the inference graph has the weights as an
    input, and not as constants. ``method`` is opaque here: name, settings and source hash, for
    the caller. ``train_graphs`` maps loss name to graph and is empty for
    ``infer``.
    """

    student: str
    classes: int
    input_shape: Shape
    preprocess: Preprocess
    macs: int
    features: int
    buffers: int
    training: TrainingDefaults
    method: Mapping[str, Any]
    capability: Literal["train", "infer"]
    opset: int
    versions: Mapping[str, str]
    theta: Array
    infer_graph: bytes
    infer_takes_theta: bool
    losses: Mapping[str, LossSignature]
    train_graphs: Mapping[str, bytes]
    golden: tuple[Golden, ...]

    @property
    def parameters(self) -> int:
        """Length of ``theta``, which is all that travels: weights and running statistics."""
        return len(self.theta)

    @property
    def trained(self) -> int:
        """How many of them have a gradient; they come first."""
        return len(self.theta) - self.buffers

    @property
    def golden_stride(self) -> int:
        """Distance of the entries that golden steps keep: at most 4096 of each part."""
        return golden_stride(self.trained)

    @cached_property
    def id(self) -> str:
        """SHA-256 of the manifest, in hex."""
        return sha256(manifest(self, members(self)))

    def input_shapes(self, loss: str, samples: int) -> dict[str, Shape]:
        """Shape of every input of ``loss`` for a batch of ``samples``."""
        return self.losses[loss].shapes(
            samples=samples,
            classes=self.classes,
            features=self.features,
            parameters=self.parameters,
        )


def golden_stride(trained: int) -> int:
    """Return the distance of kept entries, so that at most 4096 are kept."""
    return -(-trained // GOLDEN_ENTRIES)


def golden_vectors(signature: LossSignature, theta: Array) -> dict[str, Array]:
    """Return the vectors of a golden step, each other than ``theta`` and than the others.

    They are as long as ``theta`` itself, so the file does not repeat them.
    """
    return {
        name: np.float32(0.5) * np.roll(theta, i + 1) for i, name in enumerate(signature.vectors)
    }


def sha256(data: bytes) -> str:
    """Hash as it stands in a manifest, in hex."""
    return hashlib.sha256(data).hexdigest()


def members(bundle: Bundle) -> dict[str, bytes]:
    """Return all members of the file but the manifest, sorted by name."""
    found = {"infer.onnx": bundle.infer_graph, "theta.npy": _npy(bundle.theta)}
    found |= {_graph_name(graph): graph for graph in bundle.train_graphs.values()}
    for golden in bundle.golden:
        folder = f"golden/{len(golden.x)}"
        found[f"{folder}/x.npy"] = _npy(golden.x)
        found[f"{folder}/logits.npy"] = _npy(golden.logits)
        for loss, step in golden.steps.items():
            found |= {f"{folder}/{loss}/in-{k}.npy": _npy(v) for k, v in step.inputs.items()}
            found[f"{folder}/{loss}/opt.npy"] = _npy(step.opt)
            found[f"{folder}/{loss}/logits.npy"] = _npy(step.logits)
            numbers = np.array([step.loss, *step.opt_norm], np.float64)
            found[f"{folder}/{loss}/loss-norms.npy"] = _npy(numbers)
            if bundle.buffers:
                found[f"{folder}/{loss}/statistics.npy"] = _npy(step.statistics)
    return dict(sorted(found.items()))


def manifest(bundle: Bundle, contents: Mapping[str, bytes]) -> bytes:
    """Return the manifest of ``bundle``, whose members are ``contents``."""
    losses = {}
    for name, signature in bundle.losses.items():
        graph = _graph_name(bundle.train_graphs[name]) if bundle.train_graphs else None
        losses[name] = {"graph": graph, **vars(signature)}
    facts = {
        "format": FORMAT,
        "student": bundle.student,
        "classes": bundle.classes,
        "input_shape": bundle.input_shape,
        "preprocess": bundle.preprocess.to_dict(),
        "parameters": bundle.parameters,
        "buffers": bundle.buffers,
        "features": bundle.features,
        "macs": bundle.macs,
        "infer_takes_theta": bundle.infer_takes_theta,
        "losses": losses,
        "training": vars(bundle.training),
        "method": bundle.method,
        "capability": bundle.capability,
        "opset": bundle.opset,
        "versions": bundle.versions,
        "golden": [len(golden.x) for golden in bundle.golden],
        "members": {name: sha256(data) for name, data in contents.items()},
    }
    return json.dumps(facts, sort_keys=True, indent=1, allow_nan=False).encode()


def array_shapes(bundle: Bundle) -> Iterator[tuple[str, Shape, Shape]]:
    """Yield name, found shape and due shape of every array."""
    yield "theta", bundle.theta.shape, (bundle.theta.size,)
    classes = bundle.classes
    kept = len(range(0, bundle.trained, bundle.golden_stride))
    for golden in bundle.golden:
        batch = len(golden.x)
        yield "golden x", golden.x.shape, (batch, *bundle.input_shape)
        yield "golden logits", golden.logits.shape, (batch, classes)
        for name, step in golden.steps.items():
            due = bundle.input_shapes(name, batch)
            for key, value in step.inputs.items():
                yield f"golden {name} {key}", value.shape, due[key]
            parts = PARTS[bundle.losses[name].optimizer]
            yield f"golden {name} opt", step.opt.shape, (parts, kept)
            yield f"golden {name} norms", step.opt_norm.shape, (parts,)
            yield f"golden {name} logits", step.logits.shape, (batch, classes)
            if bundle.buffers:
                yield f"golden {name} statistics", step.statistics.shape, (bundle.buffers,)


def _npy(array: npt.NDArray[Any]) -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, np.asarray(array), version=(1, 0), allow_pickle=False)
    return buffer.getvalue()


def _graph_name(graph: bytes) -> str:
    return f"train-{sha256(graph)[:12]}.onnx"
