"""The calendar of a Wi-Fi cell: exact small cases, who is heard, departures, properties."""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import simpy
from hypothesis import given, settings
from hypothesis import strategies as st

from channel_sim.calendar import Fingerprint
from channel_sim.process import MediumProcess
from channel_sim.reception.wifi_error import wifi_per
from channel_sim.wifi import Wifi

NEAR_DB = 56.0
"""At 16 dBm: received at -40 dBm, no errors."""
DATA_NS, ACK_NS = 248_000, 28_000
"""1500 B of IP at 54 Mb/s, and its acknowledgement at 24."""
SIFS_NS, SLOT_NS, DIFS_NS = 16_000, 9_000, 34_000


class Events(list):
    """A trace kept whole."""

    def __call__(self, time_ns: int, event: str, node: str) -> None:
        self.append((time_ns, event, node))

    def starts(self, node: str | None = None) -> list[int]:
        return [time for time, event, who in self if event == "send" and node in (None, who)]


def cell(
    wifi: Wifi | None = None,
    *,
    devices: Sequence[str] = ("a", "b"),
    seed: int = 0,
    losses: dict[str, float] | None = None,
    blocks: Any = None,
) -> Any:
    losses = losses or dict.fromkeys(devices, NEAR_DB)
    medium = (wifi or Wifi(standard="a")).medium(
        losses, rng=np.random.default_rng(seed), blocks=blocks
    )
    medium.trace = Events()
    return medium


def test_one_packet_alone_to_the_nanosecond() -> None:
    wifi = Wifi(standard="a")
    (found,) = cell(wifi).offer(["a"], [1500], [0.0009])
    assert (found.start_s, found.finish_s) == (0.0009, 0.001148)
    assert found.air_s == pytest.approx(DATA_NS / 1e9)
    radio = wifi.radio
    assert found.tx_j == pytest.approx(radio.tx_w * 248e-6)
    assert found.rx_j == pytest.approx(radio.rx_w * 28e-6)
    assert found.idle_j == pytest.approx(radio.idle_w * SIFS_NS / 1e9)
    assert (found.attempts, found.packets, found.reason) == (1, 1, "delivered")


def test_it_waits_for_the_next_slot_boundary() -> None:
    # 1 ms is no multiple of 9 us: the next boundary is at 1008 us.
    (found,) = cell().offer(["a"], [1500], [0.001])
    assert found.start_s == 0.001008


def test_packets_of_a_message_follow_one_another_after_a_backoff() -> None:
    medium = cell()
    (found,) = medium.offer(["a"], [4 * 1500], [0])
    starts = medium.trace.starts()
    exchange_ns = DATA_NS + SIFS_NS + ACK_NS + DIFS_NS
    slots = [(gap - exchange_ns) / SLOT_NS for gap in np.diff(starts).tolist()]
    assert all(slot == int(slot) and 0 <= slot <= 15 for slot in slots)
    assert found.packets == found.attempts == 4
    assert found.finish_s == (starts[-1] + DATA_NS) / 1e9


