"""Frames, valid ones: what any CBOR reader sees in them, and that nothing is lost."""

from __future__ import annotations

import binascii
import sys
from collections.abc import Callable
from typing import Any

import cbor2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from broker.frame import (
    KINDS,
    Frame,
    FrameError,
    as_read,
    check_origin,
    decode,
    encode,
    encode_sized,
    sizes,
)
from broker.limits import LIMITS
from broker.structure import check_structure, head_of

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

# RFC 8746, table 1, little-endian rows.
RFC_8746 = {
    "u1": 64, "<u2": 69, "<u4": 70, "<u8": 71,
    "i1": 72, "<i2": 77, "<i4": 78, "<i8": 79,
    "<f2": 84, "<f4": 85, "<f8": 86,
}  # fmt: skip
NAMES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", fullmatch=True)
PLAIN = st.recursive(
    st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=30)
    | st.binary(max_size=30),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=10,
)


@st.composite
def arrays(draw: st.DrawFn) -> np.ndarray:
    dtype = np.dtype(draw(st.sampled_from(sorted(RFC_8746))))
    shape = draw(hnp.array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=5))
    finite = {"allow_nan": False, "allow_infinity": False} if dtype.kind == "f" else {}
    return draw(hnp.arrays(dtype, shape, elements=hnp.from_dtype(dtype, **finite)))


FRAMES = st.builds(
    Frame,
    st.sampled_from(sorted(KINDS)),
    run=st.just("") | NAMES,
    round=st.integers(0, 2**32 - 1),
    device=st.just("") | NAMES,
    method=st.text(max_size=20),
    arrays=st.dictionaries(st.text(max_size=10), arrays(), max_size=4),
    meta=st.dictionaries(st.text(max_size=10), PLAIN, max_size=4),
)


def label_table(dtype: str = "<f4") -> Frame:
    table = np.arange(100).reshape(10, 10).astype(dtype)
    counts = np.arange(10, dtype=np.uint8)
    arrays = {"table": table, "counts": counts}
    return Frame("label_table", run="demo", round=3, device="dev-00", method="fd", arrays=arrays)


def same(a: Any, b: Any) -> bool:
    """Equal with types: True is not 1, 1.0 is not 1, -0.0 is not 0.0."""
    if isinstance(a, dict):
        return isinstance(b, dict) and a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, list):
        return isinstance(b, list) and len(a) == len(b) and all(map(same, a, b))
    return type(a) is type(b) and repr(a) == repr(b)


def test_bytes_written_by_hand_from_the_rfcs() -> None:
    body = bytes.fromhex(
        "a8"  # map of eight pairs
        "0001"  # version 1
        "0103"  # kind 3, logits
        "026172"  # run "r"
        "0318c8"  # round 200
        "04626431"  # device "d1"
        "06a2"  # two arrays
        "616e" "d845" "42" "0201"  # "n": tag 69 (uint16 LE), 0x0102
        "6178" "d828" "82" "820102" "d855" "48" "0000803f" "000000c0"  # "x": 40 [[1,2], f32]
        "07a1" "6163" "f93c00"  # meta {"c": 1.0}, shortest float
        "0844"  # CRC
    )  # fmt: skip
    frame = Frame(
        "logits",
        run="r",
        round=200,
        device="d1",
        arrays={"x": np.array([[1.0, -2.0]], "<f4"), "n": np.array([0x0102], "<u2")},
        meta={"c": 1.0},
    )
    assert encode(frame) == body + binascii.crc32(body).to_bytes(4, "big")


def test_plain_cbor_opens_a_frame() -> None:
    data = encode(label_table())
    body = cbor2.loads(data)
    head = {0: 1, 1: 2, 2: "demo", 3: 3, 4: "dev-00", 5: "fd"}
    assert {key: body[key] for key in head} == head
    (rows, columns), typed = body[6]["table"].value
    assert (body[6]["table"].tag, typed.tag) == (40, 85)
    table = np.frombuffer(typed.value, "<f4").reshape(rows, columns)
    assert np.array_equal(table, np.arange(100).reshape(10, 10))
    assert body[6]["counts"].tag == 64
    assert list(body[6]["counts"].value) == list(range(10))
    assert body[8] == data[-4:] == binascii.crc32(data[:-4]).to_bytes(4, "big")


