from __future__ import annotations

import json
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices import load_profile, profile_names
from devices.profile import CONFIDENCES, UNITS, ProfileError


def figures(**change: Any) -> dict[str, Any]:
    values = {
        "idle_w": 2.0,
        "busy_w": 5.0,
        "macs_per_s": 1e9,
        "step_overhead_s": 0.25,
        "train_forward_factor": 3,
        "memory_bytes": 10**9,
    }
    values.update(change)
    return {
        key: {"value": value, "unit": UNITS[key], "source": "a test", "confidence": "estimate"}
        for key, value in values.items()
    }


def saved(folder: Path, body: Any) -> str:
    path = folder / "mine.json"
    path.write_text(json.dumps(body))
    return str(path)


def custom(folder: Path, **change: Any) -> str:
    return saved(folder, {"mine": {"board": "my board", "figures": figures(**change)}})


def test_the_presets_are_the_boards_that_were_promised() -> None:
    assert profile_names() == ("jetson_orin_nano", "pi4", "pi5")


@pytest.mark.parametrize("name", profile_names())
def test_every_figure_of_a_preset_has_a_unit_a_source_and_a_confidence(name: str) -> None:
    profile = load_profile(name)
    assert profile.name == name
    assert set(profile.provenance) == set(UNITS)
    for figure in profile.provenance.values():
        assert figure.confidence in CONFIDENCES
        assert len(figure.source) > 20
    # No board was trained on, so this figure must never claim more.
    assert profile.provenance["train_forward_factor"].confidence == "estimate"


# 0.6 A and 1.2 A at 5.1 V: raspberrypi/documentation, power supplies. 0.39 G MAC in 70.5 ms:
# EfficientNet-Lite0 fp32 in the MLPerf Inference v1.0 logs of Krai. 4.40 + 3.46 u W:
# PowerJoular's linear model of the Pi 5.
def test_preset_figures_are_those_of_their_sources() -> None:
    pi4, pi5 = load_profile("pi4"), load_profile("pi5")
    assert pi4.idle_w == pytest.approx(0.6 * 5.1, abs=0.05)
    assert pi4.busy_w == pytest.approx(1.2 * 5.1, abs=0.05)
    assert pi4.macs_per_s == pytest.approx(0.39e9 / 70.5e-3, rel=0.01)
    assert pi5.idle_w == pytest.approx(4.40, abs=0.05)
    assert pi5.busy_w == pytest.approx(4.40 + 3.46, abs=0.05)
    assert 2.5 <= pi5.macs_per_s / pi4.macs_per_s <= 3


def test_seconds_and_joules_of_a_hand_computed_case(tmp_path: Path) -> None:
    profile = load_profile(custom(tmp_path))
    # 1e6 MACs x 500 samples at 1e9 MAC/s = 0.5 s of forward passes.
    assert profile.predict_s(1e6, 500) == pytest.approx(0.25 + 0.5)
    assert profile.train_s(1e6, 500, 4) == pytest.approx(4 * 0.25 + 3 * 0.5)
    assert profile.compute_j(10) == pytest.approx(30)
    assert profile.idle_j(10) == pytest.approx(20)


@given(
    name=st.sampled_from(profile_names()),
    macs=st.floats(1, 1e12),
    samples=st.integers(1, 10**6),
    steps=st.integers(1, 10**4),
)
def test_more_work_never_costs_less(name: str, macs: float, samples: int, steps: int) -> None:
    profile = load_profile(name)
    seconds = profile.train_s(macs, samples, steps)
    assert seconds > profile.predict_s(macs, samples) > 0
    assert profile.train_s(macs, samples + 1, steps) >= seconds
    assert profile.train_s(macs, samples, steps + 1) >= seconds
    # Computing for a time and idling over it is the busy power over that time.
    both = profile.compute_j(seconds) + profile.idle_j(seconds)
    assert both == pytest.approx(profile.busy_w * seconds)


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(ProfileError, match=r"'pi_4'; did you mean 'pi4'\?"):
        load_profile("pi_4")
    with pytest.raises(ValueError, match="known: jetson_orin_nano, pi4, pi5"):
        load_profile("esp32")


def test_a_file_in_the_shape_of_the_presets_is_a_profile(tmp_path: Path) -> None:
    text = resources.files("devices").joinpath("profiles.json").read_text("utf-8")
    path = saved(tmp_path, {"pi4": json.loads(text)["pi4"]})
    assert load_profile(path) == load_profile("pi4")


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"idle_w": -1}, "'idle_w': value -1 must be finite and not below 0"),
        ({"busy_w": "5"}, "'busy_w': value '5' is no number"),
        ({"busy_w": True}, "value True is no number"),
        ({"busy_w": 1.0}, "busy_w = 1.0 is below idle_w = 2.0"),
        ({"macs_per_s": float("inf")}, "value inf must be finite"),
        ({"macs_per_s": 0}, "macs_per_s is 0"),
    ],
)
def test_wrong_figures_are_refused_with_file_key_and_value(
    tmp_path: Path, change: dict[str, Any], complaint: str
) -> None:
    path = custom(tmp_path, **change)
    with pytest.raises(ProfileError, match=complaint) as caught:
        load_profile(path)
    assert path in str(caught.value)


def broken(**change: Any) -> dict[str, Any]:
    parts = figures()
    parts["idle_w"] = {**parts["idle_w"], **change}
    return {"mine": {"board": "my board", "figures": parts}}


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        ([], "must hold one profile"),
        ({}, "must hold one profile"),
        ({"a": {}, "b": {}}, "must hold one profile"),
        ({"a": 3}, "must be an object with board, figures"),
        ({"a": {"board": "x"}}, "key 'figures' is missing"),
        ({"a": {"board": "", "figures": figures()}}, "'board': must be a text, got ''"),
        ({"a": {"bord": "x", "figures": {}}}, "unknown key 'bord'; did you mean 'board'"),
        ({"a": {"board": "x", "figures": {}}}, "key 'idle_w' is missing"),
        (broken(unit="mW"), "unit 'mW' must be 'W'"),
        (broken(confidence="sure"), "confidence 'sure' must be one of measured by source, "),
        (broken(source=None), "'source': must be a text"),
    ],
)
def test_wrong_shapes_are_refused_with_file_and_key(
    tmp_path: Path, body: Any, complaint: str
) -> None:
    path = saved(tmp_path, body)
    with pytest.raises(ProfileError, match=complaint) as caught:
        load_profile(path)
    assert path in str(caught.value)


def test_a_missing_file_and_broken_json_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ProfileError, match="no such file"):
        load_profile(str(tmp_path / "none.json"))
    (tmp_path / "half.json").write_text('{"mine": ')
    with pytest.raises(ProfileError, match="cannot be read as JSON"):
        load_profile(str(tmp_path / "half.json"))
