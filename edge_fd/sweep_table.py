"""The numbers of a sweep as one table, a row for each run: ``sweep.json`` and ``sweep.csv``."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from edge_fd.records import Bytes, Summary
from edge_fd.run_folder import Run
from edge_fd.sweep import Cell

FORMAT = "edge-fd sweep"
VERSION = 1


def write_table(
    folder: Path,
    cells: Sequence[Cell],
    runs: Mapping[str, Run],
    *,
    errors: Mapping[str, str],
    command: str,
) -> None:
    """Write ``sweep.json`` and ``sweep.csv`` into ``folder``, each at once or not at all.

    ``runs`` and ``errors`` are by the names of cells; a cell in neither is not
    run yet. Columns are the grid's keys, method, seed, status (complete, failed
    or missing), folder and error, then the fields of the summary: accuracies
    from 0 to 1, bytes per device over the run, seconds, joules.
    """
    keys = list(dict.fromkeys(key for cell in cells for key in cell.values))
    rows = [_row(cell, keys, runs.get(cell.name), errors.get(cell.name, "")) for cell in cells]
    columns = list(dict.fromkeys(column for row in rows for column in row))
    tree = {"format": FORMAT, "version": VERSION, "command": command, "keys": keys, "rows": rows}
    _replace(folder / "sweep.json", json.dumps(tree, indent=1, ensure_ascii=False) + "\n")
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    _replace(folder / "sweep.csv", text.getvalue())


def _row(cell: Cell, keys: Sequence[str], run: Run | None, error: str) -> dict[str, Any]:
    status = "complete" if run is not None else "failed" if error else "missing"
    row = {
        **{key: cell.values.get(key) for key in keys},
        "method": cell.method,
        "seed": cell.scenario.seed,
        "status": status,
        "folder": cell.name,
        "error": error,
    }
    if run is not None and run.summary is not None:
        row |= _numbers(run.summary)
    return row


def _numbers(summary: Summary) -> dict[str, Any]:
    """Return the numbers of a summary; bytes flattened, lost messages summed over reasons."""
    tree = asdict(summary)
    for key in ("run", "method", "seed", "origins"):
        del tree[key]
    numbers: dict[str, Any] = {}
    for key, value in tree.items():
        if key in ("up", "down"):
            size: Bytes = getattr(summary, key)
            parts = {"payload": size.payload, "on_air": size.on_air}
            numbers |= {f"{key}_{part}_bytes": count for part, count in parts.items()}
        elif isinstance(value, dict):
            numbers[key] = sum(value.values())
        else:
            numbers[key] = value
    return numbers


def _replace(path: Path, text: str) -> None:
    temporary = path.with_name(f".{path.name}.new")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)