def test_plain_cbor_and_zstd_open_a_compressed_array() -> None:
    data = encode(Frame("weights", arrays={"theta": np.zeros((50, 20), "<f4")}), compress=True)
    dims, tag, packed = cbor2.loads(data)[6]["theta"]
    assert (list(dims), tag) == ([50, 20], 85)
    assert zstd.decompress(packed) == bytes(4000)
    assert len(data) < 100


@pytest.mark.parametrize(("dtype", "tag"), RFC_8746.items())
def test_dtypes_have_the_tags_of_rfc_8746(dtype: str, tag: int) -> None:
    data = encode(Frame("logits", arrays={"a": np.arange(3).astype(dtype)}))
    typed = cbor2.loads(data)[6]["a"]
    assert typed.tag == tag
    assert typed.value == np.arange(3).astype(dtype).tobytes()


@given(FRAMES, st.booleans())
def test_round_trip_loses_nothing(frame: Frame, compress: bool) -> None:  # noqa: FBT001
    data = encode(frame, compress=compress)
    again = decode(data)
    for name in ("kind", "run", "round", "device", "method"):
        assert same(getattr(again, name), getattr(frame, name))
    assert same(again.meta, frame.meta)
    assert again.arrays.keys() == frame.arrays.keys()
    for name, array in frame.arrays.items():
        assert again.arrays[name].dtype == array.dtype
        assert again.arrays[name].shape == array.shape
        assert again.arrays[name].tobytes() == array.tobytes()
    assert encode(again, compress=compress) == data


@given(FRAMES)
def test_bytes_do_not_depend_on_insertion_order(frame: Frame) -> None:
    turned = Frame(
        frame.kind,
        run=frame.run,
        round=frame.round,
        device=frame.device,
        method=frame.method,
        arrays=dict(reversed(frame.arrays.items())),
        meta=dict(reversed(frame.meta.items())),
    )
    assert encode(turned) == encode(frame)


@given(FRAMES)
def test_compression_never_makes_a_frame_longer(frame: Frame) -> None:
    assert len(encode(frame, compress=True)) <= len(encode(frame))


@given(FRAMES, st.booleans())
def test_sizes_add_up_to_the_frame(frame: Frame, compress: bool) -> None:  # noqa: FBT001
    data = encode(frame, compress=compress)
    split = sizes(data)
    assert split.payload + split.envelope == len(data)
    assert split.envelope > 0
    if not compress:
        assert split.payload == sum(array.nbytes for array in frame.arrays.values())


def test_strided_and_big_endian_arrays_travel_by_value() -> None:
    grid = np.arange(12, dtype=">f4").reshape(3, 4)[:, ::2]
    again = decode(encode(Frame("logits", arrays={"a": grid}))).arrays["a"]
    assert again.dtype == np.dtype("<f4")
    assert again.tolist() == [[0, 2], [4, 6], [8, 10]]


def test_decoded_arrays_cannot_be_changed() -> None:
    array = decode(encode(label_table())).arrays["table"]
    with pytest.raises(ValueError, match="read-only"):
        array[0, 0] = 1


@pytest.mark.parametrize(("dtype", "aim"), [("<f4", 520), ("<f2", 320), ("u1", 220)])
def test_label_table_of_100_values_keeps_the_aims_of_issue_2(dtype: str, aim: int) -> None:
    # PUBLISH header, topic and PUBACK by MQTT 3.1.1, clauses 3.3 and 3.4.
    mqtt = 1 + 2 + 2 + len("efd/v1/demo/up/dev-00/knowledge") + 2 + 4
    assert len(encode(label_table(dtype))) + mqtt <= aim


