"""The comparison table: one row a method and mode, numbers with their origin.

The columns stand here once; the terminal and the HTML page print the same cells.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING

from edge_fd.report.groups import Group, group_runs, spread

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from edge_fd.records import Origin, Summary
    from edge_fd.run_folder import Run

KILO = 1000
UNITS = {"": 1, "B": 1, "kB": KILO, "MB": KILO**2, "GB": KILO**3}
MARKS: dict[Origin, str] = {"measured": "*", "modelled": "~", "not measured": "-"}


@dataclass(frozen=True)
class Column:
    """A column of numbers; ``origin`` is a key of ``Summary.origins``."""

    group: str
    head: str
    origin: str
    value: Callable[[Summary], float | None]
    form: Callable[[float], str]


@dataclass(frozen=True)
class Cell:
    """A number of the table: mean and deviation over seeds, ``text`` as printed without mark."""

    text: str
    value: float | None
    deviation: float | None
    origin: Origin

    @property
    def mark(self) -> str:
        """The mark of the origin."""
        return MARKS[self.origin]


@dataclass(frozen=True)
class Row:
    """One group; ``rounds`` and ``devices`` as text, for they may differ between seeds."""

    group: Group
    devices: str
    rounds: str
    cells: tuple[Cell, ...]


def percent(value: float) -> str:
    """Format a share of one in percent, without the sign."""
    return f"{100 * value:.1f}"


def three_digits(value: float) -> str:
    """Format with three significant digits, never in powers of ten."""
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    digits = max(0, 2 - math.floor(math.log10(abs(value))))
    text = f"{value:,.{digits}f}"
    # 9.996 has become 10.00: a digit too many.
    return text[:-1].rstrip(".") if digits and abs(float(text)) >= 10 ** (3 - digits) else text


def byte_size(value: float) -> str:
    """Format bytes with the decimal prefixes of the SI: 1 kB is 1000 B."""
    if round(value) < KILO:
        return f"{value:.0f} B"
    for unit in ("kB", "MB"):
        value /= KILO
        # 999.5 is the first that would need a fourth digit.
        if value < KILO - 0.5:
            return f"{three_digits(value)} {unit}"
    return f"{three_digits(value / KILO)} GB"


COLUMNS = (
    Column("accuracy", "test %", "accuracy", lambda s: s.accuracy_test, percent),
    Column("accuracy", "own %", "accuracy", lambda s: s.accuracy_own, percent),
    Column("accuracy", "server %", "accuracy", lambda s: s.accuracy_server, percent),
    Column("payload", "up", "payload", lambda s: s.up.payload, byte_size),
    Column("payload", "down", "payload", lambda s: s.down.payload, byte_size),
    Column("on air", "up", "on_air", lambda s: s.up.on_air, byte_size),
    Column("on air", "down", "on_air", lambda s: s.down.on_air, byte_size),
    Column("one-time", "proxy", "payload", lambda s: s.one_time_proxy_bytes, byte_size),
    Column("one-time", "bundle", "payload", lambda s: s.one_time_bundle_bytes, byte_size),
    Column("seconds", "/round", "seconds", lambda s: s.seconds_per_round, three_digits),
    Column("joules", "/device", "joules", lambda s: s.joules_per_device, three_digits),
)
NOTES = (
    "* measured, ~ modelled, - not measured.",
    "Accuracy after the last evaluated round, mean over devices: shared test part, own label mix.",
    "Bytes and joules per device over the whole run, without what is sent once. 1 kB = 1000 B.",
    "Several seeds: mean ± sample standard deviation; without ± where all seeds agree.",
)


def comparison_rows(runs: Sequence[Run]) -> list[Row]:
    """Return the rows of the table, groups in the order of their first runs."""
    return [
        Row(
            group=group,
            devices=_range([summary.devices for summary in group.summaries]),
            rounds=_rounds(group.summaries),
            cells=tuple(_cell(group, column) for column in COLUMNS),
        )
        for group in group_runs(runs)
    ]


def comparison_table(runs: Sequence[Run]) -> str:
    """Return the comparison as aligned plain text, for a terminal or a pipe.

    Numbers are means over seeds with the sample standard deviation. ``*``
    marks measured, ``~`` modelled, ``-`` not measured.
    """
    rows = comparison_rows(runs)
    lines = [
        ["", "", "", "", "", *(column.group for column in COLUMNS)],
        ["method", "mode", "seeds", "devices", "rounds", *(column.head for column in COLUMNS)],
        *(_line(row) for row in rows),
    ]
    text = aligned(lines, left=2).splitlines()
    ruler = "-" * max(len(line) for line in text)
    return "\n".join([*text[:2], ruler, *text[2:], ruler, *NOTES, *_losses(rows)])


def aligned(lines: Sequence[Sequence[str]], *, left: int) -> str:
    """Return rows of cells as text in columns, the first ``left`` of them to the left."""
    widths = [max(len(line[index]) for line in lines) for index in range(len(lines[0]))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if index < left else cell.rjust(width)
            for index, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def _losses(rows: Sequence[Row]) -> list[str]:
    """What the simulated radio lost for good, a line for each group that lost anything."""
    found = []
    for row in rows:
        reasons = sorted({key for s in row.group.summaries for key in s.lost_messages})
        if not reasons:
            continue
        means = [fmean(s.lost_messages.get(key, 0) for s in row.group.summaries) for key in reasons]
        told = ", ".join(f"{v:g} {k}" for k, v in zip(reasons, means, strict=True))
        found.append(f"Messages lost on the radio per run, {row.group.label}: {told}.")
    return found


def _line(row: Row) -> list[str]:
    return [
        row.group.label,
        row.group.mode,
        str(len(row.group.runs)),
        row.devices,
        row.rounds,
        *(cell.text + cell.mark for cell in row.cells),
    ]


def _cell(group: Group, column: Column) -> Cell:
    # An unfinished run has not written down what was sent once.
    unknown = column.group == "one-time" and not group.finished
    over = None if unknown else spread([column.value(summary) for summary in group.summaries])
    said = {summary.origins.get(column.origin, "not measured") for summary in group.summaries}
    if over is None or "not measured" in said:
        return Cell("", None, None, "not measured")
    text = column.form(over.mean)
    if over.deviation:
        text = with_deviation(text, over.deviation, percents=column.form is percent)
    # Modelled in one seed makes the mean a modelled one.
    origin: Origin = "modelled" if "modelled" in said else "measured"
    return Cell(text, over.mean, over.deviation, origin)


def with_deviation(text: str, deviation: float, *, percents: bool) -> str:
    """Put a deviation behind a printed mean: in its unit, with as many decimals or one digit."""
    number, space, unit = text.partition(" ")
    scaled = 100 * deviation if percents else deviation / UNITS[unit]
    needed = -math.floor(math.log10(scaled))
    decimals = max(len(number.partition(".")[2]), needed)
    return f"{number} ±{scaled:,.{decimals}f}{space}{unit}"


def _rounds(summaries: Sequence[Summary]) -> str:
    failed = max(summary.rounds_failed for summary in summaries)
    text = _range([summary.rounds for summary in summaries])
    return f"{text} ({_range([s.rounds_failed for s in summaries])} failed)" if failed else text


def _range(values: Sequence[int]) -> str:
    low, high = min(values), max(values)
    return str(low) if low == high else f"{low}-{high}"
