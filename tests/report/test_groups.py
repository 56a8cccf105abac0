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


def told(run: Run, scenario: str, **facts: object) -> Run:
    """The run under another scenario text, in a folder of its own."""
    name = f"{run.name}-{abs(hash((scenario, str(facts))))}"
    path = run.path.with_name(name)
    return replace(run, path=path, scenario=scenario, facts={**run.facts, **facts})


def test_runs_whose_scenarios_differ_are_apart_and_named_by_the_difference(runs: list[Run]) -> None:
    fd = [run for run in runs if run.facts["method"] == "fd" and run.summary is not None]
    text = "seed = {}\n[rounds]\nparticipation = {}\n[method.fd]\ngamma = {}\n"
    made = [
        told(fd[0], text.format(seed, share, gamma), seed=seed)
        for share in (0.5, 1.0)
        for gamma in (0.1, 1)
        for seed in (1, 2)
    ]
    assert [(group.label, len(group.runs)) for group in group_runs(made)] == [
        ("fd, gamma=0.1, participation=0.5", 2),
        ("fd, gamma=1, participation=0.5", 2),
        ("fd, gamma=0.1, participation=1", 2),
        ("fd, gamma=1, participation=1", 2),
    ]


def test_settings_of_other_methods_keep_nothing_apart(runs: list[Run]) -> None:
    dsfl = next(run for run in runs if run.facts["method"] == "dsfl")
    text = "[method]\nname = '{}'\n[method.fd]\ngamma = {}\n[method.mine]\nalpha = {}\n"
    made = [
        told(dsfl, text.format("fd", 0.1, 1), seed=1),
        told(dsfl, text.format("dsfl", 1.0, 2), seed=2),
    ]
    assert [len(group.runs) for group in group_runs(made)] == [2]
    # A method of one's own may have its settings in any table that is of no known method.
    own = [replace(run, facts={**run.facts, "method": "own"}) for run in made]
    assert [group.label for group in group_runs(own)] == ["own, alpha=1", "own, alpha=2"]


def test_one_value_written_in_two_ways_is_one_value(runs: list[Run]) -> None:
    made = [told(runs[0], f"[rounds]\nparticipation = {n}\n", seed=n) for n in (1, "1.0")]
    assert len(group_runs(made)) == 1


def test_a_key_that_only_some_runs_have_is_unset_in_the_others(runs: list[Run]) -> None:
    made = [told(runs[0], ""), told(runs[0], "[rounds]\nbuffer = 3\ncount = 2\n")]
    assert [group.label for group in group_runs(made)] == [
        "local, buffer=unset, rounds.count=unset",
        "local, buffer=3, rounds.count=2",
    ]


def test_device_counts_are_told_as_their_sum_unless_only_their_split_differs(
    runs: list[Run],
) -> None:
    text = "[[devices]]\ncount = {}\n[[devices]]\ncount = {}\n"
    first = runs[0]
    assert first.summary is not None
    few = replace(first, summary=replace(first.summary, devices=4))
    grown = [told(few, text.format(2, 2)), told(first, text.format(6, 6))]
    assert [group.label for group in group_runs(grown)] == [
        "local, 4 devices",
        "local, 12 devices",
    ]
    shifted = [told(first, text.format(4, 8)), told(first, text.format(6, 6))]
    assert [group.label for group in group_runs(shifted)] == [
        "local, devices.0.count=4, devices.1.count=8",
        "local, devices.0.count=6, devices.1.count=6",
    ]


def test_labels_are_distinct_even_where_the_sums_of_devices_agree(runs: list[Run]) -> None:
    text = "[[devices]]\ncount = {}\n[[devices]]\ncount = {}\n"
    first = runs[0]
    assert first.summary is not None
    few = replace(first, summary=replace(first.summary, devices=4))
    made = [told(few, text.format(2, 2)), told(few, text.format(1, 3)), told(first, "")]
    titles = [group.title for group in group_runs(made)]
    assert len(set(titles)) == 3


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
