"""Areas that devices are placed and move in; both are convex, so that straight ways stay inside."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from channel_sim.checks import check_finite, check_positive

Positions: TypeAlias = npt.NDArray[np.float64]
"""Metres, shape (n, 2): x and y."""


@dataclass(frozen=True)
class Rectangle:
    """A rectangle around ``centre_m``. Raises ValueError for a side that is not positive."""

    width_m: float
    height_m: float
    centre_m: tuple[float, float] = (0.0, 0.0)

    def __post_init__(self) -> None:
        check_positive("width_m", self.width_m)
        check_positive("height_m", self.height_m)
        check_finite("centre_m", self.centre_m)

    @property
    def sides_m(self) -> npt.NDArray[np.float64]:
        """Width and height, shape (2,)."""
        return np.array([self.width_m, self.height_m])

    @property
    def corner_m(self) -> npt.NDArray[np.float64]:
        """The corner with the smallest x and y, shape (2,)."""
        return np.asarray(self.centre_m - self.sides_m / 2)

    @property
    def diameter_m(self) -> float:
        """The longest way inside."""
        return math.hypot(self.width_m, self.height_m)

    @property
    def mean_distance_m(self) -> float:
        """Mean distance of two uniform points (Ghosh 1951, as remembered); unit square 0.5214."""
        a, b, d = self.width_m, self.height_m, self.diameter_m
        whole = a**3 / b**2 + b**3 / a**2 + d * (3 - a**2 / b**2 - b**2 / a**2)
        logs = b**2 / a * math.log((a + d) / b) + a**2 / b * math.log((b + d) / a)
        return (whole + 2.5 * logs) / 15

    def spread(self, uniforms: npt.NDArray[np.float64]) -> Positions:
        """Map uniform numbers in (0, 1), shape (n, 2), to uniform points inside."""
        return np.asarray(self.corner_m + uniforms * self.sides_m)


@dataclass(frozen=True)
class Disc:
    """A disc around ``centre_m``. Raises ValueError for a radius that is not positive."""

    radius_m: float
    centre_m: tuple[float, float] = (0.0, 0.0)

    def __post_init__(self) -> None:
        check_positive("radius_m", self.radius_m)
        check_finite("centre_m", self.centre_m)

    @property
    def diameter_m(self) -> float:
        """The longest way inside."""
        return 2 * self.radius_m

    @property
    def mean_distance_m(self) -> float:
        """Mean distance of two uniform points, 128 R / (45 pi)."""
        return 128 * self.radius_m / (45 * math.pi)

    def spread(self, uniforms: npt.NDArray[np.float64]) -> Positions:
        """Map uniform numbers in (0, 1), shape (n, 2), to uniform points inside."""
        return around(self.centre_m, self.radius_m * np.sqrt(uniforms[:, 0]), uniforms[:, 1])


def around(
    centre_m: tuple[float, float],
    distance_m: npt.NDArray[np.float64],
    turn: npt.NDArray[np.float64],
) -> Positions:
    """Points at a distance and a part of a full turn from a centre, shapes (n,), as (n, 2)."""
    angle = 2 * math.pi * turn
    return np.column_stack((np.cos(angle), np.sin(angle))) * distance_m[:, np.newaxis] + centre_m
