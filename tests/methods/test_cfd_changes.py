"""CFD's labels as changes (eq. 13): when they are sent, what is refused, how a chain goes on.

Devices and server here and in a real pair of aggregator and participants that loses messages.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="the student is made with torch, of the extra 'server'")

from hypothesis import given, settings
from hypothesis import strategies as st
from test_cfd import CFD, CLASSES, EPOCHS, cfd, fuse, raw, soft_labels, whole

from edge_fd import methods
from edge_fd.aggregator import Aggregator
from edge_fd.codecs import codec
from edge_fd.knowledge import Knowledge
from edge_fd.messages import Out
from edge_fd.methods import Method, Round
from edge_fd.outcome import Holdings, Outcome
from edge_fd.participant import Identity, Participant
from edge_fd.rounds import Close, Entry, Plan

RUN, NAMES = "r", ("a", "b")


def changes(symbols: Any, base: int) -> Knowledge:
    return raw(symbols, alphabet=[CLASSES + 1], base=[base])


# When changes are sent.


def test_changes_are_made_against_the_labels_that_were_accepted(bench: Any) -> None:
    device = bench.device("a")
    first = bench.run(CFD.device_round(device, Round(1), None), "cfd").result
    half = CFD.device_round(device, Round(2, acknowledged=1), soft_labels((1, 1)))
    second = bench.run(half, "cfd", seed=9)
    labels = bench.plain(second.state.theta).probs(bench.proxy.x).argmax(1)
    assert (labels != first.value).any()
    assert (labels == first.value).any()
    # Equation 13, classes counted from 1.
    expected = np.where(labels == first.value, 0, labels + 1)
    np.testing.assert_array_equal(second.result.value, expected)
    assert second.result.exact["base"].tolist() == [1]
    assert second.result.exact["alphabet"].tolist() == [CLASSES + 1]


@pytest.mark.parametrize(
    ("number", "acknowledged", "fused", "base"),
    [
        (4, 3, (1, 3), 3),
        (6, 3, (3, 5), 3),  # it was not asked in 4 and 5, which were fused
        (4, 2, (1, 3), 0),  # its last upload was lost, or refused, or the receipt was
        (4, 0, (1, 3), 0),  # started again: it knows of no receipt
        (4, 3, (1, 2), 0),  # accepted in round 3, which then missed its quorum
        (6, 3, (4, 5), 0),  # the same, and then rounds 4 and 5 were fused without it
        (6, 3, (1, 4), 0),  # buffered rounds: it may have counted in 5, which failed
    ],
)
def test_when_the_server_may_lack_the_last_labels_all_are_sent(
    bench: Any, number: int, acknowledged: int, fused: tuple[int, int], base: int
) -> None:
    device = bench.device("a", "infer")
    bench.run(CFD.device_round(device, Round(3), soft_labels()), "cfd")
    facts = Round(number, acknowledged=acknowledged)
    upload = bench.run(CFD.device_round(device, facts, soft_labels(fused)), "cfd").result
    assert upload.exact["base"].tolist() == [base]
    assert upload.exact["alphabet"].tolist() == [CLASSES + (base > 0)]


def test_before_any_broadcast_all_labels_are_sent(bench: Any) -> None:
    device = bench.device("a", "infer")
    bench.run(CFD.device_round(device, Round(1), None), "cfd")
    upload = bench.run(CFD.device_round(device, Round(2, acknowledged=1), None), "cfd").result
    assert upload.exact["base"].tolist() == [0]


def test_labels_of_more_than_one_bit_are_never_changes(bench: Any) -> None:
    device, method = bench.device("a", "infer"), cfd(up_bits=2)
    first = bench.run(method.device_round(device, Round(1), None), "cfd").result
    facts = Round(2, acknowledged=1)
    second = bench.run(method.device_round(device, facts, soft_labels()), "cfd").result
    assert list(second.exact) == ["alphabet"]
    np.testing.assert_array_equal(second.value, first.value)


def test_a_round_that_is_repeated_keeps_its_base(bench: Any) -> None:
    device, alu = bench.device("a"), methods.create("alu+cfd", {**EPOCHS, "alu": {"rounds": 3}})
    first = bench.run(alu.device_round(device, Round(1), None), "cfd").result
    facts = Round(2, acknowledged=1)
    job = bench.run(alu.device_round(device, facts, soft_labels((1, 1))), "cfd", seed=9)
    labels = bench.plain(job.state.theta).probs(bench.proxy.x).argmax(1)
    assert job.result.exact["base"].tolist() == [1]
    expected = np.where(labels == first.value, 0, labels + 1)
    np.testing.assert_array_equal(job.result.value, expected)


LABELS = st.lists(st.integers(0, CLASSES - 1), min_size=5, max_size=5)


@settings(max_examples=30)
@given(rounds=st.lists(st.tuples(LABELS, LABELS), min_size=1, max_size=5))
def test_changes_are_fused_as_the_labels_are(rounds: list[tuple[list[int], list[int]]]) -> None:
    told: dict[str, Any] = {}
    kept: dict[str, Any] = {}
    old: dict[str, Any] = {}
    for number, (of_a, of_b) in enumerate(rounds, 1):
        new = {"a": np.array(of_a), "b": np.array(of_b)}
        plain = {name: whole(labels) for name, labels in new.items()}
        coded = {
            name: changes(np.where(labels == old[name], 0, labels + 1), number - 1)
            if old
            else plain[name]
            for name, labels in new.items()
        }
        for name, upload in coded.items():
            assert not CFD.objection(upload, device=name, classes=CLASSES, memory=kept)
        fused = fuse(coded, kept, number)
        np.testing.assert_array_equal(fused.value, fuse(plain, told, number).value)
        assert fused.exact["fused"].tolist() == [1, number]
        old = new


def test_a_failed_round_begins_a_new_row_of_fused_ones() -> None:
    memory: dict[str, Any] = {}
    rows = [fuse({"a": whole([1, 2])}, memory, n).exact["fused"].tolist() for n in (1, 2, 4, 5)]
    assert rows == [[1, 1], [1, 2], [4, 4], [4, 5]]


def test_in_a_buffer_labels_belong_to_the_round_that_the_device_was_asked_for() -> None:
    memory: dict[str, Any] = {}
    fuse({"a": whole([1, 2])}, memory, 5, staleness={"a": 2}, max_staleness=3)
    ok, other = (
        CFD.objection(changes([0, 1], base), device="a", classes=CLASSES, memory=memory)
        for base in (3, 5)
    )
    assert not ok
    assert "round 5" in other
    assert "round 3" in other


# What is refused.


def memory_of_round_2() -> dict[str, Any]:
    memory: dict[str, Any] = {}
    fuse({"a": whole([1, 2, 3])}, memory, 2)
    return memory


@pytest.mark.parametrize(
    ("upload", "reason"),
    [
        (raw([0, 1, 2], alphabet=[5], base=[0]), "alphabet 4"),
        (raw([0, 1, 2], alphabet=[4], base=[2]), "5 symbols"),
        (raw([0, 1, 2], alphabet=[6], base=[2]), "5 symbols"),
        (raw([0, 1, 1], alphabet=[5], base=[1]), "round 1, kept are those of round 2"),
        (raw([0, 1, 1], alphabet=[5], base=[-2]), "round -2"),
        (raw([2, 0, 0], alphabet=[5], base=[2]), "repeat labels"),  # the base's own label 1
        (raw([0, 0], alphabet=[5], base=[2]), "cannot follow"),
        (raw([0, 1, 2], alphabet=[4], base=[0, 0]), "shape"),
        (raw([0, 1, 2], alphabet=[4], base=[]), "shape"),
    ],
)
def test_what_cannot_be_decoded_is_refused(upload: Knowledge, reason: str) -> None:
    memory = memory_of_round_2()
    assert reason in CFD.objection(upload, device="a", classes=CLASSES, memory=memory)


def test_changes_to_the_labels_of_another_device_are_refused() -> None:
    reason = CFD.objection(
        changes([0, 0, 0], 2), device="b", classes=CLASSES, memory=memory_of_round_2()
    )
    assert "kept are those of round 0" in reason


def test_rows_beyond_the_grid_are_refused() -> None:
    # 8 bits and 4 classes are too many rows to number: three levels, and the last follows.
    method = cfd(up_bits=8)
    assert method.symbols(CLASSES) == 3
    said = [
        method.objection(raw(row, alphabet=[256]), device="a", classes=CLASSES, memory={})
        for row in ([100, 100, 55], [100, 100, 56])
    ]
    assert said[0] == ""
    assert "sum" in said[1]


def test_where_nothing_is_kept_nothing_can_be_changed() -> None:
    memory: dict[str, Any] = {}
    method = cfd(delta=False)
    fuse({"a": raw([1, 2], alphabet=[CLASSES])}, memory, method=method)
    assert memory == {}
    assert method.objection(changes([0, 0], 1), device="a", classes=CLASSES, memory=memory)


# A chain over frames.


class Tape:
    """Keeper and watcher that only remember."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.outcomes: list[Outcome] = []
        self.failed: list[int] = []
        self.verdicts: list[tuple[str, int, str]] = []

    def append(self, entry: Entry) -> None:
        self.entries.append(entry)

    def keep(self, outcome: Outcome) -> None:
        self.outcomes.append(outcome)

    def closed(self, close: Close, *, opened_s: float, now_s: float) -> None:  # noqa: ARG002
        self.failed += [close.round] if close.failed else []

    def fused(self, outcome: Outcome) -> None:
        pass

    def answered(self, device: str, round: int, verdict: str) -> None:
        self.verdicts.append((device, round, verdict))

    def measured(self, device: str, round: int, values: dict[str, float]) -> None:
        pass


