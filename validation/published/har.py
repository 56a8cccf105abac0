"""FedMD and FedAKD on UCI HAR, close to the notebooks of gadm21/FedAKD.

As there: 10 parties with nets of their own, 20 samples of each class that a
party has (six in the IID case, else those of ``CLASSES``), 100 public rows, 50
iterations of 2 private epochs at batch 32 and one to digest, the official test
part. Unlike there: raw windows instead of 561 features, two kinds of nets
instead of ten sizes of one, Adam at 0.001 for all instead of a draw that makes
some parties fail, accuracy weights from the public rows instead of the test
part, and a local baseline that trains as long as the others. So the ordering
is what can be held against theirs, not the values.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

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

PARTIES, EACH, PUBLIC, ROUNDS, EVERY = 10, 20, 100, 50, 5
CLASSES = (
    (0, 1, 2, 3, 4),
    (0, 1, 4, 5),
    (2, 3, 4),
    (0, 2, 3),
    (1, 2, 3, 5),
    (0, 1, 3, 4, 2),
    (0, 1, 2),
    (0, 1, 2, 3, 5),
    (0, 3, 4, 5),
    (1, 2, 5),
)
"""Classes of each party in the non-IID case, of the authors' notebook."""
METHODS = {
    "local": {"local_epochs": 2},
    "fedmd": {"transfer_epochs": 0, "local_epochs": 2, "digest_epochs": 1},
    "fedakd": {"transfer_epochs": 0, "local_epochs": 2, "digest_epochs": 1},
}
SPLITS = ("iid", "non-iid")
STUDENTS = (("har_cnn", 5), ("mlp", 5))
CSV = {
    "local": (72.35, 39.51),
    "fedmd": (78.51, 60.28),
    "fedakd": (82.12, 63.29),
}
"""Final accuracies, IID and not, means over 10 parties, of the repository's CSV files."""
SOURCE = "gadm21/FedAKD, results/*.csv: means over 10 parties"


def scenario(cell: Cell) -> Tree:
    """The scenario of a cell; its parameter is the split."""
    return {
        "name": "har",
        "seed": cell.seed,
        "data": {"name": "npz", "proxy": PUBLIC},
        "split": {"kind": "group"},
        "training": {"optimizer": "adam", "lr": 0.001, "batch": 32},
        "method": {"name": cell.method, cell.method: METHODS[cell.method]},
        "rounds": {"count": ROUNDS, "evaluate_every": EVERY},
        "devices": [
            {"count": count, "student": student, "profile": None} for student, count in STUDENTS
        ],
        "channel": {"model": "ideal"},
    }


def data(cell: Cell, path: Path) -> None:
    """Write the parties' samples and the public rows; ``group`` is the party.

    Public rows are drawn from the training part at random, then the parties'
    samples from the rest; no row is drawn twice.
    """
    whole = load("uci_har")
    draws = stream(cell.seed, "har", cell.parameter)
    order = draws.permutation(len(whole.y))
    public, rest = order[:PUBLIC], order[PUBLIC:]
    waiting = {label: list(rest[whole.y[rest] == label]) for label in range(whole.classes)}
    rows, group = [], []
    for party in draws.permutation(PARTIES):
        labels = range(whole.classes) if cell.parameter == "iid" else CLASSES[party]
        mine = [waiting[label].pop() for label in labels for _ in range(EACH)]
        rows += mine
        group += [party] * len(mine)
    np.savez(
        path,
        x=whole.x[rows],
        y=whole.y[rows],
        group=np.array(group),
        test_x=whole.test_x,
        test_y=whole.test_y,
        proxy_x=whole.x[public],
        proxy_y=whole.y[public],
        class_names=np.array(whole.class_names),
    )


def gain(results: Results, more: str, less: str, split: str) -> list[float]:
    """How many points one method is above another, of each seed."""
    pairs = zip(results.points(more, split), results.points(less, split), strict=True)
    return [high - low for high, low in pairs]


def judge(results: Results) -> list[Claim]:
    """FedAKD >= FedMD > local, and more to gain where classes are missing."""
    claims = []
    for place, split in enumerate(SPLITS):
        for more, less in (("fedmd", "local"), ("fedakd", "fedmd")):
            theirs = CSV[more][place] - CSV[less][place]
            claims.append(
                _bound(
                    gain(results, more, less, split),
                    f"{more} above {less}, {split}",
                    f"{SOURCE}: {theirs:+.2f}",
                )
            )
    for name in ("fedmd", "fedakd"):
        pairs = zip(*(gain(results, name, "local", split) for split in SPLITS), strict=True)
        iid, skewed = (CSV[name][place] - CSV["local"][place] for place in range(len(SPLITS)))
        claims.append(
            _bound(
                [far - near for near, far in pairs],
                f"{name} gains more over local in non-iid than in iid",
                f"{SOURCE}: {skewed:+.2f} against {iid:+.2f}",
            )
        )
    return claims


def _bound(values: list[float], claim: str, source: str) -> Claim:
    return claim_of(
        values,
        claim=claim,
        oracle=0.0,
        tolerance=0.0,
        unit="points",
        source=source,
        relation="at least",
    )


def panels(results: Results) -> list[Panel]:
    """Accuracy against rounds, one panel for each split; marks are theirs, of other nets."""
    return [
        Panel(
            split,
            "round",
            [results.line(name, name, split) for name in METHODS],
            [Mark(name, ROUNDS, CSV[name][place]) for name in METHODS],
        )
        for place, split in enumerate(SPLITS)
    ]


EXPERIMENT = Experiment(
    name="har",
    title="FedMD and FedAKD on UCI HAR, 10 parties (ordering of gadm21/FedAKD)",
    needs=("uci_har",),
    cells=cells_of("har", tuple(METHODS), SPLITS, seeds=3),
    scores="devices",
    scenario=scenario,
    judge=judge,
    panels=panels,
    data=data,
)
