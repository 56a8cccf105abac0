"""The terminal's table: its numbers, its marks, its alignment."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from statistics import fmean
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_fd.report.table import byte_size, comparison_table, three_digits, with_deviation

if TYPE_CHECKING:
    from edge_fd.run_folder import Run

MARKED = re.compile(r"[\d.]+(?: ±[\d.,]+)?(?: [kMG]?B)?[*~]|(?<= )-(?= |$)")


def cells(table: str, start: str) -> list[str]:
    [line] = [line for line in table.splitlines() if line.startswith(start)]
    return MARKED.findall(line)


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"), (999, "999 B"), (999.6, "1.00 kB"), (1000, "1.00 kB"), (9996, "10.0 kB"),
        (999_499, "999 kB"), (999_500, "1.00 MB"), (2.5e9, "2.50 GB"), (3e12, "3,000 GB"),
    ],
)  # fmt: skip
def test_bytes_are_written_with_decimal_prefixes(size: float, text: str) -> None:
    assert byte_size(size) == text


@given(st.floats(1e-6, 1e9))
def test_three_digits_lose_at_most_half_of_the_third(value: float) -> None:
    text = three_digits(value)
    assert float(text.replace(",", "")) == pytest.approx(value, rel=0.0051)
    assert len(text.replace(",", "").replace(".", "").lstrip("0")) == max(3, len(str(round(value))))


def test_numbers_equal_those_of_the_files(runs: list[Run]) -> None:
    row = cells(comparison_table(runs), "fedmd ")
    summaries = [
        json.loads((run.path / "summary.json").read_text())
        for run in runs
        if run.facts["method"] == "fedmd"
    ]
    payload_kb = fmean(summary["up"]["payload"] for summary in summaries) / 1000
    assert row[3].startswith(f"{payload_kb:.0f} ±")
    assert row[3].endswith(" kB*")
    on_air_kb = fmean(
        sum(summary["down"][part] for part in ("payload", "envelope", "mqtt", "tcp_ip"))
        for summary in summaries
    )
    assert row[6].startswith(f"{on_air_kb / 1000:.0f} ±")
    first, second = (100 * summary["accuracy_test"] for summary in summaries)
    assert row[0] == f"{(first + second) / 2:.1f} ±{abs(first - second) / 2**0.5:.1f}*"
    first, second = (summary["seconds_per_round"] for summary in summaries)
    assert row[9].startswith(f"{(first + second) / 2:.2f} ±")
    assert float(row[9].partition("±")[2].rstrip("~")) == pytest.approx(
        abs(first - second) / 2**0.5, rel=0.5, abs=0.005
    )


@pytest.mark.parametrize(
    ("text", "deviation", "percents", "told"),
    [
        ("55.4", 0.052, True, "55.4 ±5.2"),
        ("107 kB", 4_300, False, "107 ±4 kB"),
        ("1.20 MB", 34_000, False, "1.20 ±0.03 MB"),
        ("320", 0.31, False, "320 ±0.3"),  # with the mean's decimals it would be none at all
        ("2.52", 0.0004, False, "2.52 ±0.0004"),
        ("999 B", 1200, False, "999 ±1,200 B"),
    ],
)
def test_a_deviation_is_in_the_unit_of_its_mean(
    *, text: str, deviation: float, percents: bool, told: str
) -> None:
    assert with_deviation(text, deviation, percents=percents) == told


def test_mean_and_deviation_of_three_seeds_by_hand(runs: list[Run]) -> None:
    # 1, 2 and 6 J: mean 3, sample variance (4 + 1 + 9) / 2 = 7.
    three = [
        replace(
            runs[0],
            path=runs[0].path.with_name(f"seed-{seed}"),
            facts={**runs[0].facts, "seed": seed},
            summary=replace(summary, joules_per_device=joules, accuracy_test=0.5),
        )
        for seed, joules in ((1, 1.0), (2, 2.0), (3, 6.0))
        if (summary := runs[0].summary) is not None
    ]
    row = cells(comparison_table(three), "local ")
    assert row[-1] == f"3.00 ±{7**0.5:.2f}~"
    assert row[0] == "50.0*"  # all seeds agree


def test_every_number_carries_the_mark_of_its_origin(runs: list[Run]) -> None:
    table = comparison_table(runs)
    assert "".join(cell[-1] for cell in cells(table, "fedavg ")) == "*****~~**~~"
    assert "".join(cell[-1] for cell in cells(table, "local ")) == "**-**~~**~~"
    assert "".join(cell[-1] for cell in cells(table, "fd, 3 devices, unfinished ")) == "**-**~~--~~"
    deployed = comparison_table([run for run in runs if run.facts["mode"] == "deployed"])
    assert "".join(cell[-1] for cell in cells(deployed, "dsfl ")) == "*****~~***-"
    assert "* measured, ~ modelled, - not measured." in table


def test_an_energy_modelled_for_one_seed_and_measured_for_another_is_modelled(
    runs: list[Run],
) -> None:
    first, second = runs[0], runs[1]
    assert first.summary is not None
    origins = {**first.summary.origins, "joules": "measured"}
    measured = replace(first, summary=replace(first.summary, origins=origins))
    assert cells(comparison_table([measured]), "local ")[-1].endswith("*")
    assert cells(comparison_table([measured, second]), "local ")[-1].endswith("~")


def test_columns_are_aligned_and_lines_carry_no_control_characters(runs: list[Run]) -> None:
    lines = comparison_table(runs).splitlines()
    rows = [line for line in lines if " simulated " in line or " deployed " in line]
    ends = [[found.end() for found in MARKED.finditer(line)] for line in rows]
    assert all(end == ends[0] for end in ends)
    assert all(line.isprintable() and line == line.rstrip() for line in lines)


def test_failed_rounds_are_told(runs: list[Run]) -> None:
    assert runs[0].summary is not None
    failed = replace(runs[0], summary=replace(runs[0].summary, rounds_failed=2))
    assert "15 (2 failed)" in comparison_table([failed])
