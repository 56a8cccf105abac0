"""Block fading of many links: gain of (link, block), whoever asks and in whatever order.

Nothing is drawn in sequence and nothing is stored: a gain is a hash of a key,
the link and the block. So the engines that go message by message and those
that go in arrays meet the same channel, and memory stays constant however
long the run.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from channel_sim.checks import check_positive
from channel_sim.fading.laws import Law
from channel_sim.units import SECOND_NS, to_ns

STATIC_NS = 2**62
"""Block length of a static channel, 146 years: every run ends in block 0."""
_WORD = 2**64 - 1
_STEP = 0x9E3779B97F4A7C15
_MIX_A = 0xBF58476D1CE4E5B9
_MIX_B = 0x94D049BB133111EB


class BlockFading:
    """Gains of mean 1 that stay the same within a block of ``coherence_s`` seconds.

    ``rng`` gives the key and nothing else; links are any integers of 64 bits.
    The hash is the finaliser of SplitMix64 (Steele et al. 2014) over the link,
    and over the block, combined. ``gain`` and ``gains`` agree to the last bit.
    A coherence time of infinity is a static channel: one gain per link.
    Raises ValueError for a coherence time that is below half a nanosecond.
    """

    def __init__(self, law: Law, coherence_s: float, *, rng: np.random.Generator) -> None:
        check_positive("coherence_s", coherence_s, finite=False)
        static = coherence_s >= STATIC_NS / SECOND_NS
        self.law = law
        self._coherence_ns = STATIC_NS if static else to_ns(coherence_s)
        if self._coherence_ns == 0:
            raise ValueError(f"coherence_s = {coherence_s!r} is no whole nanosecond; give 1e-9 up")
        self._keys: list[int] = rng.integers(0, 2**64, size=2, dtype=np.uint64).tolist()
        self._last: dict[int, tuple[int, float]] = {}

    @property
    def coherence_ns(self) -> int:
        """Length of a block in nanoseconds."""
        return self._coherence_ns

    def gain(self, link: int, block: int) -> float:
        """Return the power gain (linear) of one link in one block."""
        last = self._last.get(link)
        if last is not None and last[0] == block:
            return last[1]
        link_key, block_key = self._keys
        word = _mixed(
            _mixed(link_key + _STEP * int(link) & _WORD)
            ^ _mixed(block_key + _STEP * int(block) & _WORD)
        )
        more = _mixed(word + _STEP & _WORD)
        uniforms = np.array([(word >> 12) + 0.5, (more >> 12) + 0.5]) * 2.0**-52
        gain = float(self.law.gain_from_uniforms(uniforms))
        self._last[link] = (block, gain)
        return gain

    def gains(
        self, links: npt.NDArray[np.int64], blocks: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.float64]:
        """Return the power gains (linear) of links in blocks; all arrays of one shape."""
        step = np.uint64(_STEP)
        # The sums are meant to wrap at 64 bits.
        with np.errstate(over="ignore"):
            link_key, block_key = (
                np.uint64(key) + step * np.asarray(ids).astype(np.uint64)
                for key, ids in zip(self._keys, (links, blocks), strict=True)
            )
            word = _mixed_array(_mixed_array(link_key) ^ _mixed_array(block_key))
            words = np.stack([word, _mixed_array(word + step)])
        # 52 bits and a half: never 0, never 1.
        uniforms = ((words >> np.uint64(12)).astype(np.float64) + 0.5) * 2.0**-52
        return self.law.gain_from_uniforms(uniforms)


def _mixed(word: int) -> int:
    """The finaliser of SplitMix64: every bit of the result depends on every bit of the word."""
    word = (word ^ (word >> 30)) * _MIX_A & _WORD
    word = (word ^ (word >> 27)) * _MIX_B & _WORD
    return word ^ (word >> 31)


def _mixed_array(words: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """The same for an array, which wraps at 64 bits by itself."""
    words = (words ^ (words >> np.uint64(30))) * np.uint64(_MIX_A)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(_MIX_B)
    return words ^ (words >> np.uint64(31))
