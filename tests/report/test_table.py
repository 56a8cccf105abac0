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

from edge_fd.report.table import byte_size, comparison_table, three_digits

if TYPE_CHECKING:
    from edge_fd.run_folder import Run

MARKED = re.compile(r"[\d.]+(?: ±[\d.]+)?(?: [kMG]?B)?[*~]|(?<= )-(?= |$)")


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
    assert row[3] == f"{payload_kb:.0f} kB*"
    on_air_kb = fmean(
        sum(summary["down"][part] for part in ("payload", "envelope", "mqtt", "tcp_ip"))
        for summary in summaries
    )
    assert row[6] == f"{on_air_kb / 1000:.0f} kB~"
    first, second = (100 * summary["accuracy_test"] for summary in summaries)
    assert row[0] == f"{(first + second) / 2:.1f} ±{abs(first - second) / 2**0.5:.1f}*"
    assert row[9] == f"{fmean(summary['seconds_per_round'] for summary in summaries):.2f}~"


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
