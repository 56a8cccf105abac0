from __future__ import annotations

from collections import deque
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from channel_sim.calendar import Fingerprint
from channel_sim.energy import WIFI_NIC
from channel_sim.medium import Delivery
from channel_sim.replay import (
    Capacity,
    DeliveryChances,
    RateTrace,
    ReplayLink,
    Track,
)

MS = 1_000_000
READY_NS = st.one_of(st.integers(0, 40 * MS), st.integers(0, 40).map(lambda ms: ms * MS))
MESSAGES = st.lists(st.tuples(st.integers(1, 6_000), READY_NS), min_size=1, max_size=8)
CHANCES = st.lists(st.integers(0, 30), min_size=1, max_size=20).map(sorted).filter(lambda t: t[-1])


def link(trace: Capacity, *devices: str, offset_ns: int = 0) -> ReplayLink:
    tracks = {device: Track(trace, offset_ns) for device in devices or ("a",)}
    return ReplayLink(tracks, tracks, radio=WIFI_NIC)


def queue_of_mahimahi(
    times_ms: list[int], messages: list[tuple[int, int]]
) -> dict[tuple[int, int], list[int]]:
    """Finish times (ns) of (size, ready), by chance after chance: mahimahi's LinkQueue.

    A chance is burned when nothing waits, its bytes that one packet leaves go to the next, and
    a packet that arrives at the instant of a chance has missed it.
    """
    waiting = deque(sorted(messages, key=lambda item: (item[1], item[0])))
    queue: deque[list[Any]] = deque()
    done: dict[tuple[int, int], list[int]] = {}
    base_ms, place = 0, 0
    while waiting or queue:
        now = (base_ms + times_ms[place]) * MS
        while waiting and waiting[0][1] < now:
            size, ready = waiting.popleft()
            queue.append([(size, ready), size])
        left = 1_500
        while left and queue:
            used = min(left, queue[0][1])
            left -= used
            queue[0][1] -= used
            if not queue[0][1]:
                done.setdefault(queue.popleft()[0], []).append(now)
        place += 1
        if place == len(times_ms):
            place, base_ms = 0, base_ms + times_ms[-1]
    return done


@given(CHANCES, MESSAGES)
def test_messages_leave_as_from_mahimahis_queue(
    times_ms: list[int], messages: list[tuple[int, int]]
) -> None:
    medium = link(DeliveryChances(times_ms))
    found = medium.offer(
        ["a"] * len(messages), [size for size, _ in messages], [at / 1e9 for _, at in messages]
    )
    ours: dict[tuple[int, int], list[int]] = {}
    for message, delivery in zip(messages, found, strict=True):
        ours.setdefault(message, []).append(round(delivery.finish_s * 1e9))
    oracle = queue_of_mahimahi(times_ms, messages)
    assert {key: sorted(times) for key, times in ours.items()} == {
        key: sorted(times) for key, times in oracle.items()
    }


def test_a_rate_trace_carries_its_integral() -> None:
    # 1 Mbit/s for 1 s, nothing for 2 s, 4 Mbit/s for 1 s, and again. 250 kB are 2 Mbit: the
    # first Mbit until 1 s, the second a quarter of a second after 3 s.
    trace = RateTrace([0, 1, 3, 4], [1e6, 0, 4e6])
    (first, second) = link(trace).offer(["a", "a"], [250_000, 500_000], [0.0, 0.5])
    assert (first.start_s, first.finish_s, first.queue_s) == (0.0, 3.25, 0.0)
    assert first.air_s == 1.25
    assert first.tx_j == pytest.approx(1.25 * WIFI_NIC.tx_w)
    assert first.idle_j == pytest.approx(2.0 * WIFI_NIC.idle_w)
    # 4 Mbit more: 3 until 4 s, 1 until 5 s.
    assert (second.start_s, second.finish_s, second.queue_s) == (3.25, 5.0, 2.75)
    assert (first.packets, second.packets, first.attempts) == (167, 334, 167)
    assert (first.reason, first.delivered) == ("delivered", True)


def test_an_offset_begins_in_the_middle_of_the_trace() -> None:
    trace = RateTrace([0, 1, 3, 4], [1e6, 0, 4e6])
    (delivery,) = link(trace, offset_ns=2_500_000_000).offer(["a"], [125_000], [0.0])
    assert delivery.finish_s == 0.75


def test_directions_and_devices_do_not_meet() -> None:
    trace = RateTrace.constant(8e6)
    medium = link(trace, "a", "b")
    for device in ("a", "b"):
        medium.submit(device, 1_000_000, 0)
        medium.submit(device, 1_000_000, 0, direction="down")
    ended = [delivery for _, delivery in medium.advance(None)]
    assert [delivery.finish_s for delivery in ended] == [1.0] * 4
    assert sorted((d.device, d.tx_j > 0, d.rx_j > 0) for d in ended) == [
        ("a", False, True), ("a", True, False), ("b", False, True), ("b", True, False),
    ]  # fmt: skip


def test_a_deadline_cuts_and_the_next_begins_with_what_is_left_of_the_link() -> None:
    medium = link(RateTrace.constant(8e6))
    medium.submit("a", 10_000_000, 0, deadline_ns=250 * MS)
    medium.submit("a", 1_000_000, 0)
    (_, cut), (_, whole) = medium.advance(None)
    assert (cut.reason, cut.finish_s, cut.air_s) == ("deadline", 0.25, 0.25)
    assert (cut.attempts, cut.packets) == (167, 6_667)  # 250,000 bytes begun
    assert (whole.start_s, whole.finish_s) == (0.25, 1.25)


