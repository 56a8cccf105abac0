"""Sweeps: which cells there are, what is refused, and that going on gives the same table."""

from __future__ import annotations

import csv
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import pytest

pytest.importorskip("torch", reason="bundles are made with torch, of the extra 'server'")

from edge_fd import cli
from edge_fd.errors import UsageError
from edge_fd.run_folder import load_run
from edge_fd.sweep import Axis, Cell, parse_axis, plan_cells

ROOT = Path(__file__).parents[1]
SCENARIO = """
name = "tiny"
seed = 3
data = {name = "digits", proxy = 20, test = 30}
split = {kind = "iid", max_per_device = 12}
training = {batch = 6}
method = {name = "local"}
rounds = {count = 2}
channel = {model = "ideal"}
[[devices]]
count = 2
student = "mlp"
"""
GRID = ("--grid", "training.lr=0.01,0.1", "--grid", "rounds.count=1,2", "--seeds", "2")
SMALL = GRID[2:]


@pytest.fixture
def scenario(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.toml"
    path.write_text(SCENARIO)
    return path


def tree() -> dict[str, Any]:
    return {
        "data": {"name": "digits", "proxy": 20},
        "devices": [{"count": 3, "student": "mlp"}],
        "channel": {"bandwidth_up_hz": 1e6},
    }


def plan(*axes: str, **options: Any) -> list[Cell]:
    return plan_cells(tree(), [parse_axis(text) for text in axes], where="here", **options)


@pytest.mark.parametrize(
    ("text", "key", "values"),
    [
        ("rounds.count=1,2", "rounds.count", (1, 2)),
        ('channel.preset="wifi_g","zigbee"', "channel.preset", ("wifi_g", "zigbee")),
        ("channel.preset=wifi_g,zigbee", "channel.preset", ("wifi_g", "zigbee")),
        ("channel.tcp = true, false", "channel.tcp", (True, False)),
        ("a.b=[1, 2], [3]", "a.b", ([1, 2], [3])),
        ("split.alpha=0.1", "split.alpha", (0.1,)),
    ],
)
def test_values_of_a_grid_are_toml_or_stand_for_themselves(
    text: str, key: str, values: tuple[Any, ...]
) -> None:
    assert parse_axis(text) == Axis(key, values)


def test_the_cells_are_the_product_and_settings_of_one_method_leave_the_others_alone() -> None:
    cells = plan(
        "method.fd.gamma=0.1,1", "rounds.participation=0.5,1", names=["fd", "fedmd"], seeds=3
    )
    # fd: 2 x 2 x 3 seeds; fedmd has no gamma: 2 x 3 seeds.
    assert [sum(cell.method == name for cell in cells) for name in ("fd", "fedmd")] == [12, 6]
    assert len({cell.name for cell in cells}) == 18
    assert {tuple(cell.values) for cell in cells if cell.method == "fedmd"} == {
        ("rounds.participation",)
    }
    for cell in cells:
        assert cell.scenario.rounds.participation == cell.values["rounds.participation"]
        settings = cell.scenario.method.settings("fd")
        assert settings == ({"gamma": cell.values["method.fd.gamma"]} if settings else {})
    assert re.fullmatch(r"fd-gamma=0.1-participation=0.5-s0-[0-9a-f]{8}", cells[0].name)


def test_names_are_stable_and_follow_everything_that_a_run_depends_on() -> None:
    first, again = plan("rounds.count=1,2"), plan("rounds.count=1,2")
    assert [cell.name for cell in first] == [cell.name for cell in again]
    other = plan_cells(
        {**tree(), "split": {"alpha": 0.7}}, [parse_axis("rounds.count=1,2")], where="here"
    )
    assert not {cell.name for cell in first} & {cell.name for cell in other}
    hashed = plan("method.fd.gamma=0.1,1", names=["fd"])
    assert hashed[0].name[-8:] != hashed[1].name[-8:]


def test_a_preset_takes_the_place_of_the_radio_and_devices_may_be_counted() -> None:
    cells = plan("channel.tx_power_dbm=5", "channel.preset=zigbee", "devices=3,9", names=["local"])
    assert [sum(group.count for group in cell.scenario.devices) for cell in cells] == [3, 9]
    for cell in cells:
        assert cell.scenario.channel.preset == "zigbee"
        assert cell.scenario.channel.model_extra == {"tx_power_dbm": 5}


@pytest.mark.parametrize(
    ("axes", "told"),
    [
        (["rounds.count"], r"write KEY=VALUE,VALUE"),
        (["rounds.count="], r"write KEY=VALUE,VALUE"),
        (["rounds.count=1,1"], r"has 1 twice"),
        (["rounds.count=1,,2"], r"has an empty value"),
        (["rounds.count=1", "rounds.count=2"], r"'rounds.count' twice; give all its values in one"),
        (["seed=1,2"], r"use --seeds"),
        (["method.name=fd"], r"use --method"),
        (["rounds.cuont=1"], r"did you mean 'count'\? \(in the cell fd, rounds.cuont = 1"),
        (["rounds.count=1,a"], r"rounds.count = 'a': .*integer"),
        (["method.fd.gamma=1,-1"], r"gamma = -1 is out of range"),
        (["method.fedmd.local_epochs=1,2"], r"concerns none of the methods fd; add fedmd"),
        (["channel.bandwith_up_hz=1"], r"did you mean 'bandwidth_up_hz'"),
        (["channel.preset=wifi_hme"], r"'wifi_hme' is unknown"),
        (["devices.0.profile=pi9"], r"unknown device profile 'pi9'"),
        (["devices.0.student=mlp", "devices=0"], r"devices = 0 is fewer than the 1 groups"),
        (["transport.codec=unit8"], r"did you mean 'uint8'"),
        (["data.name=digts"], r"did you mean 'digits'"),
    ],
)
def test_bad_keys_and_values_are_refused_before_anything_runs(axes: list[str], told: str) -> None:
    with pytest.raises(UsageError, match=told):
        plan(*axes, names=["fd"])


def test_a_combination_that_does_not_fit_is_refused_with_its_cell() -> None:
    with pytest.raises(UsageError, match=r"needs proxy data.*\(in the cell fedmd, data.proxy = 0"):
        plan("data.proxy=20,0", names=["fd", "fedmd"])


def rows_of(folder: Path) -> list[dict[str, Any]]:
    table: dict[str, Any] = json.loads((folder / "tiny" / "sweep" / "sweep.json").read_text())
    rows: list[dict[str, Any]] = table["rows"]
    with (folder / "tiny" / "sweep" / "sweep.csv").open() as file:
        flat = list(csv.DictReader(file))
    assert [row["folder"] for row in flat] == [row["folder"] for row in rows]
    for text, row in zip(flat, rows, strict=True):
        assert text == {key: "" if row.get(key) is None else str(row[key]) for key in text}
    return rows


@pytest.mark.slow
def test_a_sweep_that_was_killed_goes_on_to_the_same_table(
    scenario: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    assert cli.main(["sweep", str(scenario), *SMALL, "--out", str(whole)]) == 0
    table = capsys.readouterr().out
    assert "local, rounds.count=1" in table
    command = [sys.executable, "-m", "edge_fd", "sweep", str(scenario), *SMALL]
    command += ["--out", str(broken), "--jobs", "2"]
    process = subprocess.Popen(
        command, cwd=ROOT, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    assert process.stderr is not None
    told = process.stderr.readline()  # the first cell is complete
    assert re.match(r"1/4 local rounds.count=\d seed 3: test [\d.]+ %", told), told
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    cells = broken / "tiny" / "sweep"
    # Another cell may have been killed between its summary and its last word.
    kept = {
        path.parent: path.stat().st_mtime_ns
        for path in cells.glob("*/summary.json")
        if '"finished"' in (path.parent / "run.json").read_text()
    }
    assert 0 < len(kept) < 4
    # One cell looks as a kill in the midst of its last line leaves it.
    torn = next(path for path in (whole / "tiny" / "sweep").glob("*-s4-*"))
    if cells / torn.name not in kept:
        (cells / torn.name).mkdir(exist_ok=True)
        for name in ("run.json", "scenario.toml", "rounds.jsonl"):
            text = (torn / name).read_text().replace('"finished"', '"running"')
            (cells / torn.name / name).write_text(text)
        (cells / torn.name / "devices.jsonl").write_text('{"round": 1, "dev')
    assert cli.main(["sweep", str(scenario), *SMALL, "--out", str(broken)]) == 0
    assert f"{len(kept)} of 4 cells are complete and kept" in capsys.readouterr().err
    assert rows_of(broken) == rows_of(whole)
    for path, changed_ns in kept.items():
        assert (path / "summary.json").stat().st_mtime_ns == changed_ns
    for row in rows_of(whole):
        mine, theirs = (
            (folder / "tiny" / "sweep" / row["folder"] / "devices.jsonl").read_bytes()
            for folder in (whole, broken)
        )
        assert mine == theirs


def test_the_table_and_the_means_equal_the_records(
    scenario: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["sweep", str(scenario), "--seeds", "2", "--grid", "training.lr=0.2"]
    assert cli.main([*command, "--out", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    rows = rows_of(tmp_path)
    last = []
    for row, seed in zip(rows, (3, 4), strict=True):
        run = load_run(tmp_path / "tiny" / "sweep" / row["folder"])
        ends = [
            r.accuracy_test for r in run.devices if r.round == 2 and r.accuracy_test is not None
        ]
        assert (row["seed"], row["status"], row["training.lr"]) == (seed, "complete", 0.2)
        assert row["accuracy_test"] == pytest.approx(fmean(ends))
        up = sum(r.up.on_air for r in run.devices) / 2
        assert row["up_on_air_bytes"] == pytest.approx(up, abs=2.5)  # four parts, each rounded
        last.append(100 * fmean(ends))
    assert last[0] != last[1]
    assert f"{fmean(last):.1f} ±{stdev(last):.1f}*" in printed
    report = (tmp_path / "tiny" / "sweep" / "report.html").read_text()
    assert "means over 2 seeds" in report


def test_a_failing_cell_is_told_and_does_not_stop_the_others(
    scenario: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # No student of this name: known only when the cell makes its bundles.
    command = ["sweep", str(scenario), "--grid", "devices.0.student=nosuch,mlp"]
    assert cli.main([*command, "--out", str(tmp_path)]) == 2
    captured = capsys.readouterr()
    assert "1 of 2 cells failed:" in captured.err
    assert re.search(r"local devices.0.student=nosuch seed 3: .*nosuch", captured.err)
    bad, good = rows_of(tmp_path)
    assert (bad["status"], good["status"]) == ("failed", "complete")
    assert "nosuch" in bad["error"]
    assert good["accuracy_test"] is not None


def test_a_dry_run_prints_the_cells_and_makes_nothing(
    scenario: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert cli.main(["sweep", str(scenario), *GRID, "--out", str(out), "--dry-run"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 9
    assert lines[-1] == "8 cells, 0 of them complete"
    assert not out.exists()
