"""``edge-fd sweep``: every combination of some keys, methods and seeds, compared."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from edge_fd.report import comparison_table, write_report
from edge_fd.run_folder import Run
from edge_fd.sweep import Cell, Ended, complete, parse_axis, plan_cells, run_cells
from edge_fd.sweep_table import write_table
from edge_fd.verbs.terminal import count_of, names_of, progress, say, tree_of

FAILED_STATUS = 2


def sweep(options: argparse.Namespace) -> int:
    """Run what is not complete; then print the table. Status 2 where a cell failed."""
    jobs = count_of("--jobs", options.jobs)
    cells = plan_cells(
        tree_of(options),
        [parse_axis(text) for text in options.grid],
        where=str(options.scenario),
        names=names_of(options.method) if options.method else (),
        seeds=count_of("--seeds", options.seeds),
        devices=options.devices,
    )
    folder: Path = options.out / cells[0].scenario.name / "sweep"
    runs = {cell.name: run for cell in cells if (run := complete(cell, folder)) is not None}
    if options.dry_run:
        _print_cells(cells, runs)
        return 0
    folder.mkdir(parents=True, exist_ok=True)
    if runs:
        say(f"{len(runs)} of {len(cells)} cells are complete and kept")
    missing = [cell for cell in cells if cell.name not in runs]
    errors: dict[str, str] = {}
    try:
        _run(missing, folder, jobs, options, runs, errors)
    finally:
        write_table(folder, cells, runs, errors=errors, command=options.command)
        if len(runs) + len(errors) < len(cells):
            say(f"{len(runs)} of {len(cells)} cells are complete; the same command goes on")
    return _conclude(cells, folder, runs, errors)


def _run(
    cells: Sequence[Cell],
    folder: Path,
    jobs: int,
    options: argparse.Namespace,
    runs: dict[str, Run],
    errors: dict[str, str],
) -> None:
    """Run the cells; fill ``runs`` and ``errors``, and tell each end."""
    ended = run_cells(
        cells,
        folder,
        bundles=folder.parent / "bundles",
        jobs=min(jobs, max(1, len(cells))),
        command=options.command,
    )
    with progress() as bar:
        task = bar.add_task("sweep", total=len(cells), note="")
        for number, one in enumerate(ended, start=1):
            run = None if one.error else complete(one.cell, folder)
            if run is None:
                errors[one.cell.name] = one.error or "its folder is gone"
            else:
                runs[one.cell.name] = run
            told = _told(one, run)
            bar.update(task, completed=number, note=told)
            if one.error or not sys.stderr.isatty():
                say(f"{number}/{len(cells)} {told}")


def _told(one: Ended, run: Run | None) -> str:
    if run is None or run.summary is None:
        return f"{one.cell.label}: failed: {one.error}"
    accuracy = run.summary.accuracy_test
    test = "not evaluated" if accuracy is None else f"test {100 * accuracy:.1f} %"
    return f"{one.cell.label}: {test}"


def _print_cells(cells: Sequence[Cell], runs: dict[str, Run]) -> None:
    for cell in cells:
        print(f"{'complete' if cell.name in runs else 'to run  '}  {cell.name}")  # noqa: T201
    print(f"{len(cells)} cells, {len(runs)} of them complete")  # noqa: T201


def _conclude(
    cells: Sequence[Cell], folder: Path, runs: dict[str, Run], errors: dict[str, str]
) -> int:
    found = [runs[cell.name] for cell in cells if cell.name in runs]
    if found:
        print(comparison_table(found))  # noqa: T201
        print(f"report: {write_report(found, folder / 'report.html')}")  # noqa: T201
    print(f"table: {folder / 'sweep.csv'} and sweep.json")  # noqa: T201
    if not errors:
        return 0
    say(f"{len(errors)} of {len(cells)} cells failed:")
    for cell in cells:
        if cell.name in errors:
            say(f"  {cell.label}: {errors[cell.name]}")
    return FAILED_STATUS
