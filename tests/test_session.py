"""The device's session, claim by claim; the interleavings are in test_rounds_and_sessions."""

from __future__ import annotations

from itertools import pairwise

from edge_fd.session import (
    LONGEST_RESEND_S,
    PATIENCE,
    Compute,
    Leave,
    SendBirth,
    SendUpload,
    Session,
    Settled,
)


def connected(**kept: object) -> Session:
    """A session that has said that it is here, at time 0."""
    session = Session(**kept)  # type: ignore[arg-type]
    session.connected_at(0.0)
    assert session.state(1, online=True, finished_after=None, now_s=0.0) == [SendBirth()]
    return session


def waiting_for_receipt() -> Session:
    session = connected(resend_s=2.0)
    session.announced(1, 0, "facts", 0.0)
    assert session.computed(1, b"upload", 1.0) == [SendUpload(1, b"upload")]
    session.sent(1.0)
    return session


def test_one_birth_for_each_connection_and_each_start_of_the_aggregator() -> None:
    session = connected()
    assert session.state(1, online=True, finished_after=None, now_s=1.0) == []
    assert session.state(2, online=False, finished_after=None, now_s=2.0) == []
    assert session.state(2, online=True, finished_after=None, now_s=3.0) == [SendBirth()]
    session.disconnected_at(4.0)
    session.connected_at(5.0)
    assert session.state(2, online=True, finished_after=None, now_s=5.0) == [SendBirth()]


def test_a_round_is_computed_when_the_knowledge_that_it_builds_on_is_here() -> None:
    session = connected()
    session.announced(1, 0, "facts 1", 0.0)
    session.computed(1, b"one", 0.0)
    session.receipt(1, "accepted", "", 0.0)
    assert session.announced(2, 1, "facts 2", 1.0) == []
    assert session.knowledge(1, "piece", 2.0) == [Compute(2, "facts 2", "piece")]


def test_knowledge_may_come_before_the_announcement() -> None:
    session = connected()
    assert session.knowledge(4, "piece", 0.0) == []
    assert session.announced(5, 4, "facts", 0.0) == [Compute(5, "facts", "piece")]


def test_old_knowledge_and_old_announcements_change_nothing() -> None:
    session = connected()
    session.knowledge(4, "new", 0.0)
    session.knowledge(3, "old", 0.0)
    session.announced(5, 4, "facts", 0.0)
    assert session.computing == 5
    assert session.announced(4, 3, "old", 0.0) == []
    assert session.announced(5, 4, "facts", 0.0) == []


def test_an_old_announcement_does_not_displace_the_one_that_waits() -> None:
    session = connected()
    session.announced(5, 4, "facts", 0.0)
    session.announced(4, 3, "old", 0.0)
    assert session.knowledge(4, "piece", 1.0) == [Compute(5, "facts", "piece")]


def test_no_second_computation_begins_while_one_goes_on() -> None:
    session = connected()
    assert session.announced(1, 0, None, 0.0) == [Compute(1, None, None)]
    assert session.announced(2, 0, None, 1.0) == []
    # Its round is over: what it would have sent is of no use.
    assert session.computed(1, b"one", 2.0) == [Compute(2, None, None)]


def test_an_upload_is_sent_again_at_two_four_eight_seconds_and_never_more_than_a_minute() -> None:
    session = waiting_for_receipt()
    times = [1.0]
    for _ in range(9):
        now_s = session.next_tick_s
        assert session.tick(now_s - 1e-3) == []
        assert session.tick(now_s) == [SendUpload(1, b"upload")]
        session.sent(now_s)
        times.append(now_s)
    waits = [later - sooner for sooner, later in pairwise(times)]
    assert waits == [2.0, 4.0, 8.0, 16.0, 32.0, *[LONGEST_RESEND_S] * 4]


def test_an_upload_that_still_waits_for_the_radio_is_not_sent_again() -> None:
    session = connected(resend_s=2.0)
    session.sent(0.0)
    session.announced(1, 0, "facts", 0.0)
    session.computed(1, b"upload", 1.0)
    assert session.next_tick_s == float("inf")
    assert session.tick(500.0) == []
    session.sent(600.0)
    assert session.next_tick_s == 602.0
    assert session.tick(602.0) == [SendUpload(1, b"upload")]
    assert session.next_tick_s == float("inf")


def test_a_reminder_does_not_put_a_second_copy_behind_one_that_still_waits() -> None:
    session = connected(resend_s=2.0)
    session.announced(1, 0, "facts", 0.0)
    session.computed(1, b"upload", 1.0)
    assert session.announced(1, 0, "facts", 30.0) == []
    session.sent(40.0)
    assert session.announced(1, 0, "facts", 41.0) == [SendUpload(1, b"upload")]


def test_a_birth_that_still_waits_for_the_radio_is_not_sent_again() -> None:
    session = connected(resend_s=2.0)
    session.announced(5, 4, None, 0.0)
    assert session.next_tick_s == float("inf")
    session.sent(100.0)
    assert session.tick(102.0) == [SendBirth()]
    assert session.tick(500.0) == []


def test_that_nothing_is_left_to_send_does_not_put_off_the_next_copy() -> None:
    session = waiting_for_receipt()
    session.sent(2.5)
    assert session.next_tick_s == 3.0


def test_what_was_being_sent_is_forgotten_with_the_connection() -> None:
    session = connected(resend_s=2.0)
    session.announced(1, 0, "facts", 0.0)
    session.computed(1, b"upload", 1.0)
    session.disconnected_at(5.0)
    session.connected_at(50.0)
    assert session.next_tick_s == 52.0


