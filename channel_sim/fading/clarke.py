"""Continuous Rayleigh fading of one moving link: a sum of sinusoids after Clarke.

Block fading jumps from gain to gain; this one moves as a channel does, so
that fades have a length. For tests of block fading and of bursts of losses.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import special

from channel_sim.checks import check_count, check_not_negative, check_positive
from channel_sim.fading.laws import Rayleigh


class Clarke:
    """``paths`` waves of equal power from all around, of random phase (Xiao et al. 2006).

    Over links the correlation of the amplitude is J0(2 pi f_d t) at any number
    of paths; the gain comes close to Exp(1) as they grow. ``doppler_hz`` 0 is
    a static channel. Raises ValueError for a negative shift and fewer than 8
    paths.
    """

    FEWEST = 8

    def __init__(self, doppler_hz: float, *, rng: np.random.Generator, paths: int = 32) -> None:
        check_not_negative("doppler_hz", doppler_hz)
        check_count("paths", paths)
        if paths < self.FEWEST:
            raise ValueError(f"paths = {paths} are too few for fading; give {self.FEWEST} or more")
        angles = (2 * np.pi * np.arange(paths) + rng.uniform(-np.pi, np.pi)) / paths
        self._shifts_hz = doppler_hz * np.cos(angles)
        self._phases = rng.uniform(0.0, 2 * np.pi, paths)

    def amplitudes(self, times_s: npt.ArrayLike) -> npt.NDArray[np.complex128]:
        """Return the complex amplitude at times of any shape, same shape; mean power 1."""
        times_s = np.asarray(times_s, dtype=np.float64)
        total = np.zeros(times_s.shape, dtype=np.complex128)
        for shift_hz, phase in zip(self._shifts_hz, self._phases, strict=True):
            total += np.exp(1j * (2 * np.pi * shift_hz * times_s + phase))
        return np.asarray(total / np.sqrt(len(self._phases)))

    def gains(self, times_s: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Return the power gain (linear, mean 1) at times of any shape, same shape."""
        return np.asarray(np.abs(self.amplitudes(times_s)) ** 2)


def amplitude_correlation(doppler_hz: float, apart_s: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Return J0(2 pi f_d t), the correlation of the amplitude over time (Clarke 1968)."""
    check_not_negative("doppler_hz", doppler_hz)
    return np.asarray(special.j0(2 * np.pi * doppler_hz * np.asarray(apart_s, dtype=np.float64)))


def crossing_rate_hz(threshold: npt.ArrayLike, doppler_hz: float) -> npt.NDArray[np.float64]:
    """Return how often per second the gain falls through a threshold (linear, to the mean).

    sqrt(2 pi) f_d rho exp(-rho^2) with rho^2 the threshold (Rice 1944; Rappaport 2002, 5.80).
    """
    check_positive("threshold", threshold)
    check_not_negative("doppler_hz", doppler_hz)
    threshold = np.asarray(threshold, dtype=np.float64)
    return np.asarray(np.sqrt(2 * np.pi * threshold) * doppler_hz * np.exp(-threshold))


def mean_fade_s(threshold: npt.ArrayLike, doppler_hz: float) -> npt.NDArray[np.float64]:
    """Return how long the gain stays below a threshold on average, in seconds.

    (exp(rho^2) - 1) / (rho f_d sqrt(2 pi)): the outage over the crossing rate.
    """
    check_positive("doppler_hz", doppler_hz)
    return np.asarray(Rayleigh().outage(threshold) / crossing_rate_hz(threshold, doppler_hz))
