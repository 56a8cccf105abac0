"""A simulated run as a whole: the same again from the same seed, all of it on record."""

from __future__ import annotations

from collections import Counter
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from devices.student import Student
from edge_fd.desk import Desk, Job
from edge_fd.errors import UsageError
from edge_fd.kit import Kit
from edge_fd.knowledge import Fused, Knowledge
from edge_fd.methods.base import Device, Round, Server
from edge_fd.records import Bytes
from edge_fd.run_folder import Run
from edge_fd.streams import stream

RADIO = {"model": "fdma", "min_m": 5.0, "max_m": 60.0}
# A round takes about 20 ms.
ROUGH = {"link_up_s": 0.05, "link_down_s": 0.01, "device_up_s": 0.1, "device_down_s": 0.1}
QUICK = {"count": 4, "deadline_s": 5.0, "resend_s": 1.0, "remind_s": 1.0, "quorum": 0.5}
JOULES = ("compute_j", "tx_j", "rx_j", "idle_j")


def lines(run: Run) -> tuple[bytes, bytes]:
    folder: Path = run.path
    return (folder / "rounds.jsonl").read_bytes(), (folder / "devices.jsonl").read_bytes()


def on_record_once(run: Run, devices: int, rounds: int) -> None:
    pairs = Counter((record.round, record.device) for record in run.devices)
    assert set(pairs.values()) == {1}
    assert len(pairs) == devices * rounds
    assert [record.round for record in run.rounds] == list(range(1, rounds + 1))
    for record in run.rounds:
        outcomes = Counter(d.outcome for d in run.devices if d.round == record.round)
        assert outcomes["accepted"] == record.accepted
        assert outcomes["absent"] == devices - record.participants
        assert record.opened_s <= record.closed_s


# The same again.


def test_the_same_scenario_and_seed_write_the_same_bytes(tiny: Any) -> None:
    one, again = (tiny.simulate(channel=RADIO, dropout=ROUGH, rounds=QUICK) for _ in range(2))
    assert lines(one) == lines(again)
    assert len(one.rounds) == 4
    assert one.summary is not None
    assert again.summary is not None
    skip = {"run"}
    for item in fields(one.summary):
        if item.name not in skip:
            assert getattr(one.summary, item.name) == getattr(again.summary, item.name)


def test_another_seed_writes_others(tiny: Any) -> None:
    one, other = (tiny.simulate(seed=seed, channel=RADIO) for seed in (3, 4))
    assert [r.fused_sha256 for r in one.rounds] != [r.fused_sha256 for r in other.rounds]
    assert [d.tx_j for d in one.devices] != [d.tx_j for d in other.devices]


def test_the_channel_changes_times_and_joules_and_nothing_that_is_learned(tiny: Any) -> None:
    ideal, radio = tiny.simulate(), tiny.simulate(channel=RADIO)
    assert [r.fused_sha256 for r in ideal.rounds] == [r.fused_sha256 for r in radio.rounds]
    assert [d.accuracy_test for d in ideal.devices] == [d.accuracy_test for d in radio.devices]
    assert ideal.rounds[-1].closed_s < radio.rounds[-1].closed_s
    assert all(d.tx_j == d.rx_j == 0.0 for d in ideal.devices)
    assert all(d.tx_j > 0 and d.rx_j > 0 for d in radio.devices)


def test_the_run_learns_what_the_method_learns_by_hand(tiny: Any) -> None:
    """The two halves of FD called in turn, without messages, sessions, clock or radio."""
    run = tiny.simulate()
    with tiny.world() as world:
        assert [r.fused_sha256 for r in run.rounds] == by_hand(world._kit)


def by_hand(kit: Kit) -> list[str]:
    me = next(iter(kit.devices.values()))
    desk = Desk(Student(me.bundle), kit.method.losses)
    states = dict.fromkeys(kit.devices, desk.student.initial)
    told: dict[str, Knowledge | None] = dict.fromkeys(kit.devices)
    hashes = []
    for number in range(1, kit.plan.rounds + 1):
        uploads = {}
        for name, device in kit.devices.items():
            half = kit.method.device_round(
                Device(name, kit.dataset.classes, "train", device.private, kit.proxy),
                Round(number), told[name],
            )  # fmt: skip
            rng = stream(kit.scenario.seed, "device", name, number, "batches")
            job: Job[Any] = Job(half, desk, states[name], rng)
            job.run()
            assert job.state is not None
            states[name], uploads[name] = job.state, renormalised(job.result)
        server = Server(kit.dataset.classes, None, has_student=False)
        fusion: Job[Fused] = Job(
            kit.method.fuse(server, Round(number), uploads), None, None, np.random.default_rng()
        )
        assert fusion.result is not None
        hashes.append(fusion.result.sha256)
        told = {name: renormalised(fusion.result.of(name)) for name in kit.devices}
    return hashes


