"""Devices that walk while they learn: the radio follows them, whole runs stay on record."""

from __future__ import annotations

from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import simpy

from edge_fd.scenario import ChannelSection, DevicesSection, MobilitySection, Scenario
from edge_fd.simulation.cells import build_cells
from edge_fd.simulation.radio import Flight, Radio
from edge_fd.streams import stream

NAMES = ["d0", "d1", "d2"]
# Zigbee without walls or shadows: what is lost is lost by distance.
FIELD = {"preset": "zigbee", "min_m": 2.0, "max_m": 20.0, "shadowing_sigma_db": 0.0}
FIELD |= {"shadowing_correlation_m": 10.0}


def track(path: Path, points: dict[str, list[tuple[float, float]]]) -> str:
    """Write time and distance to the station of each device, on one line."""
    rows = [f"{time_s},{name},{x_m},0" for name, track in points.items() for time_s, x_m in track]
    path.write_text("\n".join(["time_s,name,x_m,y_m", *rows]) + "\n")
    return str(path)


def radio(mobility: MobilitySection, **channel: Any) -> tuple[simpy.Environment, Radio]:
    scenario = Scenario(
        devices=(DevicesSection(count=3, student="mlp"),),
        channel=ChannelSection(**{**FIELD, **channel}),
        mobility=mobility,
    )
    env = simpy.Environment()
    return env, Radio(env, build_cells(scenario, NAMES, partial(stream, 1)))


@pytest.mark.parametrize("preset", ["zigbee", "wifi_g"])
def test_devices_that_wander_learn_to_the_end(preset: str, tiny: Any) -> None:
    run = tiny.simulate(
        channel={
            "model": "preset",
            "preset": preset,
            "shadowing_correlation_m": 10.0,
            "max_m": 15.0,
        },
        mobility={"model": "random_waypoint", "max_speed_m_s": 3.0, "update_s": 0.5},
    )
    assert [record.round for record in run.rounds] == [1, 2, 3]
    outcomes = Counter(record.outcome for record in run.devices)
    assert outcomes["accepted"] > 0
    assert all(record.tx_j > 0 and record.rx_j > 0 for record in run.devices)
    again = tiny.simulate(
        channel={
            "model": "preset",
            "preset": preset,
            "shadowing_correlation_m": 10.0,
            "max_m": 15.0,
        },
        mobility={"model": "random_waypoint", "max_speed_m_s": 3.0, "update_s": 0.5},
    )
    assert run.devices == again.devices


def test_who_walks_out_of_reach_loses_its_uploads(tiny: Any, tmp_path: Path) -> None:
    changes: dict[str, Any] = {
        # With TCP, which mends what contention loses and not what distance does.
        "channel": {"model": "preset", **FIELD, "preset": "wifi_g", "broker_s": 0.3},
        "rounds": {"count": 3, "quorum": 0.5, "deadline_s": 5.0},
    }
    here = {f"d-0{number}": [(0.0, 5.0)] for number in range(3)}
    still = {"trace": track(tmp_path / "still.csv", here), "model": "trace", "update_s": 0.05}
    stays = tiny.simulate(mobility=still, **changes)
    assert {record.outcome for record in stays.devices} == {"accepted"}
    # The broker takes 0.3 s for each upload: when the first round closes, all have long been
    # on air, and the third device goes from 5 m to 100 km.
    gone_s = stays.rounds[0].closed_s - 0.3
    away = here | {"d-02": [(0.0, 5.0), (gone_s, 5.0), (gone_s + 0.1, 1e5)]}
    walk = still | {"trace": track(tmp_path / "walk.csv", away)}
    leaves = tiny.simulate(mobility=walk, **changes)
    outcome = {(record.device, record.round): record.outcome for record in leaves.devices}
    for number in (1, 2, 3):
        assert {outcome["d-00", number], outcome["d-01", number]} == {"accepted"}
    assert outcome["d-02", 1] == "accepted"
    assert {outcome["d-02", number] for number in (2, 3)} <= {"lost", "absent"}
    lost = Counter[str]()
    for record in leaves.devices:
        lost.update(record.lost_messages)
        assert record.device == "d-02" or not record.lost_messages
    assert sum(lost.values()) > 0
    assert set(lost) <= {"below_sensitivity", "retry_limit"}


def test_a_message_meets_the_loss_of_where_its_device_is_then(tmp_path: Path) -> None:
    path = track(
        tmp_path / "walk.csv",
        {
            "d0": [(0.0, 5.0), (10.0, 5.0), (11.0, 1e5), (20.0, 1e5), (21.0, 5.0)],
            "d1": [(0.0, 5.0)],
            "d2": [(0.0, 5.0)],
        },
    )
    env, air = radio(MobilitySection(model="trace", trace=path, update_s=0.25))
    flights: dict[tuple[str, float], Flight] = {}

    def begin(at_s: float, device: str) -> None:
        def done(flight: Flight) -> None:
            flights[device, at_s] = flight

        env.timeout(at_s).callbacks.append(lambda _event: air.send("up", device, 200, done))

    for at_s in (5.0, 15.0, 25.0):
        begin(at_s, "d0")
        begin(at_s + 2.0, "d1")
    env.run(until=30.0)
    assert [flights["d0", at_s].arrives_s is not None for at_s in (5.0, 15.0, 25.0)] == [
        True,
        False,
        True,
    ]
    assert flights["d0", 15.0].reason == "below_sensitivity"
    assert all(flights["d1", at_s].arrives_s is not None for at_s in (7.0, 17.0, 27.0))
