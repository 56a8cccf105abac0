"""Which runs belong together: one method in one mode, over its seeds.

A group is one line in a plot and one row in a table. Runs of one method, mode,
scenario and number of devices whose seeds differ are one group, finished and
unfinished ones apart. Where two of them share a seed, something else differs
between them and each stands alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import TYPE_CHECKING, TypeAlias

from edge_fd.report.summary import joules, summarise
from edge_fd.run_folder import Run

if TYPE_CHECKING:
    from edge_fd.records import DeviceRecord, Mode, Summary

Quantity: TypeAlias = Callable[[Run], dict[int, float]]


@dataclass(frozen=True)
class Group:
    """Runs that differ in their seeds alone; ``summaries`` follow ``runs``.

    ``title`` is the label with the mode, where the report has runs of both.
    """

    label: str
    title: str
    method: str
    mode: Mode
    runs: tuple[Run, ...]
    summaries: tuple[Summary, ...]

    @property
    def finished(self) -> bool:
        """Whether every run of the group has its own summary."""
        return all(run.summary is not None for run in self.runs)

    @property
    def records(self) -> list[DeviceRecord]:
        """The device records of all runs."""
        return [record for run in self.runs for record in run.devices]


@dataclass(frozen=True)
class Curve:
    """Accuracy against something, over seeds; all of one length, one entry a round.

    ``x`` and ``y`` are means over the seeds at the same round, ``low`` and
    ``high`` the smallest and largest accuracy among them.
    """

    x: tuple[float, ...]
    y: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]


@dataclass(frozen=True)
class Spread:
    """A number over seeds: mean and sample standard deviation (None for one seed)."""

    mean: float
    deviation: float | None


def group_runs(runs: Sequence[Run]) -> list[Group]:
    """Return the groups in the order in which their first runs come."""
    summaries = {run.path: summary_of(run) for run in runs}
    members: dict[tuple[str, ...], list[Run]] = {}
    for run in runs:
        members.setdefault(_key(run, summaries[run.path]), []).append(run)
    both = len({key[1] for key in members}) > 1
    groups = []
    for key, same in members.items():
        rivals = [other for other in members if other[:2] == key[:2]]
        # Scenario and devices stand in a label only where they tell it from its rivals.
        parts = [
            part
            for index, part in enumerate(key)
            if index in {0, 4} or (index > 1 and any(other[index] != part for other in rivals))
        ]
        seeds = {run.facts["seed"] for run in same}
        for together in [same] if len(seeds) == len(same) else [[run] for run in same]:
            name = [] if together is same else [run.name for run in together]
            label = ", ".join(part for part in [*parts, *name] if part)
            groups.append(
                Group(
                    label=label,
                    title=f"{label} ({key[1]})" if both else label,
                    method=key[0],
                    mode=same[0].facts["mode"],
                    runs=tuple(together),
                    summaries=tuple(summaries[run.path] for run in together),
                )
            )
    return groups


def _key(run: Run, summary: Summary) -> tuple[str, ...]:
    """Return what runs of one group share: method, mode, then what may stand in a label."""
    return (
        run.facts["method"],
        run.facts["mode"],
        str(run.facts.get("scenario", "")),
        f"{summary.devices} devices",
        "" if run.summary is not None else "unfinished",
    )


def spread(values: Sequence[float | None]) -> Spread | None:
    """Return mean and deviation over seeds; None unless every seed has the number."""
    known = [value for value in values if value is not None]
    if not known or len(known) < len(values):
        return None
    return Spread(fmean(known), stdev(known) if len(known) > 1 else None)


def curve(group: Group, quantity: Quantity, accuracy: str = "accuracy_test") -> Curve | None:
    """Return a field of accuracy against ``quantity``.

    Rounds that every seed has evaluated are kept, so that no mean changes its
    members along the line. None where there is no such round.
    """
    xs = [quantity(run) for run in group.runs]
    ys = [accuracy_by_round(run, accuracy) for run in group.runs]
    rounds = sorted(set.intersection(*(set(series) for series in (*xs, *ys))))
    if not rounds:
        return None
    at = [[series[number] for series in ys] for number in rounds]
    return Curve(
        x=tuple(fmean(series[number] for series in xs) for number in rounds),
        y=tuple(fmean(values) for values in at),
        low=tuple(min(values) for values in at),
        high=tuple(max(values) for values in at),
    )


def accuracy_by_round(run: Run, name: str) -> dict[int, float]:
    """Return the mean accuracy over the devices that were evaluated in each round."""
    found: dict[int, list[float]] = {}
    for record in run.devices:
        value = getattr(record, name)
        if value is not None:
            found.setdefault(record.round, []).append(value)
    return {number: fmean(values) for number, values in found.items()}


def rounds_by_round(run: Run) -> dict[int, float]:
    """Return the number of each round."""
    return {record.round: float(record.round) for record in run.devices}


def seconds_by_round(run: Run) -> dict[int, float]:
    """Return the seconds from the beginning of the run to the end of each round."""
    return {record.round: record.closed_s for record in run.rounds}


def bytes_by_round(run: Run) -> dict[int, float]:
    """Return the on-air bytes per device, both directions, up to each round."""
    return _cumulative(run, lambda record: record.up.on_air + record.down.on_air)


def joules_by_round(run: Run) -> dict[int, float]:
    """Return the joules per device up to each round; nothing where none is known."""
    if all(joules(record) is None for record in run.devices):
        return {}
    return _cumulative(run, lambda record: joules(record) or 0.0)


def summary_of(run: Run) -> Summary:
    """Return the run's own summary, or one of what an unfinished run has so far."""
    if run.summary is not None:
        return run.summary
    return summarise(
        run.name,
        run.rounds,
        run.devices,
        mode=run.facts["mode"],
        method=run.facts["method"],
        seed=run.facts["seed"],
    )


def _cumulative(run: Run, value: Callable[[DeviceRecord], float]) -> dict[int, float]:
    count = len({record.device for record in run.devices})
    each: dict[int, float] = {}
    for record in run.devices:
        each[record.round] = each.get(record.round, 0.0) + value(record) / count
    total = 0.0
    sums = {}
    for number in sorted(each):
        total += each[number]
        sums[number] = total
    return sums
