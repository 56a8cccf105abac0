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
from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from importlib import import_module
from multiprocessing import get_context
from pathlib import Path
from typing import Literal

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
    """Hash of a cell and all that its scenario and method are set to.

    How its data file is made is not in it: after a change of that, remove the results.
    """
    text = json.dumps([cell.name, experiment.scenario(cell)], sort_keys=True)
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


def keep(result: Tree) -> None:
    """Write the result of a cell, all of it or nothing."""
    path = RESULTS / result["experiment"] / f"{result['cell']}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    part.write_text(json.dumps(result) + "\n", encoding="utf-8")
    part.replace(path)


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
                keep(result)
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
    scenario = Scenario.parse(tree, where=cell.name)
    return simulate(scenario, folder / "run", bundles=folder / "bundles")


def figures_of(run: Run, experiment: Experiment) -> Tree:
    """Return the ``curve`` of a run, with one entry for each evaluation, and its ``figures``.

    ``accuracy`` is a share. Bytes are payload: of the curve those of a device
    until then, means over the devices; of the figures those of all devices.
    """
    devices = len({row.device for row in run.devices})
    sent: dict[int, int] = defaultdict(int)
    for row in run.devices:
        sent[row.round] += row.up.payload
    scores = scores_of(run, experiment.scores)
    accuracy = list(scores.values())
    return {
        "curve": {
            "round": list(scores),
            "accuracy": [round(value, 6) for value in accuracy],
            "up_bytes": [sum(sent[n] for n in sent if n <= number) / devices for number in scores],
        },
        "figures": {
            "accuracy": statistics.fmean(accuracy[-experiment.last :]),
            "best5": statistics.fmean(sorted(accuracy)[-BEST:]),
            "up_payload_bytes": sum(sent.values()),
            "down_payload_bytes": sum(row.down.payload for row in run.devices),
        },
    }


def scores_of(run: Run, whose: Literal["server", "devices"]) -> dict[int, float]:
    """Return the accuracy after each round that was evaluated, in their order."""
    if whose == "server":
        found = {row.round: row.server_accuracy for row in run.rounds}
        return {number: score for number, score in sorted(found.items()) if score is not None}
    tests: dict[int, list[float]] = defaultdict(list)
    for row in run.devices:
        if row.accuracy_test is not None:
            tests[row.round].append(row.accuracy_test)
    return {number: statistics.fmean(tests[number]) for number in sorted(tests)}


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
