"""``edge-fd demo``: a real deployment here, a larger one simulated, all methods compared."""

from __future__ import annotations

import argparse
import shutil
import time
from pathlib import Path

from edge_fd.demo import MIXED, MIXED_METHODS, ONE_STUDENT, SIMULATED_DEVICES, deploy
from edge_fd.errors import UsageError
from edge_fd.report import comparison_table, write_report
from edge_fd.run_folder import Run
from edge_fd.scenario import Scenario
from edge_fd.simulation import simulate
from edge_fd.verbs.terminal import progress, round_note, say

MARK = "edge-fd-demo"


def demo(options: argparse.Namespace) -> int:
    """Run the demo; print one table and the path of the report."""
    begun_s = time.monotonic()
    _clear(options.out)
    say(f"1/3 real deployment of {MIXED.name} on this machine")
    runs = [deploy(MIXED, options.out, broker=options.broker, say=say)]
    say(f"2/3 simulation of {MIXED.name} with {SIMULATED_DEVICES} devices over a noisy channel")
    runs += [_simulated(MIXED, method, options) for method in MIXED_METHODS]
    say(f"3/3 simulation of {ONE_STUDENT.name}: FedAvg needs one architecture")
    runs.append(_simulated(ONE_STUDENT, "fedavg", options))
    print(comparison_table(runs))  # noqa: T201
    print(f"report: {write_report(runs, options.out / 'report.html')}")  # noqa: T201
    say(f"the demo took {time.monotonic() - begun_s:.0f} s")
    return 0


def _simulated(path: Path, method: str, options: argparse.Namespace) -> Run:
    scenario = Scenario.load(path).with_devices(SIMULATED_DEVICES)
    with progress() as bar:
        task = bar.add_task(method, total=scenario.rounds.count, note="")
        return simulate(
            scenario,
            options.out / f"simulated-{method}",
            method=method,
            on_round=round_note(bar, task),
            command=f"edge-fd run {path.name} --devices {SIMULATED_DEVICES} --method {method}",
        )


def _clear(folder: Path) -> None:
    """An earlier demo is replaced; any other folder is left alone."""
    if folder.exists() and any(folder.iterdir()):
        if not (folder / MARK).exists():
            raise UsageError(f"{folder} is not empty and no demo; name another folder with --out")
        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MARK).touch()
