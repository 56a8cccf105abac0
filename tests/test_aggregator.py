"""The aggregator: hostile and broken frames harm nothing, restarts and orders change nothing."""

from __future__ import annotations

import itertools
import tracemalloc
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broker import topics
from broker.frame import Frame, decode, encode, seal
from broker.limits import LIMITS
from edge_fd import messages
from edge_fd.aggregator import Aggregator
from edge_fd.codecs import codec
from edge_fd.knowledge import Knowledge
from edge_fd.messages import Birth, Out, out
from edge_fd.methods import create
from edge_fd.outcome import Holdings, Outcome
from edge_fd.requests import Samples
from edge_fd.rounds import Close, Entry, Plan

RUN, CLASSES, CRC_BYTES = "r", 3, 4
PLAN = Plan(("a", "b", "c"), rounds=2, quorum=2, deadline_s=10.0, join_s=5.0, remind_s=1.0)
FLOAT32 = codec("float32")


@dataclass
class Tape:
    """Keeper and watcher that only remember."""

    entries: list[Entry] = field(default_factory=list)
    outcomes: list[Outcome] = field(default_factory=list)
    closes: list[Close] = field(default_factory=list)
    answers: list[tuple[str, int, str]] = field(default_factory=list)
    metrics: list[tuple[str, int, dict[str, float]]] = field(default_factory=list)

    def append(self, entry: Entry) -> None:
        self.entries.append(entry)

    def keep(self, outcome: Outcome) -> None:
        self.outcomes.append(outcome)

    def closed(self, close: Close, *, opened_s: float, now_s: float) -> None:
        assert opened_s <= now_s
        self.closes.append(close)

    def fused(self, outcome: Outcome) -> None:
        assert self.outcomes[-1] is outcome, "told before it was durable"

    def answered(self, device: str, round: int, verdict: str) -> None:
        self.answers.append((device, round, verdict))

    def measured(self, device: str, round: int, values: dict[str, float]) -> None:
        self.metrics.append((device, round, values))


def aggregator(tape: Tape, method: str = "fd", plan: Plan = PLAN, **options: Any) -> Aggregator:
    return Aggregator(
        RUN, create(method, {}), plan,
        classes=CLASSES, codec=FLOAT32, keeper=tape, watcher=tape, **options,
    )  # fmt: skip


def birth(name: str, of: str = "fd", **changes: Any) -> bytes:
    fingerprint = create(of, {}).fingerprint()
    said = replace(Birth(name.encode(), 1, "train", "mlp", 100, fingerprint), **changes)
    return out("", messages.birth(said, run=RUN, device=name)).payload


def opened(tape: Tape, method: str = "fd", plan: Plan = PLAN, **options: Any) -> Aggregator:
    me = aggregator(tape, method, plan, **options)
    me.start(0.0)
    for name in plan.devices:
        me.receive(topics.up(RUN, name, "birth"), birth(name, method), 0.0)
    assert me.number == 1
    return me


def table(name: str, number: int = 1) -> Knowledge:
    """A label table of its own for each device and round; it holds the labels 0 and 1."""
    rows = np.random.default_rng([ord(name), number]).random((CLASSES, CLASSES)) + 0.1
    rows = (rows / rows.sum(-1, keepdims=True)).astype(np.float32)
    rows[2] = 0
    return Knowledge("label_table", rows, {"counts": np.array([5, 2, 0], np.uint8)})


def frame(name: str, number: int = 1, **changes: Any) -> Frame:
    made, _ = messages.piece(
        table(name, number), FLOAT32, run=RUN, round=number, device=name, method="fd"
    )
    return replace(made, **changes)


def upload(name: str, number: int = 1) -> bytes:
    return encode(frame(name, number))


def send(me: Aggregator, name: str, payload: bytes, now_s: float = 1.0) -> list[Out]:
    return me.receive(topics.up(RUN, name, "knowledge"), payload, now_s)


def fuse(me: Aggregator, now_s: float = 1.0) -> list[Out]:
    assert me.job is not None
    me.job.run()
    return me.finish(now_s)


def said(outs: Iterable[Out]) -> list[tuple[str, Frame]]:
    return [(message.topic, message.frame) for message in outs]


def undisturbed() -> str:
    me = opened(Tape())
    for name in "abc":
        send(me, name, upload(name))
    fuse(me)
    return me.outcome.fused.sha256


