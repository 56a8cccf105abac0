"""Knowledge to frame arrays and back, strict on the way in."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from broker.frame import FrameError
from edge_fd.codecs import quantise, symbols
from edge_fd.errors import UnknownNameError
from edge_fd.knowledge import VALUE_OF_KIND, Knowledge

Arrays: TypeAlias = dict[str, npt.NDArray[Any]]
Meta: TypeAlias = dict[str, Any]
Form: TypeAlias = Literal["float32", "float16", "uint8"]

DISTRIBUTIONS = frozenset({"probs", "label_table"})
ROW_SUM_TOLERANCE = 1e-3
SYMBOLS_MAX = 2**22
ROUNDING = {np.dtype(np.float32): 0.0, np.dtype(np.float16): 2.0**-12, np.dtype(np.uint8): 1 / 510}
"""Largest error of one probability in each form, so that rows may be off by that times classes."""


@dataclass(frozen=True)
class Codec:
    """A named way to send the value of a piece of knowledge."""

    name: str
    form: Form
    compress: bool


FORMS: tuple[Form, ...] = ("float32", "float16", "uint8")
CODECS: Mapping[str, Codec] = {
    form + tail: Codec(form + tail, form, bool(tail)) for form in FORMS for tail in ("", "+zstd")
}


def codec(name: str) -> Codec:
    """Return the codec called ``name``; raise UnknownNameError with the nearest known."""
    if name not in CODECS:
        raise UnknownNameError("codec", name, CODECS)
    return CODECS[name]


def paper_bits(knowledge: Knowledge) -> int:
    """Bits that a paper would count: 32 for each number, log2 of the alphabet for a symbol."""
    if knowledge.kind == "symbols":
        return symbols.bound_bits(knowledge.value.size, int(knowledge.exact["alphabet"][0]))
    return 32 * int(knowledge.value.size)


def to_frame(knowledge: Knowledge, how: Codec) -> tuple[Arrays, Meta]:
    """Return the arrays of a frame and what its meta must say."""
    name = VALUE_OF_KIND[knowledge.kind]
    value, meta = knowledge.value, {}
    if knowledge.kind == "symbols":
        return _to_symbols(knowledge)
    if how.form == "float16":
        coded: npt.NDArray[Any] = _to_half(value)
    elif how.form == "uint8" and knowledge.kind in DISTRIBUTIONS:
        coded = _to_levels(value)
    elif how.form == "uint8":
        coded, low, step = quantise.to_range(value)
        meta = {"low": low, "step": step}
    else:
        coded = np.asarray(value, np.float32)
    return {name: coded, **knowledge.exact}, meta


def from_frame(
    kind: str, arrays: Mapping[str, npt.NDArray[Any]], meta: Mapping[str, Any]
) -> Knowledge:
    """Rebuild knowledge from a decoded frame.

    Raises FrameError for a missing value, a dtype that no codec makes, a
    missing range, and for probabilities that are negative or whose rows do not
    sum to one. Rows of probabilities are divided by their sum.
    """
    name = VALUE_OF_KIND[kind]
    if name not in arrays:
        raise FrameError("key", f"a frame of kind {kind!r} needs the array {name!r}")
    coded = arrays[name]
    if kind == "symbols":
        return _from_symbols(coded, arrays, meta)
    if coded.dtype not in ROUNDING:
        raise FrameError(
            "dtype", f"array {name!r} has dtype {coded.dtype}; float32, float16 or uint8 expected"
        )
    value = _value(kind, coded, meta)
    if kind in DISTRIBUTIONS:
        value = _normalised(kind, value, ROUNDING[coded.dtype])
    exact = _exact(name, arrays)
    if kind == "prototypes" and exact.get("counts", np.empty(0)).shape == value.shape[:1]:
        # A range need not have a level at zero.
        value = np.where(exact["counts"][:, None] == 0, np.float32(0.0), value)
    return Knowledge(kind, value, exact)


def _exact(name: str, arrays: Mapping[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
    exact = {key: array for key, array in arrays.items() if key != name}
    for key, array in exact.items():
        if array.dtype.kind not in "iu" or array.ndim != 1:
            raise FrameError(
                "dtype",
                f"array {key!r} must be one row of integers, got {array.dtype} {array.shape}",
            )
    return exact


def _to_symbols(knowledge: Knowledge) -> tuple[Arrays, Meta]:
    whole = np.rint(knowledge.value).astype(np.int64)
    packed = symbols.pack(whole, int(knowledge.exact["alphabet"][0]))
    coded = np.frombuffer(packed, np.uint8)
    return {"symbols": coded, **knowledge.exact}, {"count": len(whole)}


def _from_symbols(
    coded: npt.NDArray[Any], arrays: Mapping[str, npt.NDArray[Any]], meta: Mapping[str, Any]
) -> Knowledge:
    exact, count = _exact("symbols", arrays), meta.get("count")
    if coded.dtype != np.uint8 or coded.ndim != 1:
        raise FrameError("dtype", f"symbols must be a row of bytes, got {coded.dtype}")
    if type(count) is not int or not 0 <= count <= SYMBOLS_MAX:
        raise FrameError("key", f"'count' must be 0 to {SYMBOLS_MAX} symbols, got {count!r}")
    if "alphabet" not in exact or exact["alphabet"].shape != (1,):
        raise FrameError("key", "symbols need the array 'alphabet' of one number")
    try:
        whole = symbols.unpack(coded.tobytes(), count, int(exact["alphabet"][0]))
    except ValueError as error:
        raise FrameError("range", str(error)) from None
    return Knowledge("symbols", whole.astype(np.float32), exact)


def _to_half(value: npt.NDArray[np.float32]) -> npt.NDArray[np.float16]:
    top = float(np.finfo(np.float16).max)
    peak = float(np.abs(value).max(initial=0.0))
    if peak > top:
        raise FrameError(
            "not_finite", f"float16 holds at most {top:g}, the value has {peak:g}; use float32"
        )
    return value.astype(np.float16)


def _to_levels(value: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    coded = quantise.to_unit(value)
    if ((coded == 0).all(-1) & (value > 0).any(-1)).any():
        raise FrameError(
            "range",
            f"uint8 leaves nothing of a row of {value.shape[-1]} small probabilities; use float16",
        )
    return coded


def _value(kind: str, coded: npt.NDArray[Any], meta: Mapping[str, Any]) -> npt.NDArray[np.float32]:
    if coded.dtype != np.uint8:
        return coded.astype(np.float32, copy=False)
    if kind in DISTRIBUTIONS:
        return quantise.from_unit(coded)
    low, step = meta.get("low"), meta.get("step")
    if not all(isinstance(v, float) and math.isfinite(v) for v in (low, step)):
        raise FrameError("key", f"uint8 {kind} need finite 'low' and 'step', got {low!r}, {step!r}")
    value = quantise.from_range(coded, float(low), float(step))  # type: ignore[arg-type]
    if not np.isfinite(value).all():
        raise FrameError("not_finite", f"range {low!r} + 255 * {step!r} leaves float32")
    return value


def _normalised(
    kind: str, value: npt.NDArray[np.float32], rounding: float
) -> npt.NDArray[np.float32]:
    if value.ndim != 2:  # noqa: PLR2004
        raise FrameError("shape", f"{kind} must have rows and columns, got shape {value.shape}")
    if (value < 0).any():
        raise FrameError("range", f"{kind} hold a negative probability {float(value.min()):g}")
    sums = value.astype(np.float64).sum(-1)
    wrong = np.abs(sums - 1) > ROW_SUM_TOLERANCE + value.shape[1] * rounding
    wrong |= sums == 0
    if kind == "label_table":
        wrong &= sums != 0
    if wrong.any():
        row = int(np.argmax(wrong))
        raise FrameError("range", f"row {row} of {kind} sums to {sums[row]:.6g} instead of 1")
    if rounding == 0.0:
        return value
    return (value / np.where(sums == 0, 1.0, sums)[:, None]).astype(np.float32)
