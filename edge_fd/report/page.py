"""The HTML page: one file with everything in it, the same for the same runs."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from edge_fd.errors import UsageError
from edge_fd.report.bars import split_plots
from edge_fd.report.curves import curve_plots, latency_plot
from edge_fd.report.groups import group_runs, summary_of
from edge_fd.report.summary import DeviceTotal, device_totals
from edge_fd.report.table import (
    COLUMNS,
    MARKS,
    NOTES,
    byte_size,
    comparison_rows,
    percent,
    three_digits,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from edge_fd.records import Origin, Summary
    from edge_fd.run_folder import Run

HERE = Path(__file__).parent
HEADED = ("format", "version", "status", "versions", "command")
"""Facts that have a place of their own in the page."""
HELD = re.compile(r"(\d+) to (\d+) private")


@dataclass(frozen=True)
class _Shown:
    """One run as the page shows it."""

    run: Run
    summary: Summary
    devices: list[DeviceTotal]
    facts: dict[str, Any]


def write_report(runs: Sequence[Run], path: str | Path) -> Path:
    """Write the report of one or several runs as one HTML file and return its path.

    The file loads nothing: style and figures stand in it. Raises
    :class:`UsageError` where there is no run.
    """
    if not runs:
        raise UsageError("a report needs at least one run; name the folder of a run")
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(_page(runs), encoding="utf-8")
    return path


def _page(runs: Sequence[Run]) -> str:
    environment = Environment(
        loader=FileSystemLoader(HERE),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    environment.filters |= {
        "bytes": lambda value: _known(value, byte_size),
        "percent": lambda value: _known(value, percent),
        "digits": lambda value: _known(value, three_digits),
    }
    groups = group_runs(runs)
    shown = [_shown(run) for run in runs]
    origins: dict[Origin, str] = MARKS
    return environment.get_template("page.html").render(
        style=(HERE / "style.css").read_text(encoding="utf-8"),
        title=_title(runs),
        head=_head(shown),
        commands=_distinct(run.facts.get("command") for run in runs),
        columns=COLUMNS,
        spans=_spans(),
        rows=comparison_rows(runs),
        marks=origins,
        notes=NOTES[1:],
        deployed=any(group.mode == "deployed" for group in groups),
        curves=[*curve_plots(groups), latency_plot(groups)],
        splits=split_plots(groups),
        shown=shown,
    )


def _shown(run: Run) -> _Shown:
    return _Shown(
        run=run,
        summary=summary_of(run),
        devices=device_totals(run.devices),
        facts={key: value for key, value in run.facts.items() if key not in HEADED},
    )


def _title(runs: Sequence[Run]) -> str:
    names = _distinct(run.facts.get("scenario") for run in runs)
    return ", ".join(names) if names else runs[0].name


def _head(shown: Sequence[_Shown]) -> dict[str, str]:
    """Return what stands at the head of the page; each distinct value once."""
    facts = [one.run.facts for one in shown]
    versions: dict[str, list[str]] = {}
    for fact in facts:
        for package, version in fact["versions"].items():
            versions.setdefault(package, []).append(version)
    lines = {
        "Data": _data(fact.get("data") for fact in facts),
        "Methods": _distinct(fact["method"] for fact in facts),
        "Modes": _distinct(fact["mode"] for fact in facts),
        "Devices": _distinct(one.summary.devices for one in shown),
        "Rounds": _distinct(one.summary.rounds for one in shown),
        "Seeds": _distinct(fact["seed"] for fact in facts),
        "Started": _distinct(fact.get("started") for fact in facts),
        "Machine": _distinct(f"{fact['platform']}, {fact['cpus']} CPUs" for fact in facts),
        "Python": _distinct(fact["python"] for fact in facts),
        "Packages": [
            f"{package} {' and '.join(_distinct(found))}" for package, found in versions.items()
        ],
    }
    # What holds commas itself is set apart by semicolons.
    return {
        key: ("; " if any("," in value for value in values) else ", ").join(values)
        for key, values in lines.items()
        if values
    }


def _data(lines: Iterable[str | None]) -> list[str]:
    """Lines that differ in what the devices hold, by the seed of a split, become one."""
    held: dict[str, list[int]] = {}
    for line in _distinct(lines):
        sizes = HELD.search(line)
        key = HELD.sub("{}", line)
        held.setdefault(key, []).extend(map(int, sizes.groups() if sizes else ()))
    return [
        key.replace("{}", f"{min(sizes)} to {max(sizes)} private") if sizes else key
        for key, sizes in held.items()
    ]


def _spans() -> list[tuple[str, int]]:
    """Return the upper row of the head: each group of columns and how many it spans."""
    names = [column.group for column in COLUMNS]
    return [(name, names.count(name)) for name in dict.fromkeys(names)]


def _distinct(values: Iterable[object]) -> list[str]:
    return list(dict.fromkeys(str(value) for value in values if value is not None))


def _known(value: float | None, form: Callable[[float], str]) -> str:
    return MARKS["not measured"] if value is None else form(value)
