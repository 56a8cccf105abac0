"""What an upload must look like before it may count."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from broker.errors import FrameError
from broker.frame import Frame
from edge_fd.admission import Expected, admit

CLASSES = 3
TABLE = np.float32([[0.8, 0.1, 0.1], [0, 0, 0], [0.2, 0.2, 0.6]])
COUNTS = np.array([5, 0, 300], np.uint16)
ROWS = np.float32([[0.5, 0.25, 0.25], [0.0, 1.0, 0.0]])
ONE = np.array([7], np.uint8)

LABELS = Frame("label_table", arrays={"table": TABLE, "counts": COUNTS})
LOGITS = Frame("logits", arrays={"logits": ROWS - 4})
PROBS = Frame("probs", arrays={"probs": ROWS})
WEIGHTS = Frame("weights", arrays={"theta": np.ones(6, np.float32), "samples": ONE})

WANTS = {
    "label_table": Expected("label_table", CLASSES),
    "logits": Expected("logits", CLASSES, samples=2),
    "probs": Expected("probs", CLASSES, samples=2),
    "weights": Expected("weights", CLASSES, parameters=6),
}


@pytest.mark.parametrize("frame", [LABELS, LOGITS, PROBS, WEIGHTS], ids=lambda f: f.kind)
def test_a_good_upload_is_admitted_as_it_is(frame: Frame) -> None:
    knowledge = admit(frame, WANTS[frame.kind])
    assert knowledge is not None
    assert knowledge.kind == frame.kind
    value = next(iter(frame.arrays.values()))
    np.testing.assert_array_equal(knowledge.value, value)


def test_where_no_knowledge_is_wanted_the_end_of_a_round_is_enough() -> None:
    assert admit(Frame("done"), Expected(None, CLASSES)) is None


def arrays(frame: Frame, **changed: Any) -> Frame:
    kept = {k: v for k, v in {**frame.arrays, **changed}.items() if v is not None}
    return replace(frame, arrays=kept)


@pytest.mark.parametrize(
    ("frame", "wants", "reason", "told"),
    [
        (LOGITS, "probs", "kind", "'logits'; this round wants 'probs'"),
        (Frame("done"), "logits", "kind", "'done'; this round wants 'logits'"),
        (Frame("birth"), "logits", "kind", "this round wants 'logits'"),
        (arrays(LOGITS, logits=ROWS[:1]), "logits", "shape", r"\(1, 3\); .* wants \(2, 3\)"),
        (arrays(LOGITS, logits=ROWS[:, :2]), "logits", "shape", r"\(2, 2\)"),
        (arrays(LOGITS, logits=ROWS.ravel()), "logits", "shape", r"\(6,\)"),
        (arrays(PROBS, probs=ROWS * 2), "probs", "range", "sums to 2"),
        (arrays(LABELS, table=TABLE[:2]), "label_table", "shape", r"\(2, 3\)"),
        (arrays(LABELS, counts=None), "label_table", "shape", "'counts' .* found nothing"),
        (arrays(LABELS, counts=COUNTS[:2]), "label_table", "shape", r"found shape \(2,\)"),
        (arrays(LABELS, counts=np.array([5, 1, 300])), "label_table", "range", "class 1 .* 1"),
        (arrays(LABELS, counts=np.array([0, 0, 300])), "label_table", "range", "class 0 .* 0"),
        (arrays(LABELS, counts=np.array([5, -1, 9])), "label_table", "range", "counts hold -1"),
        (arrays(LABELS, counts=np.ones(3, np.float32)), "label_table", "dtype", "'counts'"),
        (arrays(WEIGHTS, theta=np.ones(5, np.float32)), "weights", "shape", r"\(5,\)"),
        (arrays(WEIGHTS, theta=np.ones((2, 3), np.float32)), "weights", "shape", r"\(2, 3\)"),
        (arrays(WEIGHTS, samples=None), "weights", "shape", "'samples' .* found nothing"),
        (arrays(WEIGHTS, samples=np.array([0])), "weights", "range", "samples = 0"),
        (arrays(WEIGHTS, samples=np.array([-4])), "weights", "range", "samples = -4"),
        (arrays(WEIGHTS, samples=np.array([4, 4])), "weights", "shape", r"found shape \(2,\)"),
    ],
)  # fmt: skip
def test_a_bad_upload_is_refused_with_its_reason(
    frame: Frame, wants: str, reason: str, told: str
) -> None:
    with pytest.raises(FrameError, match=told) as refused:
        admit(frame, WANTS[wants])
    assert refused.value.reason == reason


def test_knowledge_is_refused_where_none_is_wanted() -> None:
    with pytest.raises(FrameError, match="this round wants 'done'"):
        admit(LOGITS, Expected(None, CLASSES))


def test_a_table_that_lost_a_row_to_its_codec_is_refused() -> None:
    # As many classes as no byte can hold apart: the row of a class that is held came out empty.
    classes = 600
    table, counts = np.zeros((classes, classes), np.uint8), np.ones(classes, np.uint8)
    frame = Frame("label_table", arrays={"table": table, "counts": counts})
    with pytest.raises(FrameError, match="class 0 has count 1"):
        admit(frame, Expected("label_table", classes))
