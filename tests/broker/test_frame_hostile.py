"""Frames, invalid ones: all refused with FrameError, nothing else, within a memory bound."""

from __future__ import annotations

import resource
import struct
import sys
import tracemalloc
import zlib
from typing import Any

import cbor2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.frame import Frame, FrameError, decode, encode, sizes

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

SMALL = encode(
    Frame(
        "label_table",
        run="demo",
        round=3,
        device="dev-00",
        method="fd",
        arrays={"table": np.ones((2, 2), "<f2"), "n": np.array([1, 2], "u1")},
        meta={"a": [1, 2.5, True, b"x"], "b": {"c": "é"}},
    )
)
PACKED = encode(Frame("weights", arrays={"theta": np.zeros(99, "<f4")}), compress=True)


def sealed(data: bytes) -> bytes:
    return data + zlib.crc32(data).to_bytes(4, "big")


def raw(body: Any, **options: Any) -> bytes:
    """Any CBOR item with the trailer of a frame's checksum in place."""
    return sealed(cbor2.dumps(body, **options)[:-4])


def framed(**changed: Any) -> bytes:
    """A valid small frame, except for what is changed, by the number of the key."""
    body = {0: 1, 1: 3} | {int(key[1:]): value for key, value in changed.items()}
    return raw(dict(sorted(body.items())) | {8: bytes(4)})


def spliced(value: bytes) -> bytes:
    """A frame whose meta is the CBOR item written in ``value``."""
    return sealed(b"\xa4\x00\x01\x01\x03\x07" + value + b"\x08\x44")


def typed(tag: int, data: bytes) -> cbor2.CBORTag:
    return cbor2.CBORTag(tag, data)


def bomb(size: int) -> bytes:
    return zstd.compress(bytes(size))


def wide_window() -> bytes:
    """RFC 8878, 3.1.1: magic, no content size, window of 64 MB (2^26), one empty block."""
    return struct.pack("<IBB", 0xFD2FB528, 0x00, (26 - 10) << 3) + b"\x01\x00\x00"


