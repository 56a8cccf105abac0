"""A day: the rate at which devices come up swings over 24 hours."""

from __future__ import annotations

import math

import numpy as np

from channel_sim.availability.periods import DrawnPeriods
from channel_sim.checks import check_between, check_finite, check_positive

DAY_S = 86_400.0


class Diurnal(DrawnPeriods):
    """Exponential up times; down times end at a rate that swings over the day.

    lambda_on(t) = (1 / mean_down_s) (1 + swing sin(2 pi (t - phase_s) / 24 h)),
    drawn exactly by thinning (Lewis and Shedler 1979). The rate is highest six
    hours after ``phase_s`` and its ratio of peak to low is (1 + swing) / (1 -
    swing): 4 with the swing of 0.6, as remembered of Google's report on phones
    that are idle, charging and on Wi-Fi. Where devices are up for a small part
    of the time, so is the ratio of the numbers that are up. ``mean_up_s`` may
    be infinite. Raises ValueError for a mean that is not positive, a swing
    outside [0, 1] and a phase that is not finite.
    """

    def __init__(
        self,
        mean_up_s: float,
        mean_down_s: float,
        rng: np.random.Generator,
        *,
        swing: float = 0.6,
        phase_s: float = 0.0,
        starts_up: bool = True,
    ) -> None:
        check_positive("mean_up_s", mean_up_s, finite=False)
        check_positive("mean_down_s", mean_down_s)
        check_between("swing", swing, 0.0, 1.0, why="a rate cannot be negative")
        check_finite("phase_s", phase_s)
        super().__init__(rng, starts_up=starts_up)
        self._mean_up_s, self._mean_down_s = mean_up_s, mean_down_s
        self._swing, self._phase_s = swing, phase_s

    def _draw_s(self, from_s: float, *, is_up: bool) -> float:
        if is_up:
            return self._rng.standard_exponential() * self._mean_up_s
        shortest_s = self._mean_down_s / (1 + self._swing)
        t_s = from_s
        while True:
            t_s += self._rng.standard_exponential() * shortest_s
            wave = math.sin(2 * math.pi * (t_s - self._phase_s) / DAY_S)
            if self._rng.random() * (1 + self._swing) < 1 + self._swing * wave:
                return t_s - from_s
