"""The aggregator's rounds, claim by claim; the interleavings are in test_rounds_and_sessions."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_fd.rounds import (
    Action,
    Announce,
    Close,
    Entry,
    Finish,
    Fuse,
    Plan,
    Receipt,
    Record,
    Rounds,
    TurnAway,
)

PLAN = Plan(("a", "b", "c"), rounds=2, quorum=2, deadline_s=10.0, join_s=5.0, remind_s=1.0)
ME, OTHER = b"folder 1", b"folder 2"


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


def run_all(machine: Rounds, order: Sequence[str]) -> list[Action]:
    return [
        action
        for name in order
        for action in machine.offer(name, machine.number, name.encode(), 1.0)
    ]


# Opening.


def test_the_first_round_opens_when_the_last_device_has_come() -> None:
    machine = Rounds(PLAN)
    assert machine.start(0.0) == []
    assert of_kind(machine.birth("a", ME, 1, 0.0), Announce) == []
    assert of_kind(machine.birth("c", ME, 1, 0.0), Announce) == []
    actions = machine.birth("b", ME, 1, 1.0)
    assert actions == [
        Record(("member", 1, "b", ME)),
        Record(("open", 1, "", b"")),
        Announce(1, ("a", "b", "c")),
    ]
    assert machine.remaining_s(1.0) == PLAN.deadline_s


def test_without_all_it_opens_when_the_time_to_join_is_over() -> None:
    machine = Rounds(PLAN)
    machine.start(2.0)
    machine.birth("a", ME, 1, 3.0)
    assert machine.next_tick_s == 2.0 + PLAN.join_s
    assert machine.tick(6.9) == []
    assert machine.tick(7.0) == [Record(("open", 1, "", b"")), Announce(1, ("a", "b", "c"))]


def test_with_nobody_there_it_waits_another_time_to_join() -> None:
    machine = Rounds(PLAN)
    machine.start(0.0)
    assert machine.tick(5.0) == []
    assert (machine.status, machine.next_tick_s) == ("waiting", 10.0)


# Who is asked.


@given(st.integers(1, 40), st.floats(0.01, 1.0), st.integers(0, 2**32), st.integers(1, 50))
def test_a_share_of_the_devices_is_asked_and_the_seed_says_whom(
    count: int, share: float, seed: int, number: int
) -> None:
    names = tuple(f"d{i:02d}" for i in range(count))
    plan = replace(PLAN, devices=names, participation=share, seed=seed)
    asked = plan.participants(number)
    assert len(asked) == len(set(asked)) == len(set(asked) & set(names))
    # A share of s asks for the least whole number of devices that is no less than it.
    assert len(asked) - 1 < share * count + 1e-6
    assert len(asked) >= share * count - 1e-6
    shuffled = replace(plan, devices=tuple(reversed(names)))
    assert (
        asked == plan.participants(number) == shuffled.participants(number) == tuple(sorted(asked))
    )


def test_rounds_and_seeds_ask_different_devices() -> None:
    plan = replace(PLAN, devices=tuple("abcdefghij"), participation=0.3)
    assert len({plan.participants(number) for number in range(1, 20)}) > 5
    assert [plan.participants(n) for n in range(9)] != [
        replace(plan, seed=1).participants(n) for n in range(9)
    ]


def test_who_is_not_asked_is_refused_and_not_waited_for() -> None:
    plan = replace(PLAN, participation=0.6, quorum=2)
    machine = opened(plan)
    asked = plan.participants(1)
    (left_out,) = set(plan.devices) - set(asked)
    assert machine.offer(left_out, 1, b"x", 1.0) == [
        Receipt(left_out, 1, "refused", "not asked in round 1")
    ]
    assert machine.birth(left_out, left_out.encode(), 1, 1.0) == []
    assert of_kind(run_all(machine, asked), Fuse) == [Fuse(1, {n: n.encode() for n in asked})]


# Contributions.


def test_a_contribution_is_journalled_before_its_receipt() -> None:
    assert opened().offer("a", 1, b"x", 1.0) == [
        Record(("accept", 1, "a", b"x")),
        Receipt("a", 1, "accepted"),
    ]


def test_a_second_one_of_a_device_does_not_count() -> None:
    machine = opened()
    machine.offer("a", 1, b"first", 1.0)
    assert machine.offer("a", 1, b"second", 1.0) == [Receipt("a", 1, "accepted", "counted before")]
    (fuse,) = of_kind(run_all(machine, "bc"), Fuse)
    assert fuse == Fuse(1, {"a": b"first", "b": b"b", "c": b"c"})


def test_a_duplicate_of_a_closed_round_is_still_told_that_it_counted() -> None:
    machine = opened()
    run_all(machine, "abc")
    machine.fused(1, 2.0)
    assert machine.number == 2
    assert machine.offer("a", 1, b"a", 3.0) == [Receipt("a", 1, "accepted", "counted before")]


def test_one_that_comes_after_the_deadline_is_late() -> None:
    machine = opened()
    run_all(machine, "ab")
    machine.tick(10.0)
    assert machine.status == "fusing"
    assert machine.offer("c", 1, b"c", 11.0) == [Receipt("c", 1, "late", "round 1 is closed")]
    machine.fused(1, 12.0)
    assert machine.offer("c", 1, b"c", 13.0) == [Receipt("c", 1, "late", "round 1 is closed")]


@pytest.mark.parametrize("number", [2, 99, 0, -1])
def test_one_for_a_round_that_was_never_announced_is_refused(number: int) -> None:
    assert opened().offer("a", number, b"x", 1.0) == [
        Receipt("a", number, "refused", f"round {number} was never announced")
    ]


def test_before_the_first_round_there_is_nothing_to_contribute_to() -> None:
    machine = Rounds(PLAN)
    machine.start(0.0)
    (receipt,) = machine.offer("a", 1, b"x", 0.0)
    assert receipt == Receipt("a", 1, "refused", "round 1 was never announced")


def test_the_order_of_arrival_changes_nothing_in_what_is_fused() -> None:
    fused = []
    for order in itertools.permutations("abc"):
        (fuse,) = of_kind(run_all(opened(), order), Fuse)
        assert isinstance(fuse, Fuse)
        fused.append(list(fuse.contributions.items()))
    assert fused == [[("a", b"a"), ("b", b"b"), ("c", b"c")]] * 6


# Ends of a round.


def test_the_deadline_ends_a_round_with_its_quorum() -> None:
    machine = opened()
    run_all(machine, "ca")
    assert of_kind(machine.tick(9.9), Close) == []
    assert machine.tick(10.0) == [
        Record(("close", 1, "", b"")),
        Close(1, failed=False, accepted=("a", "c"), participants=("a", "b", "c"), opened_s=0.0),
        Fuse(1, {"a": b"a", "c": b"c"}),
    ]


def test_without_quorum_it_fails_and_the_next_builds_on_the_same_knowledge() -> None:
    machine = opened(replace(PLAN, rounds=3))
    run_all(machine, "abc")
    machine.fused(1, 1.0)
    machine.offer("a", 2, b"x", 2.0)
    assert machine.tick(11.0) == [
        Record(("failed", 2, "", b"")),
        Close(2, failed=True, accepted=("a",), participants=("a", "b", "c"), opened_s=1.0),
        Record(("open", 3, "", b"")),
        Announce(3, ("a", "b", "c")),
    ]
    assert machine.after == 1
    assert machine.offer("b", 2, b"b", 12.0) == [Receipt("b", 2, "late", "round 2 is closed")]


def test_rounds_that_nobody_answers_all_end() -> None:
    machine = opened()
    closed = [c for now in (10.0, 20.0) for c in of_kind(machine.tick(now), Close)]
    assert [(c.round, c.failed) for c in closed if isinstance(c, Close)] == [(1, True), (2, True)]
    assert machine.status == "finished"
    assert machine.next_tick_s == float("inf")
    assert machine.birth("a", b"a", 2, 21.0)[-1] == Finish(("a",))


def test_nobody_waits_for_devices_that_are_known_to_be_gone() -> None:
    machine = opened()
    run_all(machine, "ab")
    assert of_kind(machine.death("c", b"c", 1, 1.0), Fuse) == [Fuse(1, {"a": b"a", "b": b"b"})]


def test_but_a_quorum_is_waited_for() -> None:
    machine = opened()
    run_all(machine, "a")
    assert machine.death("b", b"b", 1, 1.0) == []
    assert machine.death("c", b"c", 1, 1.0) == []
    assert machine.status == "open"


def test_after_the_last_round_all_are_told() -> None:
    machine = opened()
    run_all(machine, "abc")
    machine.fused(1, 1.0)
    run_all(machine, "abc")
    assert machine.fused(2, 2.0) == [
        Record(("fused", 2, "", b"")),
        Record(("finish", 2, "", b"")),
        Finish(),
    ]
    assert machine.fused(2, 3.0) == []


# Who is who.


def test_a_restart_is_welcome_and_told_the_open_round() -> None:
    assert opened().birth("a", b"a", 2, 1.0) == [
        Record(("member", 2, "a", b"a")),
        Announce(1, ("a",)),
    ]


def test_a_restart_that_has_contributed_is_told_nothing() -> None:
    machine = opened()
    machine.offer("a", 1, b"x", 1.0)
    assert machine.birth("a", b"a", 2, 1.0) == [Record(("member", 2, "a", b"a"))]


def test_a_copy_of_the_state_folder_is_turned_away() -> None:
    machine = opened()
    machine.birth("a", b"a", 5, 1.0)
    (action,) = machine.birth("a", b"a", 4, 2.0)
    assert isinstance(action, TurnAway)
    assert (action.device, action.instance, action.session) == ("a", b"a", 4)
    assert "copy of the state folder" in action.reason


def test_a_name_is_not_given_twice_while_its_holder_lives() -> None:
    machine = opened()
    (action,) = machine.birth("a", OTHER, 1, 1.0)
    assert isinstance(action, TurnAway)
    assert "another --name" in action.reason
    machine.death("a", b"a", 1, 2.0)
    assert of_kind(machine.birth("a", OTHER, 1, 3.0), TurnAway) == []
    assert of_kind(machine.birth("a", b"a", 2, 4.0), TurnAway) != []


def test_a_name_that_is_not_in_the_plan_is_turned_away() -> None:
    (action,) = opened().birth("z", ME, 1, 1.0)
    assert isinstance(action, TurnAway)
    assert action.reason == "no device 'z' in this run; known: a, b, c"


def test_a_late_death_of_an_earlier_session_kills_nobody() -> None:
    machine = opened()
    machine.birth("a", b"a", 2, 1.0)
    run_all(machine, "bc")
    assert machine.death("a", b"a", 1, 2.0) == []
    assert machine.death("a", OTHER, 2, 2.0) == []
    assert (machine.status, machine.alive) == ("open", ("a", "b", "c"))


# Reminders.


def test_the_silent_who_are_here_are_reminded_after_one_two_four_seconds() -> None:
    machine = opened()
    machine.offer("b", 1, b"b", 0.1)
    machine.death("c", b"c", 1, 0.1)
    told = []
    while (now := machine.next_tick_s) < 10.0:
        assert machine.tick(now) == [Announce(1, ("a",), reminder=True)]
        told.append(now)
    assert told == [1.0, 3.0, 7.0]


# Restarts.


def test_the_history_alone_gives_the_same_rounds_at_every_point() -> None:
    """Replay after each journal entry: accepted contributions, numbers and ends are kept."""
    journal: list[Entry] = []
    machine = Rounds(PLAN)
    script = [
        *(lambda name=name: machine.birth(name, name.encode(), 1, 0.0) for name in "abc"),
        *(lambda name=name: machine.offer(name, 1, name.encode(), 1.0) for name in "ab"),
        lambda: machine.tick(10.0),
        lambda: machine.fused(1, 11.0),
        lambda: machine.tick(21.0),
    ]
    machine.start(0.0)
    for step in script:
        journal += entries(step())
        again = Rounds(PLAN, journal)
        assert (again.number, again.after, again.status) == (
            machine.number, machine.after, machine.status,
        )  # fmt: skip
        for name in "ab":
            if ("accept", 1, name, name.encode()) in journal:
                (receipt,) = again.offer(name, 1, b"other", 99.0)
                assert receipt == Receipt(name, 1, "accepted", "counted before")
    assert machine.status == "finished"


def test_a_restart_in_the_fusion_fuses_the_same_again() -> None:
    machine = opened()
    journal = [("open", 1, "", b""), *entries(run_all(machine, "cab"))]
    again = Rounds(PLAN, journal)
    assert again.start(100.0) == [
        Close(1, failed=False, accepted=("a", "b", "c"), participants=PLAN.devices, opened_s=100.0),
        Fuse(1, {"a": b"a", "b": b"b", "c": b"c"}),
    ]
    assert again.offer("a", 1, b"late other", 101.0) == [
        Receipt("a", 1, "accepted", "counted before")
    ]


def test_a_restart_between_the_last_contribution_and_the_close_closes() -> None:
    journal = [("open", 1, "", b""), *(("accept", 1, n, n.encode()) for n in "abc")]
    assert Rounds(PLAN, journal).start(50.0) == [
        Record(("close", 1, "", b"")),
        Close(1, failed=False, accepted=("a", "b", "c"), participants=PLAN.devices, opened_s=50.0),
        Fuse(1, {"a": b"a", "b": b"b", "c": b"c"}),
    ]


def test_a_restart_in_an_open_round_asks_those_missing_and_gives_a_whole_deadline() -> None:
    journal = [("open", 1, "", b""), ("accept", 1, "b", b"b")]
    again = Rounds(PLAN, journal)
    assert again.start(50.0) == [Announce(1, ("a", "c"))]
    assert again.remaining_s(50.0) == PLAN.deadline_s
    # Nobody is known to be gone: who was alive before may be on the way.
    assert again.offer("a", 1, b"a", 51.0)[-1] == Receipt("a", 1, "accepted")


def test_a_restart_after_a_failed_round_opens_the_next() -> None:
    journal = [("open", 1, "", b""), ("failed", 1, "", b"")]
    assert Rounds(PLAN, journal).start(0.0) == [
        Close(1, failed=True, accepted=(), participants=PLAN.devices, opened_s=0.0),
        Record(("open", 2, "", b"")),
        Announce(2, ("a", "b", "c")),
    ]


def test_a_restart_after_the_end_only_says_so() -> None:
    journal = [("open", 2, "", b""), ("failed", 2, "", b""), ("finish", 2, "", b"")]
    assert Rounds(PLAN, journal).start(0.0) == [Finish()]


def test_a_clone_is_known_after_a_restart_as_well() -> None:
    again = Rounds(PLAN, [("member", 3, "a", ME)])
    again.start(0.0)
    assert isinstance(again.birth("a", ME, 2, 0.0)[0], TurnAway)
    assert again.alive == ()
    assert again.birth("a", ME, 3, 0.0) == []
    assert again.alive == ("a",)


def test_a_journal_of_another_making_is_refused() -> None:
    with pytest.raises(ValueError, match="'opened'"):
        Rounds(PLAN, [("opened", 1, "", b"")])