def renormalised(piece: Knowledge | None) -> Knowledge:
    """What a reader makes of rows of probabilities: they are divided by their sum."""
    assert piece is not None
    wide = piece.value.astype(np.float64)
    sums = wide.sum(-1, keepdims=True)
    return Knowledge(
        piece.kind, (wide / np.where(sums == 0, 1, sums)).astype(np.float32), piece.exact
    )


def test_another_device_leaves_the_lives_of_the_others_as_they_were(tiny: Any) -> None:
    changes: list[list[list[float]]] = []
    for count in (3, 4):
        with tiny.world(dropout=ROUGH, devices={"count": count}) as world:
            lives = [world.nodes[f"d-{i:02d}"]._power.life for i in range(3)]
            changes.append([[life.next_change_s(t) for t in range(200)] for life in lives])
    assert changes[0] == changes[1]
    assert changes[0][0] != changes[0][1]


# On record.


@pytest.mark.parametrize(
    ("changes", "devices", "rounds"),
    [
        ({}, 3, 3),
        ({"channel": RADIO}, 3, 3),
        ({"channel": RADIO, "dropout": ROUGH, "rounds": {**QUICK, "count": 8}}, 3, 8),
        ({"rounds": {"participation": 0.4, "count": 6}}, 3, 6),
        ({"dropout": {"device_up_s": 0.02, "device_down_s": 0.5}, "rounds": QUICK}, 3, 4),
        ({"method": {"name": "local"}, "devices": {"count": 2}}, 2, 3),
    ],
    ids=["ideal", "fdma", "rough", "shares", "hardly up", "local"],
)
def test_every_round_and_device_is_on_record_once(
    tiny: Any, changes: dict[str, Any], devices: int, rounds: int
) -> None:
    on_record_once(tiny.simulate(**changes), devices, rounds)


def test_the_bytes_of_an_undisturbed_round_are_on_record_once(tiny: Any) -> None:
    """A round: announcement, upload, receipt; from the second on the knowledge before."""
    run = tiny.simulate(channel=RADIO)
    for record in run.devices:
        assert record.outcome == "accepted"
        assert record.up.paper_bits == 3200  # Jeong et al. 2018: classes x classes
        # Round 1 gives its knowledge while round 2 opens; the birth is in round 1 as well.
        assert record.down.paper_bits == 3200
    assert all(r.late == r.refused == 0 for r in run.rounds)


def test_seconds_add_up_within_a_round(tiny: Any) -> None:
    run = tiny.simulate()  # an ideal channel: no time but that of computing
    for record in run.devices:
        closed = run.rounds[record.round - 1]
        assert record.down_s == pytest.approx(0.0)
        assert record.compute_s == pytest.approx((record.train_s or 0) + (record.predict_s or 0))
        assert record.up_s == pytest.approx(0.0, abs=2e-9)  # media count nanoseconds
        assert closed.closed_s - closed.opened_s == pytest.approx(record.compute_s)


# Ends of rounds.


def test_a_deadline_before_anybody_has_computed_fails_every_round(tiny: Any) -> None:
    run = tiny.simulate(rounds={"deadline_s": 1e-4})
    on_record_once(run, 3, 3)
    for record in run.rounds:
        assert (record.status, record.accepted, record.fused_sha256) == ("failed", 0, None)
        assert record.closed_s - record.opened_s == pytest.approx(1e-4)
    assert run.summary is not None
    assert run.summary.rounds_failed == 3


def test_where_no_message_ever_arrives_the_run_ends_with_the_remedy(tiny: Any) -> None:
    with pytest.raises(UsageError, match=r"smaller channel.max_m"):
        tiny.simulate(channel={"model": "fdma", "min_m": 1e6, "max_m": 1e6})


