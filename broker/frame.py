"""Frames: what travels over MQTT. One CBOR map (RFC 8949) with small integer keys.

    0 version   1 kind   2 run   3 round   4 device   5 method   6 arrays   7 meta   8 CRC-32

A frame knows no method: it carries named arrays and named plain values. Any CBOR
reader opens it; ``docs/protocol.md`` is the full description. Decoding is strict,
and checks every declared size before it allocates.
"""

from __future__ import annotations

import copy
import math
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

import cbor2
import numpy as np

from broker.arrays import ARRAY_TAGS, Array, check_finite, coded_bytes, pack_array, unpack_array
from broker.errors import FrameError, TopicError
from broker.limits import LIMITS, Limits
from broker.structure import BYTES, MAP, check_structure, head_of
from broker.topics import check_name

__all__ = [
    "FORMAT_VERSION",
    "KINDS",
    "Frame",
    "FrameError",
    "FrameSizes",
    "as_read",
    "check_origin",
    "decode",
    "encode",
    "encode_sized",
    "seal",
    "sizes",
]

Value: TypeAlias = "int | float | str | bool | bytes | list[Value] | dict[str, Value]"

FORMAT_VERSION: Final = 1
# Codes are for ever: add at the end, never reuse.
KINDS: Final = {
    name: code
    for code, name in enumerate((
        "announce", "knowledge", "label_table", "logits", "probs", "weights", "done",
        "birth", "death", "receipt", "state", "metrics", "refused", "finish",
        "prototypes", "symbols",
    ))
}  # fmt: skip
_KIND_NAMES: Final = {code: name for name, code in KINDS.items()}
_VERSION, _KIND, _RUN, _ROUND, _DEVICE, _METHOD, _ARRAYS, _META, _CRC = range(9)
_NAMES: Final = ("version", "kind", "run", "round", "device", "method", "arrays", "meta", "crc")
_TYPES: Final = (int, int, str, int, str, str, dict, dict, bytes)
_REQUIRED: Final = (_VERSION, _KIND, _CRC)
CRC_BYTES: Final = 4
_ROUND_MAX: Final = 2**32 - 1
_INTEGERS: Final = 2**64  # RFC 8949, clause 3.1: from -2^64 to 2^64 - 1
_META_DEPTH: Final = 3  # the frame is the first level, its meta the second


@dataclass(frozen=True, eq=False)
class Frame:
    """One message. Empty text, round 0 and empty maps take no bytes.

    ``arrays``: float16/32/64 or (u)int8/16/32/64, one to four dimensions, finite;
    read-only after :func:`decode`. ``meta``: plain values with text keys; None and
    non-finite floats have no place, leave the key out.
    """

    kind: str
    run: str = ""
    round: int = 0
    device: str = ""
    method: str = ""
    arrays: Mapping[str, Array] = field(default_factory=dict)
    meta: Mapping[str, Value] = field(default_factory=dict)


@dataclass(frozen=True)
class FrameSizes:
    """Bytes of a frame: ``payload`` the arrays' data as coded, ``envelope`` the rest."""

    payload: int
    envelope: int


def encode(frame: Frame, *, compress: bool = False) -> bytes:
    """Return the bytes of ``frame``, the same for the same frame (RFC 8949, clause 4.2.1).

    With ``compress`` an array travels as zstd where that is shorter. Raises
    :class:`FrameError` for what :func:`decode` would refuse under the default limits.
    """
    return encode_sized(frame, compress=compress)[0]


def encode_sized(frame: Frame, *, compress: bool = False) -> tuple[bytes, FrameSizes]:
    """Return what :func:`encode` does, and the :func:`sizes` of it without a second reading."""
    if frame.kind not in KINDS:
        raise FrameError("kind", f"unknown kind {frame.kind!r}; known: {', '.join(KINDS)}")
    _check(frame, LIMITS)
    head: dict[int, Any] = {_VERSION: FORMAT_VERSION, _KIND: KINDS[frame.kind]}
    names = (frame.run, frame.round, frame.device, frame.method)
    head |= {key: value for key, value in enumerate(names, _RUN) if value}
    tail: dict[int, Any] = {_META: frame.meta} if frame.meta else {}
    arrays, payload = _packed(frame.arrays, compress=compress)
    # Keys ascend, and fewer than 24 pairs take a head of one byte: what comes before the
    # arrays and what comes behind them is encoded apart, so that no array passes through cbor2.
    # Integers and text have one form, and the head's keys are in order: it needs no canonical
    # encoder, which takes twice as long to make.
    count = len(head) + bool(arrays) + len(tail) + 1
    data = _sealed([
        head_of(MAP, count) + cbor2.dumps(head)[1:],
        *arrays,
        cbor2.dumps(tail | {_CRC: b""}, canonical=True)[1:-1] + head_of(BYTES, CRC_BYTES),
    ])  # fmt: skip
    _check_size(data, LIMITS)
    if len(data) - payload > LIMITS.items:  # an item takes a byte beside the arrays' data
        check_structure(data, limits=LIMITS, tags=ARRAY_TAGS)
    return data, FrameSizes(payload, len(data) - payload)


