"""What the surroundings do to a link: shadowing for good, fading block by block.

Shadowing is one number per link and drop; it is never drawn again, or it
would be a second fading. Small-scale fading is a power gain of mean 1 that
stays the same within a coherence block.
"""

from __future__ import annotations

import math
from typing import Protocol

import numpy as np

from channel_sim.checks import check_not_negative, check_positive
from channel_sim.path_loss import SPEED_OF_LIGHT_M_S

CHUNK = 64


def shadowing_db(sigma_db: float, rng: np.random.Generator) -> float:
    """Draw the shadowing of one link, N(0, sigma^2) in dB (TR 38.901, 7.4.1).

    Added to the path loss. Raises ValueError for a negative sigma.
    """
    check_not_negative("sigma_db", sigma_db)
    return float(rng.normal(0.0, sigma_db))


def coherence_time_s(speed_m_s: float, carrier_hz: float) -> float:
    """Coherence time 0.423 / f_d in seconds, f_d = v f / c (Rappaport 2002, eq. 5.40.c).

    A speed of 0 is a static channel: infinity. Raises ValueError for a
    negative speed or a carrier that is not positive.
    """
    check_not_negative("speed_m_s", speed_m_s)
    check_positive("carrier_hz", carrier_hz)
    if speed_m_s == 0:
        return math.inf
    return 0.423 * SPEED_OF_LIGHT_M_S / (speed_m_s * carrier_hz)


class Fading(Protocol):
    """A power gain of mean 1 that is constant within a block.

    Block k lasts from ``k * coherence_s`` to ``(k + 1) * coherence_s``.
    """

    @property
    def coherence_s(self) -> float:
        """Length of a block in seconds; infinity for a static channel."""
        ...

    def gain(self, block: int) -> float:
        """Return the power gain (linear) of a block; depends on the block alone."""
        ...

    def outage(self, threshold: float) -> float:
        """Return the probability that the gain (linear) is below a threshold."""
        ...


class RayleighBlocks:
    """Rayleigh block fading: the power gain of each block is Exp(1), drawn once.

    Counter-based: the generator only gives the key, and block k is a function
    of key and k, so that no query changes another and memory stays constant
    however long the run. Raises ValueError for a coherence time that is not
    positive; infinity is a static channel with one gain.
    """

    __slots__ = ("_chunk", "_coherence_s", "_gains", "_key")

    def __init__(self, coherence_s: float, rng: np.random.Generator) -> None:
        check_positive("coherence_s", coherence_s, finite=False)
        self._coherence_s = coherence_s
        self._key = rng.integers(0, 2**64, size=2, dtype=np.uint64)
        self._chunk = -1
        self._gains: list[float] = []

    @property
    def coherence_s(self) -> float:
        """Length of a block in seconds."""
        return self._coherence_s

    def gain(self, block: int) -> float:
        """Return the power gain (linear) of block ``block`` >= 0."""
        chunk, index = divmod(block, CHUNK)
        if chunk != self._chunk:
            # Chunks start 2^64 counts apart: however many numbers the sampler
            # rejects, a chunk never runs into the next.
            bits = np.random.Philox(key=self._key, counter=[0, chunk, 0, 0])
            self._gains = np.random.Generator(bits).standard_exponential(CHUNK).tolist()
            self._chunk = chunk
        return self._gains[index]

    def outage(self, threshold: float) -> float:
        """Return P(gain < threshold) = 1 - exp(-threshold), both linear."""
        return -math.expm1(-threshold)
