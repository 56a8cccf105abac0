"""The bundle: all that a board needs to be a student, in one verified file.

``NAME.efdb`` is a zip of uncompressed members with a fixed time stamp, so that
the same contents give the same bytes::

    manifest.json                  plain facts and the SHA-256 of every member
    infer.onnx                     (theta), x -> logits
    train-<hash12>.onnx            one training step; losses with equal graphs share it
    theta.npy                      initial weights
    golden/<batch>/...             inputs and what torch made of them, for the self-test

The id of a bundle is the SHA-256 of its manifest. No code travels in it, no
pickle is read, and reading never needs more memory than the file is long.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from devices.preprocess import Preprocess

Array: TypeAlias = npt.NDArray[np.float32]

FORMAT = 1
MANIFEST = "manifest.json"
MAX_BUNDLE_BYTES = 256 * 2**20
MAX_MANIFEST_BYTES = 2**20
MAX_MEMBERS = 4096
_MALFORMED = (KeyError, IndexError, TypeError, ValueError, AttributeError, NotImplementedError)
_TIME_STAMP = (1980, 1, 1, 0, 0, 0)


class BundleError(ValueError):
    """A bundle that must not be used; names the file, what is wrong and the remedy."""

    def __init__(
        self, path: str | Path, wrong: str, remedy: str = "export or copy it again"
    ) -> None:
        super().__init__(f"bundle {path}: {wrong}; {remedy}")


@dataclass(frozen=True)
class LossSignature:
    """What a loss takes: rows (batch, classes), tables (classes, classes), scalars ()."""

    rows: tuple[str, ...] = ()
    tables: tuple[str, ...] = ()
    scalars: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """All inputs in the order of the graph."""
        return self.rows + self.tables + self.scalars


@dataclass(frozen=True)
class TrainingDefaults:
    """Step size, momentum factor and samples per step where a request names none."""

    lr: float
    momentum: float
    batch: int


@dataclass(frozen=True)
class GoldenStep:
    """One step of torch from the bundle's ``theta`` with momentum 0.1 * theta.

    ``inputs`` as the loss declares them. ``opt`` are the entries
    ``0, stride, 2 * stride, ...`` of the new momentum vector, ``opt_norm`` is
    the Euclidean norm of all of it.
    """

    inputs: Mapping[str, Array]
    opt: Array
    opt_norm: float
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
    ``method`` is opaque here: name, settings and source hash, for the caller.
    ``train_graphs`` maps loss name to graph and is empty for ``infer``.
    """

    student: str
    classes: int
    input_shape: tuple[int, ...]
    preprocess: Preprocess
    macs: int
    training: TrainingDefaults
    method: Mapping[str, Any]
    capability: Literal["train", "infer"]
    opset: int
    versions: Mapping[str, str]
    theta: Array
    infer_graph: bytes
    losses: Mapping[str, LossSignature]
    train_graphs: Mapping[str, bytes]
    golden: tuple[Golden, ...]

    @property
    def parameters(self) -> int:
        """Length of ``theta``."""
        return len(self.theta)

    @property
    def golden_stride(self) -> int:
        """Distance of the entries that golden steps keep: at most 4096 of them."""
        return golden_stride(len(self.theta))

    @cached_property
    def id(self) -> str:
        """SHA-256 of the manifest, in hex."""
        return _sha256(_manifest(self, _members(self)))


def golden_stride(parameters: int) -> int:
    """Return the distance of kept entries, so that at most 4096 are kept."""
    return -(-parameters // 4096)


def write_bundle(path: str | Path, bundle: Bundle) -> Path:
    """Write ``bundle`` to ``path``, all or nothing; the same bundle gives the same bytes."""
    path = Path(path)
    members = _members(bundle)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive:
            for name, data in {MANIFEST: _manifest(bundle, members), **members}.items():
                entry = zipfile.ZipInfo(name, _TIME_STAMP)
                entry.create_system = 3  # zipfile writes the platform's own otherwise
                entry.external_attr = 0o644 << 16
                archive.writestr(entry, data)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    return path


def read_bundle(path: str | Path) -> Bundle:
    """Read and verify the bundle at ``path``.

    Raises :class:`BundleError` for a file that is missing, damaged, of another
    format version, too large, or inconsistent in hashes, names or shapes.
    """
    try:
        members = _unzip(path)
        manifest = members.pop(MANIFEST)
        bundle = _verified(path, manifest, members)
    except BundleError:
        raise
    except (OSError, zipfile.BadZipFile, EOFError) as error:
        remedy = "check the path, or copy it again"
        raise BundleError(path, f"cannot be read ({error})", remedy) from error
    except _MALFORMED as error:
        raise BundleError(path, f"malformed ({type(error).__name__}: {error})") from error
    _check_shapes(path, bundle)
    if _manifest(bundle, members) != manifest or members.keys() != _members(bundle).keys():
        raise BundleError(path, "the manifest holds more or other facts than the members")
    return bundle


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _npy(array: npt.NDArray[Any]) -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, np.asarray(array), version=(1, 0), allow_pickle=False)
    return buffer.getvalue()


