"""FD of two devices on non-IID MNIST (Jeong et al. 2018, Table 1: 0.7230 at M = 2).

Of the paper: 55,000 training images, 2,000 drawn for each device, of its
target labels (too few images) 5 kept, 16 iterations of 250 steps at batch 64, the
net of 1,199,882 parameters. The paper is silent on gamma, rate, optimiser, how
many labels are targets and whose accuracy it tells. Chosen before the first run: gamma 1, SGD
at 0.01 with momentum 0.9, the mean of both devices on all 10,000 test images,
and 2 target labels each; with 5, half of all, as the other end of the
possible, between which the published value should lie.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from edge_fd.data import load
from edge_fd.streams import stream
from validation.published.experiment import (
    Cell,
    Claim,
    Experiment,
    Mark,
    Panel,
    Results,
    Tree,
    cells_of,
    claim_of,
)

Indices = npt.NDArray[np.int64]

DEVICES, SAMPLES, KEPT, POOL = 2, 2_000, 5, 55_000
ROUNDS, STEPS, BATCH = 16, 250, 64
TARGETS = ("2", "5")
PUBLISHED = 72.30
TOLERANCE = 5.0
SOURCE = "Jeong et al. 2018, Table 1, FD, M = 2: 0.7230, of one device"


def scenario(cell: Cell) -> Tree:
    """The scenario of a cell; its parameter is the number of target labels."""
    return {
        "name": "jeong",
        "seed": cell.seed,
        "data": {"name": "npz", "proxy": 0},
        "split": {"kind": "group"},
        "training": {"optimizer": "sgd", "lr": 0.01, "momentum": 0.9, "batch": BATCH},
        "method": {"name": "fd", "fd": {"gamma": 1.0, "local_steps": STEPS}},
        "rounds": {"count": ROUNDS, "evaluate_every": 2},
        "devices": [
            {
                "count": DEVICES,
                "name": "device",
                "student": "validation.published.students:jeong_cnn",
                "profile": None,
            }
        ],
        "channel": {"model": "ideal"},
    }


def data(cell: Cell, path: Path) -> None:
    """Write the devices' samples; ``group`` is the device.

    Both draw from the last 55,000 images: the first 5,000 were the validation
    part of the usual loader of that time.
    """
    mnist = load("mnist")
    parts = [_rows(mnist.y, cell, device) for device in range(DEVICES)]
    rows, sizes = np.concatenate(parts), [len(part) for part in parts]
    np.savez(
        path,
        x=mnist.x[rows][:, None],
        y=mnist.y[rows],
        group=np.repeat(np.arange(DEVICES), sizes),
        test_x=mnist.test_x[:, None],
        test_y=mnist.test_y,
    )


def _rows(y: Indices, cell: Cell, device: int) -> Indices:
    """Rows of one device: 2,000 at random, of each target label the first 5 of them."""
    draws = stream(cell.seed, "jeong", device)
    drawn = len(y) - POOL + draws.choice(POOL, SAMPLES, replace=False)
    few = np.isin(np.arange(10), draws.permutation(10)[: int(cell.parameter)])
    rank = np.zeros(SAMPLES, np.int64)
    for label in range(10):
        of_label = y[drawn] == label
        rank[of_label] = np.arange(of_label.sum())
    return drawn[~few[y[drawn]] | (rank < KEPT)]


def judge(results: Results) -> list[Claim]:
    """The published value within five points of the first choice, and between both."""
    few, many = (results.points("fd", targets) for targets in TARGETS)
    return [
        claim_of(
            few,
            claim="fd, two devices, 2 target labels",
            oracle=PUBLISHED,
            tolerance=TOLERANCE,
            unit="points",
            source=SOURCE,
        ),
        claim_of(
            few,
            claim="fd, 2 target labels, not below the published value",
            oracle=PUBLISHED,
            tolerance=0.0,
            unit="points",
            source=SOURCE,
            relation="at least",
        ),
        claim_of(
            [-value for value in many],
            claim="fd, 5 target labels, not above the published value (both negated)",
            oracle=-PUBLISHED,
            tolerance=0.0,
            unit="points",
            source=SOURCE,
            relation="at least",
        ),
    ]


def panels(results: Results) -> list[Panel]:
    """Accuracy against iterations."""
    lines = [results.line(f"fd, {targets} target labels", "fd", targets) for targets in TARGETS]
    return [Panel("two devices", "round", lines, [Mark(lines[0].label, ROUNDS, PUBLISHED)])]


EXPERIMENT = Experiment(
    name="jeong",
    title="FD of two devices on non-IID MNIST (Jeong et al., Table 1)",
    needs=("mnist",),
    cells=cells_of("jeong", ("fd",), TARGETS, seeds=1),
    scores="devices",
    scenario=scenario,
    judge=judge,
    panels=panels,
    data=data,
)
