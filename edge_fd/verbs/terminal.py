"""What verbs share: reading a scenario with its overrides, and telling progress."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from edge_fd.errors import UsageError
from edge_fd.records import RoundRecord
from edge_fd.scenario import Scenario, load_tree, parse_value

console = Console(stderr=True)
MODELS = ("ideal", "fdma")
"""Radios of a scenario that are no preset."""


def scenario_of(options: argparse.Namespace) -> Scenario:
    """Read the scenario of the command line, with ``--set`` and ``--devices`` applied."""
    tree = load_tree(options.scenario)
    if getattr(options, "radio", None) is not None:
        _put_radio(tree, options.radio)
    for item in options.set:
        key, sign, value = item.partition("=")
        if not sign:
            raise UsageError(f"--set {item!r} has no '='; write KEY=VALUE, as in rounds.count=5")
        _put(tree, key.strip().split("."), parse_value(value.strip()), item)
    scenario = Scenario.parse(tree, where=str(options.scenario))
    return scenario if options.devices is None else scenario.with_devices(options.devices)


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


def _put_radio(tree: dict[str, Any], name: str) -> None:
    """Put another radio in place of the scenario's; what is not the radio's own stays."""
    kept = {"min_m", "max_m", "cell_devices", "tcp", "broker_s"}
    old = tree.get("channel", {})
    same = {key: value for key, value in old.items() if key in kept} if type(old) is dict else {}
    tree["channel"] = {**same, ("model" if name in MODELS else "preset"): name}


def _put(tree: dict[str, Any], path: list[str], value: Any, item: str) -> None:
    for part in path[:-1]:
        tree = tree.setdefault(part, {})
        if not isinstance(tree, dict):
            raise UsageError(f"--set {item!r}: {part!r} is no section; set single keys only")
    tree[path[-1]] = value
