"""``python -m validation.run published``: run what is missing, then judge and draw.

--list         what there is and what was run; runs nothing
--only NAME    one experiment
--jobs N       so many cells at once, each in a process of one thread
--quick        one tiny cell of each method and parameter; writes nothing
"""

from __future__ import annotations

import os
from pathlib import Path

from validation.published.cells import NAMES, experiment_of, finished, run_all, run_cell
from validation.published.experiment import Experiment
from validation.published.summary import PICTURES, claims_of, page, tell, write

HERE = Path(__file__).parents[2]


def validate(only: str | None, *, jobs: int, quick: bool) -> bool:
    """Run the missing cells of all experiments or of one; return whether no claim fails."""
    fails = False
    for name in NAMES if only is None else (only,):
        experiment = experiment_of(name)
        lacking = [need for need in experiment.needs if not (data_folder() / need).is_dir()]
        if lacking:
            print(f"{name:13} SKIPPED: no {lacking[0]} at {data_folder()}; set EDGE_FD_DATA")
        elif quick:
            _try(experiment)
        else:
            fails |= not _complete(experiment, jobs)
    if not quick:
        PICTURES.mkdir(parents=True, exist_ok=True)
        told = page([experiment_of(name) for name in NAMES])
        (PICTURES / "results.md").write_text(told, encoding="utf-8")
    return not fails


def list_cells(only: str | None) -> None:
    """Print each experiment with its cells, and which of them were run."""
    for name in NAMES if only is None else (only,):
        experiment = experiment_of(name)
        found = finished(experiment)
        print(f"{name:8} {len(found)} of {len(experiment.cells)} cells: {experiment.title}")
        for cell in experiment.cells:
            took = f"{found[cell]['cpu_s']:.0f} CPU s" if cell in found else "not run"
            print(f"    {cell.name:24} {took}")


def data_folder() -> Path:
    """Where the data are, which the cells are told too."""
    os.environ.setdefault("EDGE_FD_DATA", str(HERE.parent / "shared" / "data"))
    return Path(os.environ["EDGE_FD_DATA"])


def _complete(experiment: Experiment, jobs: int) -> bool:
    done = finished(experiment)
    missing = [cell for cell in experiment.cells if cell not in done]
    for result in run_all(missing, jobs=jobs) if missing else ():
        accuracy, cpu_s = 100 * result["figures"]["accuracy"], result["cpu_s"]
        print(
            f"{experiment.name:13} {result['cell']}: {accuracy:.2f} %, {cpu_s:.0f} CPU s",
            flush=True,
        )
    claims = claims_of(experiment) or []
    if claims:
        write(experiment, claims)
    for claim in claims:
        print(f"{experiment.name:13} {tell(claim)}")
    return all(claim.holds for claim in claims)


def _try(experiment: Experiment) -> None:
    for cell in (cell for cell in experiment.cells if cell.seed == 0):
        result = run_cell(cell, short=True)
        accuracy = 100 * result["figures"]["accuracy"]
        print(f"{experiment.name:13} works {cell.name}: {accuracy:.1f} %, {result['cpu_s']} CPU s")
