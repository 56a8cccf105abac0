"""A calendar under SimPy: the same as the calendar alone, whoever drives it."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import numpy as np
import pytest
import simpy
from hypothesis import given, settings
from hypothesis import strategies as st

from channel_sim import Delivery, Fdma, FdmaParameters, Fingerprint, Ideal, MediumProcess
from channel_sim.cell import build_fdma
from channel_sim.units import to_ns

NAMES = ["ant", "bee", "cat"]


def cell() -> Fdma:
    def streams(*names: str) -> np.random.Generator:
        return np.random.default_rng(list("/".join(names).encode()))

    return build_fdma(FdmaParameters(), {"ant": 10.0, "bee": 60.0, "cat": 400.0}, streams=streams)


# Whole microseconds are the same instant as a float of SimPy's clock and in nanoseconds.
MESSAGES = st.lists(
    st.tuples(st.sampled_from(NAMES), st.integers(1, 30_000), st.integers(0, 2_000_000)),
    max_size=20,
    unique_by=lambda message: (message[0], message[2]),
)


@given(MESSAGES)
@settings(deadline=None)
def test_one_process_per_message_gives_what_the_calendar_gives_alone(
    messages: list[tuple[str, int, int]],
) -> None:
    env = simpy.Environment()
    medium = MediumProcess(env, cell())
    found: dict[int, Delivery] = {}

    def sender(row: int) -> Generator[Any, Any, None]:
        device, size_bytes, ready_us = messages[row]
        yield env.timeout(ready_us / 1e6)
        found[row] = yield medium.send(device, size_bytes)
        assert env.now == pytest.approx(found[row].finish_s, abs=1e-9)

    for row in range(len(messages)):
        env.process(sender(row))
    env.run()
    alone = cell().offer(
        [device for device, _, _ in messages],
        [size_bytes for _, size_bytes, _ in messages],
        [ready_us / 1e6 for _, _, ready_us in messages],
    )
    assert [found[row] for row in range(len(messages))] == alone


def test_who_leaves_hears_of_it_at_once_and_the_others_go_on() -> None:
    env = simpy.Environment()
    medium = MediumProcess(env, Ideal(delay_s=2.0))
    seen = []

    def sender(name: str) -> Generator[Any, Any, None]:
        delivery = yield medium.send(name, 10)
        seen.append((name, delivery.reason, env.now))

    def leaver() -> Generator[Any, Any, None]:
        yield env.timeout(0.5)
        medium.leave("a", reason="battery")

    for process in (sender("a"), sender("b"), leaver()):
        env.process(process)
    env.run()
    assert seen == [("a", "battery", 0.5), ("b", "delivered", 2.0)]


def test_a_deadline_ends_a_message() -> None:
    env = simpy.Environment()
    medium = MediumProcess(env, Ideal(delay_s=2.0))
    env.run(until=1.0)
    late = medium.send("a", 10, deadline_s=2.5)
    in_time = medium.send("b", 10, deadline_s=3.0)
    env.run()
    assert (late.value.reason, late.value.finish_s) == ("deadline", 2.5)
    assert (in_time.value.reason, in_time.value.finish_s) == ("delivered", 3.0)


@pytest.mark.parametrize("start_s", [1e7, 3e8])
def test_a_clock_too_coarse_for_nanoseconds_still_gets_there(start_s: float) -> None:
    """A float of ten years resolves 6e-8 s: the calendar must neither stall nor go back."""
    env = simpy.Environment(start_s)
    medium = MediumProcess(env, Ideal(delay_s=1e-9))
    for _ in range(100):
        event = medium.send("a", 1)
        env.run(until=event)
        assert event.value.delivered
    assert env.now == pytest.approx(start_s)


def test_a_message_of_the_past_and_an_unknown_device_are_refused() -> None:
    medium = cell()
    medium.advance(to_ns(1.0))
    with pytest.raises(ValueError, match=r"ready_ns = 5 is in the past; give 1000000000 or more"):
        medium.submit("ant", 10, 5)
    with pytest.raises(ValueError, match=r"'fox' has no link.*build it with that device"):
        MediumProcess(simpy.Environment(), medium).send("fox", 10)
    with pytest.raises(ValueError, match=r"size_bytes = 0 .*give"):
        medium.submit("ant", 0, to_ns(2.0))


def test_every_end_frees_its_place() -> None:
    medium = cell()
    for row in range(50):
        medium.submit("ant", 100, row * 1_000_000, deadline_ns=row * 1_000_000 + 700_000)
    assert len(medium.advance(None)) == 50
    assert not medium._messages
    assert not medium._transfers
    assert medium.next_ns() is None


def test_the_fingerprint_tells_time_event_and_node_apart() -> None:
    digests = set()
    for event in ((1, "start", "a"), (2, "start", "a"), (1, "end", "a"), (1, "start", "b")):
        fingerprint = Fingerprint()
        fingerprint(*event)
        digests.add(fingerprint.digest)
    assert len(digests) == 4


def test_fingerprint_of_a_reference_scenario() -> None:
    """A change of this value is a change of behaviour: say why in the commit that makes it."""
    medium = cell()
    medium.trace = fingerprint = Fingerprint()
    medium.offer(NAMES * 3, [40_000] * 9, [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8])
    assert (fingerprint.events, fingerprint.digest) == (24, "befd19bb51aeba80")


def test_who_leaves_keeps_what_it_announced_for_later() -> None:
    medium = Ideal(delay_s=1.0)
    now, later = medium.submit("a", 1, 0), medium.submit("a", 1, to_ns(5.0))
    medium.advance(to_ns(0.5))
    assert [(ticket, d.reason) for ticket, d in medium.leave("a")] == [(now, "off")]
    assert [(ticket, d.reason) for ticket, d in medium.advance(None)] == [(later, "delivered")]
