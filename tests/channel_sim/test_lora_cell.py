"""The LoRaWAN calendar against times worked out by hand from the standard's numbers."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from channel_sim.calendar import Fingerprint
from channel_sim.lora import EIGHT_CHANNELS_HZ, Lorawan, LorawanCell, air_ns
from channel_sim.lora.gateway import Frame, Gateway
from channel_sim.medium import Delivery
from channel_sim.units import to_ns

ONE = (868_100_000,)
# 51 application bytes are 64 on air: 118.016 ms at SF7, 2793.472 at SF12 (oracles.md 3.1).
AIR7_S, AIR12_S = 0.118016, 2.793472
# Empty windows of 8 symbols: RX1 at SF7, RX2 at SF12.
WINDOW7_S, WINDOW12_S = 0.008192, 0.262144
# 12 bytes without CRC at SF7: 28 payload symbols; at SF12: 18.
ACK7_S, ACK12_S = 40.25 * 0.001024, 30.25 * 0.032768
NEAR_DB, FAR_DB = 100.0, 170.0


def cell(losses_db: dict[str, float], *, seed: int = 0, **parameters: Any) -> LorawanCell:
    family = Lorawan(**{"spreading_factor": 7, "channels_hz": ONE, **parameters})
    return family.medium(losses_db, rng=np.random.default_rng(seed))


def send(medium: LorawanCell, *messages: tuple[str, int, float], **more: Any) -> list[Delivery]:
    return medium.offer(
        [device for device, _, _ in messages],
        [size for _, size, _ in messages],
        [ready_s for _, _, ready_s in messages],
        **more,
    )


def test_one_frame_up() -> None:
    medium = cell({"a": NEAR_DB})
    (one,) = send(medium, ("a", 51, 2.0))
    assert one.delivered
    assert (one.start_s, one.finish_s) == (2.0, 2.0 + AIR7_S)
    assert (one.attempts, one.packets, one.air_s) == (1, 1, AIR7_S)
    assert one.tx_j == pytest.approx(AIR7_S * medium.radio.tx_w)
    assert one.rx_j == pytest.approx((WINDOW7_S + WINDOW12_S) * medium.radio.rx_w)
    assert one.idle_j == 0
    # SX1276 at 14 dBm: 44 mA at 3.3 V.
    assert medium.radio.tx_w == pytest.approx(0.1452)


def test_the_next_start_is_air_over_duty_cycle_later() -> None:
    found = send(cell({"a": NEAR_DB}), *[("a", 51, t) for t in (0.0, 0.001, 0.002)])
    assert [d.start_s for d in found] == pytest.approx([0, 100 * AIR7_S, 200 * AIR7_S], abs=1e-9)
    found = send(cell({"a": NEAR_DB}, spreading_factor=12), ("a", 51, 0.0), ("a", 51, 1.0))
    assert found[1].start_s == pytest.approx(100 * AIR12_S, abs=1e-9)


def test_duty_cycles_are_those_of_the_sub_band() -> None:
    for channel_hz, factor in ((868_900_000, 1000), (869_525_000, 10)):
        medium = cell({"a": NEAR_DB}, channels_hz=(channel_hz,), spreading_factor=12)
        found = send(medium, ("a", 51, 0.0), ("a", 51, 1.0))
        assert found[1].start_s == pytest.approx(factor * AIR12_S, abs=1e-9)


def test_a_second_sub_band_is_used_once_the_windows_are_closed() -> None:
    medium = cell({"a": NEAR_DB}, channels_hz=EIGHT_CHANNELS_HZ)
    found = send(medium, *[("a", 51, t) for t in (0.0, 0.001, 0.002)])
    closed_s = AIR7_S + 2 + WINDOW12_S
    expected = [0, closed_s, 100 * AIR7_S]
    assert [d.start_s for d in found] == pytest.approx(expected, abs=1e-9)


def test_a_large_message_is_cut_and_waits_for_the_law() -> None:
    # 222 bytes per frame, 3 of them fragment header: 219 and 181 + 3.
    (one,) = send(cell({"a": NEAR_DB}), ("a", 400, 0.0))
    first_s, last_s = 0.368896, int(air_ns(181 + 3 + 13, 7)) / 1e9
    assert (one.packets, one.attempts) == (2, 2)
    assert one.finish_s == pytest.approx(100 * first_s + last_s, abs=1e-9)
    assert one.air_s == pytest.approx(first_s + last_s)


def test_two_at_once_collide_and_the_stronger_survives() -> None:
    messages = [("a", 51, 0.0), ("b", 51, 0.05)]
    found = send(cell({"a": NEAR_DB, "b": NEAR_DB}), *messages)
    assert [d.reason for d in found] == ["collision", "collision"]
    found = send(cell({"a": NEAR_DB, "b": NEAR_DB + 10}), *messages)
    assert [d.reason for d in found] == ["delivered", "collision"]
    # An unconfirmed device does not know: it ends when its last frame does.
    assert found[1].finish_s == pytest.approx(0.05 + AIR7_S)


def test_a_lost_fragment_loses_the_message_but_all_are_sent() -> None:
    found = send(cell({"a": NEAR_DB, "b": NEAR_DB}), ("a", 400, 0.0), ("b", 51, 0.1))
    assert [(d.reason, d.attempts) for d in found] == [("collision", 2), ("collision", 1)]


def test_out_of_reach() -> None:
    (one,) = send(cell({"a": FAR_DB}), ("a", 51, 0.0))
    assert (one.reason, one.attempts) == ("below_sensitivity", 1)
    (one,) = send(cell({"a": FAR_DB}, confirmed=True), ("a", 51, 0.0))
    assert (one.reason, one.attempts) == ("below_sensitivity", 8)
    # Eight tries, 100 times their air apart (11.8 s, above the wait for repetition).
    assert one.finish_s == pytest.approx(700 * AIR7_S + AIR7_S + 2 + WINDOW12_S, abs=1e-6)
    # SX1301 at SF7: -130 dBm; 14 dBm - 144 dB is just heard.
    found = send(cell({"a": 144.0, "b": 144.001}), ("a", 51, 0.0), ("b", 51, 9.0))
    assert [d.reason for d in found] == ["delivered", "below_sensitivity"]


def test_an_acknowledgement_comes_in_the_first_window() -> None:
    medium = cell({"a": NEAR_DB}, confirmed=True)
    (one,) = send(medium, ("a", 51, 0.0))
    assert (one.delivered, one.finish_s, one.attempts) == (True, AIR7_S, 1)
    assert one.rx_j == pytest.approx(ACK7_S * medium.radio.rx_w)


def test_the_gateway_obeys_its_duty_cycle_and_turns_to_the_second_window() -> None:
    medium = cell({"a": NEAR_DB, "b": NEAR_DB}, confirmed=True)
    # After the reply to a, the sub-band is closed to the gateway for 99 x 41 ms.
    found = send(medium, ("a", 51, 0.0), ("b", 51, 2.0))
    assert [d.attempts for d in found] == [1, 1]
    expected_s = WINDOW7_S + ACK12_S
    assert found[1].rx_j == pytest.approx(expected_s * medium.radio.rx_w)


def test_the_gateway_is_deaf_while_it_sends() -> None:
    reply_s = AIR7_S + 1
    for start_s, attempts in (
        (reply_s - AIR7_S - 0.001, 1),
        (reply_s - AIR7_S + 0.001, 2),
        (reply_s + ACK7_S - 0.001, 2),
        (reply_s + ACK7_S + 0.001, 1),
    ):
        medium = cell({"a": NEAR_DB, "b": NEAR_DB}, confirmed=True)
        found = send(medium, ("a", 51, 0.0), ("b", 51, start_s))
        assert [d.delivered for d in found] == [True, True]
        assert found[1].attempts == attempts, start_s


def test_a_frame_without_acknowledgement_is_repeated() -> None:
    # 869.525 MHz: 10 %, so that the wait of 1 to 3 s after RX2 decides at SF7.
    parameters = {"channels_hz": (869_525_000,), "confirmed": True}
    waits = []
    for seed in range(40):
        medium = cell({"a": FAR_DB}, seed=seed, max_attempts=2, **parameters)
        (one,) = send(medium, ("a", 51, 0.0))
        assert (one.reason, one.attempts) == ("below_sensitivity", 2)
        waits.append(one.finish_s - 2 * AIR7_S - 4 - WINDOW12_S)
    assert min(waits) >= 1
    assert max(waits) <= 3
    assert max(waits) - min(waits) > 1


def test_the_wait_for_repetition_outlives_the_message_behind() -> None:
    medium = cell({"a": FAR_DB}, channels_hz=(869_525_000,), confirmed=True)
    starts: list[int] = []
    medium.trace = lambda time_ns, event, _: starts.append(time_ns) if event == "start" else None
    medium.submit("a", 51, 0)
    medium.submit("a", 51, 1, deadline_ns=to_ns(2.6))
    medium.advance(to_ns(30.0))
    assert starts[1] >= to_ns(AIR7_S + 3)


def test_a_device_that_cannot_hear_its_reply_gives_up() -> None:
    # The gateway hears down to -130 dBm, an SX1276 to -123 at SF7.
    medium = cell({"a": 140.0}, confirmed=True)
    one, two = send(medium, ("a", 400, 0.0), ("a", 51, 1000.0))
    assert (one.reason, one.attempts) == ("retry_limit", 8)
    # Its first frame was received at once: the message counts as delivered.
    assert (two.delivered, two.attempts) == (True, 8)
    assert two.finish_s == pytest.approx(1000 + AIR7_S)


def test_demodulators_run_out() -> None:
    names = [f"d{number}" for number in range(12)]
    for limit in (1, 8):
        medium = cell(
            dict.fromkeys(names, NEAR_DB),
            demodulators=limit,
            interference="aloha",
            channels_hz=EIGHT_CHANNELS_HZ,
        )
        found = send(medium, *[(name, 51, 0.001 * n) for n, name in enumerate(names)])
        assert [d.reason == "queue" for d in found] == [n >= limit for n in range(12)]


def test_a_message_down_waits_for_an_uplink() -> None:
    medium = cell({"a": NEAR_DB}, poll_s=1e5)
    down = medium.submit("a", 51, 0, direction="down")
    medium.submit("a", 51, to_ns(5.0))
    found = dict(medium.advance(None))
    down_air_s = int(air_ns(64, 7, crc=False)) / 1e9
    assert found[down].delivered
    assert found[down].start_s == pytest.approx(5 + AIR7_S + 1)
    assert found[down].finish_s == pytest.approx(5 + AIR7_S + 1 + down_air_s)
    assert found[down].rx_j == pytest.approx(down_air_s * medium.radio.rx_w)
    assert found[down].tx_j == 0


def test_a_silent_device_polls_and_is_told_that_more_waits() -> None:
    medium = cell({"a": NEAR_DB}, poll_s=60.0)
    (one,) = send(medium, ("a", 400, 0.0), direction="down")
    poll_s = int(air_ns(12, 7)) / 1e9
    assert one.delivered
    assert (one.packets, one.attempts) == (2, 2)
    # The second poll comes at once, but the gateway's sub-band is closed and RX2 at SF12 too
    # slow for 184 bytes; the third is a minute later.
    assert one.tx_j == pytest.approx(3 * poll_s * medium.radio.tx_w)
    assert one.start_s < 60 + 2
    assert one.finish_s - one.start_s >= 100 * int(air_ns(235, 7, crc=False)) / 1e9


def test_the_gateway_says_that_more_is_waiting() -> None:
    medium = cell({"a": NEAR_DB}, poll_s=1e5, rx2_spreading_factor=7)
    down = medium.submit("a", 300, 0, direction="down")
    medium.submit("a", 51, to_ns(5.0))
    found = dict(medium.advance(None))
    # A poll as soon as the device may send again; the reply to it comes in RX2.
    poll_s, rest_s = int(air_ns(12, 7)) / 1e9, int(air_ns(84 + 13, 7, crc=False)) / 1e9
    expected_s = 5 + 100 * AIR7_S + poll_s + 2 + rest_s
    assert found[down].finish_s == pytest.approx(expected_s, abs=1e-6)


def test_a_message_down_that_nobody_hears_ends() -> None:
    for confirmed, attempts in ((False, 1), (True, 8)):
        (one,) = send(cell({"a": 140.0}, confirmed=confirmed), ("a", 20, 0.0), direction="down")
        assert (one.reason, one.attempts) == ("below_sensitivity", attempts)
    (one,) = send(cell({"a": FAR_DB}), ("a", 20, 0.0), direction="down")
    assert (one.reason, one.attempts) == ("below_sensitivity", 0)


def test_a_deadline_before_the_law_allows_a_start() -> None:
    found = send(cell({"a": NEAR_DB}), ("a", 51, 0.0), ("a", 51, 1.0), deadline_s=10.0)
    assert [d.reason for d in found] == ["delivered", "duty_cycle"]
    assert (found[1].attempts, found[1].energy_j) == (0, 0)
    found = send(cell({"a": NEAR_DB}), ("a", 51, 0.0), ("a", 51, 1.0), deadline_s=11.85)
    assert [d.reason for d in found] == ["delivered", "deadline"]
    assert found[1].air_s == pytest.approx(11.85 - 100 * AIR7_S)


def test_after_leaving_nothing_is_sent() -> None:
    medium = cell({"a": NEAR_DB, "b": NEAR_DB}, confirmed=True)
    starts: list[tuple[int, str]] = []
    medium.trace = lambda time_ns, event, node: (
        starts.append((time_ns, node)) if event == "start" else None
    )
    medium.submit("a", 400, 0)
    medium.submit("a", 400, 0, direction="down")
    medium.submit("b", 51, to_ns(0.3))
    medium.advance(to_ns(0.2))
    ended = medium.leave("a")
    assert [d.reason for _, d in ended] == ["off", "off"]
    assert ended[0][1].air_s == pytest.approx(0.2)
    assert ended[0][1].tx_j == pytest.approx(0.2 * medium.radio.tx_w)
    ended = medium.advance(None)
    assert [d.delivered for _, d in ended] == [True]
    assert [node for _, node in starts] == ["a", "b"]
    # The frame that was cut counts for the law: 0.2 s, so 20 s from its start.
    medium.submit("a", 51, medium.now_ns)
    (ended_again,) = medium.advance(None)
    assert ended_again[1].start_s == pytest.approx(20.0, abs=1e-9)


def test_a_frame_cut_short_harms_only_what_it_overlapped() -> None:
    medium = cell({"a": NEAR_DB, "b": NEAR_DB}, interference="aloha")
    medium.submit("a", 222, 0)
    medium.submit("b", 51, to_ns(0.21))
    medium.advance(to_ns(0.2))
    medium.leave("a")
    assert [d.reason for _, d in medium.advance(None)] == ["delivered"]


def test_what_was_received_before_the_device_left_is_delivered() -> None:
    medium = cell({"a": NEAR_DB}, confirmed=True)
    medium.submit("a", 51, 0)
    assert medium.advance(to_ns(0.5)) == []  # it waits for its acknowledgement
    ((_, one),) = medium.leave("a")
    assert (one.delivered, one.finish_s) == (True, AIR7_S)


def test_messages_too_large_are_refused_by_how_much() -> None:
    medium = cell({"a": NEAR_DB}, spreading_factor=12)
    with pytest.raises(ValueError, match=r"40000 needs .* SF12 .* at most (\d+) bytes") as caught:
        medium.submit("a", 40_000, 0)
    fits = int(str(caught.value).split("at most ")[1].split()[0])
    assert f"{40_000 - fits} bytes too large" in str(caught.value)
    medium.submit("a", fits, 0)
    with pytest.raises(ValueError, match="max_message_s"):
        medium.submit("a", fits + 1, 0)
    # 24 h of starts 279 s apart, 48 bytes each.
    assert fits == pytest.approx(86_400 / 279.3472 * 48, rel=0.01)
    # oracles.md 0, point 9: 40 kB take 1.9 h at DR5 and 61 h at DR0, with 1 %.
    for sf, hours in ((7, 1.9), (12, 61)):
        family = Lorawan(spreading_factor=sf, max_message_s=1e6)
        pieces = family.cut(40_000, sf)
        assert int(family.alone_ns(pieces, np.asarray(sf))) / 3.6e12 == pytest.approx(
            hours, rel=0.07
        )
    # 14 bits number the fragments.
    with pytest.raises(ValueError, match="at most 786384 bytes"):
        Lorawan(max_message_s=1e9).cut(10**6, 12)


def test_bad_offers_are_told() -> None:
    medium = cell({"a": NEAR_DB})
    with pytest.raises(ValueError, match="'b' has no link"):
        medium.submit("b", 10, 0)
    with pytest.raises(ValueError, match="size_bytes"):
        medium.submit("a", 0, 0)
    with pytest.raises(ValueError, match="losses_db"):
        cell({"a": float("nan")})


NAMES = ["ant", "bee", "cat", "dog", "eel"]
LOSSES_DB = {"ant": 100.0, "bee": 100.0, "cat": 128.0, "dog": 139.0, "eel": 175.0}
MESSAGES = st.lists(
    st.tuples(
        st.sampled_from(NAMES), st.integers(1, 150), st.integers(0, 40_000).map(lambda ms: ms / 1e3)
    ),
    max_size=14,
    unique_by=lambda message: (message[0], message[2]),
)


def world(*, confirmed: bool) -> LorawanCell:
    family = Lorawan(confirmed=confirmed, channels_hz=EIGHT_CHANNELS_HZ)
    return family.medium(LOSSES_DB, rng=np.random.default_rng(7))


@given(MESSAGES, st.booleans(), st.sampled_from(["up", "down"]), st.sampled_from([None, 60.0]))
@settings(deadline=None, max_examples=60)
def test_every_message_ends_once_and_costs_no_less_than_nothing(
    messages: list[tuple[str, int, float]],
    confirmed: bool,  # noqa: FBT001
    direction: str,
    deadline_s: float | None,
) -> None:
    medium = world(confirmed=confirmed)
    found = send(medium, *messages, direction=direction, deadline_s=deadline_s)
    assert Counter(d.reason for d in found).total() == len(messages)
    for d, (device, _, ready_s) in zip(found, messages, strict=True):
        assert d.device == device
        assert d.delivered == (d.reason == "delivered")
        assert ready_s == d.ready_s <= d.start_s <= d.finish_s
        assert min(d.tx_j, d.rx_j, d.idle_j, d.air_s) >= 0
        assert d.energy_j == d.tx_j + d.rx_j
        assert d.finish_s <= (deadline_s or np.inf)
        if direction == "up":
            assert d.tx_j == pytest.approx(d.air_s * medium.radio.tx_w)
        assert not (device == "eel" and d.delivered)
    assert medium.next_ns() is None
    assert not medium._progress
    assert not any(frames for frames in medium._gateway._on_air)
    assert medium._gateway._free == 8


@given(MESSAGES, st.randoms(use_true_random=False), st.booleans())
@settings(deadline=None, max_examples=40)
def test_the_order_in_an_offer_changes_nothing(
    messages: list[tuple[str, int, float]],
    random: Random,
    confirmed: bool,  # noqa: FBT001
) -> None:
    shuffled = list(messages)
    random.shuffle(shuffled)
    found = dict(zip(messages, send(world(confirmed=confirmed), *messages), strict=True))
    again = dict(zip(shuffled, send(world(confirmed=confirmed), *shuffled), strict=True))
    assert found == again


@given(MESSAGES, st.booleans())
@settings(deadline=None, max_examples=40)
def test_no_device_breaks_the_duty_cycle_or_sends_before_its_windows_close(
    messages: list[tuple[str, int, float]],
    confirmed: bool,  # noqa: FBT001
) -> None:
    frames: list[Frame] = []
    begin = Gateway.begin
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            Gateway,
            "begin",
            lambda self, frame, **more: (frames.append(frame), begin(self, frame, **more)),
        )
        send(world(confirmed=confirmed), *messages)
    for name in NAMES:
        own = [frame for frame in frames if frame.device == name]
        for before, after in pairwise(own):
            assert after.start_ns > before.end_ns + 1_000_000_000
        for first in (True, False):  # channels 0 to 2 are one sub-band, the others another
            band = [frame for frame in own if (frame.channel < 3) == first]
            for before, after in pairwise(band):
                air = before.end_ns - before.start_ns
                assert after.start_ns >= before.end_ns + 99 * air


def test_fingerprint_of_the_reference_scenario() -> None:
    family = Lorawan(confirmed=True)
    losses_db = {f"d{n:02}": 100.0 + n for n in range(40)}
    medium = family.medium(losses_db, rng=np.random.default_rng(1))
    medium.trace = fingerprint = Fingerprint()
    names = list(losses_db)
    medium.offer(names, [100] * 40, [n / 10 for n in range(40)])
    medium.submit("d05", 300, medium.now_ns, direction="down")
    medium.advance(None)
    assert (fingerprint.events, fingerprint.digest) == (640, "cf2866cf06b291be")