def test_first_backoffs_are_uniform_over_the_window() -> None:
    medium = cell()
    medium.offer(["a"], [3000 * 1500], [0])
    gaps = np.diff(medium.trace.starts()) - (DATA_NS + SIFS_NS + ACK_NS + DIFS_NS)
    counts = np.bincount(gaps // SLOT_NS, minlength=16)
    assert len(counts) == 16
    # chi-squared with 15 degrees of freedom: 44 is its 0.9999 quantile
    assert ((counts - 2999 / 16) ** 2 / (2999 / 16)).sum() < 44


def test_the_last_frame_is_short() -> None:
    found = cell().offer(["a"], [1500 + 100], [0])[0]
    # 136 bytes: 20 + 4 ceil(1110 / 216) = 44 us
    assert found.air_s == pytest.approx((248 + 44) * 1e-6)


@pytest.mark.parametrize("apart_ns", [0, 1, 8_999])
def test_two_that_arrive_in_one_slot_collide(apart_ns: int) -> None:
    medium = cell()
    medium.submit("a", 1500, 1)
    medium.submit("b", 1500, 1 + apart_ns)
    medium.advance(None)
    assert medium.trace.starts()[:2] == [9_000, 9_000]
    assert [event for _, event, _ in medium.trace].count("fail") >= 2


def test_one_that_finds_the_medium_busy_draws_a_backoff() -> None:
    waits = Counter()
    for seed in range(400):
        medium = cell(seed=seed)
        medium.submit("a", 1500, 0)
        medium.submit("b", 1500, 100_000)
        first, second = (found for _, found in medium.advance(None))
        assert first.finish_s == DATA_NS / 1e9
        wait_ns = round(second.start_s * 1e9) - (DATA_NS + SIFS_NS + ACK_NS + DIFS_NS)
        waits[wait_ns / SLOT_NS] += 1
    assert set(waits) == set(range(16))


def test_after_the_gap_the_medium_is_idle() -> None:
    medium = cell()
    medium.submit("a", 1500, 0)
    clear_ns = DATA_NS + SIFS_NS + ACK_NS + DIFS_NS
    medium.submit("b", 1500, clear_ns + 1)
    assert [found for _, found in medium.advance(None)][1].start_s == (clear_ns + SLOT_NS) / 1e9


def test_post_backoff_holds_a_station_back() -> None:
    """A next message right after the gap meets the rest of the station's own backoff."""
    starts = set()
    for seed in range(300):
        medium = cell(seed=seed)
        clear_ns = DATA_NS + SIFS_NS + ACK_NS + DIFS_NS
        medium.submit("a", 1500, 0)
        medium.submit("a", 1500, clear_ns)
        _, second = [found for _, found in medium.advance(None)]
        starts.add((round(second.start_s * 1e9) - clear_ns) // SLOT_NS)
    assert starts == set(range(16))


def test_the_first_slot_after_a_busy_period_is_for_who_has_just_sent() -> None:
    """A counter does not run while the medium is busy: who waited is a slot away or more."""
    names = list("abcdefghij")
    medium = cell(Wifi(standard="a", post_collision="difs"), devices=names)
    medium.offer(names, [200 * 1500] * 10, [0] * 10)
    senders: dict[int, set[str]] = {}
    for time_ns, event, name in medium.trace:
        if event == "send":
            senders.setdefault(time_ns, set()).add(name)
    at_once = 0
    for before_ns, after_ns in pairwise(senders):
        answer_ns = SIFS_NS + ACK_NS if len(senders[before_ns]) == 1 else 0
        if after_ns - before_ns == DATA_NS + answer_ns + DIFS_NS:
            assert senders[after_ns] <= senders[before_ns]
            at_once += 1
    assert at_once > 20


def test_windows_double_and_end_at_the_retry_limit() -> None:
    """Two devices that always collide would; one that nobody hears: 7 attempts, growing waits."""
    waits = []
    for seed in range(200):
        # 54 Mb/s at an SNR of 5 dB: every frame fails
        medium = cell(Wifi(standard="a", mode=7), losses={"a": 105.0}, seed=seed)
        (found,) = medium.offer(["a"], [1500], [0])
        assert (found.attempts, found.reason, found.rx_j) == (7, "retry_limit", 0)
        eifs_ns = 94_000
        waits.append((np.diff(medium.trace.starts()) - DATA_NS - eifs_ns) / SLOT_NS)
    waits = np.array(waits)
    windows = np.array([31, 63, 127, 255, 511, 1023])
    assert (waits.max(axis=0) <= windows).all()
    assert waits[:, 0].max() == 31  # missed with probability (31/32)^200
    # The mean of a uniform draw from 0 to w is w/2 with standard error w / sqrt(12 * 200).
    assert (abs(waits.mean(axis=0) - windows / 2) < 4 * windows / np.sqrt(2400)).all()


def test_losses_to_noise_are_independent_attempts() -> None:
    """At PER p the attempts of a packet are a geometric number, cut at the limit."""
    wifi = Wifi(standard="a", mode=7, on_loss="continue", retry_limit=4)
    loss_db = 16 + 94 - 17.55 + 0.01  # noise is -94 dBm: about half the frames fail
    per = float(wifi_per("ofdm54", 16 - loss_db - wifi.noise_dbm, 1536))
    assert 0.3 < per < 0.7
    (found,) = cell(wifi, losses={"a": loss_db}).offer(["a"], [4000 * 1500], [0])
    expected = (1 - per**4) / (1 - per)
    assert found.attempts / 4000 == pytest.approx(expected, rel=0.04)


def test_out_of_reach_sends_nothing() -> None:
    medium = cell(losses={"a": 130.0, "b": NEAR_DB})
    far, near = medium.offer(["a", "b"], [1500, 1500], [0, 0])
    assert (far.reason, far.attempts, far.energy_j) == ("below_sensitivity", 0, 0)
    assert near.delivered
    assert medium.trace.starts("a") == []
    # ns-3's -82 dBm: 16 - 99 is below, and above the 4 dB over noise
    strict = cell(Wifi(standard="a", detection_dbm=-82), losses={"a": 99.0})
    assert strict.offer(["a"], [100], [0])[0].reason == "below_sensitivity"
    assert cell(losses={"a": 99.0}).offer(["a"], [100], [0])[0].delivered


@pytest.mark.parametrize(("capture", "first_try"), [(True, True), (False, False)])
def test_the_stronger_of_two_is_captured(*, capture: bool, first_try: bool) -> None:
    wifi = Wifi(standard="a", capture=capture)
    medium = cell(wifi, losses={"near": 56.0, "far": 86.0})
    near, _far = medium.offer(["near", "far"], [1500, 1500], [0, 0])
    assert (near.attempts == 1) == first_try
    assert (near.finish_s == 248e-6) == first_try


def test_equal_powers_lose_both() -> None:
    medium = cell()
    found = medium.offer(["a", "b"], [1500, 1500], [0, 0])
    assert all(item.attempts >= 2 for item in found)


def test_capture_needs_what_the_mode_needs() -> None:
    # 10 dB over the other: 54 Mb/s needs 18, 6 Mb/s needs 1.
    for mode, captured in ((7, False), (0, True)):
        medium = cell(Wifi(standard="a", mode=mode), losses={"a": 56.0, "b": 66.0})
        near, _ = medium.offer(["a", "b"], [1500, 1500], [0, 0])
        assert (near.attempts == 1) == captured


def test_eifs_after_a_collision_is_longer() -> None:
    for gap, difs_ns in (("difs", 34_000), ("eifs", 94_000)):
        medium = cell(Wifi(standard="a", post_collision=gap))
        medium.offer(["a", "b"], [1500, 1500], [0, 0])
        again = sorted(medium.trace.starts())[2]
        assert (again - DATA_NS - difs_ns) % SLOT_NS == 0
        assert again >= DATA_NS + difs_ns


def test_downlink_costs_the_device_reception() -> None:
    wifi = Wifi(standard="a")
    (found,) = cell(wifi).offer(["a"], [1500], [0], direction="down")
    assert found.rx_j == pytest.approx(wifi.radio.rx_w * 248e-6)
    assert found.tx_j == pytest.approx(wifi.radio.tx_w * 28e-6)


def test_the_station_contends_like_everybody() -> None:
    """Nine devices up and one queue down, all saturated: a tenth of the packets goes down."""
    names = list("abcdefghi")
    medium = cell(Wifi(standard="n", on_loss="continue"), devices=names)
    for name in names:
        medium.submit(name, 1500 * 100_000, 0)
        medium.submit(name, 1500 * 100_000, 0, direction="down")
    medium.advance(4_000_000_000)
    starts = Counter(who for _, event, who in medium.trace if event == "send")
    assert starts["station"] / starts.total() == pytest.approx(0.1, abs=0.01)


def test_downlink_is_served_first_come() -> None:
    medium = cell(devices="abc")
    found = medium.offer(list("abc"), [3000] * 3, [0, 1e-6, 2e-6], direction="down")
    finishes = [item.finish_s for item in found]
    assert finishes == sorted(finishes)
    assert found[2].start_s > found[1].finish_s > found[0].finish_s


def test_nothing_is_sent_after_leaving() -> None:
    medium = cell()
    for name in "ab":
        medium.submit(name, 1500 * 50, 0)
        medium.submit(name, 1500 * 50, 0, direction="down")
    medium.advance(3_000_000)
    ended = medium.leave("a")
    assert [found.reason for _, found in ended] == ["off", "off"]
    left_at = medium.now_ns
    rest = medium.advance(None)
    assert all(found.delivered for _, found in rest)
    assert [time for time in medium.trace.starts("a") if time > left_at] == []
    assert medium.leave("a") == []


def test_leaving_in_the_middle_of_a_frame_cuts_it_off() -> None:
    wifi = Wifi(standard="a")
    medium = cell(wifi)
    medium.submit("a", 1500, 0)
    medium.advance(100_000)
    ((_, found),) = medium.leave("a", reason="battery")
    assert found.reason == "battery"
    assert found.tx_j == pytest.approx(wifi.radio.tx_w * 100e-6)
    assert found.idle_j == 0
    # Back at once: the medium is busy to the frame's end, then it draws a backoff.
    medium.submit("a", 1500, 100_000)
    ((_, again),) = medium.advance(None)
    assert again.delivered
    assert again.start_s * 1e9 >= DATA_NS + DIFS_NS


def test_a_radio_that_sends_does_not_receive() -> None:
    """Up and down of one device collide: it was busy with its own frame."""
    medium = cell()
    medium.submit("a", 1500, 0)
    medium.submit("a", 1500, 0, direction="down")
    medium.advance(DATA_NS)
    (_, up), (_, down) = medium.leave("a")
    assert up.busy_s == pytest.approx(DATA_NS / 1e9)
    assert (down.rx_j, down.busy_s) == (0, 0)
    assert down.air_s == pytest.approx(DATA_NS / 1e9)


def test_each_message_pays_for_its_own_time() -> None:
    medium = cell()
    found = medium.offer(["a", "a"], [1500, 3000], [0, 1.0])
    for item in found:
        assert item.busy_s == pytest.approx(item.finish_s - item.ready_s + (16 + 28) * 1e-6)
    together = cell().offer(["a", "a"], [1500, 1500], [0, 0])
    first, second = sorted(together, key=lambda item: item.finish_s)
    span_s = second.finish_s + (16 + 28) * 1e-6
    assert first.busy_s + second.busy_s == pytest.approx(span_s)


def test_deadline() -> None:
    medium = cell()
    late = medium.offer(["a", "b"], [1500 * 100] * 2, [0, 0], deadline_s=0.01)
    assert [found.reason for found in late] == ["deadline", "deadline"]
    assert all(found.finish_s == 0.01 for found in late)
    assert medium.next_ns() is None
    just = cell().offer(["a"], [1500], [0], deadline_s=248e-6)
    assert just[0].delivered


@pytest.mark.parametrize(("on_loss", "attempts"), [("abort", 7), ("continue", 21)])
def test_what_follows_a_lost_packet(on_loss: Any, attempts: int) -> None:
    medium = cell(Wifi(standard="a", mode=7, on_loss=on_loss), losses={"a": 105.0})
    (found,) = medium.offer(["a"], [3 * 1500], [0])
    assert (found.reason, found.packets, found.attempts) == ("retry_limit", 3, attempts)


class Fade:
    """Gain by block: nothing in the first millisecond, all afterwards."""

    coherence_ns = 1_000_000

    def gain(self, _link: int, block: int) -> float:
        return 1e-9 if block == 0 else 1.0

    def gains(self, _links: Any, blocks: Any) -> Any:
        return np.where(blocks == 0, 1e-9, 1.0)


def test_a_fade_loses_frames_while_it_lasts() -> None:
    medium = cell(blocks=Fade())
    (found,) = medium.offer(["a"], [1500], [0])
    starts = medium.trace.starts()
    assert found.delivered
    assert found.attempts == len(starts) >= 2
    assert [start < 1_000_000 for start in starts] == [True] * (len(starts) - 1) + [False]


AMPDU = Wifi(standard="n", ampdu_bytes=65_535)


def test_aggregate_alone_to_the_nanosecond() -> None:
    medium = cell(AMPDU)
    (found,) = medium.offer(["a"], [20 * 1500 + 100], [0])
    # 20 subframes of 4 + 1538 + 2 bytes and one of 4 + 138, unpadded; 260 bits per symbol
    size_bytes = 20 * 1544 + 142
    air_us = 36 + 4 * -(-(22 + 8 * size_bytes) // 260)
    assert found.air_s == pytest.approx(air_us * 1e-6)
    assert found.finish_s == pytest.approx(air_us * 1e-6)
    assert found.rx_j == pytest.approx(AMPDU.radio.rx_w * 32e-6)
    assert (found.attempts, found.packets) == (21, 21)


def test_after_a_lost_aggregate_a_request_comes_first() -> None:
    medium = cell(AMPDU)
    found = medium.offer(["a", "b"], [10 * 1500] * 2, [0, 0])
    events = medium.trace
    # Both lost once: each sends 10 + 10 packets, with a BAR (of no packets) in between.
    assert events.starts()[:2] == [0, 0]
    for item, node in zip(found, "ab", strict=True):
        assert item.delivered
        # The BAR at 24 Mb/s lasts 32 us; all else are aggregates of one length.
        data_us = 36 + 4 * -(-(22 + 8 * (9 * 1544 + 1542)) // 260)
        sends = len(events.starts(node))
        requests = round((item.air_s * 1e6 - item.attempts / 10 * data_us) / 32)
        assert requests >= 1
        assert sends == item.attempts / 10 + requests


def test_partial_loss_is_repaired_by_the_block_acknowledgement() -> None:
    wifi = Wifi(standard="n", mode=7, ampdu_bytes=65_535)
    loss_db = 16 + 94 - 18.85  # about half of the frames of 1500 bytes fail
    (found,) = cell(wifi, losses={"a": loss_db}).offer(["a"], [40 * 1500], [0])
    assert found.packets == 40
    assert 60 < found.attempts < 130  # mean of 1/(1 - p), cut at 7
    assert found.air_s < 0.020  # far fewer exchanges than packets


def test_a_single_packet_is_no_aggregate() -> None:
    (found,) = cell(AMPDU).offer(["a"], [1500], [0])
    assert found.air_s == pytest.approx(228e-6)
    assert found.rx_j == pytest.approx(AMPDU.radio.rx_w * 28e-6)


def test_retry_limit_of_aggregates() -> None:
    wifi = Wifi(standard="n", mode=7, ampdu_bytes=65_535)
    (found,) = cell(wifi, losses={"a": 105.0}).offer(["a"], [30 * 1500], [0])
    assert found.reason == "retry_limit"
    assert 30 * 7 >= found.attempts >= 7


OFFERS = st.lists(
    st.tuples(
        st.sampled_from("abcde"),
        st.integers(1, 9000),
        st.integers(0, 20_000_000),
        st.sampled_from(["up", "down"]),
        st.one_of(st.none(), st.integers(0, 30_000_000)),
    ),
    max_size=25,
)
LOSSES = {"a": 56.0, "b": 80.0, "c": 92.0, "d": 104.0, "e": 125.0}


def run(
    offers: list[tuple[Any, ...]], wifi: Wifi, seed: int = 3
) -> tuple[Any, list[int], dict[int, Any]]:
    medium = wifi.medium(LOSSES, rng=np.random.default_rng(seed))
    medium.trace = Events()
    tickets = [
        medium.submit(device, size, ready, direction=direction, deadline_ns=deadline)
        for device, size, ready, direction, deadline in offers
    ]
    return medium, tickets, dict(medium.advance(None))


@settings(max_examples=60, deadline=None)
@given(offers=OFFERS, aggregates=st.booleans())
def test_every_message_ends_once_and_nothing_is_negative(
    *, offers: list[tuple[Any, ...]], aggregates: bool
) -> None:
    wifi = AMPDU if aggregates else Wifi(standard="g")
    medium, tickets, ended = run(offers, wifi)
    assert sorted(ended) == sorted(tickets)
    assert medium.next_ns() is None
    for found in ended.values():
        assert found.ready_s <= found.start_s <= found.finish_s
        assert min(found.tx_j, found.rx_j, found.idle_j, found.air_s) >= 0
        assert found.energy_j == pytest.approx(found.tx_j + found.rx_j + found.idle_j)
        assert found.attempts >= found.packets or not found.delivered
        if found.device == "e":
            assert found.reason in ("below_sensitivity", "deadline")
    # Whoever sends starts alone, or in the same instant as others.
    starts = medium.trace.starts()
    assert all(gap == 0 or gap > 40_000 for gap in np.diff(starts).tolist())


@settings(max_examples=60, deadline=None)
@given(offers=OFFERS, seed=st.integers(0, 10))
def test_radio_time_of_a_device_is_never_counted_twice(
    offers: list[tuple[Any, ...]], seed: int
) -> None:
    wifi = Wifi(standard="g")
    _, _, ended = run(offers, wifi, seed)
    for device in "abcde":
        own = [found for found in ended.values() if found.device == device]
        if own:
            # the last answer ends a SIFS and an ACK (44 us at most) after the frame
            span_s = max(f.finish_s for f in own) + 60e-6 - min(f.ready_s for f in own)
            assert sum(f.busy_s for f in own) <= span_s + 1e-9


STEPS = st.lists(
    st.tuples(
        st.integers(0, 600_000),
        st.sampled_from("abcd"),
        st.sampled_from(["up", "up", "down", "leave"]),
        st.integers(1, 9000),
    ),
    max_size=25,
)


@settings(max_examples=60, deadline=None)
@given(
    steps=STEPS,
    wifi=st.sampled_from(
        [
            Wifi(standard="g"),
            AMPDU,
            Wifi(standard="n", ampdu_bytes=20_000, retry_limit=2, mode=7),
            Wifi(standard="ax", ofdma=True, ampdu_bytes=65_535),
        ]
    ),
)
def test_coming_and_going(steps: list[tuple[Any, ...]], wifi: Wifi) -> None:
    """Devices leave at any time: all ends come once, time is counted once, off is silent."""
    medium = wifi.medium(LOSSES, rng=np.random.default_rng(7))
    medium.trace = trace = Events()
    offered, ended, now_ns = [], [], 0
    gone: dict[str, int] = {}
    for wait_ns, device, act, size in steps:
        now_ns += wait_ns
        ended += medium.advance(now_ns)
        if act == "leave":
            ended += medium.leave(device)
            gone[device] = len(trace)
        else:
            gone.pop(device, None)
            offered.append(medium.submit(device, size, now_ns, direction=act))
    ended += medium.advance(None)
    assert sorted(ticket for ticket, _ in ended) == sorted(offered)
    for device, since in gone.items():
        assert not [event for event in trace[since:] if event[1:] == ("send", device)]
    for device in LOSSES:
        own = [found for _, found in ended if found.device == device]
        if own:
            span_s = max(f.finish_s for f in own) + 80e-6 - min(f.ready_s for f in own)
            assert sum(f.busy_s for f in own) <= span_s + 1e-9


def test_a_message_withdrawn_as_it_comes_costs_nothing() -> None:
    for wifi in (Wifi(standard="a"), Wifi(standard="ax", ofdma=True)):
        medium = cell(wifi)
        medium.submit("a", 1500, 0)
        ((_, found),) = medium.leave("a")
        assert (found.reason, found.energy_j, found.busy_s) == ("off", 0, 0)
        medium.submit("a", 1500, 1_000_000)
        ((_, found),) = medium.advance(None)
        assert found.delivered
        assert found.busy_s == pytest.approx(found.finish_s - 0.001, abs=60e-6)


def test_order_of_an_offer_changes_nothing() -> None:
    names = [str(number) for number in range(20)]
    sizes = [1000 + 500 * number for number in range(20)]
    ready = [0.0005 * (number % 7) for number in range(20)]
    order = np.random.default_rng(1).permutation(20).tolist()

    def offered(places: Sequence[int]) -> dict[str, Any]:
        medium = cell(devices=names, seed=4)
        found = medium.offer(
            [names[i] for i in places], [sizes[i] for i in places], [ready[i] for i in places]
        )
        return {item.device: item for item in found}

    assert offered(order) == offered(range(20))


def test_steps_of_the_clock_change_nothing() -> None:
    offers = [("a", 6000, 0), ("b", 9000, 10), ("c", 3000, 1_000_000), ("a", 1500, 1_200_000)]
    whole, stepped = cell(devices="abc"), cell(devices="abc")
    for medium in (whole, stepped):
        for offer in offers:
            medium.submit(*offer)
    at_once = whole.advance(None)
    in_steps = []
    while stepped.next_ns() is not None:
        in_steps += stepped.advance(stepped.now_ns + 7_777)
    assert in_steps == at_once
    assert stepped.trace == whole.trace


def test_under_a_simpy_clock() -> None:
    env = simpy.Environment()
    medium = MediumProcess(env, cell())
    found = []

    def device(name: str, wait_s: float) -> Generator[Any, Any, None]:
        yield env.timeout(wait_s)
        found.append((yield medium.send(name, 3000)))

    env.process(device("a", 0.0))
    env.process(device("b", 0.0001))
    env.run()
    assert [item.delivered for item in found] == [True, True]
    assert found[-1].finish_s == pytest.approx(env.now)


FINGERPRINTS = {
    "a": "f4dce2cb0997afc5",
    "n": "3c9bcbf57454c842",
    "ampdu": "8c97eff4da1c5f69",
}


@pytest.mark.parametrize("kind", FINGERPRINTS)
def test_fingerprint(kind: str) -> None:
    """A change of the rules or of the order of random numbers changes these on purpose only."""
    wifi = AMPDU if kind == "ampdu" else Wifi(standard=kind)
    losses = {str(number): 56.0 + 2.4 * number for number in range(20)}
    medium = wifi.medium(losses, rng=np.random.default_rng(11))
    medium.trace = trace = Fingerprint()
    names = list(losses)
    medium.offer(names, [20_000] * 20, [0.0001 * (number % 5) for number in range(20)])
    assert trace.digest == FINGERPRINTS[kind]
