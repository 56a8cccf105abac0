"""Runs cells, each once: a finished one is a small JSON file and is not run again.

A cell whose protocol has changed since it was run counts as not run; one that
was interrupted leaves no file and starts from its beginning.
"""

from __future__ import annotations

import hashlib
import json
import os
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from importlib import import_module
from multiprocessing import get_context
from pathlib import Path

from benchmarks.run import facts
from edge_fd.run_folder import Run
from edge_fd.scenario import Scenario
from edge_fd.simulation import simulate
from validation.published.experiment import Cell, Experiment, Tree

RESULTS = Path(__file__).parents[1] / "results" / "published"
NAMES = ("fedgen", "har", "jeong", "cfd", "alu")
BEST = 5
"""Evaluations whose mean FedGen's own script calls a run's accuracy; told beside ours."""
ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
SHORT = {"rounds": 2, "steps": 3, "samples": 64, "test": 200}


def experiment_of(name: str) -> Experiment:
    """Return an experiment by its name."""
    found: Experiment = import_module(f"validation.published.{name}").EXPERIMENT
    return found


def path_of(cell: Cell) -> Path:
    """Where the result of a cell is kept."""
    return RESULTS / cell.experiment / f"{cell.name}.json"


def protocol_of(experiment: Experiment, cell: Cell) -> str:
    """Hash of all that a cell's scenario and method are set to."""
    method = experiment.method(cell).settings() if experiment.method else {}
    text = json.dumps([experiment.scenario(cell), method], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def finished(experiment: Experiment) -> dict[Cell, Tree]:
    """Return the results of the cells that were run by the present protocol."""
    found = {}
    for cell in experiment.cells:
        if path_of(cell).is_file():
            result = json.loads(path_of(cell).read_text("utf-8"))
            if result["protocol"] == protocol_of(experiment, cell):
                found[cell] = result
    return found


def run_all(cells: Sequence[Cell], *, jobs: int) -> Iterator[Tree]:
    """Run cells in ``jobs`` processes of one thread; keep and yield each result when it is there.

    One after the other in the order given, so that few are half done at an interruption.
    """
    os.environ.update(dict.fromkeys(ONE_THREAD, "1"))
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        waiting = [pool.submit(run_cell, cell) for cell in cells]
        try:
            for done in as_completed(waiting):
                result = done.result()
                _keep(result)
                yield result
        finally:
            pool.shutdown(cancel_futures=True)


def run_cell(cell: Cell, *, short: bool = False) -> Tree:
    """Run one cell and return its result; ``short`` is a tiny version, to see that all works."""
    experiment, about = experiment_of(cell.experiment), facts()
    begun_s, cpu_s = time.monotonic(), time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        run = _run(experiment, cell, Path(folder), short=short)
    return {
        "experiment": cell.experiment,
        "cell": cell.name,
        "method": cell.method,
        "parameter": cell.parameter,
        "seed": cell.seed,
        "protocol": protocol_of(experiment, cell),
        **figures_of(run, experiment),
        "took_s": round(time.monotonic() - begun_s, 1),
        "cpu_s": round(time.process_time() - cpu_s, 1),
        **{key: about[key] for key in ("when", "commit", "dirty")},
    }


def _run(experiment: Experiment, cell: Cell, folder: Path, *, short: bool) -> Run:
    tree = experiment.scenario(cell)
    if short:
        tree = shortened(tree)
    if experiment.data is not None:
        experiment.data(cell, folder / "data.npz")
        tree["data"]["path"] = str(folder / "data.npz")
    method = experiment.method(cell) if experiment.method else None
    scenario = Scenario.parse(tree, where=cell.name)
    return simulate(scenario, folder / "run", method=method, bundles=folder / "bundles")


def figures_of(run: Run, experiment: Experiment) -> Tree:
    """Return the ``curve`` of a run, with one entry for each evaluation, and its ``figures``.

    ``accuracy`` is a share; bytes are payload, means over the devices, of the
    curve those until then and of the figures all.
    """
    devices = len({row.device for row in run.devices})
    up, down, tests = {}, {}, {}
    for row in run.devices:
        up[row.round] = up.get(row.round, 0) + row.up.payload
        down[row.round] = down.get(row.round, 0) + row.down.payload
        if row.accuracy_test is not None:
            tests.setdefault(row.round, []).append(row.accuracy_test)
    if experiment.scores == "server":
        scores = {row.round: row.server_accuracy for row in run.rounds}
    else:
        scores = {number: statistics.fmean(found) for number, found in tests.items()}
    rounds = sorted(number for number, score in scores.items() if score is not None)
    accuracy = [scores[number] for number in rounds]
    sent = [sum(up[n] for n in up if n <= number) / devices for number in rounds]
    return {
        "curve": {
            "round": rounds,
            "accuracy": [round(value, 6) for value in accuracy],
            "up_bytes": sent,
        },
        "figures": {
            "accuracy": statistics.fmean(accuracy[-experiment.last :]),
            "best5": statistics.fmean(sorted(accuracy)[-BEST:]),
            "up_payload_bytes": sum(up.values()) / devices,
            "down_payload_bytes": sum(down.values()) / devices,
        },
    }


def shortened(tree: Tree) -> Tree:
    """Return a scenario of a few rounds, steps and samples."""
    rounds = {**tree["rounds"], "count": SHORT["rounds"], "evaluate_every": 1}
    method = {
        key: {**table, "local_steps": SHORT["steps"]} if "local_steps" in table else table
        for key, table in tree["method"].items()
        if isinstance(table, dict)
    }
    return {
        **tree,
        "data": {**tree["data"], "test": SHORT["test"]},
        "split": {**tree["split"], "max_per_device": SHORT["samples"]},
        "method": {**method, "name": tree["method"]["name"]},
        "rounds": rounds,
    }


def _keep(result: Tree) -> None:
    path = RESULTS / result["experiment"] / f"{result['cell']}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    part.write_text(json.dumps(result) + "\n", encoding="utf-8")
    part.replace(path)
