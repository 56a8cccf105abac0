"""Knowledge and what is compared of it between two runs."""

from __future__ import annotations

import hashlib

import cbor2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_fd.codecs import paper_bits
from edge_fd.knowledge import Fused, Knowledge, smallest_unsigned

VALUE = np.arange(6, dtype=np.float32).reshape(3, 2)


def test_a_paper_counts_the_numbers_of_the_value_alone() -> None:
    knowledge = Knowledge("logits", VALUE, {"indices": np.arange(3)})
    assert paper_bits(knowledge) == 6 * 32


def test_the_indices_are_none_where_the_whole_set_is_meant() -> None:
    assert Knowledge("logits", VALUE).indices is None
    assert list(Knowledge("logits", VALUE, {"indices": np.array([1, 4, 5])}).indices) == [1, 4, 5]  # type: ignore[arg-type]


def test_a_device_gets_its_own_piece_or_the_shared_one_or_none() -> None:
    own, shared = Knowledge("label_table", VALUE), Knowledge("label_table", VALUE + 1)
    assert Fused(shared, {"a": own}).of("a") is own
    assert Fused(shared, {"a": own}).of("b") is shared
    assert Fused(each={"a": own}).of("b") is None


def test_the_canonical_form_is_plain_cbor_of_names_types_shapes_and_bytes() -> None:
    # Read back by cbor2 alone, as a comparison in another language would.
    piece = Knowledge("logits", VALUE, {"indices": np.array([2, 5, 7], np.uint8)})
    fused = Fused(each={"b": piece})
    tree = cbor2.loads(fused.canonical())
    assert tree == {
        "b": {
            "logits": ["<f4", [3, 2], VALUE.tobytes()],
            "indices": ["|u1", [3], bytes([2, 5, 7])],
        }
    }
    assert fused.sha256 == hashlib.sha256(fused.canonical()).hexdigest()


def test_the_canonical_form_does_not_depend_on_order_or_memory_layout() -> None:
    first, second = Knowledge("logits", VALUE), Knowledge("logits", VALUE + 1)
    turned = Knowledge("logits", np.asfortranarray(VALUE))
    one = Fused(each={"a": first, "b": second})
    other = Fused(each={"b": second, "a": turned})
    assert one.canonical() == other.canonical()


def test_one_changed_bit_changes_the_hash() -> None:
    changed = VALUE.copy()
    changed[2, 1] = np.nextafter(changed[2, 1], np.float32(9))
    hashes = {Fused(Knowledge("logits", value)).sha256 for value in (VALUE, changed)}
    assert len(hashes) == 2


def test_a_negative_zero_is_another_value() -> None:
    zeros = np.zeros((1, 2), np.float32)
    hashes = {Fused(Knowledge("logits", value)).sha256 for value in (zeros, -zeros)}
    assert len(hashes) == 2


@given(st.lists(st.integers(0, 2**40), min_size=1))
def test_the_smallest_type_that_holds_the_numbers_is_chosen(values: list[int]) -> None:
    array = smallest_unsigned(values)
    assert array.tolist() == values
    needed = next(size for size in (1, 2, 4, 8) if max(values) < 2 ** (8 * size))
    assert array.dtype.itemsize == needed


def test_negative_counts_are_refused() -> None:
    with pytest.raises(ValueError, match="-1"):
        smallest_unsigned([3, -1])