Lost = Callable[[Out], bool]


class Pair:
    """An aggregator and two devices; ``lost`` messages do not arrive, time passes when all wait."""

    def __init__(self, bench: Any, method: Method, lost: Lost, **plan: Any) -> None:
        self.tape, self.lost, self.now_s, self.method = Tape(), lost, 0.0, method
        self.bases: dict[tuple[str, int], int] = {}
        """By device and round: the base of each upload that was sent."""
        self.plan = Plan(
            NAMES, **{"rounds": 6, "quorum": 1, "deadline_s": 10.0, "remind_s": 1e6, **plan}
        )
        self.holdings = Holdings(proxy=bench.proxy)
        self.aggregator = self.born()
        self.devices = {
            name: Participant(
                Identity(RUN, name, name.encode(), 1), method, bench.device(name),
                bench.desk("cfd"), codec=codec("float32"), seed=self.plan.seed,
            )
            for name in NAMES
        }  # fmt: skip

    def born(self, **past: Any) -> Aggregator:
        return Aggregator(
            RUN, self.method, self.plan, classes=CLASSES, codec=codec("float32"),
            keeper=self.tape, watcher=self.tape, holdings=self.holdings, **past,
        )  # fmt: skip

    def begin(self) -> None:
        for device in self.devices.values():
            device.connected(0.0)
        self.deliver(self.aggregator.start(self.now_s))

    def deliver(self, outs: Iterable[Out]) -> None:
        waiting = list(outs)
        while waiting:
            message = waiting.pop(0)
            if message.leaf == "knowledge" and "/up/" in message.topic:
                base = message.frame.arrays.get("base", [-1])
                self.bases[message.device, message.round] = int(base[0])
            if not self.lost(message):
                waiting += self.arrive(message)

    def arrive(self, message: Out) -> list[Out]:
        if "/up/" in message.topic:
            outs = self.aggregator.receive(message.topic, message.payload, self.now_s)
            return outs + self.fusing()
        names = [message.device] if message.device else NAMES
        return [
            out
            for name in names
            for out in self.devices[name].receive(message.topic, message.payload, self.now_s)
            + self.computing(name)
        ]

    def computing(self, name: str) -> list[Out]:
        device, outs = self.devices[name], []
        while device.job is not None:
            device.job.run()  # type: ignore[union-attr]
            outs += device.finish(self.now_s)
        return outs

    def fusing(self) -> list[Out]:
        outs = []
        while self.aggregator.job is not None:
            self.aggregator.job.run()
            outs += self.aggregator.finish(self.now_s)
        return outs

    def run(self, until: int = 99) -> None:
        """Go on until the run or round ``until`` is over; nothing is ever sent again."""
        while not self.aggregator.finished and self.aggregator.number <= until:
            self.now_s = self.aggregator.next_tick_s
            outs = self.aggregator.tick(self.now_s)
            self.deliver(outs + self.fusing())


