"""Gauss-Markov mobility: a velocity with memory."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
import numpy.typing as npt

from channel_sim.checks import (
    check_between,
    check_count,
    check_known,
    check_not_negative,
    check_positive,
)
from channel_sim.places.area import Positions, Rectangle
from channel_sim.places.draws import Draws
from channel_sim.places.mobility import Clock


class GaussMarkov:
    """``n`` devices whose velocity remembers (Liang and Haas 1999).

    In x and in y, every ``step_s`` seconds and constant in between,

        v' = alpha v + (1 - alpha) mean + sigma_m_s sqrt(1 - alpha^2) N(0, 1)

    so that the correlation over k steps is alpha^k: ``alpha`` 0 has no memory,
    1 goes straight on. The mean velocity of a device has ``mean_speed_m_s``
    and a direction of its own. Places are uniform and velocities steady from
    time 0. At the border a device bounces (its velocity and its mean velocity
    are mirrored) or, with border "wrap", comes in again opposite; both keep
    the places uniform. Raises ValueError for parameters out of range.
    """

    def __init__(
        self,
        n: int,
        area: Rectangle,
        rng: np.random.Generator,
        *,
        mean_speed_m_s: float,
        sigma_m_s: float,
        alpha: float = 0.85,
        step_s: float = 1.0,
        border: Literal["bounce", "wrap"] = "bounce",
    ) -> None:
        check_count("n", n)
        check_not_negative("mean_speed_m_s", mean_speed_m_s)
        check_not_negative("sigma_m_s", sigma_m_s)
        check_between("alpha", alpha, 0.0, 1.0, why="the memory of the velocity")
        check_positive("step_s", step_s)
        check_known("border", border, ("bounce", "wrap"))
        self._area, self._alpha, self._sigma_m_s = area, alpha, sigma_m_s
        self._step_s, self._bounces = step_s, border == "bounce"
        self._draws, self._clock, self._step = Draws(rng), Clock(), 0
        self._device = np.arange(n)
        turn = 2 * math.pi * self._draws.uniform(self._device, 0, 2)
        self._mean_m_s = mean_speed_m_s * np.column_stack((np.cos(turn), np.sin(turn)))
        self._velocity_m_s = self._mean_m_s + sigma_m_s * self._noise()
        pair = [self._draws.uniform(self._device, 0, which) for which in (3, 4)]
        self._place_m = np.column_stack(pair) * area.sides_m
        """From the corner, on a plane tiled with mirror images (or copies) of the area."""

    def positions_m(self, t_s: float) -> Positions:
        """Return places at ``t_s``, shape (n, 2); see :class:`channel_sim.places.Mobility`."""
        unfolded_m = self._unfold(t_s)
        sides_m = self._area.sides_m
        if not self._bounces:
            return np.asarray(self._area.corner_m + unfolded_m % sides_m)
        there_m = unfolded_m % (2 * sides_m)
        return np.asarray(self._area.corner_m + np.minimum(there_m, 2 * sides_m - there_m))

    def velocities_m_s(self, t_s: float) -> npt.NDArray[np.float64]:
        """Return velocities at ``t_s`` in m/s, shape (n, 2)."""
        sides_m = self._area.sides_m
        mirrored = self._unfold(t_s) % (2 * sides_m) > sides_m
        return np.where(mirrored & self._bounces, -self._velocity_m_s, self._velocity_m_s)

    def _noise(self) -> npt.NDArray[np.float64]:
        return self._draws.normal_pair(self._device, self._step, 0)

    def _unfold(self, t_s: float) -> Positions:
        self._clock.advance(t_s)
        # A mirrored device in the area is one that goes straight on in the mirror image.
        step = math.floor(t_s / self._step_s)
        spread_m_s = self._sigma_m_s * math.sqrt(1 - self._alpha**2)
        while self._step < step:
            self._step += 1
            self._place_m += self._velocity_m_s * self._step_s
            self._velocity_m_s = (
                self._alpha * self._velocity_m_s
                + (1 - self._alpha) * self._mean_m_s
                + spread_m_s * self._noise()
            )
        return np.asarray(self._place_m + self._velocity_m_s * (t_s - step * self._step_s))
