"""Presets as data: every number has a source, every number can be overridden."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from channel_sim import load_preset, preset_names
from channel_sim.presets.load import FAMILIES, FOLDER, load_family
from channel_sim.propagation import Propagation

NAMED_BY_THE_ISSUE = {
    "wifi_n_home",
    "wifi_ax_home",
    "wifi_g",
    "ble5_1m",
    "ble5_2m",
    "ble5_coded",
    "zigbee",
    "lorawan_eu868",
    "nbiot",
    "ltem",
    "lte_cat1",
    "lte_cat4",
    "nr_fr1",
    "shannon",
    "mix2fld",
    "chen2021",
}


def tree(name: str) -> dict[str, Any]:
    return json.loads((FOLDER / f"{name}.json").read_text())


def test_all_presets_are_there() -> None:
    assert set(preset_names()) >= NAMED_BY_THE_ISSUE


@pytest.mark.parametrize("name", preset_names())
def test_every_number_has_a_source_and_is_what_is_loaded(name: str) -> None:
    preset = load_preset(name)
    data = tree(name)
    assert preset.title
    for part in ("family", "propagation"):
        assert data[part]
        for key, entry in data[part].items():
            assert len(entry["source"]) >= 4, key
            loaded = getattr(getattr(preset, part), key)
            value = entry["value"]
            assert loaded == (tuple(value) if isinstance(loaded, tuple) else value)
            assert preset.sources[key].text == entry["source"]


@pytest.mark.parametrize("name", preset_names())
def test_a_plan_of_every_preset_is_finite_near_and_lossy_far(name: str) -> None:
    preset = load_preset(name)
    plan = preset.family.plan(np.array([25.0, 200.0]), 400)
    assert plan.snr_db[0] > plan.snr_db[1] + 100
    assert 0 <= plan.message_loss[0] < 0.01
    assert np.isfinite(plan.latency_s[0])
    assert plan.latency_s[0] >= plan.air_s[0] > 0
    assert plan.energy_j[0] > 0
    assert plan.message_loss[1] > 0.99


@pytest.mark.parametrize("name", preset_names())
def test_the_loss_of_every_preset_grows_with_distance(name: str) -> None:
    losses_db = load_preset(name).propagation.mean_loss_db(np.array([20.0, 60.0, 149.0]))
    assert np.all(np.diff(losses_db) > 3.0)


@pytest.mark.parametrize("kind", sorted(FAMILIES))
def test_no_key_belongs_to_family_and_propagation_both(kind: str) -> None:
    family = load_family(kind)
    assert family.kind == kind
    assert not {f.name for f in fields(family)} & {f.name for f in fields(Propagation)}


def test_overrides_reach_family_and_propagation_and_say_so() -> None:
    preset = load_preset("zigbee", tx_power_dbm=8, carrier_hz=868e6)
    assert preset.family.tx_power_dbm == 8
    assert preset.propagation.carrier_hz == 868e6
    assert preset.sources["tx_power_dbm"].text == "given by the user"


@pytest.mark.parametrize(
    ("name", "overrides", "message"),
    [
        ("zigbe", {}, r"preset = 'zigbe' is unknown; did you mean 'zigbee'\?"),
        ("zigbee", {"tx_powr_dbm": 1}, r"'tx_powr_dbm' is unknown; did you mean 'tx_power_dbm'\?"),
        ("zigbee", {"tx_power_dbm": "loud"}, r"tx_power_dbm = 'loud' has the wrong type; give a"),
        ("zigbee", {"tx_power_dbm": True}, r"tx_power_dbm = True has the wrong type; give a"),
        ("zigbee", {"carrier_hz": -1.0}, r"carrier_hz = -1.0"),
        ("zigbee", {"noise_figure_db": float("nan")}, r"noise_figure_db = nan"),
        ("zigbee", {"model": "log_distence"}, r"did you mean 'log_distance'\?"),
    ],
)
def test_bad_overrides_are_refused_by_key_value_and_remedy(
    name: str, overrides: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        load_preset(name, **overrides)


def test_the_folder_holds_presets_only() -> None:
    assert {path.suffix for path in Path(FOLDER).iterdir() if path.is_file()} <= {".json", ".py"}


@pytest.mark.parametrize("name", preset_names())
def test_devices_of_every_preset_can_move(name: str) -> None:
    """The same drop at two places: the shadow of a step is nearly the same, of a walk is not."""
    propagation = load_preset(name).propagation
    angle = np.linspace(0, 2 * np.pi, 400)
    there = 100.0 * np.stack([np.cos(angle), np.sin(angle)], axis=1)

    def shadows_db(moved_m: float) -> Any:
        places_m = there + np.array([moved_m, 0.0])
        distances_m = np.full(400, 100.0)
        rng = np.random.default_rng(3)
        return propagation.losses(distances_m, rng=rng, positions_m=places_m).shadowing_db

    step_db = np.abs(shadows_db(0.01) - shadows_db(0.0))
    walk_db = np.abs(shadows_db(500.0) - shadows_db(0.0))
    if walk_db.any():
        assert step_db.mean() < 0.1 * walk_db.mean()