def test_a_device_that_leaves_sends_nothing_more() -> None:
    medium, seen = link(RateTrace.constant(8e6), "a", "b"), []
    medium.trace = lambda time_ns, event, node: seen.append((time_ns, event, node))
    for _ in range(3):
        medium.submit("a", 1_000_000, 0)
    medium.submit("b", 1_000_000, 0)
    medium.advance(500 * MS)
    gone = [delivery for _, delivery in medium.leave("a")]
    assert [delivery.reason for delivery in gone] == ["off"] * 3
    assert [delivery.air_s for delivery in gone] == [0.5, 0.0, 0.0]
    assert [delivery.attempts for delivery in gone] == [334, 0, 0]
    after = [event for event in seen if event[2] == "a" and event[0] >= 500 * MS]
    assert {event for _, event, _ in after} == {"off"}
    # It comes back before its old message would have been through; the link is free at once
    # and still carries one after the other.
    for _ in range(2):
        medium.submit("a", 1_000_000, 600 * MS)
    ended = [delivery for _, delivery in medium.advance(None)]
    assert [(one.device, one.start_s, one.finish_s) for one in ended] == [
        ("b", 0.0, 1.0), ("a", 0.6, 1.6), ("a", 1.6, 2.6),
    ]  # fmt: skip


def test_a_message_that_saw_no_chance_never_went_on_air() -> None:
    medium = link(DeliveryChances([10]))
    medium.submit("a", 100, 1 * MS, deadline_ns=9 * MS)
    ((_, delivery),) = medium.advance(None)
    assert (delivery.reason, delivery.start_s, delivery.finish_s) == ("deadline", 0.009, 0.009)
    assert (delivery.attempts, delivery.air_s, delivery.tx_j) == (0, 0.0, 0.0)
    assert delivery.idle_j == pytest.approx(0.008 * WIFI_NIC.idle_w)


def test_energy_is_that_of_the_milliseconds_with_a_chance() -> None:
    # Two messages share the three chances of millisecond 5: it is booked once.
    first, second = link(DeliveryChances([5, 5, 5, 20])).offer(["a", "a"], [1_500, 3_000], [0, 0])
    assert (first.finish_s, second.finish_s) == (0.005, 0.005)
    assert first.air_s + second.air_s == 0.001
    assert first.tx_j + second.tx_j == pytest.approx(0.001 * WIFI_NIC.tx_w)


@given(CHANCES, MESSAGES, st.randoms(use_true_random=False))
def test_the_order_of_offering_changes_nothing(
    times_ms: list[int], messages: list[tuple[int, int]], random: Any
) -> None:
    rows = [(f"d{row % 3}", size, at / 1e9) for row, (size, at) in enumerate(messages)]
    mixed = random.sample(rows, len(rows))

    def run(offered: list[tuple[str, int, float]]) -> list[Delivery]:
        medium = link(DeliveryChances(times_ms), "d0", "d1", "d2")
        return medium.offer(*map(list, zip(*offered, strict=True)))

    key = repr
    assert sorted(run(rows), key=key) == sorted(run(mixed), key=key)


@given(CHANCES, MESSAGES, st.integers(0, 60))
def test_every_message_ends_once_and_books_no_more_than_its_time(
    times_ms: list[int], messages: list[tuple[int, int]], leave_ms: int
) -> None:
    medium = link(DeliveryChances(times_ms))
    tickets = [
        medium.submit("a", size, at, deadline_ns=at + 20 * MS if row % 2 else None)
        for row, (size, at) in enumerate(messages)
    ]
    ended = medium.advance(leave_ms * MS) + medium.leave("a") + medium.advance(None)
    assert sorted(ticket for ticket, _ in ended) == tickets
    for _, one in ended:
        assert one.delivered == (one.reason == "delivered")
        if one.ready_s * 1_000 <= leave_ms:  # a message to come ends where the device leaves
            assert one.ready_s <= one.start_s <= one.finish_s
        assert 0 <= one.air_s <= one.busy_s + 1e-12
        assert one.attempts <= one.packets
        assert min(one.tx_j, one.idle_j) >= 0
        assert one.rx_j == 0


def test_the_reference_scenario_has_its_fingerprint() -> None:
    rng = np.random.default_rng(1)
    chances = DeliveryChances(np.sort(rng.integers(0, 2_000, 900)))
    rates = RateTrace(np.arange(11), rng.integers(0, 5_000_000, 10))
    tracks = {f"d{row}": Track((chances, rates)[row % 2], row * 37 * MS) for row in range(6)}
    medium, fingerprint = ReplayLink(tracks, tracks, radio=WIFI_NIC), Fingerprint()
    medium.trace = fingerprint
    for row in range(60):
        medium.submit(
            f"d{row % 6}",
            int(rng.integers(1, 200_000)),
            int(rng.integers(0, 3_000 * MS)),
            direction="up" if row % 4 else "down",
            deadline_ns=4_000 * MS if row % 5 == 0 else None,
        )
    medium.advance(1_500 * MS)
    medium.leave("d3")
    medium.advance(None)
    assert (fingerprint.digest, fingerprint.events) == ("2fcbc12bae1baaae", 176)


def test_directions_of_one_device_are_both_given() -> None:
    trace = Track(RateTrace.constant(1e6))
    with pytest.raises(ValueError, match=r"up and down differ in \['b'\]"):
        ReplayLink({"a": trace, "b": trace}, {"a": trace}, radio=WIFI_NIC)