# An undisturbed run.


def test_fd_fused_over_frames_is_the_mean_of_the_others() -> None:
    """Jeong et al. 2018, algorithm 1: leave one out, each device once, by hand."""
    me = opened(Tape())
    for name in "abc":
        send(me, name, upload(name))
    fuse(me)
    tables = {name: table(name).value.astype(np.float64) for name in "abc"}
    for name in "abc":
        mean = sum(tables[other] for other in "abc" if other != name) / 2
        piece = me.outcome.fused.of(name)
        assert piece is not None
        np.testing.assert_allclose(piece.value, mean, rtol=1e-6)


def test_the_same_contributions_give_the_same_bytes_in_any_order() -> None:
    found = set()
    for order in itertools.permutations("abc"):
        me = opened(Tape())
        for name in order:
            send(me, name, upload(name))
        sent = {message.topic: message.payload for message in fuse(me)}
        found.add((me.outcome.fused.canonical(), tuple(sorted(sent.items()))))
    assert len(found) == 1


def test_two_contributions_of_one_device_at_once_are_told_apart_without_their_bytes() -> None:
    """One to an older round counts in this buffer, and a second one is put into the next."""
    plan = replace(PLAN, rounds=3, buffer=2, max_staleness=2)
    found = []
    for light in (False, True):
        me = opened(Tape(), plan=plan)
        for name, number in (("a", 1), ("b", 1), ("c", 1), ("c", 2), ("a", 2), ("b", 3)):
            made = out(topics.up(RUN, name, "knowledge"), frame(name, number))
            me.receive_out(made.light() if light else made, 1.0)
            if me.job is not None:
                fuse(me)
                found.append((light, me.outcome.round, me.outcome.fused.sha256))
    assert [at[:2] for at in found] == [(light, n) for light in (False, True) for n in (1, 2, 3)]
    assert [at[2] for at in found[:3]] == [at[2] for at in found[3:]]


def test_what_failed_rounds_admitted_is_forgotten() -> None:
    me = opened(Tape(), plan=replace(PLAN, rounds=5))
    held = []
    for number in range(1, 5):
        send(me, "a", upload("a", number), 11.0 * (number - 1) + 1.0)
        held.append(len(me._admitted))
        me.tick(11.0 * number)
    assert me.number == 5
    assert max(held) <= 2


def test_the_frames_of_all_who_are_sent_the_outcome_share_its_arrays() -> None:
    me = opened(Tape())
    for name in "abc":
        send(me, name, upload(name))
    pieces = [made for made in fuse(me) if made.frame.kind == "label_table"]
    assert len(pieces) == 3
    for made in pieces:
        fused = me.outcome.fused.of(made.device)
        assert fused is not None
        assert np.shares_memory(made.frame.arrays["table"], fused.value)


def test_a_run_from_birth_to_end() -> None:
    tape = Tape()
    me = aggregator(tape)
    (state,) = me.start(0.0)
    assert (state.topic, state.retain) == (topics.bcast(RUN, "state"), True)
    assert messages.read_state(state.frame).finished_after is None
    for name in "abc":
        outs = me.receive(topics.up(RUN, name, "birth"), birth(name), 0.0)
    assert [(topic, frame.round) for topic, frame in said(outs)] == [
        (topics.bcast(RUN, "round"), 1)
    ]
    for number in (1, 2):
        for name in "abc":
            ((topic, receipt),) = said(send(me, name, upload(name, number)))
            assert (topic, receipt.round) == (topics.down(RUN, name, "receipt"), number)
            assert receipt.meta == {"verdict": "accepted"}
        outs = fuse(me)
        pieces = {
            m.topic: messages.read_piece(m.frame) for m in outs if m.frame.kind == "label_table"
        }
        assert set(pieces) == {topics.down(RUN, name, "knowledge") for name in "abc"}
        for name in "abc":
            piece, mine = pieces[topics.down(RUN, name, "knowledge")], me.outcome.fused.of(name)
            assert piece is not None
            assert mine is not None
            np.testing.assert_allclose(piece.value, mine.value, rtol=1e-6)
    assert me.finished
    assert messages.read_state(outs[-1].frame).finished_after == 2
    assert [close.failed for close in tape.closes] == [False, False]
    assert not me.refusals


