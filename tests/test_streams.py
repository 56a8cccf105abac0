"""Random streams: one per component, the same everywhere."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_fd.streams import stream

names = st.lists(st.one_of(st.text(max_size=4), st.integers(0, 20)), max_size=4)


def first(seed: int, *parts: str | int) -> int:
    return int(stream(seed, *parts).bit_generator.random_raw())


@settings(deadline=None)
@given(a=names, b=names, seed=st.integers(0, 3), other=st.integers(0, 3))
def test_streams_are_equal_where_seed_and_names_are_and_only_there(
    a: list[str | int], b: list[str | int], seed: int, other: int
) -> None:
    same = (seed, a) == (other, b)
    assert (first(seed, *a) == first(other, *b)) == same


@pytest.mark.parametrize(
    ("a", "b"),
    [(("a", "bc"), ("ab", "c")), (("a", ""), ("a",)), ((1,), ("1",)), ((12, 3), (1, 23))],
)
def test_where_one_name_ends_and_which_type_it_has_matters(
    a: tuple[str | int, ...], b: tuple[str | int, ...]
) -> None:
    assert first(0, *a) != first(0, *b)


def test_another_process_draws_the_same() -> None:
    # Python's own hash() of text differs from process to process; ours must not.
    draw = "stream(7, 'device', 3, 'batches').integers(2**62)"
    code = f"from edge_fd.streams import stream; print({draw})"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONHASHSEED": "12345", "PYTHONPATH": ":".join(sys.path)},
    )
    assert int(done.stdout) == stream(7, "device", 3, "batches").integers(2**62)


def test_two_streams_are_not_correlated() -> None:
    n = 4000
    x = stream(0, "device", "a").standard_normal(n)
    y = stream(0, "device", "b").standard_normal(n)
    # The sample correlation of independent normals has standard deviation 1/sqrt(n).
    assert abs(float((x * y).mean())) < 5 / n**0.5
