"""Milliseconds of one training step: exported graph in ONNX Runtime against eager torch.

One thread, batch 32, cross-entropy, SGD with momentum. CPU time of the process,
median of 200 steps, the two taken in turns so that a busy machine hurts both.
Both sides get arrays of their own kind and return the loss as a number.

    python benchmarks/training_step.py > training_step.json
"""

from __future__ import annotations

import json
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch

from devices.preprocess import Preprocess
from devices.student import Student
from edge_fd.exporter import export_bundle
from edge_fd.losses import CROSS_ENTROPY
from edge_fd.students import build

SHAPES = {
    "mlp": ((784,), 10),
    "lenet5": ((1, 28, 28), 10),
    "har_cnn": ((9, 128), 6),
    "dscnn": ((1, 49, 10), 12),
    "gru": ((9, 128), 6),
}
BATCH, STEPS, WARM_UP = 32, 200, 10
LR, MOMENTUM = 0.01, 0.9


def onnx_step(name: str, x: np.ndarray[Any, Any], y: np.ndarray[Any, Any]) -> Callable[[], float]:
    """Return one step through the device runtime, carrying its state along."""
    shape, classes = SHAPES[name]
    with tempfile.TemporaryDirectory() as folder:
        bundle = export_bundle(
            Path(folder, "student.efdb"),
            name,
            {"local": CROSS_ENTROPY},
            module=build(name, shape, classes, seed=0),
            input_shape=shape,
            classes=classes,
            preprocess=Preprocess(1, 0, shape),
            method={},
            lr=LR,
            momentum=MOMENTUM,
            batch=BATCH,
        )
    student = Student(bundle)
    state = student.initial

    def step() -> float:
        nonlocal state
        done = student.step(state, "local", x, {"y": y}, lr=LR, momentum=MOMENTUM)
        state = done.state
        return done.loss

    return step


def torch_step(name: str, x: np.ndarray[Any, Any], y: np.ndarray[Any, Any]) -> Callable[[], float]:
    """Return one step of eager torch as one would write it by hand."""
    shape, classes = SHAPES[name]
    module = build(name, shape, classes, seed=0)
    optimiser = torch.optim.SGD(module.parameters(), lr=LR, momentum=MOMENTUM)
    inputs, targets = torch.from_numpy(x), torch.from_numpy(y)

    def step() -> float:
        optimiser.zero_grad()
        loss = torch.nn.functional.cross_entropy(module(inputs), targets)
        loss.backward()
        optimiser.step()
        return float(loss.item())

    return step


def milliseconds(step: Callable[[], float]) -> float:
    """Return the CPU time of one step."""
    start = time.process_time()
    step()
    return 1e3 * (time.process_time() - start)


def measure(name: str) -> dict[str, float]:
    """Return the medians of both sides and their ratio."""
    shape, classes = SHAPES[name]
    rng = np.random.default_rng(0)
    x = rng.standard_normal((BATCH, *shape)).astype(np.float32)
    y = np.eye(classes, dtype=np.float32)[rng.integers(0, classes, BATCH)]
    sides = {"onnxruntime_ms": onnx_step(name, x, y), "torch_ms": torch_step(name, x, y)}
    taken: dict[str, list[float]] = {side: [] for side in sides}
    for turn in range(WARM_UP + STEPS):
        for side, step in sides.items():
            spent = milliseconds(step)
            if turn >= WARM_UP:
                taken[side].append(spent)
    medians = {side: statistics.median(values) for side, values in taken.items()}
    return {**medians, "ratio": medians["onnxruntime_ms"] / medians["torch_ms"]}


def main() -> None:
    """Measure all built-in students and print JSON."""
    torch.set_num_threads(1)
    report = {
        "benchmark": "training_step",
        "machine": platform.machine(),
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "onnxruntime": onnxruntime.__version__,
        },
        "batch": BATCH,
        "steps": STEPS,
        "students": {name: measure(name) for name in SHAPES},
    }
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
