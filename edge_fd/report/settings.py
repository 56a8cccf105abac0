"""What a run was told beside its seed: the scenario as flat keys, and names for differences.

Two runs may be averaged when these are equal; where they are not, the keys that
differ stand in the labels of their groups.
"""

from __future__ import annotations

import sys
from collections import Counter
from typing import TYPE_CHECKING, Any

from edge_fd.methods import METHODS, WRAPPERS

if sys.version_info >= (3, 11):
    import tomllib
else:  # pragma: no cover - the same library under its older name
    import tomli as tomllib

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from edge_fd.run_folder import Run

VAGUE = frozenset({"count", "kind", "model", "name", "path", "student"})
"""Last parts of keys that say nothing without the first."""
APART = frozenset({"name", "seed", "method.name"})
"""Keys that tell runs apart in other ways: scenario, seed and method are facts of a run."""


def settings_of(run: Run) -> dict[str, str]:
    """Return the keys of a run's scenario with their values as text, without name and seed.

    Settings of other methods than the run's own are left out. A scenario that
    cannot be read is one value, so that only equal texts are equal.
    """
    try:
        tree = tomllib.loads(run.scenario)
    except tomllib.TOMLDecodeError:
        return {"scenario": run.scenario}
    found = {
        key: _text(value) for key, value in flatten(tree) if concerns(key, run.facts["method"])
    }
    return {key: value for key, value in found.items() if key not in APART}


def concerns(key: str, method: str) -> bool:
    """Whether a scenario's key concerns a method: all do but the settings of other methods.

    Of a method of one's own only the end of its path is known here, if that, so
    that every table that is of no known method may be its.
    """
    parts = key.split(".")
    if parts[0] != "method" or len(parts) < 3:  # noqa: PLR2004 - method.NAME.setting
        return True
    mine = [part.rpartition(":")[2] for part in method.split("+")]
    known = {*METHODS, *WRAPPERS}
    return parts[1] in mine or (mine[-1] not in known and parts[1] not in known)


def flatten(tree: Mapping[str, Any], path: str = "") -> Iterable[tuple[str, Any]]:
    """Yield each value of a tree under its dotted key; tables of a list are numbered from 0."""
    for key, value in tree.items():
        name = f"{path}.{key}" if path else key
        if isinstance(value, dict):
            yield from flatten(value, name)
        elif isinstance(value, list) and value and all(isinstance(item, dict) for item in value):
            for index, item in enumerate(value):
                yield from flatten(item, f"{name}.{index}")
        else:
            yield name, value


def differences(rivals: Sequence[Mapping[str, str]]) -> list[str]:
    """Return the keys whose values are not the same in all ``rivals``, in order of appearance."""
    keys = dict.fromkeys(key for settings in rivals for key in settings)
    return [key for key in keys if len({settings.get(key) for settings in rivals}) > 1]


def short_names(keys: Sequence[str]) -> dict[str, str]:
    """Return the last part of each key, or the whole key where that would be ambiguous."""
    last = {key: key.rpartition(".")[2] for key in keys}
    count = Counter(last.values())
    clear = {name for name in count if count[name] == 1 and name not in VAGUE}
    return {key: name if name in clear else key for key, name in last.items()}


def is_count(key: str) -> bool:
    """Whether a key is the size of a group of devices."""
    return key.startswith("devices.") and key.endswith(".count")


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer():
        return f"{value:.0f}"  # 1.0 and 1 are one value of a setting
    return str(value)
