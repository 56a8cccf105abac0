"""Exchanges made rarer: tau local rounds for each (Wu et al. 2023, ALU).

Our own protocol, since the paper's numbers are not known to us: FD and DS-FL
on UCI HAR, each of 10 devices a subject with at most 200 windows, a 1-D CNN,
200 public windows, 40 local rounds of one epoch in all. Equal local work are
the ends of the curves, equal bytes their fourth exchanges.
"""

from __future__ import annotations

import statistics

from validation.published.experiment import (
    Cell,
    Claim,
    Experiment,
    Line,
    Panel,
    Results,
    Tree,
    cells_of,
    claim_of,
)

WORK, TAUS, EVERY = 40, ("1", "2", "5", "10"), 4
"""Local rounds in all; exchanges between evaluations, all there are at the largest tau."""
METHODS = ("alu+fd", "alu+dsfl")
SOURCE = "one exchange for tau local rounds: arithmetic"


def scenario(cell: Cell) -> Tree:
    """The scenario of a cell; its parameter is tau."""
    tau, inner = int(cell.parameter), cell.method.removeprefix("alu+")
    return {
        "name": "alu",
        "seed": cell.seed,
        "data": {"name": "uci_har", "proxy": 200},
        "split": {"kind": "group", "max_per_device": 200},
        "training": {"optimizer": "sgd", "lr": 0.02, "momentum": 0.9, "batch": 32},
        "method": {"name": cell.method, "alu": {"rounds": tau}, inner: {"local_epochs": 1}},
        "rounds": {"count": WORK // tau, "evaluate_every": EVERY},
        "devices": [{"count": 10, "student": "har_cnn", "profile": None}],
        "channel": {"model": "ideal"},
    }


def judge(results: Results) -> list[Claim]:
    """Payload up and down of tau = 1 is exactly tau times that of tau."""
    claims = []
    for method in METHODS:
        once = results.runs(method, TAUS[0])
        for tau in TAUS[1:]:
            for way in ("up", "down"):
                key = f"{way}_payload_bytes"
                pairs = zip(once, results.runs(method, tau), strict=True)
                claims.append(
                    claim_of(
                        [a["figures"][key] / b["figures"][key] for a, b in pairs],
                        claim=f"{method}: payload {way} at tau = 1 over that at tau = {tau}",
                        oracle=float(tau),
                        tolerance=0.0,
                        unit="times",
                        source=SOURCE,
                    )
                )
    return claims


def notes(results: Results) -> list[str]:
    """Accuracies at equal local work, and after equally many bytes."""
    found = []
    for method in METHODS:
        for tau in TAUS:
            fourth = [100 * run["curve"]["accuracy"][0] for run in results.runs(method, tau)]
            last = results.points(method, tau)
            found.append(
                f"{method}, tau = {tau}: {statistics.fmean(last):.2f} % after {WORK} local rounds,"
                f" {statistics.fmean(fourth):.2f} % after {EVERY} exchanges"
            )
    return found


def panels(results: Results) -> list[Panel]:
    """Of each method the mean accuracy of the devices against local rounds and against bytes."""
    found = []
    for method in METHODS:
        lines = {tau: results.line(f"tau = {tau}", method, tau) for tau in TAUS}
        sent = [results.line(f"tau = {tau}", method, tau, x="up_bytes") for tau in TAUS]
        worked = [
            Line(line.label, [int(tau) * x for x in line.x], line.y) for tau, line in lines.items()
        ]
        found.append(Panel(f"{method}: local work", "local rounds", worked))
        found.append(Panel(f"{method}: bytes", "payload bytes up of a device", sent, log_x=True))
    return found


EXPERIMENT = Experiment(
    name="alu",
    title="FD and DS-FL with rarer exchanges, UCI HAR, 10 devices (after ALU)",
    needs=("uci_har",),
    cells=cells_of("alu", METHODS, TAUS, seeds=3),
    scores="devices",
    scenario=scenario,
    judge=judge,
    panels=panels,
    notes=notes,
    last=1,
)
