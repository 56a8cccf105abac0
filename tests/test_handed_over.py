"""A message that was encoded here is read without decoding: the same as from its bytes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.frame import decode
from edge_fd.codecs import CODECS, codec
from edge_fd.knowledge import VALUE_OF_KIND, Knowledge, smallest_unsigned
from edge_fd.messages import Out, out, piece, read_piece

SIZES = {"label_table": (4, 4), "logits": (6, 4), "probs": (6, 4), "prototypes": (4, 3)}


def knowledge(kind: str, seed: int) -> Knowledge:
    rng = np.random.default_rng(seed)
    if kind == "symbols":
        value = rng.integers(0, 5, 40).astype(np.float32)
        return Knowledge(kind, value, {"alphabet": smallest_unsigned([5])})
    value = rng.standard_normal(SIZES.get(kind, (50,))).astype(np.float32)
    if kind in ("label_table", "probs"):
        value = np.abs(value) / np.abs(value).sum(-1, keepdims=True)
    return Knowledge(kind, value, {"counts": smallest_unsigned([3, 300])})


def parts(found: Knowledge | None) -> list[Any]:
    assert found is not None
    arrays = [found.value, *(found.exact[name] for name in sorted(found.exact))]
    return [found.kind, *((each.dtype, each.shape, each.tobytes()) for each in arrays)]


@pytest.mark.parametrize("name", sorted(CODECS))
@given(kind=st.sampled_from(sorted(VALUE_OF_KIND)), seed=st.integers(0, 2**32))
def test_knowledge_handed_over_is_that_of_the_bytes(name: str, kind: str, seed: int) -> None:
    how = codec(name)
    frame, _ = piece(knowledge(kind, seed), how, run="r", round=3, device="d", method="m")
    made = out("edge-fd/v1/r/up/d/knowledge", frame, compress=how.compress)
    carried = Out(made.topic, made.payload, made.round, None)
    assert parts(made.piece) == parts(read_piece(decode(made.payload))) == parts(carried.piece)
