"""A fleet whose students differ: processor time of its kit and of its rounds, by phase.

    python benchmarks/fleets.py [--devices 5000]

FD and DS-FL with three students in one fleet: MLPs that train (6 of 10 devices), LeNet-5 on
the same images at 28x28 (3 of 10), and MLPs that only predict (1 of 10), each trained for one
epoch on its own data on the host, so that each has a bundle file of its own. Ten 8x8 images a
device, DS-FL exchanges 20 a round; FDMA, dropout and energy on. Kit: what is made once, with
torch (``export``), and read again by each later run (``ready``). The first and the last round
are not counted; one evaluation of all devices is told beside.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections import Counter
from collections.abc import Generator
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from simulation_scale import Phases

from channel_sim import Calendar
from edge_fd import aggregator, messages, methods, participant
from edge_fd.desk import Desk
from edge_fd.evaluation import Evaluator
from edge_fd.kit import prepare
from edge_fd.recorder import Recorder
from edge_fd.scenario import Scenario
from edge_fd.simulation import simulate
from edge_fd.simulation.radio import Radio

DEVICES, METHODS = 5000, ("fd", "dsfl")
SAMPLES, SIDE, CLASSES, PROXY, TEST = 10, 8, 10, 20, 100
ROUNDS = 4
EVALUATED, QUIET = 3, 2
"""A round whose evaluation of all devices is counted, and one without."""
GROUPS = (
    {"name": "mlp", "student": "mlp"},
    {"name": "cnn", "student": "lenet5"},
    {"name": "fixed", "student": "mlp", "capability": "infer", "factory_epochs": 1},
)
SHARES = (0.6, 0.3, 0.1)


def write_data(devices: int, path: Path) -> None:
    """Noise: nothing is to be learnt here."""
    rng = np.random.default_rng(devices)
    count = SAMPLES * devices + PROXY
    x = rng.integers(0, 256, (count + TEST, SIDE, SIDE), np.uint8)
    y = rng.permutation(count + TEST) % CLASSES
    np.savez(path, x=x[:count], y=y[:count], test_x=x[count:], test_y=y[count:])


def scenario(method: str, devices: int, data: Path) -> Scenario:
    counts = [round(share * devices) for share in SHARES]
    groups = zip(GROUPS, counts, strict=True)
    return Scenario.parse(
        {
            "name": "fleet",
            "data": {"name": "npz", "path": str(data), "proxy": PROXY if method != "fd" else 0},
            "split": {"kind": "iid", "min_per_device": 1},
            "training": {"batch": SAMPLES},
            "method": {"name": method},
            "rounds": {"count": ROUNDS, "evaluate_every": EVALUATED, "quorum": 0.9},
            "devices": [{**group, "count": count, "profile": "pi4"} for group, count in groups],
            "channel": {"model": "fdma"},
            "dropout": {
                "link_up_s": 60.0,
                "link_down_s": 1.0,
                "device_up_s": 600.0,
                "device_down_s": 5.0,
            },
        }
    )


def watched(phases: Phases) -> None:
    """Split what follows into phases; what is left over is rounds and events."""
    phases.watch("model", onnxruntime.InferenceSession, "run", "__init__")
    phases.watch("compute", Desk, "answer")
    phases.watch("evaluation", Evaluator, "accuracy")
    phases.watch("channel", Calendar, "submit", "admit", "advance", "leave")
    phases.watch("channel", Radio, "wait_s")
    phases.watch("frames", messages, "encode_sized", "as_read", "decode", "message_bytes")
    phases.watch("frames", messages, "to_frame", "from_frame")
    for module in (aggregator, participant):
        phases.watch("frames", module, "decode")
    phases.watch("records", Recorder, "charge", "note", "lost", "answered", "closed", "fused")
    for name in METHODS:
        kind: Any = type(methods.create(name, {}))
        kind.fuse = fusing(phases, kind.fuse)


def fusing(phases: Phases, fuse: Any) -> Any:
    """Count a server half; what it asks for is answered within "fusion", or by the desk."""

    def counted(*values: Any) -> Generator[Any, Any, Any]:
        before = phases.enter("fusion")
        try:
            return (yield from fuse(*values))
        finally:
            phases.enter(before)

    return counted


def cpu_of(work: Any) -> float:
    begun_s = time.process_time()
    work()
    return time.process_time() - begun_s


def measure(method: str, devices: int, folder: Path, phases: Phases) -> dict[str, Any]:
    data = folder / "data.npz"
    write_data(devices, data)
    plan, bundles = scenario(method, devices, data), folder / "bundles"
    export_s = cpu_of(lambda: prepare(plan, bundles))
    ready_s = cpu_of(lambda: prepare(plan, bundles))
    marks: list[tuple[float, Counter[str]]] = []

    def mark(_record: object) -> None:
        phases.enter("rest")
        marks.append((time.process_time(), Counter(phases.seconds)))

    simulate(plan, folder / f"run-{method}", bundles=bundles, on_round=mark)

    def spent(number: int) -> tuple[float, Counter[str]]:
        (early_s, early), (late_s, late) = marks[number - 2], marks[number - 1]
        return late_s - early_s, late - early

    quiet_s, quiet = spent(QUIET)
    evaluated_s, evaluated = spent(EVALUATED)
    return {
        "bundles": len(list(bundles.glob(f"*-{method}-*"))),
        "kit_export_cpu_s": export_s,
        "kit_ready_cpu_s": ready_s,
        "round_cpu_s": quiet_s,
        "round_with_evaluation_cpu_s": evaluated_s,
        "evaluation_ms_per_device": 1e3 * (evaluated_s - quiet_s) / devices,
        "shares": {name: s / quiet.total() for name, s in sorted(quiet.items())},
        "shares_with_evaluation": {
            name: s / evaluated.total() for name, s in sorted(evaluated.items())
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--devices", type=int, default=DEVICES)
    devices = parser.parse_args().devices
    phases = Phases()
    watched(phases)
    with tempfile.TemporaryDirectory() as name:
        figures = {method: measure(method, devices, Path(name), phases) for method in METHODS}
    print(json.dumps({"devices": devices, "methods": figures}, indent=2))


if __name__ == "__main__":
    main()