def nothing(_message: Out) -> bool:
    return False


def losing(leaf: str, device: str, *rounds: int) -> Lost:
    def lost(message: Out) -> bool:
        return (message.leaf, message.device) == (leaf, device) and message.round in rounds

    return lost


def chain(bench: Any, lost: Lost = nothing, *, delta: bool = True, **plan: Any) -> Pair:
    pair = Pair(bench, cfd(delta=delta), lost, **plan)
    pair.begin()
    pair.run()
    return pair


def fused(pair: Pair) -> dict[int, Any]:
    return {
        outcome.round: outcome.fused.shared.value
        for outcome in pair.tape.outcomes
        if outcome.fused.shared is not None
    }


def bases(pair: Pair, name: str) -> list[int]:
    return [base for (device, _), base in sorted(pair.bases.items()) if device == name]


def same_as_whole_labels(bench: Any, pair: Pair, lost: Lost, **plan: Any) -> None:
    """No change that was sent was misread: each fusion is that of the same run without changes."""
    whole_ones = fused(chain(bench, lost, delta=False, **plan))
    assert list(whole_ones) == list(fused(pair))
    for number, value in fused(pair).items():
        np.testing.assert_array_equal(value, whole_ones[number])


def test_every_upload_but_the_first_is_changes(bench: Any) -> None:
    pair = chain(bench)
    assert bases(pair, "a") == bases(pair, "b") == [0, 1, 2, 3, 4, 5]
    assert {verdict for *_, verdict in pair.tape.verdicts} == {"accepted"}
    same_as_whole_labels(bench, pair, nothing)


