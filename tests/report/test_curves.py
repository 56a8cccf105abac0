"""How the spread over seeds is drawn and told, and that lines can be told apart."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest

from edge_fd.report.curves import curve_plots
from edge_fd.report.drawing import looks
from edge_fd.report.groups import Group, group_runs

if TYPE_CHECKING:
    from edge_fd.run_folder import Run

SVG = "{http://www.w3.org/2000/svg}"


def some(runs: list[Run], *names: str) -> list[Run]:
    return [run for run in runs if run.name in names]


def drawn(svg: str | None) -> list[str]:
    """The ids of what matplotlib drew beside lines: bands, and bars of ``vlines``."""
    assert svg is not None
    return [
        node.attrib["id"].rpartition("-")[2]
        for node in ET.fromstring(svg).iter(f"{SVG}g")  # noqa: S314 - written by ourselves
        if "Collection" in node.attrib.get("id", "")
    ]


def test_few_lines_have_bands_and_many_have_bars_and_the_caption_says_which(
    runs: list[Run],
) -> None:
    few = curve_plots(group_runs(some(runs, "fd-1", "fd-2", "dsfl-1", "dsfl-2")))
    many = curve_plots(group_runs([run for run in runs if run.facts["mode"] == "simulated"]))
    for plot in few:
        assert "means over 2 seeds" in plot.caption
        assert "The band spans the least to the greatest seed." in plot.caption
        assert [name.startswith("FillBetween") for name in drawn(plot.svg)] == [True, True]
    for plot in many:
        assert "Bars span the least to the greatest seed." in plot.caption
        assert all(name.startswith("LineCollection") for name in drawn(plot.svg))
        assert len(drawn(plot.svg)) == 5  # every method with two seeds, and not the unfinished run


def test_one_seed_has_no_spread_and_no_word_of_it(runs: list[Run]) -> None:
    for plot in curve_plots(group_runs(some(runs, "fd-1", "dsfl-1"))):
        assert "seed" not in plot.caption
        assert drawn(plot.svg) == []


def test_the_axis_of_time_says_whose_time_it_is(runs: list[Run]) -> None:
    simulated = curve_plots(group_runs(some(runs, "dsfl-1")))[3]
    both = curve_plots(group_runs(some(runs, "dsfl-1", "dsfl-deployed")))[3]
    assert simulated.svg is not None
    assert both.svg is not None
    assert "simulated seconds since the start" in simulated.svg
    assert "simulated seconds" not in both.svg


@pytest.mark.parametrize("methods", [1, 8, 13])
def test_no_two_lines_look_the_same(methods: int, runs: list[Run]) -> None:
    [group] = group_runs(some(runs, "fd-1"))
    groups: list[Group] = [
        replace(group, title=f"{mode} {number}", method=f"m{number % methods}", mode=mode)
        for number in range(13)
        for mode in ("simulated", "deployed")
    ]
    found = looks(groups)
    assert len(found) == len(groups)
    assert len({str(look) for look in found.values()}) == len(groups)
    if methods > 1:  # a method keeps its colour
        colours = {(one.method, found[one.title]["color"]) for one in groups}
        assert len(colours) == methods