def test_the_receipt_ends_the_resending() -> None:
    session = waiting_for_receipt()
    assert session.receipt(2, "accepted", "", 2.0) == []
    assert session.receipt(1, "late", "closed", 2.0) == [Settled(1, "late", "closed")]
    assert session.receipt(1, "accepted", "", 3.0) == []
    assert session.next_tick_s == float("inf")
    assert session.tick(1e6) == []


def test_a_reminder_of_a_computed_round_sends_the_same_bytes() -> None:
    session = waiting_for_receipt()
    session.receipt(1, "accepted", "", 2.0)
    assert session.announced(1, 0, None, 3.0) == [SendUpload(1, b"upload")]


def test_after_a_restart_the_saved_bytes_are_sent_and_nothing_is_computed_again() -> None:
    session = connected(done=3, upload=b"saved", settled=False, resend_s=2.0)
    assert session.announced(3, 2, None, 1.0) == [SendUpload(3, b"saved")]
    session = connected(done=3, upload=b"saved", settled=False, resend_s=2.0)
    assert session.tick(session.next_tick_s) == [SendUpload(3, b"saved")]


def test_after_a_restart_a_newer_round_makes_the_saved_upload_worthless() -> None:
    session = connected(done=3, upload=b"saved", settled=False, resend_s=2.0)
    session.knowledge(3, "piece", 1.0)
    assert session.announced(4, 3, "facts", 1.0) == [Compute(4, "facts", "piece")]
    assert session.next_tick_s == float("inf")


def test_without_a_connection_nothing_is_resent_and_computing_goes_on() -> None:
    session = connected(resend_s=2.0)
    session.announced(1, 0, None, 0.0)
    session.disconnected_at(0.5)
    assert session.computing == 1
    session.computed(1, b"upload", 1.0)
    assert session.next_tick_s == float("inf")
    session.connected_at(50.0)
    session.sent(51.0)  # it waited in the client for the connection
    assert session.tick(53.0) == [SendUpload(1, b"upload")]


def test_missing_knowledge_is_asked_for_by_another_birth() -> None:
    session = connected(resend_s=2.0)
    session.announced(5, 4, None, 0.0)
    session.sent(0.0)
    assert session.next_tick_s == 2.0
    assert session.tick(2.0) == [SendBirth()]
    session.knowledge(4, "piece", 10.0)
    assert session.computing == 5
    assert session.next_tick_s == float("inf")


def test_it_leaves_with_the_last_knowledge() -> None:
    session = waiting_for_receipt()
    session.receipt(1, "accepted", "", 2.0)
    assert session.state(1, online=True, finished_after=1, now_s=3.0) == []
    assert session.knowledge(1, "last", 4.0) == [Leave("last")]


def test_it_does_not_leave_before_its_upload_is_answered() -> None:
    session = waiting_for_receipt()
    session.knowledge(1, "last", 2.0)
    assert session.state(1, online=True, finished_after=1, now_s=2.0) == []
    assert session.receipt(1, "accepted", "", 3.0) == [Settled(1, "accepted", ""), Leave("last")]


def test_it_does_not_leave_while_it_computes() -> None:
    session = connected()
    session.announced(1, 0, None, 0.0)
    assert session.state(1, online=True, finished_after=0, now_s=1.0) == []
    assert session.computed(1, b"x", 2.0) == [SendUpload(1, b"x")]
    assert session.receipt(1, "late", "", 3.0) == [Settled(1, "late", ""), Leave(None)]


def test_where_the_last_knowledge_never_comes_it_leaves_after_asking_in_vain() -> None:
    session = connected(resend_s=2.0)
    session.state(1, online=True, finished_after=1, now_s=0.0)
    now_s = 0.0
    for _ in range(PATIENCE):
        session.sent(now_s)
        now_s = session.next_tick_s
        assert session.tick(now_s) == [SendBirth()]
    session.sent(now_s)
    assert session.tick(session.next_tick_s) == [Leave(None)]


def test_who_is_turned_away_leaves_with_the_reason() -> None:
    assert connected().turned_away("a copy") == [Leave(error="a copy")]


def holding() -> Session:
    """A session whose upload of round 1, computed at 1, is held until 5."""
    session = connected(resend_s=2.0)
    session.announced(1, 0, "facts", 0.0)
    assert session.computed(1, b"upload", 1.0, hold_s=4.0) == []
    return session


def test_a_held_upload_goes_out_at_its_time_and_is_then_resent_as_ever() -> None:
    session = holding()
    assert session.next_tick_s == 5.0
    assert session.tick(4.9) == []
    assert session.tick(5.0) == [SendUpload(1, b"upload")]
    session.sent(5.0)
    assert session.next_tick_s == 7.0
    assert session.tick(7.0) == [SendUpload(1, b"upload")]
    session.sent(7.0)
    assert session.next_tick_s == 11.0


def test_a_reminder_does_not_bring_a_held_upload_forward() -> None:
    session = holding()
    assert session.announced(1, 0, "facts", 3.0) == []
    assert session.state(1, online=True, finished_after=None, now_s=3.5) == []
    assert session.next_tick_s == 5.0


def test_a_held_upload_waits_for_the_connection() -> None:
    session = holding()
    session.disconnected_at(2.0)
    assert session.next_tick_s == float("inf")
    session.connected_at(9.0)
    assert session.tick(9.0) == [SendUpload(1, b"upload")]


def test_a_held_upload_is_dropped_with_its_round() -> None:
    session = holding()
    assert session.announced(2, 1, "facts 2", 3.0) == []
    assert session.knowledge(1, "piece", 3.0) == [Compute(2, "facts 2", "piece")]
    assert session.computed(2, b"two", 4.0) == [SendUpload(2, b"two")]
