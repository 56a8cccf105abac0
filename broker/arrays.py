"""Arrays as CBOR: RFC 8746 typed arrays, or the same bytes under zstd.

Three forms, of which a frame carries the shortest:

    tag(bytes)                    one dimension; the tag number says the dtype
    40([dims, tag(bytes)])        two and more, row-major (RFC 8746, clause 3.1.1)
    [dims, tag number, zstd]      compressed, any number of dimensions (ours, untagged)
"""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from typing import Any, Final, TypeAlias

import cbor2
import numpy as np
import numpy.typing as npt
from cbor2 import CBORTag

from broker.errors import FrameError
from broker.limits import Limits
from broker.structure import ARRAY, BYTES, TAG, head_of

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

Array: TypeAlias = npt.NDArray[np.generic]

MULTI_DIMENSIONAL: Final = 40
# RFC 8746, table 1: little-endian where a value has more than one byte.
DTYPES: Final = {
    tag: np.dtype(name)
    for tag, name in {
        64: "u1", 69: "<u2", 70: "<u4", 71: "<u8",
        72: "i1", 77: "<i2", 78: "<i4", 79: "<i8",
        84: "<f2", 85: "<f4", 86: "<f8",
    }.items()
}  # fmt: skip
_TAGS: Final = {dtype: tag for tag, dtype in DTYPES.items()}
ARRAY_TAGS: Final = frozenset(DTYPES) | {MULTI_DIMENSIONAL}

ZSTD_LEVEL: Final = 3
# 8 MB: level 3 never asks for more, a hostile stream could ask for gigabytes.
_WINDOW_LOG_MAX: Final = 23
_ROWS: Final = (list, tuple)
"""What a CBOR array becomes; some releases of cbor2 make tuples of those within a tag."""
_TAG_BYTE: Final = TAG << 5 | 24  # the tag's number follows in one byte
_MULTI: Final = bytes((_TAG_BYTE, MULTI_DIMENSIONAL, ARRAY << 5 | 2))  # a pair: dims and data
_PLAIN_DIMS_MIN, _PLAIN_PARTS, _PACKED_PARTS = 2, 2, 3


def pack_array(name: str, array: Array, *, compress: bool) -> tuple[list[bytes | memoryview], int]:
    """Return the encoded array in parts, to be joined, and the bytes of its data as it travels.

    With ``compress`` the shorter form. A large array is not copied: it is a part itself.
    """
    dtype = array.dtype.newbyteorder("<")
    if dtype not in _TAGS:
        known = ", ".join(sorted(str(d) for d in _TAGS))
        raise FrameError("dtype", f"array {name!r} has dtype {array.dtype}; convert to: {known}")
    if array.ndim == 0:
        raise FrameError("shape", f"array {name!r} has no dimension; put a scalar into meta")
    tag, dims = _TAGS[dtype], list(array.shape)
    data = np.ascontiguousarray(array, dtype).data
    shape = b"" if array.ndim == 1 else _MULTI + cbor2.dumps(dims)
    head = shape + bytes((_TAG_BYTE, tag)) + head_of(BYTES, data.nbytes)
    if compress:
        shorter = zstd.compress(data, ZSTD_LEVEL)
        packed = cbor2.dumps([dims, tag, shorter])
        if len(packed) < len(head) + data.nbytes:
            return [packed], len(shorter)
    return [head, data], data.nbytes


def unpack_array(name: str, form: Any, *, limits: Limits, budget_bytes: int) -> Array:
    """Rebuild an array, read-only; at most ``budget_bytes`` are allocated for it."""
    dims, tag, data, packed = _open(name, form)
    if tag not in DTYPES:
        raise FrameError("dtype", f"array {name!r}: tag {tag} is no typed array of frames")
    dtype = DTYPES[tag]
    shape = _shape(name, dims, len(data) // dtype.itemsize, limits)
    declared_bytes = math.prod(shape) * dtype.itemsize
    if declared_bytes > budget_bytes:
        raise FrameError(
            "size", f"array {name!r} declares {declared_bytes} B, {budget_bytes} B are left"
        )
    if packed:
        data = _decompress(name, data, declared_bytes)
    if len(data) != declared_bytes:
        raise FrameError(
            "shape",
            f"array {name!r}: shape {shape} {dtype} needs {declared_bytes} B, got {len(data)}",
        )
    return np.frombuffer(data, dtype).reshape(shape)


def coded_bytes(form: Any) -> int:
    """Bytes of the array's data as it travels, without shape, tag and length."""
    return len(_open("", form)[2])


def check_finite(name: str, array: Array) -> None:
    """Raise :class:`FrameError` where a float array holds NaN or infinity."""
    if array.dtype.kind != "f" or not array.size:
        return
    # NaN goes through both, and neither takes memory, as a truth value for each would.
    if not (math.isfinite(array.max()) and math.isfinite(array.min())):
        raise FrameError("not_finite", f"array {name!r} holds NaN or infinity")


def _open(name: str, form: Any) -> tuple[Sequence[Any] | None, int, bytes, bool]:
    """Return dims (None: as many as there are), typed-array tag, data, compressed or not."""
    dims, typed, packed = None, form, False
    if type(form) is list and len(form) == _PACKED_PARTS:
        dims, tag, data = form
        packed = True
    else:
        if type(form) is CBORTag and form.tag == MULTI_DIMENSIONAL and _is_pair(form.value):
            dims, typed = form.value
        tag, data = (typed.tag, typed.value) if type(typed) is CBORTag else (None, None)
    known = isinstance(tag, int) and type(data) is bytes
    if not known or not (dims is None or isinstance(dims, _ROWS)):
        raise FrameError("type", f"array {name!r} is neither a typed nor a compressed array")
    if dims is not None and not packed and len(dims) < _PLAIN_DIMS_MIN:
        raise FrameError("shape", f"array {name!r}: one dimension takes no tag 40")
    return dims, tag, data, packed


def _is_pair(value: Any) -> bool:
    return isinstance(value, _ROWS) and len(value) == _PLAIN_PARTS


def _shape(name: str, dims: Sequence[Any] | None, count: int, limits: Limits) -> tuple[int, ...]:
    if dims is None:
        return (count,)
    if not 1 <= len(dims) <= limits.dims:
        raise FrameError("shape", f"array {name!r} has {len(dims)} dims; 1 to {limits.dims} may be")
    for dim in dims:
        if type(dim) is not int or dim < 0:
            raise FrameError("shape", f"array {name!r}: {dim!r} is no dimension")
        if dim > limits.array_bytes:
            raise FrameError("size", f"array {name!r}: dimension {dim} is above the limit")
    return tuple(dims)


def _decompress(name: str, data: bytes, declared_bytes: int) -> bytes:
    options: dict[int, int] = {zstd.DecompressionParameter.window_log_max: _WINDOW_LOG_MAX}
    stream = zstd.ZstdDecompressor(options=options)
    try:
        # One byte more than declared, so that a longer stream shows itself.
        plain: bytes = stream.decompress(data, max_length=declared_bytes + 1)
    except zstd.ZstdError as error:
        raise FrameError("compression", f"array {name!r}: {error}") from error
    if not stream.eof or stream.unused_data:
        raise FrameError("compression", f"array {name!r}: not one zstd frame of {declared_bytes} B")
    return plain
