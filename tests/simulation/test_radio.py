"""Messages over the media: outages cut transfers, which begin again; nothing is free twice."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

import channel_sim
from edge_fd.errors import UnknownNameError, UsageError
from edge_fd.scenario import ChannelSection, DropoutSection
from edge_fd.simulation.radio import MAX_RESTARTS, Flight, Radio, build_radio
from edge_fd.streams import stream


def radio(downs: Any, *, delay_s: float = 2.0) -> Radio:
    medium = channel_sim.Ideal(delay_s=delay_s)
    return Radio({"up": medium, "down": medium}, {"d": downs}, None)


def fdma(seed: int = 1, names: tuple[str, ...] = ("a", "b"), **dropout: float) -> Radio:
    section = ChannelSection(model="fdma", min_m=5.0, max_m=40.0)
    return build_radio(section, DropoutSection(**dropout), list(names), partial(stream, seed))


def test_without_outage_a_message_takes_the_time_of_the_medium(downs: Any) -> None:
    assert radio(downs(())).send("up", "d", 100, 5.0) == Flight(7.0, 0.0, 1, 1, 0.0, 0.0)


def test_a_message_waits_for_the_link(downs: Any) -> None:
    flight = radio(downs(((4.0, 9.0),))).send("up", "d", 100, 5.0)
    assert (flight.arrives_s, flight.sent) == (9.0 + 2.0, 1)


def test_a_transfer_that_is_cut_begins_again_whole_when_the_link_is_back(downs: Any) -> None:
    flight = radio(downs(((6.0, 9.0),))).send("up", "d", 100, 5.0)
    assert (flight.arrives_s, flight.sent, flight.attempts) == (9.0 + 2.0, 2, 2)


def test_a_transfer_that_ends_as_the_link_goes_down_is_through(downs: Any) -> None:
    flight = radio(downs(((7.0, 9.0),))).send("up", "d", 100, 5.0)
    assert (flight.arrives_s, flight.sent) == (7.0, 1)


def test_the_outage_of_one_is_not_that_of_another(downs: Any) -> None:
    assert radio(downs(((0.0, 9.0),))).send("up", "e", 100, 5.0).arrives_s == 7.0


def test_a_link_that_is_never_up_long_enough_loses_the_message(downs: Any) -> None:
    short = tuple((second + 1.0, second + 1.5) for second in range(100))
    flight = radio(downs(short)).send("up", "d", 100, 0.0)
    assert (flight.arrives_s, flight.sent) == (None, MAX_RESTARTS)


def test_every_transfer_that_was_begun_is_paid_for(downs: Any) -> None:
    """With the same seed the medium draws the same: an outage adds a second transfer."""
    plain = fdma()
    first = plain.send("up", "a", 2000, 0.0)
    second = plain.send("up", "a", 2000, 100.0)
    assert first.arrives_s is not None
    cut = fdma()
    cut._outages = {"a": downs(((first.arrives_s / 2, 100.0),))}  # type: ignore[assignment]
    flight = cut.send("up", "a", 2000, 0.0)
    assert flight.sent == 2
    assert flight.tx_j == pytest.approx(first.tx_j + second.tx_j)
    assert flight.air_s == pytest.approx(first.air_s + second.air_s)
    assert flight.attempts == first.attempts + second.attempts


def test_sending_costs_the_device_its_sender_and_receiving_its_receiver() -> None:
    both = fdma()
    up, down = both.send("up", "a", 2000, 0.0), both.send("down", "a", 2000, 0.0)
    assert up.tx_j == pytest.approx(up.air_s * channel_sim.WIFI_NIC.tx_w)
    assert down.rx_j == pytest.approx(down.air_s * channel_sim.WIFI_NIC.rx_w)
    assert (up.rx_j, down.tx_j) == (0.0, 0.0)
    assert both.idle_w == channel_sim.WIFI_NIC.idle_w


def test_an_ideal_channel_has_no_radio_and_takes_no_energy() -> None:
    section = ChannelSection(model="ideal")
    free = build_radio(section, DropoutSection(), ["a"], partial(stream, 1))
    assert free.idle_w is None
    assert free.send("up", "a", 10**6, 3.0) == Flight(3.0, 0.0, 1, 1, 0.0, 0.0)


def test_another_device_leaves_the_channels_and_outages_of_the_first_as_they_were() -> None:
    few = fdma(link_up_s=10.0, link_down_s=2.0)
    many = fdma(names=("a", "b", "c"), link_up_s=10.0, link_down_s=2.0)
    for direction in ("up", "down"):
        for name in ("a", "b"):
            mine, theirs = (r._media[direction].links[name] for r in (few, many))
            assert mine.path_loss_db == theirs.path_loss_db
            assert mine.shadowing_db == theirs.shadowing_db
            gains = [[link.fading.gain(t) for t in range(50)] for link in (mine, theirs)]
            assert gains[0] == gains[1]
            assert len(set(gains[0])) > 1
    for name in ("a", "b"):
        ends = [[r._outages[name].next_change_s(t) for t in range(100)] for r in (few, many)]
        assert ends[0] == ends[1]
    assert few._outages["a"].next_change_s(0) != few._outages["b"].next_change_s(0)


@pytest.mark.parametrize(
    ("extra", "error", "words"),
    [
        ({"bandwith_up_hz": 1e6}, UnknownNameError, "bandwidth_up_hz"),
        ({"bandwidth_up_hz": "wide"}, UsageError, "must be a number"),
        ({"bandwidth_up_hz": True}, UsageError, "must be a number"),
    ],
)
def test_a_key_that_is_none_of_the_model_is_told(
    extra: dict[str, Any], error: type[Exception], words: str
) -> None:
    section = ChannelSection(model="fdma", **extra)
    with pytest.raises(error, match=words):
        build_radio(section, DropoutSection(), ["a"], partial(stream, 1))
