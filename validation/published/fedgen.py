"""FedAvg and FedProx on MNIST as FedGen's Table 1 has them (Zhu, Hong, Zhou, ICML 2021).

20 users of whom 10 are asked in each of 200 rounds, 20 steps of batch 32, SGD
at 0.01 * 0.99**round, partition and test images of the authors' generator,
pixels in [-1, 1]. FedProx is theirs: mu = 1 and a weight decay of 0.001.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from edge_fd.data import load
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
from validation.published.partition import fedgen_partition

ROUNDS, STEPS = 200, 20
PUBLISHED = {
    ("fedavg", "0.05"): (87.70, 2.07),
    ("fedavg", "0.1"): (90.16, 0.59),
    ("fedavg", "1"): (93.84, 0.25),
    ("fedprox", "0.05"): (87.49, 2.05),
    ("fedprox", "0.1"): (90.10, 0.39),
    ("fedprox", "1"): (93.83, 0.29),
}
"""Mean and standard deviation of three runs, points: Table 1, MNIST."""
ALPHAS = ("0.05", "0.1", "1")
LEAST_TOLERANCE, DEVIATIONS = 1.5, 1.6
"""A claim tolerates the larger of this many points and published standard deviations."""
SETTINGS: dict[str, Tree] = {
    "fedavg": {"local_steps": STEPS},
    "fedprox": {"local_steps": STEPS, "mu": 1.0, "weight_decay": 0.001},
}


def scenario(cell: Cell) -> Tree:
    """The scenario of a cell; its parameter is alpha."""
    return {
        "name": "fedgen",
        "seed": cell.seed,
        "data": {"name": "npz", "proxy": 0},
        "split": {"kind": "group"},
        "training": {
            "optimizer": "sgd",
            "lr": 0.01,
            "lr_decay": 0.99,
            "momentum": 0.0,
            "batch": 32,
        },
        "method": {"name": cell.method, cell.method: SETTINGS[cell.method]},
        "rounds": {"count": ROUNDS, "participation": 0.5, "evaluate_every": ROUNDS},
        "devices": [
            {
                "count": 20,
                "name": "user",
                "student": "validation.published.students:fedgen_cnn",
                "profile": None,
            }
        ],
        "channel": {"model": "ideal"},
    }


def data(cell: Cell, path: Path) -> None:
    """Write the partition of the cell's alpha; ``group`` is the user."""
    mnist = load("mnist")
    part = fedgen_partition(mnist.y, mnist.test_y, alpha=float(cell.parameter))
    np.savez(
        path,
        x=mnist.x[part.train][:, None],
        y=mnist.y[part.train],
        group=part.user,
        test_x=mnist.test_x[part.test][:, None],
        test_y=mnist.test_y[part.test],
        scale=2 / 255,
        offset=-1.0,
    )


def judge(results: Results) -> list[Claim]:
    """The mean of three seeds against Table 1."""
    return [
        claim_of(
            results.points(name, alpha),
            claim=f"{name}, alpha = {alpha}",
            oracle=mean,
            tolerance=max(LEAST_TOLERANCE, DEVIATIONS * sd),
            unit="points",
            source=f"Zhu et al. 2021, Table 1, MNIST: {mean:.2f} ± {sd:.2f}",
        )
        for (name, alpha), (mean, sd) in PUBLISHED.items()
    ]


def panels(results: Results) -> list[Panel]:
    """Accuracy against rounds, one panel for each alpha."""
    return [
        Panel(
            f"alpha = {alpha}",
            "round",
            [results.line(name, name, alpha) for name in SETTINGS],
            [Mark(name, ROUNDS, *PUBLISHED[name, alpha]) for name in SETTINGS],
        )
        for alpha in ALPHAS
    ]


EXPERIMENT = Experiment(
    name="fedgen",
    title="FedAvg and FedProx on MNIST, 20 users, 10 a round (FedGen, Table 1)",
    needs=("mnist",),
    cells=cells_of("fedgen", tuple(SETTINGS), ALPHAS, seeds=3),
    scores="server",
    scenario=scenario,
    judge=judge,
    panels=panels,
    data=data,
)
