"""Weibull up times: a device that has lasted long is likely to last longer."""

from __future__ import annotations

import math

import numpy as np

from channel_sim.availability.periods import DrawnPeriods
from channel_sim.checks import check_positive


class WeibullOnOff(DrawnPeriods):
    """Weibull up times and exponential down times in turn.

    P(up time > t) = exp(-(t / scale)^shape) with the scale mean_up_s /
    gamma(1 + 1 / shape), so that the mean is ``mean_up_s`` for every shape. A
    shape below 1 is heavy-tailed: many short up times and a few very long
    ones; 0.7 as remembered from studies of machine availability; 1 is the
    Markov process. At time 0 a period begins afresh in the state
    ``starts_up``: the start is not the steady state, which a shape below 1
    reaches after several up times. Long-run availability mean_up_s /
    (mean_up_s + mean_down_s). Raises ValueError for a parameter that is not
    positive, or not finite but for ``mean_down_s``.
    """

    def __init__(
        self,
        mean_up_s: float,
        mean_down_s: float,
        rng: np.random.Generator,
        *,
        shape: float = 0.7,
        starts_up: bool = True,
    ) -> None:
        check_positive("mean_up_s", mean_up_s)
        check_positive("mean_down_s", mean_down_s, finite=False)
        check_positive("shape", shape)
        super().__init__(rng, starts_up=starts_up)
        self._shape = shape
        self._scale_s = mean_up_s / math.gamma(1 + 1 / shape)
        self._mean_down_s = mean_down_s

    def _draw_s(self, from_s: float, *, is_up: bool) -> float:
        del from_s
        if is_up:
            return self._rng.weibull(self._shape) * self._scale_s
        return self._rng.standard_exponential() * self._mean_down_s
