"""``edge-fd run``: simulate a scenario, for some methods and seeds."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path

from edge_fd import methods
from edge_fd.codecs import codec
from edge_fd.errors import UsageError
from edge_fd.fit import check_fit
from edge_fd.run_folder import Run, load_run
from edge_fd.scenario import Scenario
from edge_fd.simulation import simulate
from edge_fd.simulation.workers import check_workers
from edge_fd.verbs.terminal import count_of, names_of, progress, round_note, say, scenario_of


def run(options: argparse.Namespace) -> int:
    """Simulate each method and seed; runs that are complete are not run again."""
    scenario = scenario_of(options)
    names = names_of(options.method) if options.method else [scenario.method.name]
    count = count_of("--seeds", options.seeds)
    codec(scenario.transport.codec)
    check_workers(options.workers, options.backend)
    for name in names:
        check_fit(methods.create(name, scenario.method.settings(name)), scenario)
    seeds = range(scenario.seed, scenario.seed + count)
    cells = [(name, seed) for seed in seeds for name in names]
    runs = [_cell(options, scenario, name, seed) for name, seed in cells]
    if options.json:
        for one in runs:
            print(json.dumps(asdict(one.summary) if one.summary else None))  # noqa: T201
        return 0
    # Plots and pages are what takes long to import; a run that begins does not wait for them.
    from edge_fd.report import comparison_table, write_report

    print(comparison_table(runs))  # noqa: T201
    report = write_report(runs, options.out / scenario.name / "report.html")
    print(f"report: {report}")  # noqa: T201
    return 0


def _cell(options: argparse.Namespace, scenario: Scenario, method: str, seed: int) -> Run:
    devices = sum(group.count for group in scenario.devices)
    # A method of one's own is named by its path, package.module:Class.
    name = f"simulated-{method.replace(':', '.')}-{devices}-s{seed}"
    folder: Path = options.out / scenario.name / name
    chosen = scenario.model_copy(update={"seed": seed})
    done = _complete(folder, chosen)
    if done is not None:
        say(f"{folder}: complete, kept")
        return done
    with progress() as bar:
        task = bar.add_task(name, total=scenario.rounds.count, note="")
        return simulate(
            chosen,
            folder,
            method=method,
            bundles=options.out / scenario.name / "bundles",
            workers=options.workers,
            backend=options.backend,
            on_round=round_note(bar, task),
            command=options.command,
        )


def _complete(folder: Path, scenario: Scenario) -> Run | None:
    """A finished run of the same scenario, which need not be repeated."""
    if not (folder / "summary.json").exists():
        return None
    found = load_run(folder)
    if found.scenario != scenario.to_toml():
        raise UsageError(
            f"{folder} holds a finished run of another version of this scenario;"
            " name another --out or remove it"
        )
    return found
