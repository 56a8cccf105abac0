"""One message over a Shannon link: units sent one after the other until enough got through.

A unit is a whole packet (one must get through) or a slot (as many as the bits
need). Each fails on its own; after ``limit`` units the sender gives up.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import betainc

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

LONGEST_S = 1e9
"""A unit that lasts longer, 32 years, is out of reach: nanoseconds stay whole numbers."""
NEVER = 1e-12
"""Units that get through more rarely than this are not drawn: none does."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Law:
    """Of each message, arrays of one shape.

    ``snr`` mean, linear; ``rate_bps``, 0 where out of reach; ``need`` units
    must get through, each ``unit_ns`` long, each failing with probability
    ``fail`` (over its fading) or, of a known gain, where ``snr`` times the
    gain is below ``threshold``, linear. ``limit`` units at most.
    """

    snr: Floats
    rate_bps: Floats
    need: Ints
    unit_ns: Ints
    fail: Floats
    threshold: Floats
    limit: int

    def delivered(self) -> Floats:
        """Probability that ``need`` of ``limit`` units get through."""
        enough = np.maximum(self.limit - self.need + 1, 1)
        chance = betainc(self.need, enough, 1 - self.fail)
        return np.where((self.need <= self.limit) & (self.rate_bps > 0), chance, 0.0)

    def units_if_delivered(self) -> Floats:
        """Mean number of units of a message that is delivered, times the chance of it.

        n / p P(the n+1st success of p-trials comes by trial limit + 1).
        """
        enough = np.maximum(self.limit - self.need + 1, 1)
        right = np.maximum(1 - self.fail, NEVER)
        later = betainc(self.need + 1, enough, 1 - self.fail)
        return np.where(self.delivered() > 0, self.need / right * later, 0.0)

    def units(self) -> Floats:
        """Mean number of units sent, 0 out of reach."""
        lost = 1 - self.delivered()
        return np.where(self.rate_bps > 0, self.units_if_delivered() + self.limit * lost, 0.0)

    def draw(self, rng: np.random.Generator) -> tuple[Ints, npt.NDArray[np.bool_]]:
        """Draw how many units are sent, and whether the message is delivered."""
        right = 1 - self.fail
        hopeless = (right < NEVER) | (self.rate_bps == 0) | (self.need > self.limit)
        failed = rng.negative_binomial(self.need, np.where(hopeless, 1.0, right))
        # A draw that overflowed is far beyond any limit.
        failed = np.where(failed < 0, self.limit, failed)
        units = self.need + failed
        delivered = ~hopeless & (units <= self.limit)
        sent = np.where(delivered, units, self.limit)
        return np.where(self.rate_bps > 0, sent, 0).astype(np.int64), delivered
