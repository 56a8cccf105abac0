"""The bundle: all that a board needs to be a student, in one verified file.

``NAME.efdb`` is a zip of uncompressed members with a fixed time stamp, so that
the same contents give the same bytes::

    manifest.json                  plain facts and the SHA-256 of every member
    infer.onnx                     (theta), x -> logits, features
    train-<hash12>.onnx            one training step; losses with equal graphs share it
    theta.npy                      initial weights, then running statistics of batch norm
    golden/<batch>/...             inputs and what torch made of them, for the self-test

The id of a bundle is the SHA-256 of its manifest. No code travels in it, no
pickle is read, and reading never needs more memory than the file is long.
"""

from __future__ import annotations

import io
import json
import os
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from devices.contents import (
    FORMAT,
    MANIFEST,
    Bundle,
    Golden,
    GoldenStep,
    LossSignature,
    TrainingDefaults,
    array_shapes,
    manifest,
    members,
    sha256,
)
from devices.optimizer import PARTS
from devices.preprocess import Preprocess

__all__ = [
    "Bundle",
    "BundleError",
    "Golden",
    "GoldenStep",
    "LossSignature",
    "TrainingDefaults",
    "read_bundle",
    "write_bundle",
]

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
        self._facts = path, wrong, remedy
        super().__init__(f"bundle {path}: {wrong}; {remedy}")

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), self._facts  # so that it can leave another process


def write_bundle(path: str | Path, bundle: Bundle) -> Path:
    """Write ``bundle`` to ``path``, all or nothing; the same bundle gives the same bytes."""
    path = Path(path)
    contents = members(bundle)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive:
            for name, data in {MANIFEST: manifest(bundle, contents), **contents}.items():
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
        contents = _unzip(path)
        facts = contents.pop(MANIFEST)
        bundle = _verified(path, facts, contents)
    except BundleError:
        raise
    except (OSError, zipfile.BadZipFile, EOFError) as error:
        remedy = "check the path, or copy it again"
        raise BundleError(path, f"cannot be read ({error})", remedy) from error
    except _MALFORMED as error:
        raise BundleError(path, f"malformed ({type(error).__name__}: {error})") from error
    _check_shapes(path, bundle)
    if manifest(bundle, contents) != facts or contents.keys() != members(bundle).keys():
        raise BundleError(path, "the manifest holds more or other facts than the members")
    return bundle


def _array(data: bytes, dtype: type[np.generic] = np.float32) -> npt.NDArray[Any]:
    array = np.lib.format.read_array(io.BytesIO(data), allow_pickle=False)
    if array.dtype != dtype or not np.isfinite(array).all():
        raise ValueError(f"an array of {array.dtype} where finite {np.dtype(dtype)} belongs")
    array.flags.writeable = False
    return array


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


def _verify(path: str | Path, hashes: Mapping[str, str], contents: Mapping[str, bytes]) -> None:
    if set(hashes) != set(contents):
        odd = sorted(set(hashes) ^ set(contents))
        raise BundleError(path, f"manifest and members differ in {odd[0]!r}")
    for name, data in contents.items():
        if sha256(data) != hashes[name]:
            raise BundleError(path, f"the hash of {name!r} does not match the manifest")


def _verified(path: str | Path, text: bytes, contents: Mapping[str, bytes]) -> Bundle:
    facts = json.loads(text)
    found = facts.get("format")
    if found != FORMAT:
        remedy = "export it with the edge-fd that reads it"
        raise BundleError(path, f"format {found!r}, known is {FORMAT}", remedy)
    _verify(path, facts["members"], contents)
    return _bundle(facts, contents)


def _bundle(facts: Mapping[str, Any], contents: Mapping[str, bytes]) -> Bundle:
    losses = {name: _signature(loss) for name, loss in facts["losses"].items()}
    trains, buffers = facts["capability"] == "train", int(facts["buffers"])
    return Bundle(
        student=facts["student"],
        classes=facts["classes"],
        input_shape=tuple(facts["input_shape"]),
        preprocess=Preprocess.from_dict(facts["preprocess"]),
        macs=facts["macs"],
        features=int(facts["features"]),
        buffers=buffers,
        training=TrainingDefaults(**facts["training"]),
        method=facts["method"],
        capability=facts["capability"],
        opset=facts["opset"],
        versions=facts["versions"],
        theta=_array(contents["theta.npy"]),
        infer_graph=contents["infer.onnx"],
        infer_takes_theta=bool(facts["infer_takes_theta"]),
        losses=losses,
        train_graphs={
            name: contents[loss["graph"]] for name, loss in facts["losses"].items() if trains
        },
        golden=tuple(
            _golden(batch, losses if trains else {}, contents, has_statistics=buffers > 0)
            for batch in facts["golden"]
        ),
    )


def _signature(facts: Mapping[str, Any]) -> LossSignature:
    if facts["optimizer"] not in PARTS:
        raise ValueError(f"optimiser {facts['optimizer']!r}, known are {sorted(PARTS)}")
    inputs = {
        kind: tuple(names) for kind, names in facts.items() if kind not in ("graph", "optimizer")
    }
    return LossSignature(**inputs, optimizer=facts["optimizer"])


def _golden(
    batch: int,
    losses: Mapping[str, LossSignature],
    contents: Mapping[str, bytes],
    *,
    has_statistics: bool,
) -> Golden:
    steps = {}
    for name, signature in losses.items():
        folder = f"golden/{batch}/{name}"
        loss, *norms = _array(contents[f"{folder}/loss-norms.npy"], np.float64)
        stored = (key for key in signature.names if key not in signature.vectors)
        steps[name] = GoldenStep(
            inputs={key: _array(contents[f"{folder}/in-{key}.npy"]) for key in stored},
            opt=_array(contents[f"{folder}/opt.npy"]),
            opt_norm=np.array(norms, np.float64),
            statistics=_array(contents[f"{folder}/statistics.npy"])
            if has_statistics
            else np.zeros(0, np.float32),
            logits=_array(contents[f"{folder}/logits.npy"]),
            loss=float(loss),
        )
    logits = _array(contents[f"golden/{batch}/logits.npy"])
    return Golden(_array(contents[f"golden/{batch}/x.npy"]), logits, steps)


def _check_shapes(path: str | Path, bundle: Bundle) -> None:
    if bundle.capability not in ("train", "infer"):
        raise BundleError(path, f"capability {bundle.capability!r} is neither train nor infer")
    if bundle.preprocess.shape != bundle.input_shape:
        raise BundleError(
            path,
            f"preprocess gives {bundle.preprocess.shape}, the student takes {bundle.input_shape}",
        )
    if not 0 <= bundle.buffers < bundle.parameters or bundle.features < 0:
        raise BundleError(
            path,
            f"{bundle.buffers} of {bundle.parameters} values are running statistics,"
            f" features of width {bundle.features}",
        )
    for name, found, due in array_shapes(bundle):
        if found != due or 0 in found:
            raise BundleError(path, f"{name} has shape {found} where {due} belongs")