def test_where_every_battery_is_empty_at_once_the_run_ends_with_the_remedy(tiny: Any) -> None:
    with pytest.raises(UsageError, match="larger batteries"):
        tiny.simulate(channel=RADIO, dropout={"battery_j": 1e-9})


# Energy.


@pytest.mark.parametrize(
    ("channel", "dropout", "rounds"),
    [
        (RADIO, {}, {}),
        (RADIO, {"device_up_s": 0.06, "device_down_s": 0.06}, QUICK),
        (RADIO, ROUGH, {**QUICK, "count": 8}),
        # Rounds that are over long before the slowest has computed its first.
        (RADIO, {}, {"deadline_s": 0.004, "count": 12, "quorum": 0.1}),
    ],
    ids=["steady", "crashes", "rough", "slow"],
)
def test_the_records_hold_what_the_battery_gave(
    tiny: Any, channel: dict[str, Any], dropout: dict[str, Any], rounds: dict[str, Any]
) -> None:
    capacity_j = 1e3
    life = {**dropout, "battery_j": capacity_j}
    with tiny.world(channel=channel, rounds=rounds, dropout=life) as world:
        world.run()
    run = tiny.records(world)
    assert (max(node.session for node in world.nodes.values()) > 1) == bool(dropout)
    for name, node in world.nodes.items():
        told_j = sum(
            getattr(record, key) or 0.0
            for record in run.devices
            if record.device == name
            for key in JOULES
        )
        assert told_j > 0
        assert capacity_j - node._power.battery.level_j == pytest.approx(told_j, rel=1e-9)


def test_the_idle_energy_is_power_times_the_time_up(tiny: Any, downs: Any) -> None:
    """pi4 in profiles.json over all the time that it is up, the ns-3 Wi-Fi card while at rest."""
    with tiny.world(channel=RADIO, rounds={"count": 2}) as world:
        node = world.nodes["d-00"]
        node._power = type(node._power)(downs(((0.002, 0.005), (0.006, 0.01))), None)
        world.run()
    run = tiny.records(world)
    end_s = run.rounds[-1].closed_s
    mine = [record for record in run.devices if record.device == "d-00"]
    # 0.380 A sending, 0.313 A receiving, 0.273 A idle at 3 V.
    busy_s = sum(r.tx_j / 1.140 + r.rx_j / 0.939 for r in mine)
    up_s = end_s - 0.003 - 0.004
    assert end_s > 0.01
    assert busy_s > 0
    assert sum(r.idle_j for r in mine) == pytest.approx(
        world._profiles["d-00"].idle_w * up_s + 0.819 * (up_s - busy_s)
    )


def test_bytes_are_what_the_messages_cost(tiny: Any) -> None:
    """Counted a second time where they are carried."""
    with tiny.world(channel=RADIO, dropout=ROUGH, rounds=QUICK) as world:
        carried: Counter[str] = Counter()
        send = world._radio.send

        def count(direction: Any, device: str, size_bytes: int, done: Any) -> None:
            def ended(flight: Any) -> None:
                carried[f"{device} {direction}"] += size_bytes * flight.sent
                done(flight)

            send(direction, device, size_bytes, ended)

        world._radio.send = count
        world.run()
    run = tiny.records(world)
    told: Counter[str] = Counter()
    for record in run.devices:
        for direction in ("up", "down"):
            split: Bytes = getattr(record, direction)
            told[f"{record.device} {direction}"] += split.on_air
    assert told == carried


def test_jitter_spreads_the_answers_and_changes_nothing_that_is_learnt(tiny: Any) -> None:
    rounds = {"count": 3, "jitter_s": 20.0, "remind_s": 60.0}
    together, spread = tiny.simulate(), tiny.simulate(rounds=rounds)
    assert [r.fused_sha256 for r in spread.rounds] == [r.fused_sha256 for r in together.rounds]
    waits_s = [record.up_s for record in spread.devices]
    assert len(set(waits_s)) == len(waits_s) == 9
    assert all(0 < wait_s < 20.0 for wait_s in waits_s)
    assert max(waits_s) > 10.0
    assert [r.attempts for r in spread.devices] == [r.attempts for r in together.devices]