def _array(data: bytes, dtype: type[np.generic] = np.float32) -> npt.NDArray[Any]:
    array = np.lib.format.read_array(io.BytesIO(data), allow_pickle=False)
    if array.dtype != dtype or not np.isfinite(array).all():
        raise ValueError(f"an array of {array.dtype} where finite {np.dtype(dtype)} belongs")
    array.flags.writeable = False
    return array


def _graph_name(graph: bytes) -> str:
    return f"train-{_sha256(graph)[:12]}.onnx"


def _members(bundle: Bundle) -> dict[str, bytes]:
    members = {"infer.onnx": bundle.infer_graph, "theta.npy": _npy(bundle.theta)}
    members |= {_graph_name(graph): graph for graph in bundle.train_graphs.values()}
    for golden in bundle.golden:
        folder = f"golden/{len(golden.x)}"
        members[f"{folder}/x.npy"] = _npy(golden.x)
        members[f"{folder}/logits.npy"] = _npy(golden.logits)
        for loss, step in golden.steps.items():
            members |= {f"{folder}/{loss}/in-{k}.npy": _npy(v) for k, v in step.inputs.items()}
            members[f"{folder}/{loss}/opt.npy"] = _npy(step.opt)
            numbers = np.array([step.opt_norm, step.loss], np.float64)
            members[f"{folder}/{loss}/norm-loss.npy"] = _npy(numbers)
    return dict(sorted(members.items()))


def _manifest(bundle: Bundle, members: Mapping[str, bytes]) -> bytes:
    losses = {}
    for name, signature in bundle.losses.items():
        losses[name] = {
            "graph": _graph_name(bundle.train_graphs[name]) if bundle.train_graphs else None,
            "rows": signature.rows,
            "tables": signature.tables,
            "scalars": signature.scalars,
        }
    facts = {
        "format": FORMAT,
        "student": bundle.student,
        "classes": bundle.classes,
        "input_shape": bundle.input_shape,
        "preprocess": bundle.preprocess.to_dict(),
        "parameters": bundle.parameters,
        "macs": bundle.macs,
        "losses": losses,
        "training": vars(bundle.training),
        "method": bundle.method,
        "capability": bundle.capability,
        "opset": bundle.opset,
        "versions": bundle.versions,
        "golden": [len(golden.x) for golden in bundle.golden],
        "members": {name: _sha256(data) for name, data in members.items()},
    }
    return json.dumps(facts, sort_keys=True, indent=1, allow_nan=False).encode()


def _unzip(path: str | Path) -> dict[str, bytes]:
    """All members; refuses before reading what is compressed, too large or too many."""
    if Path(path).stat().st_size > MAX_BUNDLE_BYTES:
        raise BundleError(path, f"longer than {MAX_BUNDLE_BYTES} bytes", "use a smaller student")
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
        names = [entry.filename for entry in entries]
        if len(entries) > MAX_MEMBERS or len(set(names)) != len(names) or MANIFEST not in names:
            raise BundleError(path, f"no {MANIFEST}, doubled names or over {MAX_MEMBERS} members")
        for entry in entries:
            if entry.compress_type != zipfile.ZIP_STORED or entry.flag_bits & 1:
                raise BundleError(path, f"member {entry.filename!r} is compressed or encrypted")
        if sum(entry.file_size for entry in entries) > Path(path).stat().st_size:
            raise BundleError(path, "members claim more bytes than the file has")
        if archive.getinfo(MANIFEST).file_size > MAX_MANIFEST_BYTES:
            raise BundleError(path, f"{MANIFEST} is longer than {MAX_MANIFEST_BYTES} bytes")
        return {entry.filename: archive.read(entry) for entry in entries}


