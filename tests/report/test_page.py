"""The HTML page: what stands in it, what it loads (nothing), what it lets in (nothing)."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest
from fake_runs import SHAPES, write_run

from edge_fd.errors import UsageError
from edge_fd.report import write_report
from edge_fd.report.drawing import GRID, INK, PALETTE

if TYPE_CHECKING:
    from edge_fd.run_folder import Run

VOID = {"meta", "br", "link", "img", "input"}
ROOT = Path(__file__).parents[2]


class Reader(HTMLParser):
    """Reads tables as rows of cells and notes every tag; knows nothing of the report."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tables: list[list[list[str]]] = []
        self.values: list[float] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in {"td", "th"}:
            self.tables[-1][-1].append("")
        elif tag == "data":
            self.values.append(float(dict(attrs)["value"] or "nan"))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "td" in self.open or "th" in self.open:
            self.tables[-1][-1][-1] += data


def figures(page: str) -> dict[str, ET.Element]:
    """Return the SVG elements by the name of their figure; raises where XML is not well formed."""
    found = re.findall(r'<figure id="(.*?)">.*?(<svg.*?</svg>|Not measured)', page, re.DOTALL)
    return {name: ET.fromstring(svg) for name, svg in found if svg != "Not measured"}  # noqa: S314


def texts(svg: ET.Element) -> set[str]:
    return {"".join(node.itertext()) for node in svg.iter("{http://www.w3.org/2000/svg}text")}


def test_html_is_balanced_and_has_no_script(page: str) -> None:
    reader = Reader(page)
    assert reader.open == []
    assert not {"script", "link", "img", "iframe", "object", "embed", "image"} & set(reader.tags)
    assert not [name for name, _ in reader.attributes if name.startswith("on")]


def test_nothing_is_loaded_from_elsewhere(page: str) -> None:
    loading = {"src", "srcset", "href", "xlink:href", "data", "action", "poster"}
    targets = [value for name, value in Reader(page).attributes if name in loading]
    assert targets  # the markers of the figures
    assert all(target.startswith("#") for target in targets)
    assert all(target.startswith("#") for target in re.findall(r"url\(['\"]?([^)]*)", page))
    assert "@import" not in page
    assert "@font-face" not in page
    # What is left are the names of XML namespaces, which nobody loads.
    assert set(re.findall(r'(\S+)="https?://', page)) <= {"xmlns", "xmlns:xlink"}


def test_comparison_equals_the_records(runs: list[Run], page: str) -> None:
    reader = Reader(page)
    row = next(row for row in reader.tables[0] if row[:2] == ["fedavg", "simulated"])
    both = [run for run in runs if run.facts["method"] == "fedavg"]
    last = [
        fmean(r.accuracy_test for r in run.devices if r.round == 15 and r.accuracy_test is not None)
        for run in both
    ]
    assert row[2:5] == ["2", "12", "15"]
    assert row[5].startswith(f"{100 * fmean(last):.1f} ±")
    payload = fmean(sum(r.up.payload for r in run.devices) / 12 for run in both)
    assert row[8] == f"{payload / 1e6:.2f} MB*"
    assert any(value == pytest.approx(payload, abs=0.5) for value in reader.values)
    energy = fmean(
        sum(
            (r.compute_j or 0) + (r.tx_j or 0) + (r.rx_j or 0) + (r.idle_j or 0)
            for r in run.devices
        )
        for run in both
    )
    assert row[15].startswith(f"{energy / 12:.0f} ±")


def test_device_table_equals_the_records(runs: list[Run], page: str) -> None:
    tables = Reader(page).tables[1:]
    assert len(tables) == len(runs)
    for run, table in zip(runs, tables, strict=True):
        rows = {row[0]: row for row in table[2:]}
        assert rows.keys() == {record.device for record in run.devices}
        for name, row in rows.items():
            mine = [record for record in run.devices if record.device == name]
            ends = Counter(record.outcome for record in mine)
            outcomes = ("accepted", "late", "refused", "lost", "absent")
            assert row[11:] == [str(ends[outcome]) for outcome in outcomes]
            tested = [r.accuracy_test for r in mine if r.accuracy_test is not None]
            assert row[5] == f"{100 * tested[-1]:.1f}"
            assert row[4] == str(mine[0].private_samples)


def test_every_figure_is_there_with_its_axes_and_methods(page: str) -> None:
    found = figures(page)
    assert list(found) == [
        "rounds", "own", "bytes", "seconds", "joules", "latency",
        "seconds-split", "bytes-split", "joules-split", "outcomes",
    ]  # fmt: skip
    for name in ("rounds", "bytes", "seconds"):
        words = texts(found[name])
        assert {"dsfl (simulated)", "dsfl (deployed)", "fedavg (simulated)"} <= words
        assert "accuracy on the shared test part (%)" in words
    assert "on-air bytes per device, up and down" in texts(found["bytes"])
    assert {"1 kB", "1 MB"} <= texts(found["bytes"])  # 7 kB to 5 MB: a logarithmic axis
    assert "dsfl (deployed)" not in texts(found["joules"])
    assert {"down", "compute", "up", "pi4", "pi5", "mlp"} <= texts(found["seconds-split"])


