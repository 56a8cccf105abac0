"""Each message through its bytes and back; docs/protocol.md is the contract."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from broker.errors import FrameError
from broker.frame import Frame, decode
from edge_fd import messages
from edge_fd.codecs import codec
from edge_fd.knowledge import Knowledge

UP = "efd/v1/r/up/pi/knowledge"
BIRTH = messages.Birth(b"\x01" * 8, 3, "infer", "mlp", 1234, b"\x02" * 8)
STATE = messages.AggregatorState(2, True, b"\x03" * 8, 7, None)


def through(frame: Frame) -> Frame:
    return decode(messages.out(UP, frame).payload)


def test_knowledge_comes_back_with_where_it_belongs() -> None:
    value = np.float32([[0.25, 0.75]])
    knowledge = Knowledge("probs", value, {"indices": np.array([4], np.uint8)})
    frame, values = messages.piece(
        knowledge, codec("float32"), run="r", round=5, device="pi", method="dsfl"
    )
    back = through(frame)
    assert (back.run, back.round, back.device, back.method) == ("r", 5, "pi", "dsfl")
    read = messages.read_piece(back)
    assert read is not None
    np.testing.assert_array_equal(read.value, value)
    np.testing.assert_array_equal(read.indices, [4])
    assert values == 2 * 32


def test_an_upload_without_knowledge_is_done_and_counts_no_values() -> None:
    frame, values = messages.piece(
        None, codec("uint8"), run="r", round=1, device="pi", method="local"
    )
    assert messages.read_piece(through(frame)) is None
    assert values == 0


def test_a_frame_that_holds_no_knowledge_is_refused() -> None:
    with pytest.raises(FrameError, match="'birth' holds no knowledge"):
        messages.read_piece(Frame("birth"))


@pytest.mark.parametrize("indices", [None, np.array([0, 7, 300], np.uint16)])
def test_an_announcement_comes_back(indices: Any) -> None:
    frame = messages.announce(
        run="r", round=4, device="", after=2, left_s=12.34567, indices=indices
    )
    after, left_s, asked = messages.read_announce(through(frame))
    assert (after, left_s) == (2, 12.346)
    np.testing.assert_array_equal(asked, indices)


@pytest.mark.parametrize(
    "indices", [np.array([0.5], np.float32), np.array([-1], np.int8), np.zeros((1, 2), np.uint8)]
)
def test_indices_must_be_one_row_of_unsigned_integers(indices: Any) -> None:
    frame = Frame("announce", arrays={"indices": indices}, meta={"after": 0, "left_s": 1.0})
    with pytest.raises(FrameError, match="one row of unsigned integers"):
        messages.read_announce(frame)


def test_a_birth_comes_back() -> None:
    frame = messages.birth(BIRTH, run="r", device="pi")
    assert messages.read_birth(through(frame)) == BIRTH


@pytest.mark.parametrize("length", [0, 65])
def test_an_instance_of_another_length_is_refused(length: int) -> None:
    said = replace(BIRTH, instance=b"x" * length)
    with pytest.raises(FrameError, match=f"instance has {length} B; 1 to 64"):
        messages.read_birth(through(messages.birth(said, run="r", device="pi")))


def test_an_unknown_capability_is_refused() -> None:
    frame = messages.birth(replace(BIRTH, capability="guess"), run="r", device="pi")
    with pytest.raises(FrameError, match="'guess'; known: train, infer"):
        messages.read_birth(frame)


@pytest.mark.parametrize("after", [None, 0, 16])
def test_the_aggregators_state_comes_back(after: int | None) -> None:
    said = replace(STATE, finished_after=after)
    assert messages.read_state(through(messages.state(said, run="r", method="fd"))) == said


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("session", "3"),
        ("session", 3.0),
        ("session", True),
        ("instance", "ab"),
        ("parameters", None),
        ("student", b"mlp"),
        ("capability", 1),
    ],
)
def test_a_key_that_is_missing_or_of_another_type_is_named(key: str, value: Any) -> None:
    frame = messages.birth(BIRTH, run="r", device="pi")
    meta = {k: v for k, v in {**frame.meta, key: value}.items() if v is not None}
    with pytest.raises(FrameError, match=f"birth: '{key}' must be") as refused:
        messages.read_birth(replace(frame, meta=meta))
    assert refused.value.reason == "key"


def test_a_whole_number_may_stand_for_seconds() -> None:
    # CBOR writers of other languages shorten 2.0 to 2 (RFC 8949, clause 4.2.2).
    frame = Frame("announce", meta={"after": 0, "left_s": 2})
    assert messages.read_announce(frame)[1] == 2.0


def test_only_the_addressed_incarnation_is_named_in_a_refusal_and_a_death() -> None:
    refused = through(
        messages.refused(run="r", device="pi", instance=b"i" * 8, session=2, reason="a clone")
    )
    gone = through(messages.death(run="r", device="pi", instance=b"i" * 8, session=2))
    assert refused.meta == {"instance": b"i" * 8, "session": 2, "reason": "a clone"}
    assert gone.meta == {"instance": b"i" * 8, "session": 2}


@pytest.mark.parametrize("reason", ["", "too late"])
def test_a_receipt_gives_a_reason_where_there_is_one(reason: str) -> None:
    frame = through(messages.receipt(run="r", device="pi", round=3, verdict="late", reason=reason))
    assert frame.round == 3
    assert frame.meta == {"verdict": "late"} | ({"reason": reason} if reason else {})


def test_a_message_is_charged_to_its_round_unless_it_is_evaluation() -> None:
    frame = messages.metrics({"accuracy_test": 0.5}, run="r", round=9, device="pi")
    free = messages.out("efd/v1/r/up/pi/metrics", frame, charged=False)
    assert free.cost is None
    assert (free.round, free.device) == (9, "pi")
    charged = messages.out(UP, Frame("done", round=9), paper_bits=40)
    assert charged.cost is not None
    assert charged.cost.payload + charged.cost.envelope == len(charged.payload)
    assert charged.cost.paper_bits == 40


def test_a_broadcast_belongs_to_no_device() -> None:
    assert messages.out("efd/v1/r/bcast/round", Frame("done")).device == ""


def test_compression_is_asked_for_by_the_caller() -> None:
    frame = Frame("logits", arrays={"logits": np.zeros((50, 10), np.float32)})
    plain, small = (messages.out(UP, frame, compress=c) for c in (False, True))
    assert plain.cost is not None
    assert small.cost is not None
    assert plain.cost.payload == 2000
    assert small.cost.payload < 100
    np.testing.assert_array_equal(small.frame.arrays["logits"], plain.frame.arrays["logits"])