def as_read(frame: Frame) -> Frame:
    """Return what :func:`decode` gives for the bytes of ``frame``, without making or reading them.

    Read-only arrays are taken as they are, others are copied.
    """
    arrays = {name: _read_only(frame.arrays[name]) for name in _ordered(frame.arrays)}
    return Frame(
        frame.kind,
        run=frame.run,
        round=frame.round,
        device=frame.device,
        method=frame.method,
        arrays=arrays,
        meta=copy.deepcopy(dict(frame.meta)),
    )


def decode(data: bytes, *, limits: Limits = LIMITS) -> Frame:
    """Return the frame of ``data``, or raise :class:`FrameError` with a reason; never half of it.

    Memory is bounded by ``limits`` whatever the bytes say.
    """
    body = _read(data, limits)
    if body[_KIND] not in _KIND_NAMES:
        raise FrameError(
            "kind", f"kind {body[_KIND]} is unknown to format version {FORMAT_VERSION}"
        )
    arrays: dict[str, Array] = {}
    budget_bytes = limits.array_bytes
    for name, form in body.get(_ARRAYS, {}).items():
        arrays[name] = unpack_array(name, form, limits=limits, budget_bytes=budget_bytes)
        budget_bytes -= arrays[name].nbytes
    frame = Frame(
        _KIND_NAMES[body[_KIND]],
        run=body.get(_RUN, ""),
        round=body.get(_ROUND, 0),
        device=body.get(_DEVICE, ""),
        method=body.get(_METHOD, ""),
        arrays=arrays,
        meta=body.get(_META, {}),
    )
    _check(frame, limits)
    return frame


def sizes(data: bytes, *, limits: Limits = LIMITS) -> FrameSizes:
    """Split the bytes of an encoded frame into payload and envelope."""
    payload = sum(coded_bytes(form) for form in _read(data, limits).get(_ARRAYS, {}).values())
    return FrameSizes(payload, len(data) - payload)


def check_origin(frame: Frame, *, run: str, device: str) -> None:
    """Refuse a frame whose run or device is not that of the topic it came on."""
    if frame.run != run:
        raise FrameError("run", f"the topic is of run {run!r}, the frame of {frame.run!r}")
    if frame.device != device:
        raise FrameError("device", f"the topic is of {device!r}, the frame says {frame.device!r}")


def seal(data: bytes | memoryview) -> bytes:
    """Append the CRC-32 (as in zlib and Ethernet) of ``data``, big-endian."""
    return _sealed([data])


def _sealed(parts: Iterable[bytes | memoryview]) -> bytes:
    """Join the parts and their CRC-32 in one go: a frame may be large."""
    parts, crc = list(parts), 0
    for part in parts:
        crc = zlib.crc32(part, crc)
    return b"".join((*parts, crc.to_bytes(CRC_BYTES, "big")))


def _crc(data: bytes | memoryview) -> bytes:
    return zlib.crc32(data).to_bytes(CRC_BYTES, "big")


def _packed(arrays: Mapping[str, Array], *, compress: bool) -> tuple[list[bytes | memoryview], int]:
    """Return the entry of the arrays in parts, nothing without any, and the bytes of their data."""
    if not arrays:
        return [], 0
    parts: list[bytes | memoryview] = [bytes((_ARRAYS,)), head_of(MAP, len(arrays))]
    payload = 0
    for name in _ordered(arrays):
        form, coded = pack_array(name, arrays[name], compress=compress)
        parts += [cbor2.dumps(name), *form]
        payload += coded
    return parts, payload


def _ordered(names: Iterable[str]) -> list[str]:
    """Keys as Core Deterministic Encoding has them: shorter ones first, then by their bytes."""
    return sorted(names, key=lambda name: (len(name.encode()), name.encode()))


