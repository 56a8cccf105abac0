"""Arrays and plain values in one file that is either old or new, never half.

Used for a device's saved state and for the aggregator's. One CBOR map, then
its SHA-256; written beside the target, synced, renamed, and the folder synced.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import cbor2
import numpy as np
import numpy.typing as npt

from edge_fd.errors import UsageError

_HASH_BYTES = 32
_FORMAT = 1


def save(path: Path, arrays: Mapping[str, npt.NDArray[Any]], values: Mapping[str, Any]) -> None:
    """Write ``path`` durably and atomically."""
    tree = {
        "format": _FORMAT,
        "values": dict(values),
        "arrays": {
            name: [array.dtype.str, list(array.shape), np.ascontiguousarray(array).tobytes()]
            for name, array in arrays.items()
        },
    }
    body = cbor2.dumps(tree)
    fresh = path.with_name(path.name + ".new")
    with fresh.open("wb") as file:
        file.write(body + hashlib.sha256(body).digest())
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
    sync_folder(path.parent)


def load(path: Path) -> tuple[dict[str, npt.NDArray[Any]], dict[str, Any]] | None:
    """Return arrays and values of ``path``, None where there is no such file.

    Raises UsageError for a file that was damaged or is of another version.
    """
    if not path.exists():
        return None
    data = path.read_bytes()
    body, digest = data[:-_HASH_BYTES], data[-_HASH_BYTES:]
    if hashlib.sha256(body).digest() != digest:
        raise UsageError(f"{path} is damaged (hash differs); remove it to start from the beginning")
    tree = cbor2.loads(body)
    if tree["format"] != _FORMAT:
        raise UsageError(f"{path} has format {tree['format']}, this version reads {_FORMAT}")
    arrays = {
        name: np.frombuffer(raw, np.dtype(dtype)).reshape(shape)
        for name, (dtype, shape, raw) in tree["arrays"].items()
    }
    return arrays, tree["values"]


def lock(file: IO[Any], complaint: str) -> None:
    """Hold ``file`` for this process until it is closed; else close it and raise UsageError."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        raise UsageError(complaint) from None


def sync_folder(folder: Path) -> None:
    """Make renames in ``folder`` durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