@pytest.mark.parametrize(
    ("frame", "reason", "says"),
    [
        (Frame("gossip"), "kind", "gossip"),
        (Frame("done", run="a/b"), "run", "a/b"),
        (Frame("done", device="#"), "device", "'#'"),
        (Frame("done", round=-1), "round", "-1"),
        (Frame("done", round=2**32), "round", "4294967296"),
        (Frame("done", meta={"loss": float("nan")}), "not_finite", "meta.loss"),
        (Frame("done", meta={"a": {"b": np.float32(1)}}), "type", "meta.a.b"),  # type: ignore[dict-item]
        (Frame("done", meta={"a": 2**64}), "size", "64 bits"),
        (Frame("done", meta={"a": [-(2**64) - 1]}), "size", "64 bits"),
        (Frame("done", meta={"a": list(range(10_001))}), "size", "10000"),
        (Frame("logits", arrays={"p": np.array([1.0, np.inf])}), "not_finite", "'p'"),
        (Frame("logits", arrays={"p": np.array([True])}), "dtype", "bool"),
        (Frame("logits", arrays={"p": np.array(1.0)}), "shape", "'p'"),
        (Frame("logits", arrays={"p": np.zeros((1,) * 5)}), "shape", "5 dims"),
        (Frame("logits", arrays={str(i): np.zeros(1) for i in range(33)}), "size", "33"),
    ],
)
def test_what_cannot_be_sent_is_refused_and_named(frame: Frame, reason: str, says: str) -> None:
    with pytest.raises(FrameError, match=says) as caught:
        encode(frame)
    assert caught.value.reason == reason


@pytest.mark.parametrize("compress", [False, True])
def test_a_sender_knows_the_sizes_that_a_reader_counts(compress: bool) -> None:  # noqa: FBT001
    values = {"flat": np.zeros((60, 10), "<f4"), "row": np.arange(9, dtype="u1")}
    frame = Frame("logits", run="r", arrays=values, meta={"a": 0.5})
    data, split = encode_sized(frame, compress=compress)
    assert split == sizes(data)
    assert (split.payload < 100) == compress  # 2400 zeros shrink to a few bytes


@pytest.mark.parametrize("value", [2**64 - 1, -(2**64)])
def test_the_widest_integers_of_cbor_travel(value: int) -> None:
    # RFC 8949, clause 3.1: major types 0 and 1 reach from -2^64 to 2^64 - 1.
    assert decode(encode(Frame("done", meta={"a": value}))).meta == {"a": value}


@pytest.mark.parametrize("wrap", [lambda inner: [inner], lambda inner: {"a": inner}])
@pytest.mark.parametrize(("levels", "passes"), [(7, True), (8, False)])
def test_a_sender_may_nest_as_deep_as_a_reader_lets_it(
    wrap: Callable[[Any], Any],
    levels: int,
    passes: bool,  # noqa: FBT001
) -> None:
    value: Any = 1
    for _ in range(levels):
        value = wrap(value)
    frame = Frame("done", meta={"a": value})
    read = cbor2.dumps({0: 1, 7: {"a": value}})
    if passes:
        check_structure(read, limits=LIMITS, tags=frozenset())
        assert decode(encode(frame)).meta == frame.meta
        return
    for refuse in (
        lambda: check_structure(read, limits=LIMITS, tags=frozenset()),
        lambda: encode(frame),
    ):
        with pytest.raises(FrameError, match="nested deeper") as caught:
            refuse()
        assert caught.value.reason == "depth"


def test_a_reader_takes_as_many_items_as_a_sender_may_put_in() -> None:
    # Beside the values: the frame, its four keys with what they name, the key "a" and its list.
    fits = Frame("done", meta={"a": list(range(10_000 - 11))})
    assert decode(encode(fits)).meta == fits.meta
    with pytest.raises(FrameError, match="10000") as caught:
        encode(Frame("done", meta={"a": list(range(10_000 - 10))}))
    assert caught.value.reason == "size"