def _verify(path: str | Path, hashes: Mapping[str, str], members: Mapping[str, bytes]) -> None:
    if set(hashes) != set(members):
        odd = sorted(set(hashes) ^ set(members))
        raise BundleError(path, f"manifest and members differ in {odd[0]!r}")
    for name, data in members.items():
        if _sha256(data) != hashes[name]:
            raise BundleError(path, f"the hash of {name!r} does not match the manifest")


def _verified(path: str | Path, manifest: bytes, members: Mapping[str, bytes]) -> Bundle:
    facts = json.loads(manifest)
    found = facts.get("format")
    if found != FORMAT:
        remedy = "export it with the edge-fd that reads it"
        raise BundleError(path, f"format {found!r}, known is {FORMAT}", remedy)
    _verify(path, facts["members"], members)
    return _bundle(facts, members)


def _bundle(facts: Mapping[str, Any], members: Mapping[str, bytes]) -> Bundle:
    losses = {
        name: LossSignature(tuple(loss["rows"]), tuple(loss["tables"]), tuple(loss["scalars"]))
        for name, loss in facts["losses"].items()
    }
    trains = facts["capability"] == "train"
    return Bundle(
        student=facts["student"],
        classes=facts["classes"],
        input_shape=tuple(facts["input_shape"]),
        preprocess=Preprocess.from_dict(facts["preprocess"]),
        macs=facts["macs"],
        training=TrainingDefaults(**facts["training"]),
        method=facts["method"],
        capability=facts["capability"],
        opset=facts["opset"],
        versions=facts["versions"],
        theta=_array(members["theta.npy"]),
        infer_graph=members["infer.onnx"],
        losses=losses,
        train_graphs={
            name: members[loss["graph"]] for name, loss in facts["losses"].items() if trains
        },
        golden=tuple(
            _golden(batch, losses if trains else {}, members) for batch in facts["golden"]
        ),
    )


def _golden(
    batch: int, losses: Mapping[str, LossSignature], members: Mapping[str, bytes]
) -> Golden:
    folder = f"golden/{batch}"
    steps = {}
    for name, signature in losses.items():
        norm, loss = _array(members[f"{folder}/{name}/norm-loss.npy"], np.float64)
        steps[name] = GoldenStep(
            inputs={k: _array(members[f"{folder}/{name}/in-{k}.npy"]) for k in signature.names},
            opt=_array(members[f"{folder}/{name}/opt.npy"]),
            opt_norm=float(norm),
            loss=float(loss),
        )
    logits = _array(members[f"{folder}/logits.npy"])
    return Golden(_array(members[f"{folder}/x.npy"]), logits, steps)


def _shapes(bundle: Bundle) -> Iterator[tuple[str, tuple[int, ...], tuple[int, ...]]]:
    """Yield name, found shape and due shape of every array."""
    yield "theta", bundle.theta.shape, (bundle.theta.size,)
    classes = bundle.classes
    for golden in bundle.golden:
        batch = len(golden.x)
        yield "golden x", golden.x.shape, (batch, *bundle.input_shape)
        yield "golden logits", golden.logits.shape, (batch, classes)
        for name, step in golden.steps.items():
            signature = bundle.losses[name]
            for key, value in step.inputs.items():
                due: tuple[int, ...] = () if key in signature.scalars else (batch, classes)
                due = (classes, classes) if key in signature.tables else due
                yield f"golden {name} {key}", value.shape, due
            kept = len(range(0, bundle.parameters, bundle.golden_stride))
            yield f"golden {name} opt", step.opt.shape, (kept,)


def _check_shapes(path: str | Path, bundle: Bundle) -> None:
    if bundle.capability not in ("train", "infer"):
        raise BundleError(path, f"capability {bundle.capability!r} is neither train nor infer")
    if bundle.preprocess.shape != bundle.input_shape:
        raise BundleError(
            path,
            f"preprocess gives {bundle.preprocess.shape}, the student takes {bundle.input_shape}",
        )
    for name, found, due in _shapes(bundle):
        if found != due or 0 in found:
            raise BundleError(path, f"{name} has shape {found} where {due} belongs")