def test_who_comes_after_the_end_is_answered_alone() -> None:
    """The state is retained: to send it again would tell the whole fleet for each latecomer."""
    me = opened(Tape())
    for number in range(1, PLAN.rounds + 1):
        for name in "abc":
            send(me, name, upload(name, number))
        fuse(me)
    assert me.finished
    outs = me.receive(topics.up(RUN, "a", "birth"), birth("a", session=2), 9.0)
    assert [message.device for message in outs] == ["a"]
    assert [message.frame.kind for message in outs] == ["label_table"]


def test_a_failed_round_leaves_the_knowledge_as_it_was() -> None:
    me = opened(Tape(), plan=replace(PLAN, rounds=3))
    for name in "abc":
        send(me, name, upload(name))
    fuse(me)
    before = me.outcome
    send(me, "a", upload("a", 2))
    outs = said(me.tick(50.0))
    assert me.outcome is before
    assert [(f.kind, f.round, f.meta["after"]) for _, f in outs] == [("announce", 3, 1)]


def test_a_device_that_was_away_is_given_the_knowledge_and_the_round() -> None:
    me = opened(Tape())
    for name in "abc":
        send(me, name, upload(name))
    fuse(me)
    outs = said(me.receive(topics.up(RUN, "b", "birth"), birth("b", session=2), 3.0))
    assert [(topic, f.kind, f.round) for topic, f in outs] == [
        (topics.down(RUN, "b", "knowledge"), "label_table", 1),
        (topics.down(RUN, "b", "round"), "announce", 2),
    ]


def test_a_reminder_does_not_send_the_knowledge_again() -> None:
    me = opened(Tape())
    for name in "abc":
        send(me, name, upload(name), 0.0)
    fuse(me, 0.0)
    send(me, "b", upload("b", 2), 0.5)
    outs = said(me.tick(1.0))
    assert [(topic, f.kind) for topic, f in outs] == [
        (topics.down(RUN, name, "round"), "announce") for name in "ac"
    ]


# Who may take part.


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"method": b"12345678"}, "with other settings or source"),
        ({"capability": "infer"}, "needs devices that train"),
        ({"parameters": 99}, "expects 100 parameters of 'a': 'mlp' has 99"),
    ],
)
def test_a_device_that_does_not_fit_is_turned_away(changes: dict[str, Any], reason: str) -> None:
    tape = Tape()
    me = aggregator(tape, "fedavg", holdings=Holdings(parameters=dict.fromkeys("abc", 100)))
    me.start(0.0)
    payload = birth("a", "fedavg", **changes)
    ((topic, away),) = said(me.receive(topics.up(RUN, "a", "birth"), payload, 0.0))
    assert topic == topics.down(RUN, "a", "refused")
    assert reason in str(away.meta["reason"])
    assert (away.meta["instance"], away.meta["session"]) == (b"a", 1)
    assert (me.alive, tape.entries) == ((), [])


# Proxy samples.


def test_each_round_asks_about_its_own_proxy_samples_by_the_seed() -> None:
    proxy = Samples(np.zeros((300, 2)))
    plan = replace(PLAN, seed=4)
    one, same, other = (
        aggregator(Tape(), "dsfl", p, holdings=Holdings(proxy=proxy, proxy_per_round=20))
        for p in (plan, plan, replace(plan, seed=5))
    )
    drawn = [one.indices(number) for number in (1, 2, 3)]
    for number, indices in enumerate(drawn, start=1):
        assert indices is not None
        assert indices.dtype == np.uint16
        assert len(set(indices.tolist())) == 20
        assert (np.diff(indices.astype(int)) > 0).all()
        assert indices.max() < 300
        np.testing.assert_array_equal(indices, same.indices(number))
        assert not np.array_equal(indices, other.indices(number))
    assert not np.array_equal(drawn[0], drawn[1])
    for per_round in (None, 300, 500):
        held = Holdings(proxy=proxy, proxy_per_round=per_round)
        assert aggregator(Tape(), "dsfl", holdings=held).indices(1) is None


# What must be refused.


def poisoned(payload: bytes, old: float, new: float) -> bytes:
    """Replace one float32 in a sealed frame and seal it again."""
    before, after = (np.float32(v).tobytes() for v in (old, new))
    assert payload.count(before) == 1
    return seal(payload[:-CRC_BYTES].replace(before, after))


