"""One simulated device: what a power cut takes, what it leaves, and what a link outage does not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import channel_sim
from edge_fd.records import DeviceRecord
from edge_fd.run_folder import Run
from edge_fd.simulation.node import KEEPALIVE_S, Power

ME = "d-00"


def mine(run: Run, number: int) -> DeviceRecord:
    (record,) = [r for r in run.devices if (r.device, r.round) == (ME, number)]
    return record


def halfway_s(run: Run, number: int) -> float:
    """A time in the middle of this device's computing of a round, on an ideal channel."""
    record = mine(run, number)
    assert record.compute_s is not None
    return run.rounds[number - 1].opened_s + record.compute_s / 2


def test_a_power_cut_loses_the_round_and_keeps_what_was_committed(tiny: Any, downs: Any) -> None:
    plain = tiny.simulate()
    cut_s = halfway_s(plain, 2)
    with tiny.world() as world:
        node = world.nodes[ME]
        node._power = Power(downs(((cut_s, cut_s + 300.0),)), None)
        thetas: dict[str, Any] = {}

        def look(key: str, after_s: float) -> None:
            world._at(after_s, lambda: thetas.update({key: node.saved}))

        look("before", cut_s - 1e-9)
        look("down", cut_s + 1.0)
        world.run()
    run = tiny.records(world)
    assert thetas["down"] is thetas["before"]
    assert thetas["down"].done == 1
    assert mine(run, 1) == mine(plain, 1)
    assert mine(run, 2).outcome == "lost"
    assert [r.status for r in run.rounds] == ["closed"] * 3
    assert (run.rounds[1].accepted, run.rounds[0].accepted) == (2, 3)
    assert run.rounds[0].fused_sha256 == plain.rounds[0].fused_sha256
    assert run.rounds[1].fused_sha256 != plain.rounds[1].fused_sha256
    # It computed for half of the time, and that much energy is spent all the same.
    assert mine(run, 2).compute_s == pytest.approx(mine(plain, 2).compute_s / 2)
    assert mine(run, 2).compute_j == pytest.approx(mine(plain, 2).compute_j / 2)


def test_the_broker_notices_after_one_and_a_half_keep_alives(tiny: Any, downs: Any) -> None:
    """MQTT 3.1.1, clause 3.1.2.10; the others are a quorum, so the death ends the round."""
    cut_s = halfway_s(tiny.simulate(), 2)
    with tiny.world() as world:
        world.nodes[ME]._power = Power(downs(((cut_s, 1e6),)), None)
        world.run()
    run = tiny.records(world)
    assert run.rounds[1].closed_s == pytest.approx(cut_s + 1.5 * KEEPALIVE_S)


def test_work_that_is_thrown_away_leaves_no_trace(tiny: Any, downs: Any) -> None:
    """Cut in round 2 and back before its end: all is computed as if nothing had happened."""
    plain = tiny.simulate()
    cut_s = halfway_s(plain, 2)
    with tiny.world() as world:
        node = world.nodes[ME]
        node._power = Power(downs(((cut_s, cut_s + 0.01),)), None)
        world.run()
    run = tiny.records(world)
    assert node.session == 2
    assert [r.fused_sha256 for r in run.rounds] == [r.fused_sha256 for r in plain.rounds]
    assert mine(run, 2).outcome == "accepted"
    assert [mine(run, n).accuracy_test for n in (1, 2, 3)] == [
        mine(plain, n).accuracy_test for n in (1, 2, 3)
    ]


def test_an_outage_of_the_link_does_not_stop_the_computing(tiny: Any, downs: Any) -> None:
    plain = tiny.simulate()
    cut_s = halfway_s(plain, 2)
    with tiny.world() as world:
        world._radio._outages = {ME: downs(((cut_s, cut_s + 20.0),))}
        world.run()
    run = tiny.records(world)
    assert mine(run, 2).compute_s == mine(plain, 2).compute_s
    assert mine(run, 2).outcome == "accepted"
    assert run.rounds[1].closed_s == pytest.approx(cut_s + 20.0)
    assert [r.fused_sha256 for r in run.rounds] == [r.fused_sha256 for r in plain.rounds]
    assert mine(run, 2).up_s == pytest.approx(20.0 - (plain.rounds[1].closed_s - cut_s))
    # The upload waited for twice resend_s; nothing was gained by a second one behind it.
    assert world._kit.scenario.rounds.resend_s == 10.0
    assert mine(run, 2).up == mine(plain, 2).up


@pytest.mark.parametrize("share", [0.5, 1.0, 1.5, 2.5])
def test_an_empty_battery_ends_the_device_and_not_the_run(tiny: Any, share: float) -> None:
    """A battery for so many rounds of computing, on a channel that takes no energy."""
    plain = tiny.simulate()
    records = [mine(plain, number) for number in (1, 2, 3)]
    busy_j = [record.compute_j or 0.0 for record in records]
    idle_j = [record.idle_j or 0.0 for record in records]
    whole = int(share)
    capacity_j = sum(busy_j[:whole] + idle_j[:whole]) + (share % 1) * busy_j[whole]
    with tiny.world() as world:
        node = world.nodes[ME]
        node._power = Power(None, channel_sim.Battery(capacity_j))
        world.run()
    run = tiny.records(world)
    outcomes = [mine(run, n).outcome for n in (1, 2, 3)]
    assert outcomes == ["accepted"] * whole + ["lost"] * (3 - whole)
    assert not node.up
    assert node._power.battery is not None
    assert node._power.battery.empty
    assert node.saved.done == whole
    assert all(mine(run, n).up.on_air == 0 for n in range(whole + 2, 4))
    assert [r.accepted for r in run.rounds] == [3] * whole + [2] * (3 - whole)


def test_who_is_down_hears_nothing(tiny: Any, downs: Any) -> None:
    with tiny.world() as world:
        node = world.nodes[ME]
        node._power = Power(downs(((0.0, 1e6),)), None)
        world.run()
    run = tiny.records(world)
    assert node.session == 0
    assert all(mine(run, n).outcome == "lost" for n in (1, 2, 3))
    assert all(mine(run, n).down.on_air == mine(run, n).up.on_air == 0 for n in (1, 2, 3))
    assert all(mine(run, n).compute_j in (None, 0.0) for n in (1, 2, 3))
    np.testing.assert_array_equal(node.saved.state.theta, node._desk.student.initial.theta)


def test_without_a_profile_computing_takes_no_time_and_its_energy_is_not_known(tiny: Any) -> None:
    run = tiny.simulate(devices={"count": 2, "profile": None})
    for record in run.devices:
        assert record.compute_s == 0.0
        assert record.compute_j is None
        assert record.idle_j is None


def test_nothing_is_sent_with_an_empty_battery(tiny: Any) -> None:
    with tiny.world(channel={"model": "fdma", "max_m": 10.0}) as world:
        node = world.nodes[ME]
        node._power = Power(None, channel_sim.Battery(1e-12))
        node._boot()
        sent: list[Any] = []
        carry = node._send
        node._send = lambda who, message: (sent.append(message), carry(who, message))
        message = node._participant._birth()
        node._act([message])
        world.env.run(until=10.0)
        assert not node.up
        node._act([message])
    assert sent == [message]