def test_ids_are_unique_and_references_resolve(page: str) -> None:
    ids = Counter(value for name, value in Reader(page).attributes if name == "id")
    assert {name for name, count in ids.items() if count > 1} == set()
    used = set(re.findall(r'(?:href="|url\()#([^")]+)', page))
    assert used <= ids.keys()


def test_deployed_lines_are_dashed_and_simulated_ones_solid(page: str) -> None:
    place = [shape.method for shape in SHAPES].index("dsfl")
    drawn = [
        node.attrib["style"]
        for node in figures(page)["rounds"].iter("{http://www.w3.org/2000/svg}path")
        if f"stroke: {PALETTE[place].lower()}; stroke-" in node.attrib.get("style", "")
        and "fill: none" in node.attrib["style"]
    ]
    assert sum("stroke-dasharray" in style for style in drawn) == 2  # the line and its legend
    assert sum("stroke-dasharray" not in style for style in drawn) >= 2


def test_style_sheet_turns_over_the_colours_of_the_figures(page: str) -> None:
    css = (ROOT / "edge_fd" / "report" / "style.css").read_text()
    for part in (f"fill: {INK}", f"stroke: {INK}", f"stroke: {GRID}"):
        assert f'[style*="{part}"]' in css
        assert f"{part}" in page.replace(css, "")


def test_page_says_how_to_repeat_the_runs_and_with_what(runs: list[Run], page: str) -> None:
    assert "edge-fd serve digits.toml --method dsfl --seed 1" in page
    assert f"numpy {runs[0].facts['versions']['numpy']}" in page
    assert "UCI optical digits" in page
    assert "<em>unfinished</em>" in page


def test_same_runs_give_the_same_bytes_in_another_process(runs: list[Run], tmp_path: Path) -> None:
    some = [runs[0], runs[-2]]
    mine = write_report(some, tmp_path / "mine.html").read_bytes()
    code = (
        "import sys\nfrom edge_fd.report import write_report\n"
        "from edge_fd.run_folder import load_run\n"
        "write_report([load_run(path) for path in sys.argv[2:]], sys.argv[1])"
    )
    paths = [str(tmp_path / "theirs.html"), *(str(run.path) for run in some)]
    environment = {**os.environ, "PYTHONHASHSEED": "7"}
    subprocess.run([sys.executable, "-c", code, *paths], cwd=ROOT, env=environment, check=True)
    assert (tmp_path / "theirs.html").read_bytes() == mine


def test_one_run_without_energy_renders_and_says_so(runs: list[Run], tmp_path: Path) -> None:
    deployed = next(run for run in runs if run.facts["mode"] == "deployed")
    page = write_report([deployed], tmp_path / "deep" / "one.html").read_text("utf-8")
    assert page.count("Not measured.") == 2  # accuracy against joules, and their split
    assert "means over" not in page
    assert "dsfl" in texts(figures(page)["rounds"])  # one mode: no need to say which


def test_a_run_that_has_only_begun_renders(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", SHAPES[2], 1, rounds=0, finish=False)
    page = write_report([run], tmp_path / "page.html").read_text("utf-8")
    assert page.count("Not measured.") == 10
    assert Reader(page).open == []


def test_data_are_told_once_for_splits_of_several_seeds(runs: list[Run], tmp_path: Path) -> None:
    lines = [
        "digits, iid, 9 to 30 private samples a device, 5 test",
        "digits, iid, 12 to 41 private samples a device, 5 test",
        "mnist, iid, 8 to 99 private samples a device, 5 test",
        "own data",
    ]
    told = [replace(runs[0], facts={**runs[0].facts, "data": line}) for line in lines]
    page = write_report(told, tmp_path / "page.html").read_text("utf-8")
    due = [lines[0].replace("30", "41"), *lines[2:]]
    assert f">{'; '.join(due)}<" in page


def test_a_method_that_costs_nothing_stands_on_a_logarithmic_axis(
    runs: list[Run], tmp_path: Path
) -> None:
    silent = [
        replace(record, up=replace(record.up, payload=0, envelope=0, mqtt=0, tcp_ip=0), down=zero)
        for record in runs[0].devices
        if (zero := replace(record.down, payload=0, envelope=0, mqtt=0, tcp_ip=0))
    ]
    local = replace(runs[0], devices=tuple(silent))
    page = write_report([local, runs[2], runs[4]], tmp_path / "page.html").read_text("utf-8")
    assert "local, at no cost" in texts(figures(page)["bytes"])


def test_names_cannot_carry_markup(runs: list[Run], tmp_path: Path) -> None:
    evil = "<script>alert(1)</script>\"'&$x^2$</text></svg>"
    first = runs[0]
    assert first.summary is not None
    bad = replace(
        first,
        facts={**first.facts, "method": evil, "command": evil, "data": evil, evil: evil},
        scenario=evil,
        devices=tuple(replace(r, device=evil, student=evil, profile=evil) for r in first.devices),
        summary=replace(first.summary, method=evil),
    )
    page = write_report([bad], tmp_path / "page.html").read_text("utf-8")
    reader = Reader(page)
    assert reader.open == []
    assert "script" not in reader.tags
    assert reader.tables[1][2][0] == evil
    assert evil in texts(figures(page)["rounds"])


def test_no_run_is_an_error_of_use(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="at least one run"):
        write_report([], tmp_path / "page.html")
