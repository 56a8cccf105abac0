"""Which overlapping frames destroy one another: named rules, each with its source.

A rule is judged twice: here for one frame and its few neighbours (the
calendar), in ``collisions`` for millions at once. Tests hold both against a
third, written from the sources.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Protocol

import numpy as np
import numpy.typing as npt

from channel_sim.checks import check_known
from channel_sim.lora.airtime import MIN_SF
from channel_sim.units import linear


class OnAir(Protocol):
    """One frame on air, [start, end) in nanoseconds; power in milliwatts at the gateway."""

    start_ns: int
    end_ns: int
    spreading_factor: int
    power_mw: float


@dataclass(frozen=True, eq=False, kw_only=True)
class InterferenceRule:
    """When a frame is lost to others.

    ``isolation_db`` (6, 6), [wanted SF - 7, other SF - 7]: how far the wanted
    frame must be above the other; infinity always loses, minus infinity
    never. ``energy``: compare energies, the others' of one SF summed over
    their overlap, instead of powers pair by pair. ``critical_symbols``: an
    overlap that ends before this many last symbols of the later frame's
    preamble begin harms neither (None: every overlap counts).
    ``guard_share``: channels meet when their centres are at most this share
    of the bandwidth apart (0: only on the same frequency).
    """

    name: str
    isolation_db: npt.NDArray[np.float64]
    energy: bool
    critical_symbols: int | None
    guard_share: float
    source: str

    @cached_property
    def isolation(self) -> npt.NDArray[np.float64]:
        """The same as a power ratio; 0 never loses."""
        return linear(self.isolation_db)

    @cached_property
    def one_sf(self) -> bool:
        """True where frames of different spreading factors never meet."""
        return bool(np.all(np.isneginf(self.isolation_db) | np.eye(6, dtype=np.bool_)))

    @cached_property
    def _ratios(self) -> list[list[float]]:
        rows: list[list[float]] = self.isolation.tolist()
        return rows

    def destroys(
        self, wanted: OnAir, others: Iterable[OnAir], *, symbol_ns: list[int], preamble: int
    ) -> bool:
        """Tell whether ``wanted`` is lost to ``others``, which it overlaps on its channel.

        ``symbol_ns`` by SF - 7; ``preamble`` its symbols.
        """
        row = self._ratios[wanted.spreading_factor - MIN_SF]
        if self.energy:
            return self._destroyed_by_energy(wanted, others, row)
        for other in others:
            ratio = row[other.spreading_factor - MIN_SF]
            if self.critical_symbols is not None:
                early, late = (
                    (other, wanted) if other.start_ns <= wanted.start_ns else (wanted, other)
                )
                spare = preamble - self.critical_symbols
                spare_ns = spare * symbol_ns[late.spreading_factor - MIN_SF]
                if late.start_ns + spare_ns >= early.end_ns:
                    continue
            if wanted.power_mw < ratio * other.power_mw:
                return True
        return False

    @staticmethod
    def _destroyed_by_energy(wanted: OnAir, others: Iterable[OnAir], row: list[float]) -> bool:
        energy = [0.0] * len(row)
        for other in others:
            overlap_ns = min(wanted.end_ns, other.end_ns) - max(wanted.start_ns, other.start_ns)
            energy[other.spreading_factor - MIN_SF] += overlap_ns * other.power_mw
        own = (wanted.end_ns - wanted.start_ns) * wanted.power_mw
        return any(own < ratio * sum_ for ratio, sum_ in zip(row, energy, strict=True) if sum_)


def _diagonal(value_db: float) -> npt.NDArray[np.float64]:
    return np.where(np.eye(6, dtype=np.bool_), value_db, -np.inf)


RULES: Mapping[str, InterferenceRule] = MappingProxyType(
    {
        "simple": InterferenceRule(
            name="simple",
            isolation_db=_diagonal(np.inf),
            energy=False,
            critical_symbols=None,
            guard_share=0.24,
            source="LoRaSim with full_collision off: one SF, any overlap, carriers within"
            " 30/60/120 kHz of 125/250/500 kHz as it says (it compares Hz with kHz)",
        ),
        "capture_6db": InterferenceRule(
            name="capture_6db",
            isolation_db=_diagonal(6.0),
            energy=False,
            critical_symbols=5,
            guard_share=0.24,
            source="LoRaSim with full_collision on: one SF, 6 dB, the last 5 preamble symbols",
        ),
        "aloha": InterferenceRule(
            name="aloha",
            isolation_db=_diagonal(np.inf),
            energy=False,
            critical_symbols=None,
            guard_share=0.0,
            source="ns-3 lorawan collisionSnirAloha: one SF, any overlap, the same frequency",
        ),
        "goursaud": InterferenceRule(
            name="goursaud",
            isolation_db=np.array(
                [
                    [6, -16, -18, -19, -19, -20],
                    [-24, 6, -20, -22, -22, -22],
                    [-27, -27, 6, -23, -25, -25],
                    [-30, -30, -30, 6, -26, -28],
                    [-33, -33, -33, -33, 6, -29],
                    [-36, -36, -36, -36, -36, 6],
                ],
                dtype=np.float64,
            ),
            energy=True,
            critical_symbols=None,
            guard_share=0.0,
            source="ns-3 lora-interference-helper.cc collisionSnirGoursaud",
        ),
    }
)
"""Rules by name."""


def find_rule(name: str) -> InterferenceRule:
    """Return the rule of a name; ValueError with the nearest name for an unknown one."""
    check_known("interference", name, RULES)
    return RULES[name]


def channels_meet(
    channels_hz: npt.ArrayLike, rule: InterferenceRule, *, bandwidth_hz: int = 125_000
) -> npt.NDArray[np.bool_]:
    """Return which channels interfere, shape (channels, channels); all in hertz."""
    centres_hz = np.asarray(channels_hz, dtype=np.float64)
    apart_hz = np.abs(centres_hz[:, None] - centres_hz[None, :])
    return np.asarray(apart_hz <= rule.guard_share * bandwidth_hz)