HOSTILE = {
    "empty": (b"", "crc"),
    "checksum of nothing": (bytes(4), "syntax"),
    "no map": (raw([1, 2, bytes(4)]), "syntax"),
    "trailing": (sealed(cbor2.dumps({0: 1, 1: 3, 8: bytes(4)})[:-4] + bytes(4)), "trailing"),
    "version 2": (framed(k0=2), "version"),
    "no version": (raw({1: 3, 8: bytes(4)}), "version"),
    "kind unknown": (framed(k1=99), "kind"),
    "kind as text": (framed(k1="logits"), "type"),
    "kind as bool": (framed(k1=True), "type"),
    "no kind": (raw({0: 1, 8: bytes(4)}), "key"),
    "no checksum": (sealed(b"\xa3\x00\x01\x01\x03\x03\x1a"), "key"),
    "short checksum key": (sealed(b"\xa4\x00\x01\x01\x03\x08\x41\x00\x09\x44"), "key"),
    "unknown key": (raw({0: 1, 1: 3, 8: b"", 9: bytes(4)}), "key"),
    "text key": (raw({0: 1, 1: 3, "x": bytes(4)}), "key"),
    "bool key": (spliced(b"\xa1\xf5\x01"), "key"),
    "bytes key": (raw({0: 1, 1: 3, b"a": bytes(4)}), "key"),
    "duplicate key": (sealed(b"\xa4\x00\x01\x01\x03\x01\x03\x08\x44"), "key"),
    "keys out of order": (sealed(b"\xa3\x01\x03\x00\x01\x08\x44"), "key"),
    "meta duplicate": (spliced(b"\xa2\x61a\x01\x61a\x02"), "key"),
    "meta number key": (spliced(b"\xa1\x01\x02"), "key"),
    "round negative": (framed(k3=-1), "round"),
    "round huge": (framed(k3=2**40), "round"),
    "run name": (framed(k2="a/b"), "run"),
    "device name": (framed(k4="+"), "device"),
    "long head": (spliced(b"\xb8\x01\x61a\x01"), "syntax"),
    "long integer": (spliced(b"\xa1\x61a\x18\x01"), "syntax"),
    "reserved head": (spliced(b"\xa1\x61a\x1c"), "syntax"),
    "indefinite map": (spliced(b"\xbf\xff"), "syntax"),
    "indefinite text": (spliced(b"\xa1\x61a\x7f\x61b\xff"), "syntax"),
    "indefinite bytes": (spliced(b"\xa1\x61a\x5f\x41b\xff"), "syntax"),
    "break": (spliced(b"\xa1\x61a\xff"), "syntax"),
    "not UTF-8": (spliced(b"\xa1\x61a\x61\xff"), "syntax"),
    "null": (spliced(b"\xa1\x61a\xf6"), "type"),
    "undefined": (spliced(b"\xa1\x61a\xf7"), "type"),
    "NaN in meta": (spliced(b"\xa1\x61a\xf9\x7e\x00"), "not_finite"),
    "array in meta": (spliced(b"\xa1\x61a\xd8\x40\x41\x00"), "type"),
    "bignum": (spliced(b"\xa1\x61a\xc2\x49\x01" + bytes(8)), "tag"),
    "shared reference": (spliced(b"\xa1\x61a\xd8\x1c\x80"), "tag"),
    "regular expression": (spliced(b"\xa1\x61a\xd8\x23\x61("), "tag"),
    "huge bytes": (spliced(b"\xa1\x61a\x5b\x7f" + b"\xff" * 7), "truncated"),
    "huge text": (spliced(b"\xa1\x61a\x7a\xff\xff\xff\xff"), "truncated"),
    "huge list": (spliced(b"\xa1\x61a\x9a\xff\xff\xff\xff"), "truncated"),
    "huge map": (spliced(b"\xbb" + b"\xff" * 8), "truncated"),
    "deep lists": (spliced(b"\xa1\x61a" + b"\x81" * 900_000 + b"\x01"), "depth"),
    "deep tags": (spliced(b"\xa1\x61a" + b"\xd8\x28" * 400_000 + b"\x01"), "depth"),
    "many items": (spliced(b"\xa1\x61a\x9a\x00\x0d\xbb\xa0" + b"\x80" * 900_000), "size"),
    "over 1 MB": (framed(k5="x" * 1_000_000), "size"),
    "array as list": (framed(k6={"a": [1, 2, 3]}), "type"),
    "array as bytes": (framed(k6={"a": b"123"}), "type"),
    "big-endian": (framed(k6={"a": typed(81, bytes(4))}), "tag"),
    "clamped": (framed(k6={"a": typed(68, bytes(4))}), "tag"),
    "ragged": (framed(k6={"a": typed(85, bytes(5))}), "shape"),
    "too few": (framed(k6={"a": cbor2.CBORTag(40, [[2, 3], typed(64, bytes(5))])}), "shape"),
    "too many": (framed(k6={"a": cbor2.CBORTag(40, [[2, 3], typed(64, bytes(7))])}), "shape"),
    "one dim": (framed(k6={"a": cbor2.CBORTag(40, [[2], typed(64, bytes(2))])}), "shape"),
    "five dims": (framed(k6={"a": cbor2.CBORTag(40, [[1] * 5, typed(64, b"1")])}), "shape"),
    "no dims": (framed(k6={"a": [[], 64, bomb(1)]}), "shape"),
    "negative dim": (framed(k6={"a": cbor2.CBORTag(40, [[-1, -2], typed(64, b"12")])}), "shape"),
    "float dim": (framed(k6={"a": cbor2.CBORTag(40, [[1.0, 2], typed(64, b"12")])}), "shape"),
    "bool dim": (framed(k6={"a": cbor2.CBORTag(40, [[True, 2], typed(64, b"12")])}), "shape"),
    "huge dim": (framed(k6={"a": cbor2.CBORTag(40, [[2**62, 0], typed(64, b"")])}), "size"),
    "huge product": (framed(k6={"a": [[3_000_000, 3_000_000], 86, bomb(9)]}), "size"),
    "nested 40": (
        framed(k6={"a": cbor2.CBORTag(40, [[1, 1], cbor2.CBORTag(40, b"1")])}),
        "dtype",
    ),
    "bad dtype": (framed(k6={"a": [[1], 80, bomb(1)]}), "dtype"),
    "bomb under-declared": (framed(k6={"a": [[100], 64, bomb(300_000_000)]}), "compression"),
    "bomb declared": (framed(k6={"a": [[300_000_000], 64, bomb(300_000_000)]}), "size"),
    "bombs together": (
        framed(k6={name: [[3_000_000], 64, bomb(3_000_000)] for name in "abcdefgh"}),
        "size",
    ),
    "short stream": (framed(k6={"a": [[100], 64, bomb(99)]}), "shape"),
    "long stream": (framed(k6={"a": [[100], 64, bomb(101)]}), "shape"),
    "two streams": (framed(k6={"a": [[100], 64, bomb(100) + bomb(1)]}), "compression"),
    "cut stream": (framed(k6={"a": [[100], 64, bomb(100)[:-1]]}), "compression"),
    "no stream": (framed(k6={"a": [[100], 64, b"nothing"]}), "compression"),
    "wide window": (framed(k6={"a": [[100], 64, wide_window()]}), "compression"),
    "33 arrays": (framed(k6={chr(40 + i): typed(64, b"") for i in range(33)}), "size"),
    "half NaN": (framed(k6={"a": typed(84, b"\x00\x7e")}), "not_finite"),
    "single infinity": (framed(k6={"a": typed(85, b"\x00\x00\x80\x7f")}), "not_finite"),
    "double NaN": (framed(k6={"a": typed(86, struct.pack("<d", float("nan")))}), "not_finite"),
}


