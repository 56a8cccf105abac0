"""The two-state Markov process: exponential up and down times."""

from __future__ import annotations

import numpy as np

from channel_sim.availability.periods import DrawnPeriods
from channel_sim.checks import check_positive


class MarkovOnOff(DrawnPeriods):
    """A two-state Markov process: exponential up times and down times in turn.

    The long-run availability is mean_up_s / (mean_up_s + mean_down_s), that
    is lambda_on / (lambda_on + lambda_off) with the rates lambda_on =
    1 / mean_down_s and lambda_off = 1 / mean_up_s. Starts at time 0 in the
    state ``starts_up``. Periods are drawn in order and kept, so that queries
    in any order agree. An infinite mean is a state that never ends. Times are
    seconds >= 0; raises ValueError for others and for a mean that is not
    positive.
    """

    def __init__(
        self,
        mean_up_s: float,
        mean_down_s: float,
        rng: np.random.Generator,
        *,
        starts_up: bool = True,
    ) -> None:
        check_positive("mean_up_s", mean_up_s, finite=False)
        check_positive("mean_down_s", mean_down_s, finite=False)
        super().__init__(rng, starts_up=starts_up)
        self._means_s = (mean_up_s, mean_down_s)

    def _draw_s(self, from_s: float, *, is_up: bool) -> float:
        del from_s
        return self._rng.standard_exponential() * self._means_s[0 if is_up else 1]
