"""Preprocessing against index arithmetic written out, and its refusals."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices.preprocess import Preprocess


def test_scale_and_offset_in_float32() -> None:
    x = np.array([[0, 8, 16]], np.uint8)
    out = Preprocess(1 / 16, -0.5, (3,)).apply(x)
    assert out.dtype == np.float32
    np.testing.assert_array_equal(out, [[-0.5, 0.0, 0.5]])


sides = st.integers(1, 9)


@given(height=sides, width=sides, rows=sides, columns=sides, channels=st.sampled_from([1, 3]))
def test_resizing_picks_the_floor_index(
    height: int, width: int, rows: int, columns: int, channels: int
) -> None:
    x = np.arange(2 * channels * height * width).reshape(2, channels, height, width)
    out = Preprocess(1, 0, (channels, rows, columns)).apply(x if channels == 3 else x[:, 0])
    assert out.shape == (2, channels, rows, columns)
    for i in range(rows):
        for j in range(columns):
            source = x[:, :, (i * height) // rows, (j * width) // columns]
            np.testing.assert_array_equal(out[:, :, i, j], source)


@pytest.mark.parametrize(
    ("sample", "shape"), [((8, 8), (64,)), ((8, 8), (1, 8, 8)), ((9, 128), (9, 128)), ((5,), (5,))]
)
def test_equal_sizes_are_reshaped_in_order(sample: tuple[int, ...], shape: tuple[int, ...]) -> None:
    x = np.arange(2 * np.prod(sample)).reshape(2, *sample)
    out = Preprocess(1, 0, shape).apply(x)
    assert out.shape == (2, *shape)
    np.testing.assert_array_equal(out.ravel(), x.ravel())


@pytest.mark.parametrize(
    ("sample", "shape"),
    [
        ((128, 9), (9, 128)),  # as many numbers, in another order: never reshaped in silence
        ((8, 8), (63,)),
        ((8, 8, 3), (3, 8, 8)),
        ((8, 8), (3, 8, 8)),
        ((64,), (1, 8, 8)),
        ((0, 8), (1, 4, 4)),
    ],
)
def test_what_does_not_fit_is_refused_with_both_shapes(
    sample: tuple[int, ...], shape: tuple[int, ...]
) -> None:
    with pytest.raises(ValueError, match="do not fit") as raised:
        Preprocess(1, 0, shape).apply(np.zeros((2, *sample)))
    assert str(sample) in str(raised.value)
    assert str(shape) in str(raised.value)


@pytest.mark.parametrize(
    ("scale", "offset", "shape"), [(1, 0, ()), (1, 0, (0, 3)), (float("inf"), 0, (3,))]
)
def test_senseless_settings_are_refused(
    scale: float, offset: float, shape: tuple[int, ...]
) -> None:
    with pytest.raises(ValueError, match=r"must be finite|needs at least"):
        Preprocess(scale, offset, shape)


def test_a_dict_gives_it_back() -> None:
    one = Preprocess(1 / 255, -0.25, (3, 32, 32))
    assert Preprocess.from_dict(one.to_dict()) == one


def test_no_samples_stay_no_samples() -> None:
    assert Preprocess(1, 0, (1, 28, 28)).apply(np.zeros((0, 8, 8))).shape == (0, 1, 28, 28)
