"""Labels of one bit, whole or as changes, against probabilities (Sattler et al. 2022, CFD).

Our own protocol, after their text: 10 devices hold at most 1,000 images of
Fashion-MNIST each (Dirichlet, alpha = 1), 2,000 training images are the public
set, all take part, Adam at 0.001 and 2 epochs for everything, LeNet-5. The
float32 side is DS-FL with the plain average, whose devices go on from round to
round; those of CFD begin anew, as they do in the paper. CFD with eight bits
stands beside, so that what one bit costs is told apart from what beginning anew
costs. What counts is the server's student.
"""

from __future__ import annotations

import math
import statistics

from validation.published.experiment import (
    Cell,
    Claim,
    Experiment,
    Panel,
    Results,
    Tree,
    cells_of,
    claim_of,
)

ROUNDS, PROXY, CLASSES, SEEDS = 20, 2_000, 10, 3
EPOCHS = {"local_epochs": 2, "distil_epochs": 2, "server_epochs": 2}
FORMS = {
    ("dsfl", "float32"): {**EPOCHS, "temperature": 0.0},
    ("cfd", "whole"): {**EPOCHS, "up_bits": 1, "delta": False},
    ("cfd", "delta"): {**EPOCHS, "up_bits": 1, "delta": True},
    ("cfd", "fine"): {**EPOCHS, "up_bits": 8, "delta": False},
}
LOSS = 1.0
"""Points of accuracy that one bit may cost: the paper has less on MNIST at 51,200 samples."""
FEWER = 25.0
SOURCE = "Sattler et al. 2022, section on quantisation"


def scenario(cell: Cell) -> Tree:
    """The scenario of a cell; its parameter is the form of the labels."""
    return {
        "name": "cfd",
        "seed": cell.seed,
        "data": {"name": "fashion_mnist", "proxy": PROXY},
        "split": {"kind": "dirichlet", "alpha": 1.0, "max_per_device": 1_000},
        "training": {"optimizer": "adam", "lr": 0.001, "batch": 32},
        "method": {"name": cell.method, cell.method: FORMS[cell.method, cell.parameter]},
        "rounds": {"count": ROUNDS, "evaluate_every": ROUNDS},
        "devices": [{"count": 10, "student": "lenet5", "profile": None}],
        "server": {"student": "lenet5"},
        "channel": {"model": "ideal"},
    }


def bytes_to(run: Tree, accuracy: float) -> float:
    """Payload bytes that a device had sent when the server first got so far; inf for never."""
    curve = run["curve"]
    pairs = zip(curve["up_bytes"], curve["accuracy"], strict=True)
    return next((sent for sent, reached in pairs if reached >= accuracy), math.inf)


def savings(results: Results, form: str) -> list[float]:
    """Bytes of float32 over those of labels, each until float32's accuracy less a point."""
    found = []
    pairs = zip(results.runs("dsfl", "float32"), results.runs("cfd", form), strict=True)
    for plain, coded in pairs:
        target = plain["figures"]["accuracy"] - LOSS / 100
        found.append(bytes_to(plain, target) / bytes_to(coded, target))
    return found


def judge(results: Results) -> list[Claim]:
    """As accurate within a point, at a twenty-fifth of the bytes; less still as changes."""
    points = {key: results.points(*key) for key in FORMS}
    whole, fine = points["cfd", "whole"], points["cfd", "fine"]
    plain = points["dsfl", "float32"]
    total = {
        form: [run["figures"]["up_payload_bytes"] for run in results.runs("cfd", form)]
        for form in ("whole", "delta")
    }
    ratios = [a / b for a, b in zip(total["whole"], total["delta"], strict=True)]
    apart = [a - b for a, b in zip(whole, points["cfd", "delta"], strict=True)]
    bound = {"relation": "at least", "tolerance": 0.0, "source": SOURCE}
    return [
        claim_of(
            [a - b for a, b in zip(whole, plain, strict=True)],
            claim="accuracy of one bit above that of float32",
            oracle=0.0,
            unit="points",
            **{**bound, "tolerance": LOSS},
        ),
        claim_of(
            [a - b for a, b in zip(whole, fine, strict=True)],
            claim="accuracy of one bit above that of eight bits, all else equal",
            oracle=0.0,
            unit="points",
            **{**bound, "tolerance": LOSS},
        ),
        *(
            claim_of(
                savings(results, form),
                claim=f"bytes up of float32 over one bit, {form}, to float32's accuracy less"
                f" {LOSS:g} point",
                oracle=FEWER,
                unit="times",
                **bound,
            )
            for form in total
        ),
        claim_of(
            ratios,
            claim="bytes up of whole labels over changes, all rounds",
            oracle=1.0,
            unit="times",
            **bound,
        ),
        claim_of(
            apart,
            claim="accuracy of whole labels above that of changes: the same labels",
            oracle=0.0,
            tolerance=0.0,
            unit="points",
            source="delta coding loses nothing (eq. 13)",
        ),
    ]


def notes(results: Results) -> list[str]:
    """What the curves say beside the claims: bytes to where the coded labels end."""
    reached = statistics.fmean(results.points("cfd", "whole")) - LOSS
    found = []
    for key in FORMS:
        sent = [bytes_to(run, reached / 100) for run in results.runs(*key)]
        told = f"{statistics.fmean(sent):,.0f}" if math.isfinite(max(sent)) else "never in a seed"
        found.append(f"{' '.join(key)}: {told} payload bytes up of a device to {reached:.1f} %")
    why = (
        "CFD's devices begin anew in each round and see 2 epochs of 2,000 labelled images and 2 of"
        " their own; those of DS-FL go on: the row of eight bits says what that costs without"
        " the bit"
    )
    return [*found, why]


def panels(results: Results) -> list[Panel]:
    """The server's accuracy against rounds, and against bytes."""
    names = {key: " ".join(key) for key in FORMS}
    return [
        Panel("rounds", "round", [results.line(n, *k) for k, n in names.items()]),
        Panel(
            "bytes",
            "payload bytes up of a device",
            [results.line(n, *k, x="up_bytes") for k, n in names.items()],
            log_x=True,
        ),
    ]


EXPERIMENT = Experiment(
    name="cfd",
    title="Labels of one bit against probabilities, Fashion-MNIST, 10 devices (after CFD)",
    needs=("fashion_mnist",),
    cells=tuple(
        cell for method, form in FORMS for cell in cells_of("cfd", (method,), (form,), SEEDS)
    ),
    scores="server",
    scenario=scenario,
    judge=judge,
    panels=panels,
    notes=notes,
)
