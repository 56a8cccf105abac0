"""Arrays from an .npz file that a user wrote: each fault becomes one clear line.

Part of a device's import path: numpy and the standard library only.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt

from edge_fd.errors import UsageError, nearest

if TYPE_CHECKING:
    from pathlib import Path

Array: TypeAlias = npt.NDArray[np.generic]
Arrays: TypeAlias = Mapping[str, Array]

# All that zipfile and numpy raise over damaged content: RuntimeError where the flag for
# encryption is set or the compression unknown, MemoryError where a header asks for too much.
_UNREADABLE = (
    OSError,
    ValueError,
    EOFError,
    RuntimeError,
    MemoryError,
    zipfile.BadZipFile,
    zlib.error,
)


def read_arrays(path: Path, *, required: Collection[str], optional: Collection[str]) -> Arrays:
    """Read the arrays of an .npz file, never unpickling.

    Raises :class:`UsageError` that names the file and the key for a missing or broken
    file, a missing key, and a key that is in neither list.
    """
    try:
        # numpy leaves the file open when the archive is broken, so it is opened here.
        with path.open("rb") as raw:
            if not zipfile.is_zipfile(raw):
                raise UsageError(
                    f"{path}: is not an .npz file; write it with numpy.savez_compressed"
                )
            raw.seek(0)
            with np.load(raw, allow_pickle=False) as file:
                arrays = {key: file[key] for key in file.files}
    except FileNotFoundError:
        raise UsageError(f"{path}: no such file; check the path") from None
    except _UNREADABLE as error:
        raise UsageError(f"{path}: cannot be read as .npz ({error}); write it again") from error
    known = {*required, *optional}
    for key, value in arrays.items():
        if key not in known:
            raise UsageError(f"{path}: unknown key {key!r}{nearest(key, known)}")
        if not isinstance(value, np.ndarray):
            raise UsageError(f"{path}: key {key!r} is no array; write it with numpy.savez")
    for key in required:
        if key not in arrays:
            found = ", ".join(sorted(arrays)) or "nothing"
            raise UsageError(f"{path}: key {key!r} is missing (found: {found}); add it")
    return arrays


def samples(path: Path, arrays: Arrays, key: str, *, like: Array | None = None) -> Array:
    """Return ``arrays[key]`` as samples (n, ...), finite; float64 becomes float32.

    With ``like``, each sample must have the shape and dtype of its samples.
    """
    value = arrays[key]
    if value.dtype.kind not in "uif":
        raise UsageError(
            f"{path}: key {key!r} has dtype {value.dtype}; save integers or floats"
            " (uint8 for images)"
        )
    if value.ndim < 2:  # noqa: PLR2004 (samples and at least one feature axis)
        raise UsageError(f"{path}: key {key!r} has shape {value.shape}; it must be (samples, ...)")
    if value.dtype == np.float64:
        value = value.astype(np.float32)
    if value.dtype.kind == "f":
        flat: npt.NDArray[np.floating] = value.reshape(len(value), -1)  # type: ignore[assignment]
        finite = np.isfinite(flat).all(axis=1)
        if not finite.all():
            row = int(np.argmin(finite))
            raise UsageError(
                f"{path}: key {key!r} has a value that is not finite in row {row};"
                " drop the row or fill it in"
            )
    if like is not None and (value.shape[1:] != like.shape[1:] or value.dtype != like.dtype):
        raise UsageError(
            f"{path}: key {key!r} holds samples of shape {value.shape[1:]} {value.dtype}, but 'x'"
            f" {like.shape[1:]} {like.dtype}; they must agree"
        )
    return value


def labels(
    path: Path, arrays: Arrays, key: str, *, of: str, classes: int | None = None
) -> npt.NDArray[np.int64]:
    """Return ``arrays[key]`` as labels (n,) int64 of the samples ``arrays[of]``.

    Labels count from 0; with ``classes`` they must be below it.
    """
    value, count = arrays[key], len(arrays[of])
    if value.dtype.kind not in "ui":
        raise UsageError(
            f"{path}: key {key!r} has dtype {value.dtype}; labels are integers 0, 1, 2, ..."
        )
    if value.shape != (count,):
        raise UsageError(
            f"{path}: key {key!r} has shape {value.shape}, but {of!r} has {count} samples;"
            f" it must be ({count},)"
        )
    found = value.astype(np.int64)
    top = classes if classes is not None else np.iinfo(np.int64).max
    wrong = (found < 0) | (found >= top)
    if wrong.any():
        bound = "up" if classes is None else f"to {classes - 1}"
        raise UsageError(
            f"{path}: key {key!r} holds the label {found[wrong][0]}; labels count from 0 {bound}"
        )
    return found
