"""Reading presets: JSON to a family and a propagation, overrides checked by key and type."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from importlib import import_module
from pathlib import Path
from types import MappingProxyType, NoneType
from typing import Any, Literal, get_args, get_origin, get_type_hints

import numpy as np

from channel_sim.checks import check_known
from channel_sim.family import Family
from channel_sim.propagation import Propagation

FOLDER = Path(__file__).parent
FAMILIES = {
    "aloha": ("channel_sim.aloha", "Aloha"),
    "ble": ("channel_sim.ble", "Ble"),
    "cellular": ("channel_sim.cellular", "Cellular"),
    "ieee802154": ("channel_sim.ieee802154", "Zigbee"),
    "lorawan": ("channel_sim.lora", "Lorawan"),
    "ofdma": ("channel_sim.scheduled", "Ofdma"),
    "shannon": ("channel_sim.shannon", "Shannon"),
    "tdma": ("channel_sim.scheduled", "Tdma"),
    "wifi": ("channel_sim.wifi", "Wifi"),
}
"""Where each kind of radio technology lives; read when it is used."""


@dataclass(frozen=True)
class Source:
    """Where a number comes from; ``remembered`` rather than read."""

    text: str
    remembered: bool = False


@dataclass(frozen=True)
class Preset:
    """A technology in its surroundings.

    ``sources`` has an entry for every number that the file sets; one that was
    overridden says so.
    """

    name: str
    title: str
    family: Family
    propagation: Propagation
    sources: Mapping[str, Source]


def preset_names() -> tuple[str, ...]:
    """Return the names of all presets, sorted."""
    return tuple(sorted(path.stem for path in FOLDER.glob("*.json")))


def load_family(kind: str) -> type[Any]:
    """Return the class of a kind of technology; raise ValueError for an unknown one."""
    check_known("kind", kind, FAMILIES)
    module, name = FAMILIES[kind]
    return getattr(import_module(module), name)  # type: ignore[no-any-return]


def load_preset(name: str, **overrides: Any) -> Preset:
    """Read a preset, with the numbers of ``overrides`` in place of its own.

    A key belongs to the family or to the propagation, whichever has it.
    Raises ValueError for an unknown preset or key (with the nearest known
    one), for a value of the wrong type, and for numbers that the family or
    the propagation refuses.
    """
    check_known("preset", name, preset_names())
    tree = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    family = load_family(tree["kind"])
    parts: dict[str, tuple[type[Any], dict[str, Any]]] = {
        "family": (family, {}),
        "propagation": (Propagation, {}),
    }
    sources = {}
    for part, (_, values) in parts.items():
        for key, entry in tree[part].items():
            values[key] = entry["value"]
            sources[key] = Source(entry["source"], entry.get("remembered", False))
    known = {item.name: part for part, (kind, _) in parts.items() for item in fields(kind)}
    for key, value in overrides.items():
        check_known(f"key of preset {name!r}", key, known)
        cls, values = parts[known[key]]
        values[key] = _checked(key, value, cls)
        sources[key] = Source("given by the user")
    made = {part: cls(**_tuples(values)) for part, (cls, values) in parts.items()}
    return Preset(
        name, tree["title"], made["family"], made["propagation"], MappingProxyType(sources)
    )


def _tuples(values: Mapping[str, Any]) -> dict[str, Any]:
    """JSON and TOML have lists where a frozen dataclass has tuples."""
    return {
        key: tuple(value) if isinstance(value, list) else value for key, value in values.items()
    }


def _checked(key: str, value: Any, cls: type[Any]) -> Any:
    """Return an override of the type that the field has; raise ValueError for another type."""
    hint = get_type_hints(cls)[key]
    kinds = get_args(hint) if get_origin(hint) not in (None, Literal, tuple) else (hint,)
    if any(_fits(value, kind) for kind in kinds):
        return value
    wanted = " or ".join(_told(kind) for kind in kinds if kind is not NoneType)
    raise ValueError(f"{key} = {value!r} has the wrong type; give {wanted}")


def _fits(value: Any, kind: Any) -> bool:
    origin = get_origin(kind)
    if origin is Literal:
        # An unknown name of the right type is the family's to refuse, with the nearest one.
        return any(type(value) is type(choice) for choice in get_args(kind))
    if origin is tuple:
        return isinstance(value, list | tuple)
    if kind is float:
        return isinstance(value, int | float | np.number) and not isinstance(value, bool)
    if kind is int:
        return isinstance(value, int | np.integer) and not isinstance(value, bool)
    return isinstance(value, kind)


def _told(kind: Any) -> str:
    if get_origin(kind) is Literal:
        return "one of " + ", ".join(repr(choice) for choice in get_args(kind))
    if get_origin(kind) is tuple:
        return "a list"
    return {float: "a number", int: "a whole number", str: "a text", bool: "true or false"}.get(
        kind, str(kind)
    )