def test_too_large_a_frame_is_refused_with_size_limit_and_remedy() -> None:
    frame = Frame("logits", arrays={"logits": np.zeros((25_000, 10), "<f4")})
    with pytest.raises(FrameError, match=r"10000\d\d B.*1000000 B.*fewer proxy samples") as caught:
        encode(frame)
    assert caught.value.reason == "size"
    encode(frame, compress=True)


@pytest.mark.parametrize(
    ("run", "device", "reason"), [("other", "dev-00", "run"), ("demo", "dev-01", "device")]
)
def test_a_frame_of_another_origin_than_its_topic_is_refused(
    run: str, device: str, reason: str
) -> None:
    frame = label_table()
    check_origin(frame, run="demo", device="dev-00")
    with pytest.raises(FrameError) as caught:
        check_origin(frame, run=run, device=device)
    assert caught.value.reason == reason


@given(FRAMES, st.booleans())
def test_a_frame_as_read_is_what_a_reader_decodes(frame: Frame, compress: bool) -> None:  # noqa: FBT001
    known, read = as_read(frame), decode(encode(frame, compress=compress))
    for name in ("kind", "run", "round", "device", "method", "meta"):
        assert getattr(known, name) == getattr(read, name)
    assert list(known.arrays) == list(read.arrays)
    for ours, theirs in zip(known.arrays.values(), read.arrays.values(), strict=True):
        assert (ours.dtype, ours.shape, ours.tobytes()) == (
            theirs.dtype,
            theirs.shape,
            theirs.tobytes(),
        )
        assert ours.flags.c_contiguous
        assert not ours.flags.writeable


def test_a_frame_as_read_does_not_follow_its_sender() -> None:
    table, note = np.arange(6, dtype=">f4").reshape(2, 3).T, [1]
    known = as_read(Frame("logits", arrays={"table": table}, meta={"note": note}))
    table[:], note[0] = 9, 9
    assert known.arrays["table"].tolist() == [[0, 3], [1, 4], [2, 5]]
    assert known.arrays["table"].dtype == np.dtype("<f4")
    assert known.meta == {"note": [1]}


def test_large_read_only_arrays_are_handed_over_as_they_are() -> None:
    theta = np.ones(5, np.float32)
    theta.flags.writeable = False
    assert as_read(Frame("weights", arrays={"theta": theta})).arrays["theta"] is theta


@given(FRAMES)
def test_the_bytes_are_cbor2s_for_the_whole_map(frame: Frame) -> None:
    forms = {}
    for name, array in frame.arrays.items():
        typed = cbor2.CBORTag(RFC_8746[array.dtype.str.lstrip("|")], array.tobytes())
        whole = array.ndim == 1
        forms[name] = typed if whole else cbor2.CBORTag(40, [list(array.shape), typed])
    body = {0: 1, 1: KINDS[frame.kind], 2: frame.run, 3: frame.round, 4: frame.device}
    body |= {5: frame.method, 6: forms, 7: frame.meta}
    body = {key: value for key, value in body.items() if value or key in (0, 1)}
    due = cbor2.dumps(body | {8: bytes(4)}, canonical=True)[:-4]
    assert encode(frame) == due + binascii.crc32(due).to_bytes(4, "big")


@pytest.mark.parametrize(
    "argument", [0, 23, 24, 255, 256, 65535, 65536, 2**32 - 1, 2**32, 2**64 - 1]
)
def test_a_head_is_as_short_as_it_can_be(argument: int) -> None:
    assert head_of(0, argument) == cbor2.dumps(argument)


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", ["<f2", "<f4", "<f8"])
def test_only_finite_numbers_travel(dtype: str, wrong: float) -> None:
    top = np.finfo(dtype).max
    encode(Frame("logits", arrays={"p": np.array([top, -top], dtype)}))
    with pytest.raises(FrameError, match="NaN or infinity"):
        encode(Frame("logits", arrays={"p": np.array([top, wrong, -top], dtype)}))