@pytest.mark.parametrize("leaf", ["knowledge", "receipt"])
def test_after_a_lost_upload_or_receipt_labels_are_sent_whole(bench: Any, leaf: str) -> None:
    lost = losing(leaf, "a", 3)
    pair = chain(bench, lost)
    assert bases(pair, "a") == [0, 1, 2, 0, 4, 5]
    assert bases(pair, "b") == [0, 1, 2, 3, 4, 5]
    assert "refused" not in {verdict for *_, verdict in pair.tape.verdicts}
    same_as_whole_labels(bench, pair, lost)


def test_labels_accepted_in_a_round_that_failed_are_no_base(bench: Any) -> None:
    lost = losing("knowledge", "b", 3)
    pair = chain(bench, lost, quorum=2)
    assert pair.tape.failed == [3]
    assert ("a", 3, "accepted") in pair.tape.verdicts
    assert bases(pair, "a") == [0, 1, 2, 0, 4, 5]
    assert "refused" not in {verdict for *_, verdict in pair.tape.verdicts}
    same_as_whole_labels(bench, pair, lost, quorum=2)


def test_who_is_asked_now_and_then_changes_what_it_sent_last(bench: Any) -> None:
    pair = chain(bench, rounds=8, participation=0.5)
    for name in NAMES:
        asked = [n for n in range(1, 9) if name in pair.plan.participants(n)]
        assert len(asked) > 2
        assert bases(pair, name) == [0, *asked[:-1]]
    assert {verdict for *_, verdict in pair.tape.verdicts} == {"accepted"}
    same_as_whole_labels(bench, pair, nothing, rounds=8, participation=0.5)


def test_a_server_that_forgot_refuses_once_and_the_chain_begins_anew(bench: Any) -> None:
    pair = Pair(bench, cfd(), lost=losing("round", "", 4))
    pair.begin()
    pair.run(until=3)  # the announcement of round 4 is lost
    past = replace(pair.tape.outcomes[-1], memory={})
    pair.aggregator = pair.born(history=pair.tape.entries, outcome=past, epoch=2)
    pair.lost = nothing
    pair.begin()
    pair.run()
    for name in NAMES:
        assert (name, 4, "refused") in pair.tape.verdicts
        assert bases(pair, name) == [0, 1, 2, 3, 0, 5]
    assert pair.tape.failed == [4]
    assert {number for _, number, verdict in pair.tape.verdicts if verdict != "accepted"} == {4}
