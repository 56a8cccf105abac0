"""Losses in bursts: a link that is good for a while, then bad for a while (Gilbert, Elliott).

The chain runs in time, not in packets: a pause between packets is a pause
for the channel too.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from channel_sim.checks import check_positive, check_probability
from channel_sim.fading.clarke import crossing_rate_hz, mean_fade_s


@dataclass(frozen=True, kw_only=True)
class GilbertElliott:
    """Two states with exponential durations of mean ``good_s`` and ``bad_s`` seconds.

    A packet is lost with ``good_loss`` or ``bad_loss`` by the state it meets.
    Raises ValueError for durations that are not positive and losses that are
    no probabilities.
    """

    good_s: float
    bad_s: float
    good_loss: float = 0.0
    bad_loss: float = 1.0

    def __post_init__(self) -> None:
        check_positive("good_s", self.good_s)
        check_positive("bad_s", self.bad_s)
        check_probability("good_loss", self.good_loss)
        check_probability("bad_loss", self.bad_loss)

    @classmethod
    def from_rayleigh(cls, threshold: float, doppler_hz: float) -> GilbertElliott:
        """Return the chain whose states last as long as Rayleigh's fades below a gain.

        ``threshold`` linear, to the mean (Wang and Moayeri 1995, as remembered).
        """
        bad_s = float(mean_fade_s(threshold, doppler_hz))
        return cls(good_s=1 / float(crossing_rate_hz(threshold, doppler_hz)) - bad_s, bad_s=bad_s)

    @property
    def bad_share(self) -> float:
        """Share of the time in the bad state."""
        return self.bad_s / (self.good_s + self.bad_s)

    @property
    def mean_loss(self) -> float:
        """Probability that a packet at any time is lost."""
        return self.good_loss + self.bad_share * (self.bad_loss - self.good_loss)

    def memory(self, apart_s: float) -> float:
        """Return the correlation of the states ``apart_s`` seconds apart."""
        return math.exp(-apart_s * (1 / self.good_s + 1 / self.bad_s))


class BurstLosses:
    """One link that follows the chain, asked packet by packet in order of time.

    Starts in its long-run state. Two numbers are drawn per packet, however
    long the pause before it.
    """

    __slots__ = ("_bad", "_chain", "_now_s", "_rng")

    def __init__(self, chain: GilbertElliott, *, rng: np.random.Generator) -> None:
        self._chain = chain
        self._rng = rng
        self._now_s = 0.0
        self._bad = bool(rng.random() < chain.bad_share)

    def lost(self, time_s: float) -> bool:
        """Tell whether the packet at ``time_s`` is lost; ValueError for a time gone by."""
        if not time_s >= self._now_s:
            raise ValueError(f"time_s = {time_s!r} is before {self._now_s!r}; ask in order of time")
        share, chain = self._chain.bad_share, self._chain
        chance = share + (self._bad - share) * chain.memory(time_s - self._now_s)
        state, loss = self._rng.random(2)
        self._now_s = time_s
        self._bad = bool(state < chance)
        return bool(loss < (chain.bad_loss if self._bad else chain.good_loss))
