"""CFD's quantiser against brute force, its codes against enumeration."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_fd.codecs.simplex import (
    Coding,
    coding,
    decode,
    delta,
    dequantise,
    encode,
    quantise,
    rank,
    undelta,
    unrank,
)
from edge_fd.codecs.symbols import pack, unpack
from edge_fd.errors import TargetError

Array = npt.NDArray[Any]

seeds = st.integers(0, 2**32)


def grid(classes: int, bits: int) -> Array:
    """All rows of levels, by trying every one; ascending."""
    top = 2**bits - 1
    rows = itertools.product(range(top + 1), repeat=classes)
    return np.array([row for row in rows if sum(row) == top])


@st.composite
def distributions(draw: st.DrawFn, classes: int | None = None) -> Array:
    """Rows of probabilities: some sharp, some flat, some with many equal shares."""
    rng = np.random.default_rng(draw(seeds))
    columns = classes or draw(st.integers(2, 12))
    rows = draw(st.integers(1, 8))
    if draw(st.booleans()):
        counts = rng.integers(0, draw(st.integers(2, 4)), (rows, columns))
        counts[:, 0] += counts.sum(1) == 0
        shares: Array = counts / counts.sum(1, keepdims=True)
        return shares
    return rng.dirichlet(np.full(columns, draw(st.sampled_from([0.05, 0.5, 5.0]))), rows)


@settings(deadline=None)
@given(probs=distributions(classes=4), bits=st.integers(1, 3), draws=st.none() | seeds)
def test_no_grid_point_is_nearer_in_l1(probs: Array, bits: int, draws: int | None) -> None:
    rng = None if draws is None else np.random.default_rng(draws)
    levels = quantise(probs, bits, rng=rng)
    every = grid(4, bits) / (2**bits - 1)
    least = np.abs(probs[:, None] - every).sum(2).min(1)
    mine = np.abs(probs - levels / (2**bits - 1)).sum(1)
    np.testing.assert_allclose(mine, least, rtol=0, atol=1e-12)


@settings(deadline=None)
@given(probs=distributions(), bits=st.integers(1, 16))
def test_rows_sum_to_one(probs: Array, bits: int) -> None:
    levels = quantise(probs.astype(np.float32), bits)
    assert levels.dtype == np.uint16
    assert (levels.sum(1, dtype=np.int64) == 2**bits - 1).all()
    back = dequantise(levels, bits)
    assert back.dtype == np.float32
    np.testing.assert_allclose(back.sum(1, dtype=np.float64), 1.0, rtol=0, atol=1e-6)
    # Largest remainder moves no share by a whole level; 1e-6 for shares in float32.
    assert np.abs(back - probs).max() < 1 / (2**bits - 1) + 1e-6


@settings(deadline=None)
@given(probs=distributions(), bits=st.integers(1, 16))
def test_points_of_the_grid_stay_where_they_are(probs: Array, bits: int) -> None:
    levels = quantise(probs, bits)
    assert (quantise(dequantise(levels, bits), bits) == levels).all()


@given(probs=distributions())
def test_one_bit_is_the_arg_max(probs: Array) -> None:
    expected = np.eye(probs.shape[1])[probs.argmax(1)]  # numpy: the lowest index among equals
    assert (quantise(probs, 1) == expected).all()


def test_levels_by_hand() -> None:
    # Two bits are thirds. 0.5, 0.3, 0.2 are 1.5, 0.9, 0.6 of them: 1, 0, 0 and two more.
    assert quantise(np.array([[0.5, 0.3, 0.2]]), 2).tolist() == [[1, 1, 1]]
    assert quantise(np.array([[0.75, 0.25, 0.0]]), 2).tolist() == [[2, 1, 0]]
    assert quantise(np.full((1, 4), 0.25), 2).tolist() == [[1, 1, 1, 0]]
    assert quantise(np.zeros((0, 3)), 2).shape == (0, 3)


def test_ties_are_drawn_alike_from_a_stream() -> None:
    probs = np.tile([0.4, 0.4, 0.2], (4000, 1))
    drawn = quantise(probs, 1, rng=np.random.default_rng(5))
    assert (drawn == quantise(probs, 1, rng=np.random.default_rng(5))).all()
    share, untied = drawn[:, 0].mean(), drawn[:, 2].sum()
    assert untied == 0
    # Binomial, n = 4000, p = 1/2: five standard deviations are 0.0395.
    assert share == pytest.approx(0.5, abs=0.0395)


def test_rows_off_by_rounding_are_divided_by_their_sum() -> None:
    # 0.9995 of each share: at 16 bits the sum alone lacks 33 levels, more than there are classes.
    probs = np.array([[0.5, 0.25, 0.25]])
    assert (quantise(probs * 0.9995, 16) == quantise(probs, 16)).all()


@pytest.mark.parametrize(
    ("probs", "reason"),
    [
        ([[0.5, 0.5], [0.5, 0.498]], "row 1 is no distribution: sum 0.998"),
        ([[1.1, -0.1]], "least -0.1"),
        ([[math.nan, 1.0]], "sum nan"),
        ([[math.inf, -math.inf]], "sum nan"),
        ([0.5, 0.5], r"got shape \(2,\)"),
        (np.zeros((2, 0)), r"got shape \(2, 0\)"),
    ],
)
def test_what_is_no_distribution_is_refused(probs: Any, reason: str) -> None:
    with pytest.raises(TargetError, match=reason):
        quantise(np.array(probs), 2)


@pytest.mark.parametrize("bits", [0, 17])
def test_bits_have_a_range(bits: int) -> None:
    with pytest.raises(ValueError, match=f"1 to 16 bits, got {bits}"):
        quantise(np.array([[0.5, 0.5]]), bits)


def test_levels_that_are_no_row_are_refused() -> None:
    for levels in ([[1, 1, 0]], [[4, -1, 0]]):
        with pytest.raises(ValueError, match="levels of row 0 sum to"):
            dequantise(np.array(levels), 2)
    with pytest.raises(ValueError, match="rows of integers, got float64"):
        dequantise(np.array([[3.0, 0.0]]), 2)


def test_delta_is_the_papers_code() -> None:
    # Sattler et al. (CFD): 0 where the label equals the last round's, else the label in 1..C.
    labels, base = np.array([3, 0, 9, 0]), np.array([3, 1, 0, 0])
    assert delta(labels, base).tolist() == [0, 1, 10, 0]


@given(seed=seeds, classes=st.integers(2, 2**16 - 1), count=st.integers(0, 50))
def test_delta_round_trip(seed: int, classes: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    base = rng.integers(0, classes, count)
    labels = np.where(rng.random(count) < 0.5, base, rng.integers(0, classes, count))
    symbols = delta(labels.astype(np.uint16), base.astype(np.uint16))
    assert ((symbols == 0) == (labels == base)).all()
    assert (undelta(symbols, base) == labels).all()
    assert (symbols <= classes).all()


def test_a_base_that_was_not_the_senders_shows() -> None:
    symbols = delta(np.array([1, 2, 2]), np.array([1, 0, 0]))
    with pytest.raises(ValueError, match="made against another"):
        undelta(symbols, np.array([1, 2, 0]))
    with pytest.raises(ValueError, match="3 delta symbols cannot follow a base of 2"):
        undelta(symbols, np.array([1, 0]))


@pytest.mark.parametrize(
    ("labels", "base", "reason"),
    [
        ([1, 2], [1], "2 labels cannot follow a base of 1"),
        ([-1], [0], "labels from -1"),
        ([0], [2**16 - 1], "base from 65535"),
        ([0.0], [0], "float64"),
    ],
)
def test_what_are_no_labels_is_refused(labels: Any, base: Any, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        delta(np.array(labels), np.array(base))


@pytest.mark.parametrize(("classes", "bits"), [(2, 1), (5, 1), (2, 4), (3, 3), (4, 3), (6, 2)])
def test_numbers_of_rows_count_them_from_the_last(classes: int, bits: int) -> None:
    rows = grid(classes, bits)[::-1]
    # Stars and bars: binom(2**b - 2 + C, C - 1).
    assert (
        len(rows) == math.comb(2**bits - 2 + classes, classes - 1) == coding(classes, bits).alphabet
    )
    assert rank(rows, bits).tolist() == list(range(len(rows)))
    assert (unrank(np.arange(len(rows)), classes=classes, bits=bits) == rows).all()


def test_with_one_bit_the_number_is_the_label() -> None:
    labels = np.array([3, 0, 9, 5])
    assert rank(np.eye(10, dtype=int)[labels], 1).tolist() == labels.tolist()


def test_numbers_beyond_the_last_row_are_refused() -> None:
    for number in (-1, 220):
        with pytest.raises(ValueError, match="not within 0 to 219"):
            unrank(np.array([0, number]), classes=10, bits=2)
    with pytest.raises(ValueError, match="too many to number"):
        rank(np.eye(10, dtype=int) * 15, 4)


@pytest.mark.parametrize(
    ("classes", "bits", "alphabet", "symbols"),
    [
        (10, 1, 10, 1),
        (10, 2, 220, 1),  # binom(12, 9)
        (10, 3, 11_440, 1),  # binom(16, 9)
        (10, 4, 16, 9),  # binom(24, 9) is 1,307,504
        (2, 16, 2**16, 1),  # binom(65536, 1), the last that fits
        (2**16, 1, 2**16, 1),  # binom(65536, 65535)
        (3, 8, 32_896, 1),  # binom(257, 2)
        (3, 9, 512, 2),  # binom(513, 2) is 131,328
    ],
)
def test_a_row_takes_its_number_where_that_fits(
    classes: int, bits: int, alphabet: int, symbols: int
) -> None:
    assert coding(classes, bits) == Coding(alphabet, symbols)


@settings(deadline=None)
@given(probs=distributions(), bits=st.integers(1, 16))
def test_rows_come_back_from_their_bytes(probs: Array, bits: int) -> None:
    levels = quantise(probs, bits)
    rows, classes = levels.shape
    symbols, alphabet = encode(levels, bits)
    how = coding(classes, bits)
    assert (alphabet, symbols.size) == (how.alphabet, rows * how.symbols_per_row)
    received = unpack(pack(symbols, alphabet), rows * how.symbols_per_row, how.alphabet)
    back = decode(received, how.alphabet, classes=classes, bits=bits)
    assert back.dtype == np.uint16
    assert (back == levels).all()


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.uint64])
def test_integers_of_any_width_will_do(dtype: Any) -> None:
    levels = np.array([[3, 0, 0], [1, 1, 1]], dtype)
    symbols, alphabet = encode(levels, 2)
    assert (decode(symbols.astype(dtype), alphabet, classes=3, bits=2) == levels).all()
    assert undelta(delta(levels[0], levels[1]), levels[1]).tolist() == [3, 0, 0]
    assert unpack(pack(levels[0], 4), 3, 4).tolist() == [3, 0, 0]


def test_symbols_that_are_no_rows_are_refused() -> None:
    with pytest.raises(ValueError, match="have alphabet 220, got 221"):
        decode(np.array([3]), 221, classes=10, bits=2)
    with pytest.raises(ValueError, match="no whole rows of 9"):
        decode(np.zeros(10, int), 16, classes=10, bits=4)
    with pytest.raises(ValueError, match="sum to 15, the least is -1"):
        decode(np.array([8, 8] + [0] * 7), 16, classes=10, bits=4)
    with pytest.raises(ValueError, match="2 classes or more, got 1"):
        coding(1, 2)
