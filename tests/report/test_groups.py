"""Which runs are averaged, and the lines that come of it."""

from __future__ import annotations

import json
from dataclasses import replace
from statistics import fmean
from typing import TYPE_CHECKING

import pytest

from edge_fd.report.groups import (
    bytes_by_round,
    curve,
    group_runs,
    joules_by_round,
    seconds_by_round,
    spread,
)

if TYPE_CHECKING:
    from edge_fd.run_folder import Run


def test_seeds_are_one_group_and_modes_and_unfinished_runs_apart(runs: list[Run]) -> None:
    found = [(group.title, [run.name for run in group.runs]) for group in group_runs(runs)]
    assert found == [
        ("local (simulated)", ["local-1", "local-2"]),
        ("fedavg (simulated)", ["fedavg-1", "fedavg-2"]),
        ("fd, 12 devices (simulated)", ["fd-1", "fd-2"]),
        ("fedmd (simulated)", ["fedmd-1", "fedmd-2"]),
        ("dsfl (simulated)", ["dsfl-1", "dsfl-2"]),
        ("dsfl (deployed)", ["dsfl-deployed"]),
        ("fd, 3 devices, unfinished (simulated)", ["fd-3"]),
    ]


def test_runs_that_share_a_seed_are_not_averaged(runs: list[Run]) -> None:
    twin = replace(runs[0], path=runs[0].path.with_name("twin"))
    assert [group.title for group in group_runs([runs[0], twin])] == [
        "local, local-1",
        "local, twin",
    ]


def test_scenarios_are_named_where_one_method_has_two(runs: list[Run]) -> None:
    other = replace(runs[2], facts={**runs[2].facts, "scenario": "har"})
    assert [group.label for group in group_runs([runs[2], other])] == [
        "fedavg, digits-one-student",
        "fedavg, har",
    ]


def test_lines_equal_the_sums_over_the_files(runs: list[Run]) -> None:
    group = next(group for group in group_runs(runs) if group.title == "dsfl (simulated)")
    line = curve(group, bytes_by_round)
    assert line is not None
    ends = []
    for run in group.runs:
        rows = [json.loads(text) for text in (run.path / "devices.jsonl").read_text().splitlines()]
        air = sum(
            row[way][part]
            for row in rows
            for way in ("up", "down")
            for part in ("payload", "envelope", "mqtt", "tcp_ip")
        )
        last = [row["accuracy_test"] for row in rows if row["round"] == 15]
        ends.append((air / 12, fmean(last)))
    assert line.x[-1] == pytest.approx(fmean(x for x, _ in ends))
    assert line.y[-1] == pytest.approx(fmean(y for _, y in ends))
    assert line.low[-1] == pytest.approx(min(y for _, y in ends))
    assert line.high[-1] == pytest.approx(max(y for _, y in ends))
    assert len(line.x) == 6  # evaluated in rounds 1, 3, 6, 9, 12, 15


def test_a_line_keeps_the_rounds_that_every_seed_has(runs: list[Run]) -> None:
    short = replace(runs[1], rounds=runs[1].rounds[:7])
    [group] = group_runs([runs[0], short])
    line = curve(group, seconds_by_round)
    assert line is not None
    assert len(line.x) == 3  # rounds 1, 3, 6


def test_without_energy_there_is_no_line(runs: list[Run]) -> None:
    deployed = next(run for run in runs if run.facts["mode"] == "deployed")
    assert joules_by_round(deployed) == {}
    assert curve(group_runs([deployed])[0], joules_by_round) is None


def test_spread_is_the_sample_deviation_and_none_where_a_seed_lacks_the_number() -> None:
    both = spread([1.0, 3.0])
    assert both is not None
    assert (both.mean, both.deviation) == (2.0, pytest.approx(2**0.5))
    assert spread([1.0, None]) is None
    alone = spread([1.0])
    assert alone is not None
    assert alone.deviation is None
