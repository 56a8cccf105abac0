"""Each codec against its stated error bound, through the bytes of a real frame."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from broker.frame import Frame, FrameError, decode, encode
from edge_fd.codecs import CODECS, codec, from_frame, to_frame
from edge_fd.codecs.quantise import from_range, from_unit, to_range, to_unit
from edge_fd.errors import UnknownNameError
from edge_fd.knowledge import Knowledge

FloatArray = npt.NDArray[Any]
# IEEE 754 binary16: 11 significant bits, least subnormal 2**-24.
HALF_RELATIVE, HALF_LEAST = 2.0**-11, 2.0**-25
FLOAT32 = 2.0**-24
# Rounding of one probability below 1: half a spacing of binary16 in [0.5, 1), half a level of 255.
ROUNDING = {"float32": 0.0, "float16": 2.0**-12, "uint8": 1 / 510}

codec_names = st.sampled_from(sorted(CODECS))
numbers = hnp.arrays(
    np.float32,
    st.tuples(st.integers(1, 5), st.integers(1, 4)),
    elements=st.floats(-65504, 65504, width=32, allow_subnormal=False),
)


@st.composite
def probabilities(draw: st.DrawFn) -> FloatArray:
    rows, classes = draw(st.integers(1, 6)), draw(st.integers(2, 20))
    sharpness = draw(st.sampled_from([0.01, 0.1, 1.0, 10.0]))
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    return rng.dirichlet(np.full(classes, sharpness), rows).astype(np.float32)


def through(knowledge: Knowledge, name: str) -> Knowledge:
    """The same knowledge after encoding and decoding."""
    how = codec(name)
    arrays, meta = to_frame(knowledge, how)
    data = encode(Frame(knowledge.kind, arrays=arrays, meta=meta), compress=how.compress)
    frame = decode(data)
    return from_frame(frame.kind, frame.arrays, frame.meta)


@settings(deadline=None)
@given(value=numbers, name=codec_names)
def test_logits_come_back_within_the_bound_of_their_codec(value: FloatArray, name: str) -> None:
    back = through(Knowledge("logits", value), name)
    assert back.value.dtype == np.float32
    error = np.abs(back.value.astype(np.float64) - value)
    form = codec(name).form
    if form == "float32":
        assert back.value.tobytes() == value.tobytes()
    elif form == "float16":
        assert (error <= np.maximum(np.abs(value) * HALF_RELATIVE, HALF_LEAST)).all()
    else:
        step = (float(value.max()) - float(value.min())) / 255
        assert (error <= step / 2 * (1 + 1e-9) + np.abs(back.value) * FLOAT32).all()


@settings(deadline=None)
@given(probs=probabilities(), name=codec_names)
def test_probabilities_come_back_as_probabilities(probs: FloatArray, name: str) -> None:
    back = through(Knowledge("probs", probs), name).value
    rounding, classes = ROUNDING[codec(name).form], probs.shape[1]
    # p' = q / s with |q - p| <= r and |s - 1| <= C r, hence |p' - p| <= (r + C r p) / (1 - C r).
    slack = classes * rounding
    bound = (rounding + slack * probs) / (1 - slack) + 1e-6
    assert (np.abs(back - probs) <= bound).all()
    assert (back >= 0).all()
    np.testing.assert_allclose(back.sum(-1), 1, atol=1e-5)


@settings(deadline=None)
@given(probs=probabilities(), name=codec_names, data=st.data())
def test_rows_of_no_class_stay_zero_and_integers_stay_exact(
    probs: FloatArray, name: str, data: st.DataObject
) -> None:
    classes = probs.shape[1]
    counts = data.draw(
        st.lists(st.one_of(st.just(0), st.integers(1, 70000)), min_size=classes, max_size=classes)
    )
    table = np.resize(probs, (classes, classes)) * (np.array(counts) > 0)[:, None]
    knowledge = Knowledge("label_table", table.astype(np.float32), {"counts": np.array(counts)})
    back = through(knowledge, name)
    np.testing.assert_array_equal(back.value.any(-1), np.array(counts) > 0)
    np.testing.assert_array_equal(back.exact["counts"], counts)


@settings(deadline=None)
@given(hnp.arrays(np.float32, 20, elements=st.floats(0, 1, width=32)))
def test_a_byte_over_the_unit_interval_is_off_by_half_a_level_at_most(value: FloatArray) -> None:
    assert (np.abs(from_unit(to_unit(value)).astype(np.float64) - value) <= 1 / 510 + FLOAT32).all()


def test_the_ends_of_a_range_are_kept() -> None:
    value = np.array([-3.5, 0.2, 7.25], np.float32)
    coded, low, step = to_range(value)
    assert list(coded[[0, 2]]) == [0, 255]
    np.testing.assert_array_equal(from_range(coded, low, step)[[0, 2]], value[[0, 2]])


@pytest.mark.parametrize("name", sorted(CODECS))
def test_an_array_of_one_value_is_exact(name: str) -> None:
    value = np.full(7, 0.375, np.float32)
    np.testing.assert_array_equal(through(Knowledge("weights", value), name).value, value)


def test_compression_changes_the_bytes_and_nothing_else() -> None:
    value = np.tile(np.float32([0.1, 0.9]), (200, 1))
    plain, squeezed = (
        encode(Frame("probs", arrays={"probs": value}), compress=c) for c in (False, True)
    )
    assert len(squeezed) < len(plain) / 4
    back = through(Knowledge("probs", value), "float32+zstd").value
    assert back.tobytes() == value.tobytes()


def test_half_precision_refuses_what_it_cannot_hold() -> None:
    # 65504 is the largest finite binary16.
    edge = Knowledge("logits", np.array([[65504.0]], np.float32))
    assert through(edge, "float16").value[0, 0] == 65504
    beyond = Knowledge("logits", np.array([[-65505.0]], np.float32))
    with pytest.raises(FrameError, match=r"at most 65504, the value has 65505; use float32"):
        to_frame(beyond, codec("float16"))


def test_bytes_refuse_a_row_that_they_would_wipe_out() -> None:
    # 1000 classes of probability 1/1000: each is below half a level, 1/510.
    uniform = Knowledge("probs", np.full((1, 1000), 1e-3, np.float32))
    with pytest.raises(FrameError, match="1000 small probabilities; use float16"):
        to_frame(uniform, codec("uint8"))
    wiped = {"probs": np.zeros((1, 1000), np.uint8)}
    with pytest.raises(FrameError, match="row 0 of probs sums to 0"):
        from_frame("probs", wiped, {})


def test_an_unknown_codec_gets_the_nearest_name() -> None:
    with pytest.raises(UnknownNameError, match="unknown codec 'flaot16'; did you mean 'float16'"):
        codec("flaot16")


HALF = np.full((1, 2), 0.5, np.float32)
CODES = np.array([[0, 255]], np.uint8)


@pytest.mark.parametrize(
    ("kind", "arrays", "meta", "reason", "told"),
    [
        ("probs", {}, {}, "key", "needs the array 'probs'"),
        ("probs", {"logits": HALF}, {}, "key", "needs the array 'probs'"),
        ("logits", {"logits": CODES}, {}, "key", "need finite 'low' and 'step'"),
        ("logits", {"logits": CODES}, {"low": 0.0}, "key", "'low' and 'step'"),
        ("logits", {"logits": CODES}, {"low": 0.0, "step": "1"}, "key", "'low' and 'step'"),
        ("logits", {"logits": CODES}, {"low": np.inf, "step": 1.0}, "key", "'low' and 'step'"),
        ("weights", {"theta": CODES[0]}, {"low": 0.0, "step": np.nan}, "key", "'low' and 'step'"),
        ("logits", {"logits": CODES}, {"low": 1e300, "step": 1.0}, "not_finite", "float32"),
        ("logits", {"logits": CODES}, {"low": 0.0, "step": 1e308}, "not_finite", "float32"),
        ("logits", {"logits": HALF.astype(np.float64)}, {}, "dtype", "float64"),
        ("logits", {"logits": CODES.astype(np.int32)}, {}, "dtype", "int32"),
        ("probs", {"probs": np.float32([[1.5, -0.5]])}, {}, "range", "negative probability -0.5"),
        ("probs", {"probs": np.float32([[0.5, 0.5], [0.5, 0.502]])}, {}, "range", "row 1"),
        ("probs", {"probs": np.float16([[0.5, 0.51]])}, {}, "range", "row 0"),
        ("probs", {"probs": np.uint8([[100, 100]])}, {}, "range", "instead of 1"),
        ("probs", {"probs": np.float32([[0.0, 0.0]])}, {}, "range", "sums to 0"),
        ("label_table", {"table": np.float32([[0, 0], [0.2, 0.2]])}, {}, "range", "row 1"),
        ("probs", {"probs": HALF[0]}, {}, "shape", "rows and columns"),
        ("probs", {"probs": HALF, "indices": HALF[0]}, {}, "dtype", "'indices'"),
        ("probs", {"probs": HALF, "indices": CODES}, {}, "dtype", "one row of integers"),
    ],
)
def test_a_hostile_frame_is_refused_with_its_reason(
    kind: str, arrays: dict[str, Any], meta: dict[str, Any], reason: str, told: str
) -> None:
    with pytest.raises(FrameError, match=told) as refused:
        from_frame(kind, arrays, meta)
    assert refused.value.reason == reason


def test_rows_may_be_off_by_what_their_rounding_explains() -> None:
    # 256/255 is off by 0.0039: within 3 classes of 1/510 and 1e-3, together 0.0069.
    coded = np.array([[128, 127, 1]], np.uint8)
    back = from_frame("probs", {"probs": coded}, {}).value
    np.testing.assert_allclose(back, coded / 256, atol=1e-7)
    # 257/255 is off by 0.0078: no rounding of three probabilities makes that.
    with pytest.raises(FrameError, match=r"sums to 1\.00784"):
        from_frame("probs", {"probs": np.array([[128, 128, 1]], np.uint8)}, {})


@settings(deadline=None)
@given(seed=st.integers(0, 10**6), name=st.sampled_from(sorted(CODECS)))
def test_an_absent_class_has_no_prototype_in_any_codec(seed: int, name: str) -> None:
    """Features of either sign leave zero between two levels of their range."""
    rng = np.random.default_rng(seed)
    counts = rng.integers(0, 3, 5).astype(np.uint8)
    value = np.where(counts[:, None] > 0, rng.normal(size=(5, 4)), 0.0).astype(np.float32)
    arrays, meta = to_frame(Knowledge("prototypes", value, {"counts": counts}), codec(name))
    back = from_frame("prototypes", arrays, meta)
    assert not back.value[counts == 0].any()
    step = np.ptp(value) / 255
    np.testing.assert_allclose(back.value, value, rtol=2e-3, atol=step)