def changed(where: tuple[int, int], value: float) -> Frame:
    rows = table("a").value.copy()
    rows[where] = value
    return frame("a", arrays={"table": rows, "counts": table("a").exact["counts"]})


ROWS = table("a").value
FIRST = float(ROWS[0, 0])
ARRAYS = dict(frame("a").arrays)
BAD: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "crc"),
    "text": (b"hello", "crc"),
    "sealed rubbish": (seal(b"\xff\xff\xff"), "syntax"),
    "huge declared size": (seal(b"\xa1\x06\x5b" + (2**40).to_bytes(8, "big")), "truncated"),
    "too large": (bytes(1_000_001), "size"),
    "not a number": (poisoned(upload("a"), FIRST, float("nan")), "not_finite"),
    "infinite": (poisoned(upload("a"), FIRST, float("inf")), "not_finite"),
    "negative": (poisoned(upload("a"), FIRST, -FIRST), "range"),
    "no probabilities": (poisoned(upload("a"), FIRST, 7.0), "range"),
    "wrong shape": (encode(frame("a", arrays={**ARRAYS, "table": ROWS[:2]})), "shape"),
    "large shape": (
        encode(
            frame("a", arrays={**ARRAYS, "table": np.full((990, 1000), 1e-3, np.float32)}),
            compress=True,
        ),
        "shape",
    ),
    "wrong dtype": (encode(frame("a", arrays={**ARRAYS, "table": ROWS.astype(float)})), "dtype"),
    "no table": (encode(frame("a", arrays={"counts": ARRAYS["counts"]})), "key"),
    "no counts": (encode(frame("a", arrays={"table": ROWS})), "shape"),
    "count without row": (
        encode(frame("a", arrays={**ARRAYS, "counts": np.array([5, 2, 1], np.uint8)})), "range",
    ),
    "row without count": (
        encode(frame("a", arrays={**ARRAYS, "counts": np.array([5, 0, 0], np.uint8)})), "range",
    ),
    "another kind": (encode(frame("a", kind="probs", arrays={"probs": ROWS[:2]})), "kind"),
    "no knowledge": (encode(frame("a", kind="receipt", arrays={})), "kind"),
    "done with nothing": (encode(frame("a", kind="done", arrays={})), "kind"),
    "foreign device": (upload("b"), "device"),
    "another run": (encode(frame("a", run="other")), "run"),
    "another method": (encode(frame("a", method="dsfl")), "method"),
}  # fmt: skip
UNANSWERED = {"crc", "truncated"}


@pytest.mark.parametrize(("payload", "reason"), BAD.values(), ids=list(BAD))
def test_a_bad_upload_is_refused_with_its_reason_and_counted(payload: bytes, reason: str) -> None:
    tape = Tape()
    me = opened(tape)
    before = list(tape.entries)
    outs = said(send(me, "a", payload))
    assert dict(me.refusals) == {reason: 1}
    assert tape.entries == before
    if reason in UNANSWERED:
        assert outs == []
    else:
        ((topic, receipt),) = outs
        assert topic == topics.down(RUN, "a", "receipt")
        assert receipt.meta["verdict"] == "refused"
        assert f"[{reason}]" in str(receipt.meta["reason"])


def test_after_all_of_them_the_round_is_fused_as_if_nothing_had_happened() -> None:
    tape = Tape()
    me = opened(tape)
    for name in "abc":
        for payload, _ in BAD.values():
            send(me, "a", payload)
        send(me, name, upload(name))
    fuse(me)
    assert me.outcome.fused.sha256 == undisturbed()
    accepted = [entry[2] for entry in tape.entries if entry[0] == "accept"]
    assert accepted == ["a", "b", "c"]
    assert sum(me.refusals.values()) == 3 * len(BAD)


def test_every_cut_and_every_flipped_bit_is_refused() -> None:
    whole = upload("a")
    tape = Tape()
    me = opened(tape)
    broken = [whole[:cut] for cut in range(len(whole))]
    broken += [
        whole[:at] + bytes([whole[at] ^ (1 << at % 8)]) + whole[at + 1 :]
        for at in range(len(whole))
    ]
    for payload in broken:
        assert send(me, "a", payload) == []
    assert sum(me.refusals.values()) == len(broken)
    assert set(me.refusals) <= {"crc", "truncated"}
    for name in "abc":
        send(me, name, upload(name))
    fuse(me)
    assert me.outcome.fused.sha256 == undisturbed()


