"""Changes to a scenario before it is checked: ``KEY=VALUE`` and another radio.

A key is the path to a value, ``rounds.count``; ``devices.0.count`` is that of
the first of the tables ``[[devices]]``.
"""

from __future__ import annotations

from typing import Any

from edge_fd.errors import UsageError
from edge_fd.scenario import parse_value

MODELS = ("ideal", "fdma")
"""Radios of a scenario that are no preset."""


def override(tree: dict[str, Any], item: str) -> None:
    """Put ``KEY=VALUE`` of ``--set`` into a scenario's tree; raise UsageError with the remedy."""
    key, sign, value = item.partition("=")
    if not sign:
        raise UsageError(f"--set {item!r} has no '='; write KEY=VALUE, as in rounds.count=5")
    put(tree, key.strip(), parse_value(value.strip()), item=f"--set {item!r}")


def put(tree: dict[str, Any], key: str, value: Any, *, item: str) -> None:
    """Put a value under a dotted key; ``item`` names the option in errors."""
    *path, last = key.split(".")
    place: Any = tree
    for part in path:
        if isinstance(place, list):
            place = place[_index(place, part, item)]
        else:
            place = place.setdefault(part, {})
        if not isinstance(place, dict | list):
            raise UsageError(f"{item}: {part!r} is no section; set single keys only")
    if isinstance(place, list):
        place[_index(place, last, item)] = value
    else:
        place[last] = value


def put_radio(tree: dict[str, Any], name: str) -> None:
    """Put another radio in place of the scenario's; what is not the radio's own stays."""
    kept = {"min_m", "max_m", "cell_devices", "tcp", "broker_s"}
    old = tree.get("channel", {})
    same = {key: value for key, value in old.items() if key in kept} if type(old) is dict else {}
    tree["channel"] = {**same, ("model" if name in MODELS else "preset"): name}


def _index(tables: list[Any], part: str, item: str) -> int:
    if not part.isdecimal() or int(part) >= len(tables):
        raise UsageError(
            f"{item}: {part!r} must be the number of one of {len(tables)} tables,"
            f" 0 to {len(tables) - 1}"
        )
    return int(part)
