"""What verbs share: reading a scenario with its overrides, and telling progress."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from edge_fd.errors import UsageError
from edge_fd.overrides import override, put_radio
from edge_fd.records import RoundRecord
from edge_fd.scenario import Scenario, load_tree

console = Console(stderr=True)


def tree_of(options: argparse.Namespace) -> dict[str, Any]:
    """Read the scenario of the command line as plain values, with ``--radio`` and ``--set``."""
    tree = load_tree(options.scenario)
    if getattr(options, "radio", None) is not None:
        put_radio(tree, options.radio)
    for item in options.set:
        override(tree, item)
    return tree


def scenario_of(options: argparse.Namespace) -> Scenario:
    """Read the scenario of the command line, with its overrides and ``--devices`` applied."""
    scenario = Scenario.parse(tree_of(options), where=str(options.scenario))
    return scenario if options.devices is None else scenario.with_devices(options.devices)


def names_of(text: str) -> list[str]:
    """Return the names of a list with commas, each once."""
    return list(dict.fromkeys(name.strip() for name in text.split(",")))


def count_of(option: str, value: int | None) -> int:
    """Return a number of at least 1, 1 for None; raise UsageError for less."""
    if value is not None and value < 1:
        raise UsageError(f"{option} {value} must be at least 1")
    return value or 1


def say(text: str) -> None:
    """Tell the user something, on the error stream."""
    console.print(text, markup=False, highlight=False)


def progress() -> Progress:
    """Return a progress bar that is silent where the error stream is no terminal."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[note]}"),
        console=console,
        disable=not sys.stderr.isatty(),
        transient=True,
    )


def round_note(bar: Progress, task: Any) -> Callable[[RoundRecord], None]:
    """Return a listener that moves the bar on with each closed round."""

    def listen(record: RoundRecord) -> None:
        accuracy = record.server_accuracy
        note = f"server {100 * accuracy:.1f} %" if accuracy is not None else record.status
        bar.update(task, completed=record.round, note=note)

    return listen
