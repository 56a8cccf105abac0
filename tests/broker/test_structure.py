"""The walk against RFC 8949: what the standard calls valid or invalid."""

from __future__ import annotations

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.errors import FrameError
from broker.limits import Limits
from broker.structure import check_structure

# RFC 8949, appendix A: examples within the subset of frames.
VALID = """
00 01 0a 17 1818 1819 1864 1903e8 1a000f4240 1b000000e8d4a51000 1bffffffffffffffff 20 29 3863
3903e7 3bffffffffffffffff f90000 f98000 f93c00 fb3ff199999999999a fa47c35000 f4 f5 40 4401020304
60 6161 6449455446 62225c 62c3bc 63e6b0b4 80 83010203 8301820203820405 a0 a26161016162820203
826161a161626163
"""
# Appendix F.1 (not well-formed) and what the subset leaves out: indefinite, simple, tags.
INVALID = """
18 19 1a 1b 1901 1a0102 1b01020304050607 38 58 78 98 9a01ff00 b8 d8 f8 f900 fa0000 fb000000
41 61 5affffffff00 5bffffffffffffffff010203 7affffffff00 81 8181 8200 a1 a20102 a100 a2000000
c0 1c 1d 1e 3c 5c 7c 9c bc dc fc ff 5f4100ff 7f6100ff 9f00ff bf6100ff f6 f7 f0 f8ff
c11a514b67b0 1817 190018 5801ff 8001 a10000a0
"""


def check(item: bytes, limits: Limits = Limits()) -> None:  # noqa: B008  frozen
    check_structure(b"\xa1\x00" + item, limits=limits, tags={40})


@pytest.mark.parametrize("text", VALID.split())
def test_examples_of_rfc_8949_pass(text: str) -> None:
    check(bytes.fromhex(text))


@pytest.mark.parametrize("text", INVALID.split())
def test_ill_formed_items_are_refused(text: str) -> None:
    with pytest.raises(FrameError):
        check(bytes.fromhex(text))


PLAIN = st.recursive(
    st.booleans() | st.integers(-(2**64), 2**64 - 1) | st.floats() | st.text() | st.binary(),
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(st.text(), inner)
        | st.dictionaries(st.integers(0, 2**64 - 1), inner)
    ),
    max_leaves=20,
)


@given(PLAIN)
def test_whatever_cbor2_writes_canonically_passes(value: object) -> None:
    check(cbor2.dumps(value, canonical=True), Limits(depth=100))


@pytest.mark.parametrize(("depth", "passes"), [(3, True), (4, False)])
def test_depth_counts_the_map_and_each_level_in_it(depth: int, passes: bool) -> None:  # noqa: FBT001
    # The outer map is level 1, so that lists may nest depth - 1 deep.
    item = b"\x81" * (depth - 1) + b"\x80"
    limits = Limits(depth=4)
    if passes:
        check(item, limits)
    else:
        with pytest.raises(FrameError, match="nested deeper than 4"):
            check(item, limits)


def test_items_are_counted() -> None:
    check(bytes.fromhex("83010203"), Limits(items=6))  # map, key, list and three numbers
    with pytest.raises(FrameError, match="more than 5"):
        check(bytes.fromhex("83010203"), Limits(items=5))