edits = st.lists(st.tuples(st.integers(0, 10**6), st.binary(min_size=1, max_size=3)), max_size=4)


@given(edits, st.sampled_from(["birth", "death", "knowledge", "metrics"]), st.booleans())
@settings(max_examples=300, deadline=None)
def test_sealed_rubbish_is_accepted_whole_or_not_at_all(
    changes: list[tuple[int, bytes]],
    leaf: str,
    start_from_birth: bool,  # noqa: FBT001
) -> None:
    """Device c is hostile and knows the checksum; a and b go on."""
    tape = Tape()
    me = opened(tape)
    data = bytearray((birth("c") if start_from_birth else upload("c"))[:-CRC_BYTES])
    for place, piece in changes:
        at = place % len(data)
        data[at : at + len(piece)] = piece
    outs = me.receive(topics.up(RUN, "c", leaf), seal(bytes(data)), 1.0)
    assert all(message.device in ("", "c") or message.frame.kind == "announce" for message in outs)
    for name in "ab":
        ((_, receipt),) = said(send(me, name, upload(name)))[:1]
        assert receipt.meta["verdict"] == "accepted"
    me.tick(10.0)
    fuse(me, 11.0)
    counted = [entry[2] for entry in tape.entries if entry[0] == "accept"]
    assert sorted(counted) == sorted(set(counted))
    assert set(counted) >= {"a", "b"}
    for name in "abc":
        piece = me.outcome.fused.of(name)
        assert piece is None or np.isfinite(piece.value).all()


@pytest.mark.parametrize(
    "topic",
    [
        "", "/", "rubbish", "efd/v1/r/up/a", "efd/v2/r/up/a/knowledge", "efd/v1/r/up//knowledge",
        "efd/v1/r/up/a/anything", topics.up("other", "a", "knowledge"),
        topics.down(RUN, "a", "knowledge"), topics.bcast(RUN, "knowledge"),
        topics.bcast(RUN, "state"),
    ],
)  # fmt: skip
def test_a_topic_that_no_device_of_this_run_writes_is_counted_and_left_alone(topic: str) -> None:
    tape = Tape()
    me = opened(tape)
    before = list(tape.entries)
    assert me.receive(topic, upload("a"), 1.0) == []
    assert dict(me.refusals) == {"topic": 1}
    assert tape.entries == before


def test_a_device_that_is_not_of_this_run_gets_no_answer_and_takes_no_place() -> None:
    tape = Tape()
    me = opened(tape)
    assert send(me, "z", upload("z")) == []
    metrics = messages.metrics({"loss": 1.0}, run=RUN, round=1, device="z")
    assert me.receive(topics.up(RUN, "z", "metrics"), encode(metrics), 1.0) == []
    assert dict(me.refusals) == {"device": 2}
    assert (tape.answers, tape.metrics) == ([], [])


@pytest.mark.parametrize(
    ("number", "verdict"), [(0, "refused"), (2, "refused"), (2**32 - 1, "refused")]
)
def test_a_round_that_was_never_announced_is_refused(number: int, verdict: str) -> None:
    ((_, receipt),) = said(send(opened(Tape()), "a", upload("a", number)))
    assert (receipt.round, receipt.meta["verdict"]) == (number, verdict)


def test_metrics_are_for_rounds_that_were_announced() -> None:
    tape = Tape()
    me = opened(tape)
    topic = topics.up(RUN, "a", "metrics")
    for number in (1, 2):
        made = messages.metrics({"loss": 0.5}, run=RUN, round=number, device="a")
        me.receive(topic, encode(made), 1.0)
    worded = Frame("metrics", run=RUN, round=1, device="a", meta={"loss": "small"})
    me.receive(topic, encode(worded), 1.0)
    assert tape.metrics == [("a", 1, {"loss": 0.5})]
    assert dict(me.refusals) == {"round": 1, "key": 1}


