"""Messages over the media: outages cut transfers, which begin again; nothing is free twice."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import simpy

import channel_sim
from edge_fd.errors import UnknownNameError, UsageError
from edge_fd.scenario import ChannelSection, DevicesSection, DropoutSection, Scenario
from edge_fd.simulation.cells import Cells, build_cells
from edge_fd.simulation.radio import MAX_RESTARTS, Flight, Radio
from edge_fd.streams import stream


class Bench:
    """A radio on a clock of its own; ``send`` runs until the message has ended."""

    def __init__(self, cells: Cells) -> None:
        self.env = simpy.Environment()
        self.cells = cells
        self.radio = Radio(self.env, cells)

    def start(self, direction: Any, device: str, size_bytes: int, at_s: float) -> list[Flight]:
        flights: list[Flight] = []

        def begin(_event: Any) -> None:
            self.radio.send(direction, device, size_bytes, flights.append)

        self.env.timeout(at_s - self.env.now).callbacks.append(begin)
        return flights

    def send(self, direction: Any, device: str, size_bytes: int, at_s: float) -> Flight:
        flights = self.start(direction, device, size_bytes, at_s)
        while not flights:
            self.env.step()
        return flights[0]


def bench(outage: Any, *, delay_s: float = 2.0) -> Bench:
    medium = channel_sim.Ideal(delay_s=delay_s)
    return Bench(Cells({"d": medium, "e": medium}, {"d": outage}, None))


def scenario(channel: ChannelSection, **dropout: float) -> Scenario:
    group = DevicesSection(count=1, student="mlp")
    return Scenario(devices=(group,), channel=channel, dropout=DropoutSection(**dropout))


def fdma(seed: int = 1, names: tuple[str, ...] = ("a", "b"), **dropout: float) -> Bench:
    section = ChannelSection(model="fdma", min_m=5.0, max_m=40.0)
    return Bench(build_cells(scenario(section, **dropout), list(names), partial(stream, seed)))


def test_without_outage_a_message_takes_the_time_of_the_medium(downs: Any) -> None:
    flight = bench(downs(())).send("up", "d", 100, 5.0)
    assert flight == Flight(arrives_s=7.0, reason="delivered", attempts=1, sent=1)


def test_a_message_waits_for_the_link(downs: Any) -> None:
    flight = bench(downs(((4.0, 9.0),))).send("up", "d", 100, 5.0)
    assert (flight.arrives_s, flight.sent) == (9.0 + 2.0, 1)


def test_a_transfer_that_is_cut_begins_again_whole_when_the_link_is_back(downs: Any) -> None:
    flight = bench(downs(((6.0, 9.0),))).send("up", "d", 100, 5.0)
    assert (flight.arrives_s, flight.sent, flight.attempts) == (9.0 + 2.0, 2, 2)


def test_a_transfer_that_ends_as_the_link_goes_down_is_through(downs: Any) -> None:
    flight = bench(downs(((7.0, 9.0),))).send("up", "d", 100, 5.0)
    assert (flight.arrives_s, flight.sent) == (7.0, 1)


def test_the_outage_of_one_is_not_that_of_another(downs: Any) -> None:
    assert bench(downs(((0.0, 9.0),))).send("up", "e", 100, 5.0).arrives_s == 7.0


def test_a_link_that_is_never_up_long_enough_loses_the_message(downs: Any) -> None:
    short = tuple((second + 1.0, second + 1.5) for second in range(100))
    flight = bench(downs(short)).send("up", "d", 100, 0.0)
    assert (flight.arrives_s, flight.reason, flight.sent) == (None, "off", MAX_RESTARTS)


def test_a_device_that_goes_down_takes_its_messages_with_it(downs: Any) -> None:
    one = bench(downs(()))
    mine, other = one.start("up", "d", 100, 5.0), one.start("down", "e", 100, 5.0)
    one.env.timeout(6.0).callbacks.append(lambda _event: one.radio.leave("d", "battery"))
    one.env.run(until=20.0)
    assert [(f.arrives_s, f.reason, f.sent) for f in mine] == [(None, "battery", 1)]
    assert [f.arrives_s for f in other] == [7.0]


def test_a_message_that_waits_for_its_link_is_lost_with_its_device(downs: Any) -> None:
    one = bench(downs(((4.0, 9.0),)))
    flights = one.start("up", "d", 100, 5.0)
    one.env.timeout(6.0).callbacks.append(lambda _event: one.radio.leave("d"))
    one.env.run(until=20.0)
    assert [(f.arrives_s, f.sent) for f in flights] == [(None, 0)]


def test_a_transfer_that_was_cut_is_paid_for_as_far_as_it_went(downs: Any) -> None:
    """With the same seed the medium draws the same: an outage adds half a transfer."""
    plain = fdma()
    first = plain.send("up", "a", 2000, 0.0)
    second = plain.send("up", "a", 2000, 100.0)
    assert first.arrives_s is not None
    cut = Bench(replace(fdma().cells, outages={"a": downs(((first.arrives_s / 2, 100.0),))}))
    flight = cut.send("up", "a", 2000, 0.0)
    assert flight.sent == 2
    assert flight.tx_j == pytest.approx(first.tx_j / 2 + second.tx_j, rel=1e-5)
    assert flight.air_s == pytest.approx(first.air_s / 2 + second.air_s, rel=1e-5)


def test_sending_costs_the_device_its_sender_and_receiving_its_receiver() -> None:
    both = fdma()
    up, down = both.send("up", "a", 2000, 0.0), both.send("down", "a", 2000, 1.0)
    radio = channel_sim.WIFI_NIC
    assert up.tx_j == pytest.approx(up.air_s * radio.tx_w)
    assert down.rx_j == pytest.approx(down.air_s * radio.rx_w)
    assert (up.rx_j, down.tx_j) == (0.0, 0.0)
    # While it sends or receives it does not idle: what rest is charged for is taken back.
    assert up.idle_j == pytest.approx(-up.air_s * radio.idle_w)
    assert both.radio.rest_w == radio.idle_w


def test_an_ideal_channel_has_no_radio_and_takes_no_energy() -> None:
    section = ChannelSection(model="ideal")
    free = Bench(build_cells(scenario(section), ["a"], partial(stream, 1)))
    assert free.radio.rest_w is None
    flight = free.send("up", "a", 10**6, 3.0)
    assert flight == Flight(arrives_s=3.0, reason="delivered", attempts=1, sent=1)


def test_another_device_leaves_the_channels_and_outages_of_the_first_as_they_were() -> None:
    few = fdma(link_up_s=10.0, link_down_s=2.0).cells
    many = fdma(names=("a", "b", "c"), link_up_s=10.0, link_down_s=2.0).cells
    for direction in ("up", "down"):
        for name in ("a", "b"):
            mine, theirs = (c.media[name].links[direction][name] for c in (few, many))
            assert mine.path_loss_db == theirs.path_loss_db
            assert mine.shadowing_db == theirs.shadowing_db
            gains = [[link.fading.gain(t) for t in range(50)] for link in (mine, theirs)]
            assert gains[0] == gains[1]
            assert len(set(gains[0])) > 1
    for name in ("a", "b"):
        ends = [[c.outages[name].next_change_s(t) for t in range(100)] for c in (few, many)]
        assert ends[0] == ends[1]
    assert few.outages["a"].next_change_s(0) != few.outages["b"].next_change_s(0)


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
        build_cells(scenario(section), ["a"], partial(stream, 1))
