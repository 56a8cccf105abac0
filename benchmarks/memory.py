"""What a whole simulation takes in memory: highest PSS of all its processes.

    python benchmarks/memory.py [CASE ...]

``yardstick`` is the yardstick's FedAvg of 100 devices (44,426 parameters) with radio, dropout
and energy; ``fd`` and ``fedavg`` are 10,000 devices with the built-in MLP 64-128-10 (9,610
parameters) and 20 samples of 64 features each, two rounds. All with two workers. The bundle is
made by a run that is not measured, but for ``export``: the yardstick again, with torch.

``bytes_per_device`` of the fleets: what Python and numpy allocated in one process and hold
after round 1 of 1,000 devices, by the file that asked for it (tracemalloc), the largest first.
Not in it: modules, sessions, and weights after training (4 bytes a parameter), which lie in
the arena of ONNX Runtime.
"""

from __future__ import annotations

import argparse
import gc
import json
import shutil
import sys
import tempfile
import tracemalloc
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pss
import yardstick

from edge_fd.scenario import Scenario
from edge_fd.simulation import simulate

WORKERS, ROUNDS = 2, 2
FLEET, SMALL_FLEET = 10_000, 1000
SAMPLES, FEATURES, CLASSES = 20, 64, 10
TEST = 200
CASES = ("yardstick", "export", "fd", "fedavg")
ROOT = Path(__file__).parent.parent
LARGEST = 12
"""How many of the files that allocate are told."""


def write_data(devices: int, path: Path) -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((SAMPLES * devices, FEATURES), np.float32)
    y = rng.permutation(len(x)) % CLASSES
    np.savez(path, x=x, y=y, test_x=x[:TEST], test_y=y[:TEST])


def fleet(method: str, devices: int, folder: Path) -> Scenario:
    # The name of the data file is part of a bundle's, so both fleets have one.
    data = folder / f"{devices}" / "data.npz"
    data.parent.mkdir(exist_ok=True)
    write_data(devices, data)
    return Scenario.parse(
        {
            "name": "memory",
            "data": {"name": "npz", "path": str(data), "proxy": 0},
            "split": {"kind": "iid", "min_per_device": 1},
            "training": {"batch": SAMPLES},
            "method": {"name": method},
            "rounds": {"count": ROUNDS, "evaluate_every": 1000, "quorum": 0.9},
            "devices": [{"name": "dev", "count": devices, "student": "mlp", "profile": "pi4"}],
            "channel": {"model": "fdma"},
            "dropout": {
                "link_up_s": 60.0,
                "link_down_s": 1.0,
                "device_up_s": 600.0,
                "device_down_s": 5.0,
            },
        }
    )


def one_case(case: str, devices: int, folder: Path) -> None:
    """A simulation, in this process and its workers."""
    if case in ("yardstick", "export"):
        yardstick.write_data(folder)
        scenario = yardstick.scenario(folder)
    else:
        scenario = fleet(case, devices, folder)
    with tempfile.TemporaryDirectory() as run:
        simulate(scenario, Path(run) / "run", bundles=folder / "bundles", workers=WORKERS)


def peak(case: str, folder: Path) -> pss.Peak:
    """Run a case in a process of its own and watch it."""
    devices = FLEET if case in ("fd", "fedavg") else yardstick.CLIENTS
    return pss.watch(command(case, devices, folder))[1]


def command(case: str, devices: int, folder: Path) -> list[str]:
    own = ["--case", case, "--devices", str(devices), "--folder", str(folder)]
    return [sys.executable, __file__, *own]


def parts(method: str, folder: Path) -> dict[str, float]:
    """Bytes for each device by file, after the first round and in this process."""
    found: Counter[str] = Counter()
    scenario = fleet(method, SMALL_FLEET, folder)

    def count(record: Any) -> None:
        if record.round > 1:
            return
        gc.collect()
        for line in tracemalloc.take_snapshot().statistics("filename"):
            file = Path(line.traceback[0].filename)
            name = file.relative_to(ROOT) if file.is_relative_to(ROOT) else Path(*file.parts[-2:])
            found[str(name)] = line.size
        tracemalloc.stop()

    tracemalloc.start()
    with tempfile.TemporaryDirectory() as run:
        simulate(scenario, Path(run) / "run", bundles=folder / "bundles", on_round=count)
    return {name: size / SMALL_FLEET for name, size in found.most_common(LARGEST)}


def measure(cases: list[str]) -> dict[str, Any]:
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for case in cases:
            bundles = folder / "bundles"
            if case == "export":
                shutil.rmtree(bundles, ignore_errors=True)
            else:
                first = yardstick.CLIENTS if case == "yardstick" else WORKERS
                pss.watch(command(case, first, folder))
            figures[case] = asdict(peak(case, folder))
            if case in ("fd", "fedavg"):
                figures[case]["bytes_per_device"] = parts(case, folder)
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("name", nargs="*", metavar="CASE", help=", ".join(CASES))
    parser.add_argument("--case", choices=CASES, help=argparse.SUPPRESS)
    parser.add_argument("--devices", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.case:
        one_case(options.case, options.devices, options.folder)
        return
    unknown = [name for name in options.name if name not in CASES]
    if unknown:
        parser.error(f"no case {unknown[0]!r}; there are: {', '.join(CASES)}")
    print(json.dumps(measure(options.name or list(CASES)), indent=2))


if __name__ == "__main__":
    main()
