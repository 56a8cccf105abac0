"""What an experiment is: cells, a scenario for each of them, claims, panels of a picture.

A cell is one run: experiment, method, parameter, seed. Its result is plain
JSON with a curve (one entry for each evaluation) and the figures drawn from it.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

Tree: TypeAlias = dict[str, Any]
Relation: TypeAlias = Literal["within", "at least"]


@dataclass(frozen=True, order=True)
class Cell:
    """One run of an experiment."""

    experiment: str
    method: str
    parameter: str
    seed: int

    @property
    def name(self) -> str:
        """Name of its file: letters, digits, points and hyphens."""
        words = (self.method, self.parameter, f"s{self.seed}")
        return "-".join(word.replace("+", "-") for word in words)


@dataclass(frozen=True)
class Claim:
    """One statement that the runs bear out or not.

    ``ours`` is a mean over ``seeds`` runs and ``sd`` their standard deviation;
    ``oracle`` is the published value, or the bound. Accuracies are in points.
    """

    claim: str
    ours: float
    sd: float
    seeds: int
    oracle: float
    tolerance: float
    unit: str
    source: str
    relation: Relation = "within"

    @property
    def holds(self) -> bool:
        """Whether ours is within the tolerance, or not further below the bound."""
        if self.relation == "at least":
            return self.ours >= self.oracle - self.tolerance
        return abs(self.ours - self.oracle) <= self.tolerance

    def record(self) -> Tree:
        """The claim as plain values."""
        return {**asdict(self), "holds": self.holds}


@dataclass(frozen=True)
class Line:
    """A curve with its seeds: ``x`` (points,), ``y`` (seeds, points) in per cent."""

    label: str
    x: Sequence[float]
    y: Sequence[Sequence[float]]


@dataclass(frozen=True)
class Mark:
    """A published value: at ``x``, ``y`` ± ``sd``, in the colour of the line called ``label``."""

    label: str
    x: float
    y: float
    sd: float = 0.0


@dataclass(frozen=True)
class Panel:
    """One pair of axes."""

    title: str
    x_label: str
    lines: Sequence[Line]
    marks: Sequence[Mark] = ()
    log_x: bool = False


class Results:
    """The finished cells of one experiment."""

    def __init__(self, found: Mapping[Cell, Tree]) -> None:
        self._found = found

    def runs(self, method: str, parameter: str) -> list[Tree]:
        """Results of a method and parameter, in the order of the seeds."""
        return [
            self._found[cell]
            for cell in sorted(self._found)
            if (cell.method, cell.parameter) == (method, parameter)
        ]

    def points(self, method: str, parameter: str) -> list[float]:
        """Accuracy of each seed, in per cent."""
        return [100 * run["figures"]["accuracy"] for run in self.runs(method, parameter)]

    def line(self, label: str, method: str, parameter: str, x: str = "round") -> Line:
        """The accuracy of all seeds against a column of their curves."""
        curves = [run["curve"] for run in self.runs(method, parameter)]
        xs = [statistics.fmean(values) for values in zip(*(c[x] for c in curves), strict=True)]
        return Line(label, xs, [[100 * value for value in c["accuracy"]] for c in curves])


@dataclass(frozen=True)
class Experiment:
    """A published experiment.

    ``scenario`` gives the tree of a cell, without ``data.path`` where ``data``
    writes a data file for it.
    ``scores`` is whose accuracy counts: the server's student, or the mean over
    the devices; that of a run is the mean of its ``last`` evaluations. ``needs``
    are folders of EDGE_FD_DATA. ``notes`` are sentences beside the claims.
    """

    name: str
    title: str
    needs: tuple[str, ...]
    cells: tuple[Cell, ...]
    scores: Literal["server", "devices"]
    scenario: Callable[[Cell], Tree]
    judge: Callable[[Results], list[Claim]]
    panels: Callable[[Results], list[Panel]]
    data: Callable[[Cell, Path], None] | None = None
    notes: Callable[[Results], list[str]] = lambda _results: []
    last: int = 3


def claim_of(values: Sequence[float], **rest: Any) -> Claim:
    """Return the claim about the mean of ``values``, one of each seed."""
    sd = statistics.stdev(values) if len(values) > 1 else 0.0
    return Claim(ours=statistics.fmean(values), sd=sd, seeds=len(values), **rest)


def cells_of(
    experiment: str, methods: Sequence[str], parameters: Sequence[str], seeds: int
) -> tuple[Cell, ...]:
    """Return all cells of a grid."""
    return tuple(
        Cell(experiment, method, parameter, seed)
        for parameter in parameters
        for method in methods
        for seed in range(seeds)
    )