@pytest.mark.parametrize(("data", "reason"), HOSTILE.values(), ids=HOSTILE)
def test_hostile_frame_is_refused_with_its_reason(data: bytes, reason: str) -> None:
    with pytest.raises(FrameError) as caught:
        decode(data)
    assert caught.value.reason == reason


def test_the_frame_under_the_hostile_ones_is_valid() -> None:
    # Otherwise the table above could pass for the wrong cause.
    assert decode(framed(k6={"a": [[100], 64, bomb(100)]})).arrays["a"].tolist() == [0] * 100
    assert decode(spliced(b"\xa1\x61a\x01")).meta == {"a": 1}


def test_memory_stays_bounded_on_hostile_frames() -> None:
    """Python's allocations and, for what C libraries take, the peak of the process."""
    inputs = [data for data, _ in HOSTILE.values()]
    before_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    tracemalloc.start()
    try:
        for data in inputs:
            with pytest.raises(FrameError):
                decode(data)
        peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    grown_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kib
    assert peak_bytes < 12_000_000
    assert grown_kib < 40_000


@pytest.mark.parametrize("data", [SMALL, PACKED], ids=["plain", "packed"])
def test_each_single_bit_flip_is_caught_by_the_checksum(data: bytes) -> None:
    for bit in range(8 * len(data)):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        with pytest.raises(FrameError) as caught:
            decode(bytes(flipped))
        assert caught.value.reason == "crc"


@pytest.mark.parametrize("data", [SMALL, PACKED], ids=["plain", "packed"])
def test_each_truncation_is_refused_even_with_a_new_checksum(data: bytes) -> None:
    for length in range(len(data)):
        with pytest.raises(FrameError):
            decode(data[:length])
        if length != len(data) - 4:
            with pytest.raises(FrameError):
                decode(sealed(data[:length]))


def accepted(data: bytes) -> bool:
    """Whether it decodes; any other exception than FrameError fails the test."""
    try:
        frame = decode(data)
    except FrameError:
        return False
    for array in frame.arrays.values():
        assert np.isfinite(array.astype(float)).all()
    assert sizes(data).envelope <= len(data)
    return True


@pytest.mark.parametrize("data", [SMALL, PACKED], ids=["plain", "packed"])
def test_flips_under_a_new_checksum_raise_nothing_but_frame_error(data: bytes) -> None:
    outcomes = []
    for bit in range(8 * (len(data) - 4)):
        flipped = bytearray(data[:-4])
        flipped[bit // 8] ^= 1 << bit % 8
        outcomes.append(accepted(sealed(bytes(flipped))))
    assert not all(outcomes)


@given(st.binary(max_size=200))
def test_random_bytes_raise_nothing_but_frame_error(data: bytes) -> None:
    assert not accepted(data + b"\x00")
    accepted(sealed(b"\xa4\x00\x01\x01\x03" + data + b"\x08\x44"))


SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary()
TREES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.integers(0, 9) | st.text(max_size=3), inner, max_size=4)
        | st.builds(cbor2.CBORTag, st.sampled_from([2, 40, 64, 84, 85, 86, 258]), inner)
    ),
    max_leaves=12,
)


@settings(max_examples=200)
@given(st.dictionaries(st.integers(2, 7), TREES, max_size=4), TREES)
def test_random_cbor_raises_nothing_but_frame_error(body: dict[int, Any], array: Any) -> None:
    full = {0: 1, 1: 3} | body | {8: bytes(4)}
    accepted(raw(full, canonical=True))
    accepted(raw({0: 1, 1: 3, 6: {"a": array}, 8: bytes(4)}, canonical=True))
