"""Buffered rounds, claim by claim; the interleavings are in test_buffered_rounds_and_sessions.

The schedule is that of FedBuff (Nguyen et al., AISTATS 2022, algorithm 1); the tables
of the scenarios below were worked out by hand.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import replace

import pytest

from edge_fd.rounds import (
    Action,
    Announce,
    Close,
    Entry,
    Fuse,
    Plan,
    Receipt,
    Record,
    Rounds,
)

PLAN = Plan(
    ("a", "b", "c", "d"),
    rounds=9,
    quorum=1,
    deadline_s=10.0,
    remind_s=4.0,
    buffer=2,
    max_staleness=2,
)
CLOSED = "round {} is closed".format


def opened(plan: Plan = PLAN) -> Rounds:
    """Rounds with everyone there, at time 0."""
    machine = Rounds(plan)
    machine.start(0.0)
    for name in plan.devices:
        machine.birth(name, name.encode(), 1, 0.0)
    assert machine.status == "open"
    return machine


def of_kind(actions: Sequence[Action], kind: type) -> list[Action]:
    return [action for action in actions if isinstance(action, kind)]


def entries(actions: Sequence[Action]) -> list[Entry]:
    return [action.entry for action in actions if isinstance(action, Record)]


def fill(machine: Rounds, names: str, now_s: float = 1.0, **older: int) -> list[Action]:
    """``names`` answer the open round, others ``older`` ones; it is fused where that ends it."""
    number = machine.number
    answers = {**dict.fromkeys(names, number), **older}
    actions = [a for n, to in answers.items() for a in machine.offer(n, to, n.encode(), now_s)]
    return [*actions, *machine.fused(number, now_s)]


# Four devices, by hand.


def simulate(plan: Plan, compute_s: dict[str, float], until_s: float) -> tuple[
    list[tuple[float, int, dict[str, int]]], list[tuple[float, str, int]]
]:  # fmt: skip
    """Buffers as (closed at, number, staleness) and late ones as (at, device, round).

    Messages and fusions take no time; of what happens at one instant the names decide.
    """
    machine = Rounds(plan)
    buffers, late = [], []
    due: list[tuple[float, str, int]] = []
    actions = machine.start(0.0)
    for name in plan.devices:
        actions += machine.birth(name, name.encode(), 1, 0.0)
    now_s = 0.0
    while True:
        for action in actions:
            if isinstance(action, Announce):
                for name in action.devices:
                    heapq.heappush(due, (now_s + compute_s[name], name, action.round))
            elif isinstance(action, Fuse):
                buffers.append((now_s, action.round, dict(action.staleness)))
            elif isinstance(action, Receipt) and action.verdict == "late":
                late.append((now_s, action.device, action.round))
        if machine.status == "fusing":
            actions = machine.fused(machine.number, now_s)
            continue
        now_s, name, number = heapq.heappop(due)
        if now_s > until_s:
            return buffers, late
        actions = machine.offer(name, number, b"", now_s)


SLOW = Plan(("a", "b", "c", "d"), 99, 1, 1000.0, remind_s=1000.0, buffer=3)
SPEEDS = {"a": 1.0, "b": 1.0, "c": 1.0, "d": 10.0}
FRESH = {"a": 0, "b": 0, "c": 0}


def test_a_device_ten_times_slower_counts_in_the_buffer_that_is_open_when_it_comes() -> None:
    buffers, late = simulate(replace(SLOW, max_staleness=10), SPEEDS, 13.0)
    assert late == []
    assert buffers == [
        *((float(t), t, FRESH) for t in range(1, 11)),  # buffer t fills at t: a, b, c are at one
        # At 10 c fills buffer 10, then d comes, asked for 1 at 0. At 11 a and b fill buffer 11,
        # and c of 11 comes when 12 is open, which then asks a, b and d, at 12 filled by a and b.
        (11.0, 11, {"a": 0, "b": 0, "d": 10}),
        (12.0, 12, {"a": 0, "b": 0, "c": 1}),
        (13.0, 13, FRESH),  # c was asked again when 13 opened, at 12
    ]


def test_one_round_beyond_the_limit_it_is_late_and_asked_for_the_open_one() -> None:
    buffers, late = simulate(replace(SLOW, max_staleness=9), SPEEDS, 21.0)
    # At 10 it brings 1 to buffer 11, is asked for 11, and brings that at 20 to buffer 21.
    assert late == [(10.0, "d", 1), (20.0, "d", 11)]
    assert buffers == [(float(t), t, FRESH) for t in range(1, 22)]


def test_devices_of_one_speed_fill_a_buffer_of_all_as_in_synchronous_rounds() -> None:
    buffers, late = simulate(replace(SLOW, buffer=4), dict.fromkeys("abcd", 1.0), 5.0)
    assert (late, buffers) == ([], [(float(t), t, {**FRESH, "d": 0}) for t in range(1, 6)])


# Who is asked, and when.


def test_who_contributed_is_asked_again_when_the_next_buffer_opens_and_who_computes_is_not() -> (
    None
):
    assert fill(opened(), "ca")[-2:] == [Record(("open", 2, "", b"")), Announce(2, ("a", "c"))]


def test_nobody_new_is_asked_before_the_buffer_is_full() -> None:
    machine = opened()
    assert machine.offer("a", 1, b"x", 1.0) == [
        Record(("accept", 1, "a", b"x")),
        Receipt("a", 1, "accepted"),
    ]
    assert machine.birth("a", b"a", 1, 2.0) == []


def test_a_reconnected_device_goes_on_with_the_round_that_it_computes() -> None:
    machine = opened()
    for _ in range(PLAN.max_staleness):
        fill(machine, "ab")
    machine.death("d", b"d", 1, 2.0)
    assert machine.birth("d", b"d", 1, 3.0) == [Announce(1, ("d",))]


def test_unless_that_can_no_longer_count() -> None:
    machine = opened()
    for pair in ("ab", "ab", "ab"):
        fill(machine, pair)
    assert machine.birth("d", b"d", 1, 3.0) == [Announce(4, ("d",))]
    assert machine.birth("d", b"d", 1, 4.0) == [Announce(4, ("d",))]


def test_a_restarted_device_has_nothing_to_go_on_with_and_is_asked_for_the_open_round() -> None:
    machine = opened()
    fill(machine, "ab")
    assert machine.birth("d", b"d", 2, 3.0)[1:] == [Announce(2, ("d",))]


def test_what_a_device_was_asked_while_it_was_gone_it_did_not_hear() -> None:
    machine = opened()
    machine.offer("a", 1, b"a", 1.0)
    machine.death("a", b"a", 1, 1.0)
    assert Announce(2, ("a", "b")) in fill(machine, "b")
    fill(machine, "b", c=1)
    assert machine.number == 3
    assert machine.birth("a", b"a", 1, 2.0) == [Announce(3, ("a",))]
    machine.death("a", b"a", 1, 3.0)
    fill(machine, "b", d=1)
    assert machine.birth("a", b"a", 1, 4.0) == [Announce(3, ("a",))]


def test_the_silent_are_reminded_of_what_they_compute_or_of_the_open_round() -> None:
    machine = opened()
    fill(machine, "ab")
    fill(machine, "a", c=1)
    fill(machine, "a", b=2)
    # d was asked for 1, three behind; c for 3, after it had counted in 2; a and b for 4.
    assert machine.tick(4.0) == [
        Announce(3, ("c",), reminder=True),
        Announce(4, ("a", "b", "d"), reminder=True),
    ]


def test_buffers_that_follow_each_other_fast_do_not_put_off_the_reminders() -> None:
    machine = opened(replace(PLAN, rounds=99, max_staleness=99))
    reminded = []
    for second in range(1, 15):
        fill(machine, "ab", float(second))
        told = machine.tick(float(second))
        reminded += [second for action in told if Announce(1, ("c", "d"), reminder=True) == action]
    # After remind_s = 4, and, since a new buffer begins the waits anew, after 4 more.
    assert reminded == [4, 9, 14]


# What counts where.


def test_staleness_is_the_buffers_round_less_the_one_asked_for() -> None:
    machine = opened()
    for pair in ("ab", "ab"):
        fill(machine, pair)
    machine.offer("d", 1, b"d", 2.0)
    actions = machine.offer("a", 3, b"a", 2.0)
    staleness = {"a": 0, "d": 2}
    assert actions[2:] == [
        Record(("close", 3, "", b"")),
        Close(3, False, ("a", "d"), PLAN.devices, 1.0, staleness),
        Fuse(3, {"a": b"a", "d": b"d"}, staleness),
    ]


def test_one_beyond_the_limit_is_late_and_its_device_asked_anew() -> None:
    machine = opened()
    for pair in ("ab", "ab", "ab"):
        fill(machine, pair)
    assert machine.offer("d", 1, b"d", 2.0) == [
        Receipt("d", 1, "late", CLOSED(1)),
        Announce(4, ("d",)),
    ]
    # Its copy is answered alike, but the device computes round 4 by now.
    assert machine.offer("d", 1, b"d", 2.0) == [Receipt("d", 1, "late", CLOSED(1))]


def test_it_counts_once_over_buffers_copies_and_restarts() -> None:
    machine = opened()
    journal = entries(machine.offer("d", 1, b"d", 1.0))
    journal = [("open", 1, "", b""), *journal, *entries(fill(machine, "a"))]
    again = Receipt("d", 1, "accepted", "counted before")
    assert machine.offer("d", 1, b"other", 2.0) == [again]
    assert Rounds(PLAN, journal).offer("d", 1, b"other", 2.0) == [again]


def test_while_a_buffer_is_fused_contributions_go_to_the_next() -> None:
    machine = opened()
    machine.offer("a", 1, b"a", 1.0)
    machine.offer("b", 1, b"b", 1.0)
    assert machine.offer("d", 1, b"d", 2.0) == [
        Record(("accept", 1, "d", b"d")),
        Receipt("d", 1, "accepted"),
    ]
    assert machine.fused(1, 3.0)[1:] == [Record(("open", 2, "", b"")), Announce(2, ("a", "b"))]
    assert machine.offer("c", 1, b"c", 4.0)[-1] == Fuse(2, {"c": b"c", "d": b"d"}, {"c": 1, "d": 1})


def test_enough_of_them_end_the_next_as_soon_as_it_opens() -> None:
    machine = opened()
    for name in "abcd":
        machine.offer(name, 1, name.encode(), 1.0)
    actions = machine.fused(1, 3.0)
    assert of_kind(actions, Announce) == [Announce(2, ("a", "b"))]
    assert actions[-1] == Fuse(2, {"c": b"c", "d": b"d"}, {"c": 1, "d": 1})


@pytest.mark.parametrize("change", [{"max_staleness": 0}, {"rounds": 1}])
def test_but_not_one_that_would_be_too_old_or_has_no_next(change: dict[str, int]) -> None:
    machine = opened(replace(PLAN, **change))
    for name in "ab":
        machine.offer(name, 1, name.encode(), 1.0)
    assert machine.offer("d", 1, b"d", 2.0) == [Receipt("d", 1, "late", CLOSED(1))]
    asked = [n for a in of_kind(machine.fused(1, 3.0), Announce) for n in a.devices]  # type: ignore[attr-defined]
    assert asked == ([] if machine.status == "finished" else ["a", "b", "d"])


def test_a_buffer_has_one_contribution_of_a_device_and_a_second_goes_to_the_next() -> None:
    """A second one there is after a restart: the old answer comes, and that to the new ask."""
    journal = [("open", n, "", b"") for n in (1, 2)]
    again = Rounds(PLAN, journal)
    assert again.start(0.0) == [Announce(2, PLAN.devices)]
    again.offer("a", 1, b"a1", 1.0)
    assert again.offer("a", 2, b"a2", 1.0)[1:] == [Receipt("a", 2, "accepted")]
    assert again.offer("b", 2, b"b", 1.0)[-1] == Fuse(2, {"a": b"a1", "b": b"b"}, {"a": 1, "b": 0})
    assert again.fused(2, 2.0)[-1] == Announce(3, ("b",))
    assert again.offer("c", 2, b"c", 3.0)[-1] == Fuse(3, {"a": b"a2", "c": b"c"}, {"a": 1, "c": 1})


def test_and_a_third_has_no_place() -> None:
    again = Rounds(PLAN, [("open", n, "", b"") for n in (1, 2, 3)])
    again.start(0.0)
    assert [again.offer("a", n, b"a", 1.0)[-1] for n in (1, 2, 3)] == [
        Receipt("a", 1, "accepted"),
        Receipt("a", 2, "accepted"),
        Receipt("a", 3, "late", CLOSED(3)),
    ]


# Ends.


def test_devices_that_are_here_and_never_answer_do_not_stall() -> None:
    machine = opened(replace(PLAN, rounds=2))
    machine.offer("a", 1, b"a", 1.0)
    assert machine.tick(9.0) == [Announce(1, ("b", "c", "d"), reminder=True)]
    assert machine.tick(10.0)[-1] == Fuse(1, {"a": b"a"}, {"a": 0})
    machine.fused(1, 10.0)
    (close,) = of_kind(machine.tick(20.0), Close)
    assert close == Close(2, True, (), PLAN.devices, 10.0)
    assert machine.status == "finished"


def test_the_quorum_is_the_least_number_at_the_deadline() -> None:
    machine = opened(replace(PLAN, buffer=3, quorum=2))
    machine.offer("a", 1, b"a", 1.0)
    actions = machine.tick(10.0)
    assert actions[:2] == [
        Record(("failed", 1, "", b"")),
        Close(1, True, ("a",), PLAN.devices, 0.0, {"a": 0}),
    ]
    assert actions[2:] == [Record(("open", 2, "", b"")), Announce(2, ("a",))]


def test_nobody_waits_for_devices_that_are_known_to_be_gone() -> None:
    machine = opened(replace(PLAN, buffer=3, quorum=2))
    for name in "ab":
        machine.offer(name, 1, name.encode(), 1.0)
    assert machine.death("c", b"c", 1, 2.0) == []
    assert machine.death("d", b"d", 1, 2.0)[-1] == Fuse(1, {"a": b"a", "b": b"b"}, {"a": 0, "b": 0})


# Restarts.


def test_at_every_entry_the_journal_gives_the_same_buffer_with_the_same_staleness() -> None:
    journal: list[Entry] = []
    machine = opened()
    script = [
        lambda: fill(machine, "ab"),
        lambda: machine.offer("d", 1, b"d", 2.0),
        lambda: machine.offer("a", 2, b"a", 2.0),  # fills 2: d is one behind
        lambda: machine.offer("c", 1, b"c", 2.0),  # goes to 3
        lambda: machine.fused(2, 3.0),
    ]
    journal += [("open", 1, "", b"")]
    for step in script:
        journal += entries(step())
    length = journal.index(("accept", 1, "c", b"c"))
    expected = Fuse(2, {"a": b"a", "d": b"d"}, {"a": 0, "d": 1})
    for cut in (length, length + 1):
        assert Rounds(PLAN, journal[:cut]).start(9.0)[1:] == [expected]
    again = Rounds(PLAN, journal)
    assert again.start(9.0) == [Announce(3, ("a", "b", "d"))]
    assert again.offer("b", 2, b"b", 9.0)[-1] == Fuse(3, {"b": b"b", "c": b"c"}, {"b": 1, "c": 2})


def test_after_a_restart_all_are_asked_anew_and_old_answers_still_count() -> None:
    again = Rounds(PLAN, [("open", 1, "", b""), ("close", 1, "", b""), ("fused", 1, "", b"")])
    assert again.start(0.0) == [Record(("open", 2, "", b"")), Announce(2, PLAN.devices)]
    assert again.birth("a", b"a", 1, 1.0)[1:] == [Announce(2, ("a",))]
    assert again.offer("d", 1, b"d", 1.0)[1] == Receipt("d", 1, "accepted")
