"""A sweep: a grid of scenario keys, methods and seeds, and one run folder for each cell.

``plan_cells`` makes and checks all cells before any runs, ``run_cells``
simulates those that are not complete, spread over processes. What is complete
is in its folder, so the same call again goes on where the last one ended.
:mod:`edge_fd.sweep_table` writes the numbers down.
"""

from __future__ import annotations

import copy
import hashlib
import itertools
import re
import shutil
import sys
import traceback
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from joblib import Parallel, delayed

from devices.profile import load_profile
from edge_fd import data, methods
from edge_fd.codecs import codec
from edge_fd.errors import EdgeFDError, UsageError
from edge_fd.fit import check_fit
from edge_fd.methods.base import Method
from edge_fd.overrides import put, put_radio
from edge_fd.report.settings import concerns, short_names
from edge_fd.run_folder import Run, load_run
from edge_fd.scenario import Scenario, parse_value
from edge_fd.simulation import simulate
from edge_fd.simulation.cells import build_cells
from edge_fd.streams import stream

if sys.version_info >= (3, 11):
    import tomllib
else:  # pragma: no cover - the same library under its older name
    import tomli as tomllib

LONGEST_NAME = 120
"""Characters of a folder's name before its hash; file systems end at 255 bytes."""
OWN_OPTIONS = {"seed": "--seeds", "method.name": "--method", "name": "--set name=NAME"}
"""Keys that no grid takes, and what to use instead."""


@dataclass(frozen=True)
class Axis:
    """One ``--grid``: a key of the scenario and the values that it takes."""

    key: str
    values: tuple[Any, ...]


@dataclass(frozen=True)
class Cell:
    """One run of a sweep.

    ``values`` are those of the grid's keys that concern its method, ``name`` is
    that of its folder: readable, and with a hash over all that the run depends
    on, so that a changed scenario gets a new folder.
    """

    name: str
    method: str
    values: Mapping[str, Any]
    scenario: Scenario

    @property
    def label(self) -> str:
        """Method, values and seed, for people."""
        names = short_names(list(self.values))
        told = [f"{names[key]}={value}" for key, value in self.values.items()]
        return " ".join([self.method, *told, f"seed {self.scenario.seed}"])


@dataclass(frozen=True)
class Ended:
    """A cell that was run: its error in one line, empty where it is complete."""

    cell: Cell
    error: str


def parse_axis(text: str) -> Axis:
    """Read ``KEY=VALUE,VALUE``, the values in TOML; text that is none stands for itself.

    Raises UsageError, with the remedy, for what has no values or a key that is
    not the grid's to set.
    """
    key, sign, listed = text.partition("=")
    key = key.strip()
    if not sign or not key or not listed.strip():
        raise UsageError(
            f"--grid {text!r}: write KEY=VALUE,VALUE, as in rounds.participation=0.5,1"
        )
    if key in OWN_OPTIONS:
        raise UsageError(f"--grid {text!r}: {key} is no key of a grid; use {OWN_OPTIONS[key]}")
    try:
        values = tomllib.loads(f"values = [{listed}]")["values"]
    except tomllib.TOMLDecodeError:
        values = [parse_value(part.strip()) for part in listed.split(",")]
    if "" in values:
        raise UsageError(f"--grid {text!r} has an empty value; leave out the comma")
    twice = [value for index, value in enumerate(values) if value in values[:index]]
    if twice:
        raise UsageError(f"--grid {text!r} has {twice[0]!r} twice; give each value once")
    return Axis(key, tuple(values))


def plan_cells(
    tree: Mapping[str, Any],
    axes: Sequence[Axis],
    *,
    where: str,
    names: Sequence[str] = (),
    seeds: int = 1,
    devices: int | None = None,
) -> list[Cell]:
    """Return all cells, checked, in the order of the grid, the methods and the seeds.

    ``tree`` is the scenario as plain values, ``where`` names it in errors;
    ``names`` are the methods (none: the scenario's own). A setting of one
    method leaves the others' cells as they are. Raises UsageError for a key, a
    value or a combination that cannot be run, before anything has run.
    """
    base = Scenario.parse(tree, where=where)
    chosen = list(names) or [base.method.name]
    _check_axes(axes, chosen)
    found: dict[str, Cell] = {}
    checked: set[tuple[str, str | None]] = set()
    for values in itertools.product(*(axis.values for axis in axes)):
        point = {axis.key: value for axis, value in zip(axes, values, strict=True)}
        for name in chosen:
            mine = {key: value for key, value in point.items() if concerns(key, name)}
            told = ", ".join([name, *(f"{key} = {value!r}" for key, value in mine.items())])
            try:
                scenario = _scenario(tree, mine, where, devices)
                method = _checked(name, scenario, where, checked)
            except UsageError as error:
                raise UsageError(f"{error} (in the cell {told}; nothing was run)") from None
            for seed in range(scenario.seed, scenario.seed + seeds):
                cell = _cell(method, name, mine, scenario.model_copy(update={"seed": seed}))
                found.setdefault(cell.name, cell)
    return list(found.values())


