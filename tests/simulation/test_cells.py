"""From a scenario to its parts: places, cells, lives; each from a stream of its own."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from channel_sim import Diurnal, MarkovOnOff, WeibullOnOff, load_preset
from edge_fd.scenario import (
    ChannelSection,
    DevicesSection,
    DropoutSection,
    MobilitySection,
    Scenario,
)
from edge_fd.simulation.cells import _losses_db, build_cells
from edge_fd.simulation.lives import build_lives
from edge_fd.simulation.movement import Movement, build_mobility
from edge_fd.streams import stream

STREAMS = partial(stream, 7)
NAMES = [f"d{row}" for row in range(6)]


def scenario(**channel: Any) -> Scenario:
    section = ChannelSection(model="preset", **channel)
    return Scenario(devices=(DevicesSection(count=6, student="mlp"),), channel=section)


def test_every_device_has_its_own_walls_and_a_newcomer_changes_nobodys() -> None:
    """At one distance the losses differ by shadowing alone, 8 dB in P.1238 at home."""
    preset = load_preset("wifi_n_home")
    channel = ChannelSection(model="preset", preset="wifi_n_home", min_m=10.0, max_m=10.0)
    losses_db = _losses_db(preset, channel, NAMES, STREAMS)
    assert len(set(losses_db.values())) == len(NAMES)
    assert np.std(list(losses_db.values())) > 1.0
    assert _losses_db(preset, channel, ["new", *NAMES[::-1]], STREAMS).items() >= losses_db.items()


def test_cells_share_a_medium_within_and_no_chance_between() -> None:
    """Cells of equal links: only the streams of their stations tell them apart."""
    cells = build_cells(
        scenario(preset="zigbee", cell_devices=3, min_m=5.0, max_m=5.0), NAMES, STREAMS
    )
    first, second = NAMES[:3], NAMES[3:]
    assert len({id(cells.media[name]) for name in first}) == 1
    assert len({id(medium) for medium in cells.media.values()}) == 2
    ends = [
        [d.finish_s for d in cells.media[names[0]].offer(names * 5, [90] * 15, [0.0] * 15)]
        for names in (first, second)
    ]
    assert ends[0] != ends[1]


@pytest.mark.parametrize(
    ("changes", "twin"),
    [
        ({}, MarkovOnOff),
        ({"device_law": "weibull", "device_shape": 0.4}, partial(WeibullOnOff, shape=0.4)),
        ({"device_law": "diurnal", "device_swing": 0.9}, partial(Diurnal, swing=0.9)),
    ],
)
def test_a_law_is_the_one_that_the_scenario_names(changes: dict[str, Any], twin: Any) -> None:
    dropout = DropoutSection(device_up_s=60.0, device_down_s=9.0, **changes)
    lives = build_lives(dropout, NAMES, STREAMS)
    other = twin(60.0, 9.0, STREAMS("device", "d1", "availability"))
    times_s = np.linspace(0.0, 5000.0, 300).tolist()
    mine = [lives["d1"].next_change_s(t_s) for t_s in times_s]
    assert mine == [other.next_change_s(t_s) for t_s in times_s]
    assert mine != [lives["d2"].next_change_s(t_s) for t_s in times_s]


def test_phones_of_one_recording_are_not_in_step(tmp_path: Path) -> None:
    path = tmp_path / "phones.json"
    path.write_text(json.dumps({"p": [[10.0, 4000.0], [50_000.0, 60_000.0]], "never": []}))
    lives = build_lives(DropoutSection(device_trace=str(path)), NAMES, STREAMS)
    changes_s = {lives[name].next_change_s(0.0) for name in NAMES}
    assert len(changes_s) == len(NAMES)
    up_share = np.mean([lives[name].is_up(t_s) for name in NAMES for t_s in range(0, 86_400, 60)])
    assert up_share == pytest.approx((3990 + 10_000) / 86_400, abs=0.01)


def test_a_device_on_its_station_is_taken_at_the_least_distance(tmp_path: Path) -> None:
    path = tmp_path / "map.csv"
    path.write_text("name,x_m,y_m\nd1,3.0,4.0\nd0,0.0,0.0\n")
    propagation = load_preset("zigbee").propagation
    mobility = build_mobility(
        MobilitySection(places=str(path)), ["d0", "d1"], max_m=9.0, streams=STREAMS
    )
    movement = Movement(mobility, propagation, min_m=2.0, streams=STREAMS)
    # zigbee has no shadows: the losses are those of 2 m and of 5 m.
    np.testing.assert_allclose(movement.losses_db(0.0), propagation.mean_loss_db([2.0, 5.0]))
