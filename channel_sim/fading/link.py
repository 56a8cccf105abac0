"""Fading of a single link, for a medium that holds one model per link.

Small-scale fading is a power gain of mean 1 that stays the same within a
coherence block.
"""

from __future__ import annotations

import math
from typing import Protocol

import numpy as np
import numpy.typing as npt

from channel_sim.checks import check_positive

CHUNK = 64
_SAMPLER = np.random.Generator(np.random.Philox(0))
"""One for all links, since a chunk puts in key and counter: one each would take 1 kB."""
_FRESH = _SAMPLER.bit_generator.state
"""The state before the first draw."""


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

    def first_below(self, threshold: float, first: int, last: int) -> int:
        """Return the first of these blocks with a gain (linear) below a threshold.

        ``last + 1`` where there is none.
        """
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
        self._gains: npt.NDArray[np.float64] = np.empty(0)

    @property
    def coherence_s(self) -> float:
        """Length of a block in seconds."""
        return self._coherence_s

    def gain(self, block: int) -> float:
        """Return the power gain (linear) of block ``block`` >= 0."""
        chunk, index = divmod(block, CHUNK)
        return float(self._chunk_gains(chunk)[index])

    def first_below(self, threshold: float, first: int, last: int) -> int:
        """Return the first block of ``first`` to ``last`` with a gain below ``threshold``.

        ``last + 1`` where there is none.
        """
        block = first
        while block <= last:
            chunk, index = divmod(block, CHUNK)
            below = self._chunk_gains(chunk)[index:] < threshold
            found = int(below.argmax())
            if below[found]:
                return min(block + found, last + 1)
            block += CHUNK - index
        return last + 1

    def outage(self, threshold: float) -> float:
        """Return P(gain < threshold) = 1 - exp(-threshold), both linear."""
        return -math.expm1(-threshold)

    def _chunk_gains(self, chunk: int) -> npt.NDArray[np.float64]:
        if chunk != self._chunk:
            # Chunks start 2^64 counts apart: however many numbers the sampler
            # rejects, a chunk never runs into the next.
            counter = np.array([0, chunk, 0, 0], np.uint64)
            # A new generator for each chunk would take four times as long.
            _SAMPLER.bit_generator.state = {
                **_FRESH,
                "state": {"counter": counter, "key": self._key},
            }
            self._gains = _SAMPLER.standard_exponential(CHUNK)
            self._chunk = chunk
        return self._gains