def complete(cell: Cell, folder: Path) -> Run | None:
    """Return the finished run of a cell; None where it has to be run."""
    if not (folder / cell.name / "summary.json").exists():
        return None
    try:
        run = load_run(folder / cell.name)
    except UsageError:
        return None
    return run if run.summary is not None else None


def run_cells(
    cells: Sequence[Cell], folder: Path, *, bundles: Path, jobs: int = 1, command: str = ""
) -> Iterator[Ended]:
    """Simulate the cells in ``jobs`` processes; yield each as it ends, the first seed first.

    An interrupted run of a cell is begun anew. A cell that fails is yielded with
    its error, and its traceback, if it is no error of use, is written to
    ``errors/NAME.txt`` in ``folder``. Raises UsageError where a process died.
    """
    bundles.mkdir(parents=True, exist_ok=True)
    ordered = sorted(cells, key=lambda cell: cell.scenario.seed)
    work = (delayed(_run)(cell, folder, bundles, command) for cell in ordered)
    parallel = Parallel(n_jobs=jobs, return_as="generator_unordered", batch_size=1)
    try:
        # Closed on the way out, so that an interrupt also ends the processes.
        with closing(parallel(work)) as ended:
            yield from ended
    except BrokenProcessPool:
        raise UsageError(
            "a process of the sweep died, as when memory is short; run the same command again"
            f" with fewer --jobs than {jobs}: what is complete is kept"
        ) from None


def _check_axes(axes: Sequence[Axis], names: Sequence[str]) -> None:
    keys = [axis.key for axis in axes]
    for index, key in enumerate(keys):
        if key in keys[:index]:
            raise UsageError(f"--grid has {key!r} twice; give all its values in one --grid")
        if not any(concerns(key, name) for name in names):
            raise UsageError(
                f"--grid {key} concerns none of the methods {', '.join(names)};"
                f" add {key.split('.')[1]} to --method, or leave it out"
            )


def _scenario(
    tree: Mapping[str, Any], values: Mapping[str, Any], where: str, devices: int | None
) -> Scenario:
    made: dict[str, Any] = copy.deepcopy(dict(tree))
    # A preset takes the place of the whole radio; other keys of the channel come after it.
    for key in sorted(values, key=lambda key: key != "channel.preset"):
        value = values[key]
        if key == "channel.preset":
            put_radio(made, str(value))
        elif key != "devices" or not isinstance(value, int):
            put(made, key, value, item=f"--grid {key}")
    scenario = Scenario.parse(made, where=where)
    count = values.get("devices", devices)
    return scenario.with_devices(count) if isinstance(count, int) else scenario


def _checked(
    name: str, scenario: Scenario, where: str, known: set[tuple[str, str | None]]
) -> Method:
    """Check what can be checked without bundles; data sets, which take time, once each."""
    method = methods.create(name, scenario.method.settings(name))
    check_fit(method, scenario)
    codec(scenario.transport.codec)
    try:
        build_cells(scenario, list(scenario.device_names()), partial(stream, scenario.seed))
        for profile in {group.profile for group in scenario.devices} - {None}:
            load_profile(str(profile))
    except ValueError as error:
        raise UsageError(f"{where}: {error}") from None
    source = (scenario.data.name, scenario.data.path)
    if source not in known:
        data.load(source[0], path=source[1])
        known.add(source)
    return method


def _cell(method: Method, name: str, values: Mapping[str, Any], scenario: Scenario) -> Cell:
    short = short_names(list(values))
    parts = [name, *(f"{short[key]}={value}" for key, value in values.items())]
    parts.append(f"s{scenario.seed}")
    readable = re.sub(r"[^A-Za-z0-9._=+-]+", "_", "-".join(parts))[:LONGEST_NAME]
    facts = f"{scenario.to_toml()}\n{name}\n{method.fingerprint().hex()}"
    digest = hashlib.sha256(facts.encode()).hexdigest()[:8]
    return Cell(f"{readable}-{digest}", name, dict(values), scenario)


def _run(cell: Cell, folder: Path, bundles: Path, command: str) -> Ended:
    """Simulate one cell, in a process of its own or in ours."""
    target = folder / cell.name
    trouble = folder / "errors" / f"{cell.name}.txt"
    try:
        if (target / "run.json").exists():
            shutil.rmtree(target)  # begun and not finished: records of one start only
        trouble.unlink(missing_ok=True)
        simulate(cell.scenario, target, method=cell.method, bundles=bundles, command=command)
    except EdgeFDError as error:
        return Ended(cell, _line(error))
    except Exception as error:  # noqa: BLE001 - one cell's fault must not end the others
        trouble.parent.mkdir(parents=True, exist_ok=True)
        trouble.write_text(traceback.format_exc(), encoding="utf-8")
        return Ended(cell, f"{type(error).__name__}: {_line(error)}; see {trouble}")
    return Ended(cell, "")


def _line(error: Exception) -> str:
    return " ".join(str(error).split())