def grown_bytes(
    me: Aggregator, flood: Callable[[int], tuple[str, bytes]], count: int
) -> tuple[int, int]:
    """What ``count`` messages leave behind, and the most that they needed at once."""
    me.receive(*flood(0), 1.0)
    tracemalloc.start()
    for number in range(count):
        me.receive(*flood(number), 1.0)
    kept, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return kept, peak


def floods() -> dict[str, Callable[[int], tuple[str, bytes]]]:
    mine = topics.up(RUN, "a", "knowledge")
    bad = [payload for payload, _ in BAD.values()]

    def foreign(number: int) -> tuple[str, bytes]:
        name = f"z{number}"
        made = frame("z", device=name)
        return topics.up(RUN, name, "knowledge"), encode(made)

    return {
        "bad": lambda number: (mine, bad[number % len(bad)]),
        "foreign": foreign,
        "again": lambda _: (mine, upload("a")),
        "future": lambda number: (mine, upload("a", number + 2)),
    }


@pytest.mark.parametrize("kind", ["bad", "foreign", "again", "future"])
def test_a_flood_takes_no_more_memory_than_one_frame(kind: str) -> None:
    """No more than four copies of the arrays of one frame, by the limits of the broker package."""

    class Deaf(Tape):
        def answered(self, device: str, round: int, verdict: str) -> None:
            pass

    kept, peak = grown_bytes(opened(Deaf()), floods()[kind], 200)
    assert kept < 64_000, kept
    assert peak < 4 * LIMITS.array_bytes + LIMITS.frame_bytes, peak


# Restarts.


def restarted(tape: Tape, method: str = "fd", **options: Any) -> Aggregator:
    outcome = tape.outcomes[-1] if tape.outcomes else None
    return aggregator(
        tape, method, epoch=2, history=tuple(tape.entries), outcome=outcome, **options
    )


def test_cut_at_every_journal_entry_the_run_ends_with_the_same_bytes() -> None:
    """At each entry of an unbroken run: stop there, start again, let all devices come back."""
    whole = Tape()
    play(opened(whole), ())
    for cut in range(1, len(whole.entries)):
        tape = Tape(entries=list(whole.entries[:cut]))
        done = sum(entry[0] == "fused" for entry in tape.entries)
        tape.outcomes = list(whole.outcomes[:done])
        me = restarted(tape)
        outs = me.start(0.0)
        for name in "abc":
            outs += me.receive(topics.up(RUN, name, "birth"), birth(name, session=2), 0.0)
        play(me, outs)
        assert me.finished
        assert me.outcome.fused.sha256 == whole.outcomes[-1].fused.sha256, cut
        taken = [(n, name) for what, n, name, _ in tape.entries if what == "accept"]
        assert len(taken) == len(set(taken)) == 6


def play(me: Aggregator, outs: Sequence[Out]) -> None:
    """Let every device answer what it is told, until the run is over."""
    assert all(decode(message.payload) for message in outs)
    for _ in range(2 * PLAN.rounds):
        if me.job is not None:
            fuse(me)
        for name in "cab":
            if not me.finished:
                send(me, name, upload(name, me.number))
    assert me.finished


def test_an_outcome_that_was_kept_but_not_recorded_is_not_computed_again() -> None:
    tape = Tape()
    me = opened(tape)
    for name in "abc":
        send(me, name, upload(name))
    assert me.job is not None
    me.job.run()
    recorded = len(tape.entries)
    me.finish(2.0)
    tape.entries = tape.entries[:recorded]
    again = restarted(tape)
    outs = said(again.start(0.0))
    assert again.job is None
    assert again.number == 2
    assert ("announce", 2) in [(f.kind, f.round) for _, f in outs]
    assert len(tape.outcomes) == 1


def test_a_contribution_from_before_the_restart_counts_and_a_second_does_not() -> None:
    tape = Tape()
    me = opened(tape)
    send(me, "a", upload("a"))
    again = restarted(tape)
    again.start(0.0)
    ((_, receipt),) = said(send(again, "a", encode(frame("b", device="a"))))
    assert receipt.meta == {"verdict": "accepted", "reason": "counted before"}
    for name in "bc":
        send(again, name, upload(name))
    fuse(again)
    assert again.outcome.fused.sha256 == undisturbed()


def test_it_may_not_finish_what_is_not_computed() -> None:
    with pytest.raises(RuntimeError, match="not fused yet"):
        opened(Tape()).finish(1.0)
