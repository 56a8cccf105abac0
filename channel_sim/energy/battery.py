"""The store of joules that a device drains, that leaks, and that a harvest fills."""

from __future__ import annotations

import math
from collections.abc import Iterator

from channel_sim.checks import check_between, check_finite, check_not_negative, check_positive
from channel_sim.energy.harvest import Harvest

YEAR_S = 365.25 * 86_400
LIFETIME_S = 50 * YEAR_S
"""How far :meth:`Battery.depleted_at` looks unless told otherwise."""


class Battery:
    """A store of joules that drains and never falls below zero.

    A battery is empty at ``cut_off_j``: what is below cannot be drawn, since
    the voltage is too low. It leaks ``leak_per_year`` of what it holds, as an
    exponential (0.01 for a primary lithium cell, Sauter on TR 45.820).
    ``level_j`` None is full. Raises ValueError for a capacity that is not
    positive and finite, a cut-off or level outside [0, capacity] and a leak
    outside [0, 1).
    """

    def __init__(
        self,
        capacity_j: float,
        *,
        level_j: float | None = None,
        cut_off_j: float = 0.0,
        leak_per_year: float = 0.0,
    ) -> None:
        check_positive("capacity_j", capacity_j)
        check_between("cut_off_j", cut_off_j, 0.0, capacity_j, why="the capacity")
        check_between("leak_per_year", leak_per_year, 0.0, 0.999, why="a share of the charge")
        level_j = capacity_j if level_j is None else level_j
        check_between("level_j", level_j, 0.0, capacity_j, why="the capacity")
        self.capacity_j = capacity_j
        self.cut_off_j = cut_off_j
        self._leak_per_s = -math.log1p(-leak_per_year) / YEAR_S
        self._level_j = level_j

    @classmethod
    def from_charge(
        cls, capacity_mah: float, volt: float, *, cut_off: float = 0.0, leak_per_year: float = 0.0
    ) -> Battery:
        """Build a full battery from its charge by E = V Q; ``cut_off`` is a share of it."""
        check_positive("capacity_mah", capacity_mah)
        check_positive("volt", volt)
        capacity_j = capacity_mah * 3.6 * volt
        return cls(capacity_j, cut_off_j=cut_off * capacity_j, leak_per_year=leak_per_year)

    @property
    def level_j(self) -> float:
        """Joules left."""
        return self._level_j

    @property
    def state_of_charge(self) -> float:
        """Share of the capacity that is left, 0 to 1: joules counted in and out."""
        return self._level_j / self.capacity_j

    @property
    def empty(self) -> bool:
        """True when nothing is left that can be drawn."""
        return self._level_j <= self.cut_off_j

    def drain(self, energy_j: float) -> float:
        """Take ``energy_j`` and return the joules that the battery could give.

        Less than asked comes back when the battery has run empty. Raises
        ValueError for negative energy.
        """
        check_not_negative("energy_j", energy_j)
        left_j = max(0.0, self._level_j - self.cut_off_j)
        if energy_j >= left_j:
            self._level_j = min(self._level_j, self.cut_off_j)
            return left_j
        self._level_j -= energy_j
        return energy_j

    def charge(self, energy_j: float) -> float:
        """Put in ``energy_j`` and return the joules that it had room for.

        Raises ValueError for negative energy.
        """
        check_not_negative("energy_j", energy_j)
        room_j = self.capacity_j - self._level_j
        if energy_j >= room_j:
            self._level_j = self.capacity_j
            return room_j
        self._level_j += energy_j
        return energy_j

    def elapse(
        self, from_s: float, to_s: float, *, drain_w: float = 0.0, harvest: Harvest | None = None
    ) -> float | None:
        """Let time pass: drain, harvest and leak together; the level is that at ``to_s``.

        Returns when the battery became empty (``from_s`` if it was); from then
        on the drain is off, while the harvest goes on. None where it did not.
        Raises ValueError for times that do not rise from 0 and negative power.
        """
        empty_at_s, self._level_j = self._flow(self._level_j, from_s, to_s, drain_w, harvest)
        return empty_at_s

    def depleted_at(
        self,
        drain_w: float,
        *,
        from_s: float = 0.0,
        harvest: Harvest | None = None,
        until_s: float = LIFETIME_S,
    ) -> float:
        """Return when a constant drain, with a harvest, empties it; the level stays as it is.

        Infinity where it lasts beyond ``until_s``. Raises as :meth:`elapse`.
        """
        period_s = None if harvest is None else harvest.period_s
        level_j, start_s = self._level_j, from_s
        while start_s < until_s:
            end_s = until_s if period_s is None else min(until_s, start_s + period_s)
            empty_at_s, after_j = self._flow(level_j, start_s, end_s, drain_w, harvest)
            if empty_at_s is not None:
                return empty_at_s
            # More in store always stays more, so a period without loss repeats for ever.
            if period_s is not None and after_j >= level_j:
                return math.inf
            level_j, start_s = after_j, end_s
        return math.inf

    def _flow(
        self, level_j: float, from_s: float, to_s: float, drain_w: float, harvest: Harvest | None
    ) -> tuple[float | None, float]:
        """When it became empty, and the level at ``to_s``."""
        check_not_negative("from_s", from_s)
        check_finite("to_s", to_s)
        check_not_negative("drain_w", drain_w)
        if to_s < from_s:
            raise ValueError(f"to_s = {to_s!r} is before from_s = {from_s!r}; give a later time")
        empty_at_s = from_s if level_j <= self.cut_off_j else None
        for start_s, end_s, harvest_w in _pieces(harvest, from_s, to_s):
            at_s = start_s
            if empty_at_s is None:
                hit_s = self._seconds_to_cut_off(level_j, harvest_w - drain_w)
                if at_s + hit_s <= end_s:
                    empty_at_s = at_s = at_s + hit_s
                    level_j = self.cut_off_j
            load_w = drain_w if empty_at_s is None else 0.0
            level_j = self._after(level_j, end_s - at_s, harvest_w - load_w)
        return empty_at_s, level_j

    def _after(self, level_j: float, seconds: float, net_w: float) -> float:
        """The level after seconds of constant net power: dE/dt = P - leak * E, held in bounds."""
        leak = self._leak_per_s
        gone = -math.expm1(-leak * seconds)
        gained_j = net_w * (gone / leak if leak * seconds > 0 else seconds)
        return min(self.capacity_j, max(0.0, level_j - level_j * gone + gained_j))

    def _seconds_to_cut_off(self, level_j: float, net_w: float) -> float:
        """Seconds until the level has fallen to the cut-off; infinity if it never does."""
        leak, cut_off_j = self._leak_per_s, self.cut_off_j
        if net_w - leak * cut_off_j >= 0:
            return math.inf
        if leak == 0:
            return (level_j - cut_off_j) / -net_w
        return math.log1p(leak * (level_j - cut_off_j) / (leak * cut_off_j - net_w)) / leak


def _pieces(
    harvest: Harvest | None, from_s: float, to_s: float
) -> Iterator[tuple[float, float, float]]:
    if harvest is not None:
        yield from harvest.pieces(from_s, to_s)
    elif to_s > from_s:
        yield from_s, to_s, 0.0
