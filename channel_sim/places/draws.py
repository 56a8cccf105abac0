"""Random numbers by counter: of a key, a device and a step, and of nothing else.

A mobility asks for numbers when it is asked for positions. Were they taken
from a generator, the path of a device would depend on when somebody looked.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

ODD = (0x9E3779B97F4A7C15, 0xD1B54A32D192ED03, 0x8CB92BA72F3D8DD7)
"""One odd constant per coordinate of the counter: 2^64 over the golden ratio and two others."""


class Draws:
    """Numbers by (device, step, which), drawn from one key.

    The three are mixed one after the other by the finaliser of SplitMix64
    (Steele, Lea and Flood 2014).
    """

    def __init__(self, rng: np.random.Generator) -> None:
        self._key = rng.integers(0, 2**64, dtype=np.uint64)

    def uniform(
        self, device: npt.NDArray[np.int64], step: npt.ArrayLike, which: int
    ) -> npt.NDArray[np.float64]:
        """Return numbers in (0, 1) for devices, shape (n,), at a step (scalar or (n,))."""
        bits = np.full(device.shape, self._key)
        for odd, part in zip(ODD, (device, step, which), strict=True):
            bits = _mix(bits + np.asarray(part, np.uint64) * np.uint64(odd))
        return ((bits >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53

    def normal_pair(
        self, device: npt.NDArray[np.int64], step: npt.ArrayLike, which: int
    ) -> npt.NDArray[np.float64]:
        """Return standard normal numbers, shape (n, 2); uses ``which`` and ``which + 1``."""
        radius = np.sqrt(-2 * np.log(self.uniform(device, step, which)))
        angle = 2 * np.pi * self.uniform(device, step, which + 1)
        return np.column_stack((radius * np.cos(angle), radius * np.sin(angle)))


def _mix(bits: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return bits ^ (bits >> np.uint64(31))
