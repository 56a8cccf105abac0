"""Laws of small-scale fading: a power gain of mean 1 from two uniform numbers.

``K`` of Rice is the power of the direct path over that of all others; ``m``
of Nakagami is 1 for Rayleigh and grows as the fading gets milder.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
import numpy.typing as npt
from scipy import special

from channel_sim.checks import check_finite, check_known
from channel_sim.units import linear

FADING = ("none", "rayleigh", "rician", "nakagami")
NAKAGAMI_MIN = 0.5
"""The law is defined from here on (Nakagami 1960)."""


class Law(Protocol):
    """The distribution of a power gain (linear, mean 1)."""

    def gain_from_uniforms(self, uniforms: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Return gains of shape S from independent uniforms in (0, 1) of shape (2, S)."""
        ...

    def outage(self, threshold: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Return P(gain < threshold) of linear thresholds of 0 or more, same shape."""
        ...


@dataclass(frozen=True)
class Rayleigh:
    """No direct path: the gain is Exp(1). Outage 1 - exp(-theta)."""

    def gain_from_uniforms(self, uniforms: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Return gains of shape S from uniforms of shape (2, S)."""
        return np.asarray(-np.log(uniforms[0]))

    def outage(self, threshold: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Return P(gain < threshold), thresholds linear, same shape."""
        return -np.expm1(-np.asarray(threshold, dtype=np.float64))


@dataclass(frozen=True)
class Rician:
    """A direct path of ``k_db`` over the rest: |sqrt(K/(K+1)) + sqrt(1/(2(K+1))) (n1 + j n2)|^2.

    Outage: noncentral chi-squared of 2 degrees and lambda = 2K at 2 (K + 1)
    theta. Raises ValueError for a K that is not finite.
    """

    k_db: float

    def __post_init__(self) -> None:
        check_finite("k_db", self.k_db)

    @cached_property
    def _k(self) -> float:
        return float(linear(self.k_db))

    def gain_from_uniforms(self, uniforms: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Return gains of shape S from uniforms of shape (2, S)."""
        # Box-Muller without its two normals: the scattered power is
        # exponential and its phase uniform.
        direct = self._k / (self._k + 1)
        scattered = -np.log(uniforms[0]) / (self._k + 1)
        cosine = np.cos(2 * np.pi * uniforms[1])
        return np.asarray(direct + 2 * np.sqrt(direct * scattered) * cosine + scattered)

    def outage(self, threshold: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Return P(gain < threshold), thresholds linear, same shape."""
        threshold = np.asarray(threshold, dtype=np.float64)
        return np.asarray(special.chndtr(2 * (self._k + 1) * threshold, 2, 2 * self._k))


@dataclass(frozen=True)
class Nakagami:
    """The gain is Gamma(m, 1/m); m = 1 is Rayleigh. Outage P(m, m theta), regularised lower gamma.

    Raises ValueError for an m below 0.5.
    """

    m: float

    def __post_init__(self) -> None:
        check_finite("m", self.m)
        if self.m < NAKAGAMI_MIN:
            raise ValueError(f"m = {self.m!r} is below 0.5, where Nakagami's law starts; give more")

    def gain_from_uniforms(self, uniforms: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Return gains of shape S from uniforms of shape (2, S)."""
        return np.asarray(special.gammaincinv(self.m, uniforms[0]) / self.m)

    def outage(self, threshold: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Return P(gain < threshold), thresholds linear, same shape."""
        threshold = np.asarray(threshold, dtype=np.float64)
        return np.asarray(special.gammainc(self.m, self.m * threshold))


def law_of(
    fading: str, *, rician_k_db: float | None = None, nakagami_m: float | None = None
) -> Law | None:
    """Return the law of a name in ``FADING``, None for "none".

    Raises ValueError for an unknown name, and for a parameter that is missing
    or belongs to another law.
    """
    check_known("fading", fading, FADING)
    for key, value, name in (
        ("rician_k_db", rician_k_db, "rician"),
        ("nakagami_m", nakagami_m, "nakagami"),
    ):
        if value is not None and fading != name:
            raise ValueError(f"{key} = {value!r} needs fading {name!r}, not {fading!r}")
        if value is None and fading == name:
            raise ValueError(f"{key} is missing; fading {name!r} needs it")
    if rician_k_db is not None:
        return Rician(rician_k_db)
    if nakagami_m is not None:
        return Nakagami(nakagami_m)
    return Rayleigh() if fading == "rayleigh" else None
