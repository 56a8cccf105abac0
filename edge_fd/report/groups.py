"""Which runs belong together: one method in one mode, over its seeds.

A group is one line in a plot and one row in a table. Runs whose method, mode
and scenario are the same to the last key, but whose seeds differ, are one
group, finished and unfinished ones apart. Where two of them share a seed,
something else differs between them and each stands alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import TYPE_CHECKING, TypeAlias

from edge_fd.report.settings import differences, is_count, settings_of, short_names
from edge_fd.report.summary import joules, summarise
from edge_fd.run_folder import Run

if TYPE_CHECKING:
    from edge_fd.records import DeviceRecord, Mode, Summary

Quantity: TypeAlias = Callable[[Run], dict[int, float]]
MOST_KEYS = 4
"""Where runs of a method differ in more keys, they are told apart by their folders."""


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
    members: dict[_Key, list[Run]] = {}
    for run in runs:
        members.setdefault(_key(run), []).append(run)
    labels = _labels(members)
    both = len({key.mode for key in members}) > 1
    groups = []
    for key, same in members.items():
        seeds = {run.facts["seed"] for run in same}
        alone = len(seeds) < len(same)
        for together in [[run] for run in same] if alone else [same]:
            label = f"{labels[key]}, {together[0].name}" if alone else labels[key]
            groups.append(
                Group(
                    label=label,
                    title=f"{label} ({key.mode})" if both else label,
                    method=key.method,
                    mode=key.mode,
                    runs=tuple(together),
                    summaries=tuple(summary_of(run) for run in together),
                )
            )
    return groups


@dataclass(frozen=True)
class _Key:
    """What runs of one group share; ``settings`` are the pairs of :func:`settings_of`."""

    method: str
    mode: Mode
    scenario: str
    devices: str
    unfinished: str
    settings: tuple[tuple[str, str], ...]


def _key(run: Run) -> _Key:
    return _Key(
        method=run.facts["method"],
        mode=run.facts["mode"],
        scenario=str(run.facts.get("scenario", "")),
        devices=f"{summary_of(run).devices} devices",
        unfinished="" if run.summary is not None else "unfinished",
        settings=tuple(sorted(settings_of(run).items())),
    )


def _labels(members: Mapping[_Key, Sequence[Run]]) -> dict[_Key, str]:
    """Return for each group its method and what tells it from the others of that method."""
    labels = {}
    for key, same in members.items():
        rivals = [
            other for other in members if (other.method, other.mode) == (key.method, key.mode)
        ]
        parts = [key.method]
        parts += [key.scenario] if any(other.scenario != key.scenario for other in rivals) else []
        rivals = [other for other in rivals if other.scenario == key.scenario]
        several = any(other.devices != key.devices for other in rivals)
        parts += [key.devices] if several else []
        told = _told(key, rivals, counts=not several)
        parts += told if len(told) <= MOST_KEYS else [same[0].name]
        parts += (
            [key.unfinished] if any(other.unfinished != key.unfinished for other in rivals) else []
        )
        labels[key] = ", ".join(part for part in parts if part)
    found = Counter((key.mode, label) for key, label in labels.items())
    return {
        key: label if found[key.mode, label] == 1 else f"{label}, {members[key][0].name}"
        for key, label in labels.items()
    }


def _told(key: _Key, rivals: Sequence[_Key], *, counts: bool) -> list[str]:
    """Return the settings in which some rival differs, as ``name=value``.

    Without ``counts``, the sizes of device groups are left out: their sum is told.
    """
    keys = differences([dict(other.settings) for other in rivals])
    names = short_names([name for name in keys if counts or not is_count(name)])
    mine = dict(key.settings)
    return [f"{name}={mine.get(full, 'unset')}" for full, name in names.items()]


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
