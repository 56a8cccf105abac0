"""FedAvg in edge-fd against the plain torch loop, Flower 1.41's simulation and pfl-research 0.6.

    python benchmarks/rivals.py [--passes 3] [--net conv mlp]
    python benchmarks/rivals.py --only flower --net conv

One task for all (rivals/task.py), each side a fresh process, all sides in turn in each pass; the
sides are the scripts in rivals/. Ours runs with channel, dropout and energy on, the others
without, since they have none. The rivals have an environment of their own, made at the first
run in rivals/.venv (1.6 GB) from rivals/constraints.txt; they are no dependency of edge-fd.

What is told of each side, as the median of the passes: seconds from the start of the process to
the end of round 1; updates/s in the best round and over all three, counted from the call into
the framework; CPU milliseconds for each update, all processes together, in the better of
rounds 2 and 3; the highest PSS of all processes together, from one more run that comes first
and is not timed. Wall times suffer where the machine is busy, CPU times hardly.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import venv
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pss

HERE = Path(__file__).parent
FOLDER = HERE / "rivals"
VENV, CONSTRAINTS = FOLDER / ".venv", FOLDER / "constraints.txt"
ROOTS = ("flwr[simulation]", "pfl", "torch")
NETS = ("conv", "mlp")
CORES = 2


@dataclass(frozen=True)
class Side:
    """A script of rivals/, how many processes compute, and whether it has the rivals' venv."""

    script: str
    workers: int
    apart: bool = True


SIDES = {
    "plain": Side("plain_fedavg.py", 1, apart=False),
    "ours": Side("ours_fedavg.py", CORES, apart=False),
    "flower": Side("flower_fedavg.py", CORES),
    "pfl": Side("pfl_fedavg.py", 1),
    "pfl_2": Side("pfl_fedavg.py", CORES),
}
RIVALS = tuple(name for name in SIDES if name != "ours")


def rivals_python() -> Path:
    """Return the interpreter of the rivals' environment, made where it is missing or old."""
    python = VENV / "bin" / "python"
    stamp, wanted = VENV / ".installed", CONSTRAINTS.read_text()
    if not stamp.exists() or stamp.read_text() != wanted:
        venv.create(VENV, with_pip=True, clear=True)
        command = [python, "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
        subprocess.run([*command, "-c", CONSTRAINTS, *ROOTS], check=True, stdout=sys.stderr)
        stamp.write_text(wanted)
    return python


def environment() -> dict[str, str]:
    """Own modules found, one thread each, nothing told to anyone."""
    return os.environ | {
        "PYTHONPATH": str(HERE),
        "OMP_NUM_THREADS": "1",
        "FLWR_TELEMETRY_ENABLED": "0",
        "RAY_USAGE_STATS_ENABLED": "0",
    }


def command(side: Side, net: str, folder: Path) -> list[str]:
    folder = folder / net
    folder.mkdir(exist_ok=True)
    python = rivals_python() if side.apart else sys.executable
    options = ["--net", net, "--workers", str(side.workers), "--folder", str(folder)]
    return [str(python), str(FOLDER / side.script), *options]


def timed(side: Side, net: str, folder: Path) -> dict[str, Any]:
    run = subprocess.run(
        command(side, net, folder), env=environment(), check=True, stdout=subprocess.PIPE, text=True
    )
    figures: dict[str, Any] = json.loads(run.stdout.splitlines()[-1])
    return figures | {"load": os.getloadavg()[0]}


def compare(net: str, passes: int, folder: Path) -> dict[str, Any]:
    """All sides in turn, with the order turned by one from pass to pass."""
    timed(SIDES["ours"], net, folder)  # makes the bundle, which takes torch
    peaks = {
        name: pss.watch(command(side, net, folder), environment())[1]
        for name, side in SIDES.items()
    }
    taken: dict[str, list[dict[str, Any]]] = {name: [] for name in SIDES}
    names = list(SIDES)
    for number in range(passes):
        turn = number % len(names)
        for name in names[turn:] + names[:turn]:
            taken[name].append(timed(SIDES[name], net, folder))
    medians = {
        name: {figure: statistics.median(one[figure] for one in found) for figure in found[0]}
        | {"peak_pss": asdict(peaks[name])}
        for name, found in taken.items()
    }
    return {"medians": medians, "ratios": ratios(taken), "by_pass": taken}


def ratios(taken: dict[str, list[dict[str, Any]]]) -> dict[str, dict[str, float]]:
    """Ours against each other side within each pass, then the median: above 1 ours is better."""

    def median(figure: str, rival: str, power: int) -> float:
        pairs = zip(taken["ours"], taken[rival], strict=True)
        return statistics.median((ours[figure] / theirs[figure]) ** power for ours, theirs in pairs)

    return {
        rival: {
            "updates_per_s_best": median("updates_per_s_best", rival, 1),
            "updates_per_s_all": median("updates_per_s_all", rival, 1),
            "cpu_per_update": median("cpu_ms_per_update", rival, -1),
            "start_to_round_1": median("start_to_round_1_s", rival, -1),
        }
        for rival in RIVALS
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--passes", type=int, default=3)
    parser.add_argument("--net", choices=NETS, nargs="+", default=NETS)
    parser.add_argument("--only", choices=SIDES, help="run one side once")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        figures: dict[str, Any] = {"passes": options.passes, "nets": {}}
        if options.only:
            figures = {net: timed(SIDES[options.only], net, folder) for net in options.net}
        else:
            for net in options.net:
                figures["nets"][net] = compare(net, options.passes, folder)
    print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