def _read_only(array: Array) -> Array:
    """Return the array as decode gives it: little-endian, row-major, read-only."""
    dtype, flags = array.dtype.newbyteorder("<"), array.flags
    if flags.c_contiguous and flags.aligned and not flags.writeable and array.dtype == dtype:
        return array
    data = np.ascontiguousarray(array, dtype).tobytes()
    return np.frombuffer(data, dtype).reshape(array.shape)


def _read(data: bytes, limits: Limits) -> dict[int, Any]:
    """Bytes to the checked top-level map; its arrays are still in their coded form."""
    _check_size(data, limits)
    if _crc(memoryview(data)[:-CRC_BYTES]) != data[-CRC_BYTES:]:
        raise FrameError("crc", f"the checksum does not fit the {len(data)} bytes: damaged or cut")
    check_structure(data, limits=limits, tags=ARRAY_TAGS)
    body: dict[int, Any] = cbor2.loads(data)
    version = body.get(_VERSION)
    if version != FORMAT_VERSION:
        raise FrameError(
            "version", f"format version {version!r}; this reader knows {FORMAT_VERSION}"
        )
    for key, value in body.items():
        if type(key) is not int or key >= len(_NAMES):
            raise FrameError("key", f"unknown key {key!r}; a frame has keys 0 to {_CRC}")
        if type(value) is not _TYPES[key]:
            raise FrameError(
                "type", f"{_NAMES[key]} must be {_TYPES[key].__name__}, got {value!r:.40}"
            )
    for key in _REQUIRED:
        if key not in body:
            raise FrameError("key", f"key {key} ({_NAMES[key]}) is missing")
    return body


def _check_size(data: bytes, limits: Limits) -> None:
    if len(data) > limits.frame_bytes:
        raise FrameError(
            "size",
            f"the frame takes {len(data)} B, the limit is {limits.frame_bytes} B;"
            " use fewer proxy samples per round, a smaller codec or a smaller student",
        )


def _check(frame: Frame, limits: Limits) -> None:
    """Check the values, the same on both sides."""
    _check_origin_name("run", frame.run)
    _check_origin_name("device", frame.device)
    if type(frame.round) is not int or not 0 <= frame.round <= _ROUND_MAX:
        raise FrameError("round", f"round {frame.round!r} is no int within 0 to {_ROUND_MAX}")
    if len(frame.arrays) > limits.arrays:
        raise FrameError("size", f"{len(frame.arrays)} arrays; at most {limits.arrays} in a frame")
    nbytes = sum(array.nbytes for array in frame.arrays.values())
    if nbytes > limits.array_bytes:
        raise FrameError("size", f"arrays of {nbytes} B; at most {limits.array_bytes} B in a frame")
    for name, array in frame.arrays.items():
        if type(name) is not str:
            raise FrameError("key", f"array name {name!r} is no text")
        if array.ndim > limits.dims:
            raise FrameError(
                "shape", f"array {name!r} has {array.ndim} dims; at most {limits.dims}"
            )
        check_finite(name, array)
    _check_map("meta", frame.meta, _META_DEPTH, limits)


def _check_origin_name(what: str, name: str) -> None:
    try:
        if name:
            check_name(what, name)
    except TopicError as error:
        raise FrameError(what, str(error)) from error


def _check_map(path: str, values: Mapping[Any, Any], depth: int, limits: Limits) -> None:
    for key, value in values.items():
        if type(key) is not str:
            raise FrameError("key", f"{path}: key {key!r} is no text")
        _check_value(f"{path}.{key}", value, depth, limits)


def _check_value(path: str, value: Any, depth: int, limits: Limits) -> None:
    """Refuse what is not a plain value; exact types, since a numpy scalar is not portable."""
    if depth > limits.depth:
        raise FrameError("depth", f"{path:.40} is nested deeper than {limits.depth}")
    kind = type(value)
    if kind is dict:
        _check_map(path, value, depth + 1, limits)
    elif kind is list:
        for inner in value:
            _check_value(path, inner, depth + 1, limits)
    elif kind is float:
        if not math.isfinite(value):
            raise FrameError("not_finite", f"{path} is {value}; leave the key out instead")
    elif kind not in (int, str, bool, bytes):
        raise FrameError(
            "type", f"{path}: {kind.__name__} is no plain value (int, float, str, bool, bytes, ...)"
        )
    elif kind is int and not -_INTEGERS <= value < _INTEGERS:
        raise FrameError("size", f"{path} is {value}; an integer has at most 64 bits")
