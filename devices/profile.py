"""What a board costs: seconds and joules of a computation, as a model of a few figures.

A profile is data (``profiles.json``, or a file of yours in the same shape): each figure
stands with its unit, its source and how far it can be trusted. What comes out is
modelled, never measured; replace the figures by measurements of your board.

    {"my_board": {"board": "text", "figures": {"idle_w": {"value": 3.1, "unit": "W",
      "source": "text", "confidence": "measured by source"}, ...}}}

The figures, all required, are the keys of ``UNITS``.
"""

from __future__ import annotations

import difflib
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from types import MappingProxyType

UNITS: Mapping[str, str] = MappingProxyType(
    {
        "idle_w": "W",
        "busy_w": "W",
        "macs_per_s": "MAC/s",
        "step_overhead_s": "s",
        "train_forward_factor": "1",
        "memory_bytes": "B",
    }
)
CONFIDENCES = ("measured by source", "derived", "estimate", "from memory")


class ProfileError(ValueError):
    """A device profile that is not known or cannot be used; says the remedy."""


@dataclass(frozen=True)
class Provenance:
    """Where a figure comes from; ``confidence`` is one of ``CONFIDENCES``."""

    unit: str
    source: str
    confidence: str


@dataclass(frozen=True)
class DeviceProfile:
    """The cost model of one kind of board.

    ``idle_w``                power of the whole board doing nothing
    ``busy_w``                power of the whole board computing on all cores
    ``macs_per_s``            forward multiply-accumulates per second, fp32, small nets
    ``step_overhead_s``       time of a training step or a prediction beyond its MACs
    ``train_forward_factor``  cost of a training step in forward passes of its batch
    ``memory_bytes``          memory of the board
    ``provenance``            unit, source and confidence of each of these

    The time of the optimiser's pass over the parameters, memory limits, frequency
    scaling and heat are not modelled.
    """

    name: str
    board: str
    idle_w: float
    busy_w: float
    macs_per_s: float
    step_overhead_s: float
    train_forward_factor: float
    memory_bytes: float
    provenance: Mapping[str, Provenance]

    def predict_s(self, macs: float, samples: int) -> float:
        """Seconds of a forward pass of ``samples``, each of ``macs`` forward MACs."""
        return self.step_overhead_s + macs * samples / self.macs_per_s

    def train_s(self, macs: float, samples: int, steps: int) -> float:
        """Seconds of ``steps`` training steps that visit ``samples`` in all.

        A sample visited in three epochs counts three times; ``macs`` are those of one
        sample's forward pass.
        """
        forward_s = macs * samples / self.macs_per_s
        return steps * self.step_overhead_s + self.train_forward_factor * forward_s

    def compute_j(self, seconds: float) -> float:
        """Joules that ``seconds`` of computing add to the board's idle consumption.

        (busy_w - idle_w) * seconds, with :meth:`idle_j` of the whole time beside it.
        An upper figure for one thread, since ``busy_w`` is that of all cores.
        """
        return (self.busy_w - self.idle_w) * seconds

    def idle_j(self, seconds: float) -> float:
        """Joules of the board over ``seconds``, whatever it does meanwhile, at idle power."""
        return self.idle_w * seconds


def profile_names() -> tuple[str, ...]:
    """Return the names of the profiles that come with the package, sorted."""
    return tuple(sorted(_builtin()))


def load_profile(name: str) -> DeviceProfile:
    """Return a built-in profile, or the only one in a JSON file (a path ending in .json).

    Raises :class:`ProfileError` (a ``ValueError``) for an unknown name, with the nearest
    that is known, and for a file that is missing or wrong, with file and key.
    """
    if name.endswith(".json"):
        return _from_file(Path(name))
    known = _builtin()
    if name not in known:
        raise ProfileError(
            f"unknown device profile {name!r}{_nearest(name, known)}; or give a .json file"
        )
    return _parse(name, known[name], "profiles.json")


def _builtin() -> dict[str, object]:
    text = resources.files("devices").joinpath("profiles.json").read_text("utf-8")
    profiles: dict[str, object] = json.loads(text)
    return profiles


def _from_file(path: Path) -> DeviceProfile:
    try:
        found = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise ProfileError(f"{path}: no such file") from None
    except (OSError, ValueError) as error:
        raise ProfileError(f"{path}: cannot be read as JSON ({error})") from error
    if not isinstance(found, dict) or len(found) != 1:
        raise ProfileError(
            f'{path}: must hold one profile, {{"name": {{"board": ..., "figures": ...}}}}'
        )
    ((name, body),) = found.items()
    return _parse(name, body, str(path))


def _parse(name: str, body: object, where: str) -> DeviceProfile:
    where = f"{where}: profile {name!r}"
    fields = _fields(body, ("board", "figures"), where)
    figures = _fields(fields["figures"], tuple(UNITS), f"{where}, 'figures'")
    values: dict[str, float] = {}
    provenance: dict[str, Provenance] = {}
    for key, figure in figures.items():
        values[key], provenance[key] = _figure(key, figure, f"{where}, {key!r}")
    if values["busy_w"] < values["idle_w"]:
        raise ProfileError(
            f"{where}: busy_w = {values['busy_w']} is below idle_w = {values['idle_w']}"
        )
    if values["macs_per_s"] == 0:
        raise ProfileError(f"{where}: macs_per_s is 0; a board that computes has a rate above it")
    return DeviceProfile(
        name=name,
        board=_text(fields["board"], f"{where}, 'board'"),
        provenance=MappingProxyType(provenance),
        **values,
    )


def _figure(key: str, figure: object, where: str) -> tuple[float, Provenance]:
    fields = _fields(figure, ("value", "unit", "source", "confidence"), where)
    value = fields["value"]
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ProfileError(f"{where}: value {value!r} is no number")
    if not (math.isfinite(value) and value >= 0):
        raise ProfileError(f"{where}: value {value} must be finite and not below 0")
    if fields["unit"] != UNITS[key]:
        raise ProfileError(f"{where}: unit {fields['unit']!r} must be {UNITS[key]!r}; convert it")
    if fields["confidence"] not in CONFIDENCES:
        raise ProfileError(
            f"{where}: confidence {fields['confidence']!r} must be one of {', '.join(CONFIDENCES)}"
        )
    source = _text(fields["source"], f"{where}, 'source'")
    return float(value), Provenance(UNITS[key], source, str(fields["confidence"]))


def _fields(value: object, keys: tuple[str, ...], where: str) -> dict[str, object]:
    if not isinstance(value, dict):
        raise ProfileError(f"{where}: must be an object with {', '.join(keys)}")
    for key in value:
        if key not in keys:
            raise ProfileError(f"{where}: unknown key {key!r}{_nearest(key, keys)}")
    for key in keys:
        if key not in value:
            raise ProfileError(f"{where}: key {key!r} is missing; add it")
    return value


def _text(value: object, where: str) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ProfileError(f"{where}: must be a text, got {value!r}")
    return value


def _nearest(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, sorted(known), n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else f"; known: {', '.join(sorted(known))}"
