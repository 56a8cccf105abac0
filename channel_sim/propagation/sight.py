"""Probability of line of sight, TR 38.901 v19.4.0, table 7.4.2-1.

Functions of the horizontal distance in metres, any shape; the result has the
same shape. They raise ValueError for a distance that is not positive.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from channel_sim.checks import check_known, check_positive

GROUND_M = 13.0
"""Devices of UMa higher than this may see the station over the roofs."""
STREET_M = 18.0
"""Within it the station is always in sight in a street."""
MIXED_M, OPEN_M = 6.5, 49.0
"""Where the laws of the offices change."""

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Clutter:
    """What stands in a factory hall: share of the floor, size and height in metres."""

    density: float
    size_m: float
    height_m: float


CLUTTER = {
    "sl": Clutter(density=0.2, size_m=10.0, height_m=2.0),
    "dl": Clutter(density=0.6, size_m=2.0, height_m=6.0),
    "sh": Clutter(density=0.2, size_m=10.0, height_m=2.0),
    "dh": Clutter(density=0.6, size_m=2.0, height_m=6.0),
}
"""Halls of table 7.8-7 (read in Sionna's InFScenario)."""


def uma_sight(distance_m: npt.ArrayLike, *, device_height_m: float = 1.5) -> Array:
    """Urban macro; devices above 13 m see further.

    Their product exceeds 1 by up to 0.006 just beyond 18 m and is held at 1.
    """
    distance_m = _checked(distance_m)
    chance = _street(distance_m, 63.0) * (1 + _roof(distance_m, device_height_m))
    return np.asarray(np.minimum(chance, 1.0))


def draw_effective_height_m(
    distance_m: npt.ArrayLike, *, device_height_m: float, rng: np.random.Generator
) -> Array:
    """Draw h_E of UMa's breakpoint per link (table 7.4.1-1, note 1), shape of the distances.

    1 m with probability 1 / (1 + C); else one of 12, 15, ... up to the
    device's height less 1.5 m. Up to 13 m C is 0, and so it is below 18 m.
    """
    distance_m = _checked(distance_m)
    chance = 1 / (1 + _roof(distance_m, device_height_m))
    roofs_m = np.arange(12.0, max(device_height_m - 1.5, 12.0) + 1e-9, 3.0)
    # Two generators: one more link then changes no other's.
    ground_rng, roof_rng = rng.spawn(2)
    ground = ground_rng.random(distance_m.shape) < chance
    return np.where(ground, 1.0, roof_rng.choice(roofs_m, size=distance_m.shape))


def umi_sight(distance_m: npt.ArrayLike) -> Array:
    """Urban micro, street canyon."""
    return _street(_checked(distance_m), 36.0)


def rma_sight(distance_m: npt.ArrayLike) -> Array:
    """Rural macro."""
    return np.asarray(np.exp(-np.maximum(_checked(distance_m) - 10, 0.0) / 1000))


def inh_mixed_sight(distance_m: npt.ArrayLike) -> Array:
    """Indoor office of rooms and corridors."""
    distance_m = _checked(distance_m)
    near = np.exp(-np.maximum(distance_m - 1.2, 0.0) / 4.7)
    return np.where(distance_m < MIXED_M, near, 0.32 * np.exp(-(distance_m - MIXED_M) / 32.6))


def inh_open_sight(distance_m: npt.ArrayLike) -> Array:
    """Indoor office of one large room."""
    distance_m = _checked(distance_m)
    near = np.exp(-np.maximum(distance_m - 5, 0.0) / 70.8)
    return np.where(distance_m <= OPEN_M, near, 0.54 * np.exp(-(distance_m - OPEN_M) / 211.7))


def inf_sight(
    distance_m: npt.ArrayLike,
    *,
    clutter: str,
    station_height_m: float = 8.0,
    device_height_m: float = 1.5,
) -> Array:
    """Indoor factory of a ``clutter`` "sl", "dl", "sh" or "dh" with the hall of ``CLUTTER``.

    The station of "sh" and "dh" must stand above the clutter and the device
    below it, or ValueError is raised.
    """
    check_known("clutter", clutter, CLUTTER)
    hall = CLUTTER[clutter]
    scale_m = -hall.size_m / np.log1p(-hall.density)
    if clutter in ("sh", "dh"):
        if not device_height_m < hall.height_m < station_height_m:
            raise ValueError(
                f"station_height_m = {station_height_m:g} and device_height_m ="
                f" {device_height_m:g} do not lie above and below the clutter of"
                f" {hall.height_m:g} m; move them, or take inf_{clutter[0]}l"
            )
        scale_m *= (station_height_m - device_height_m) / (hall.height_m - device_height_m)
    return np.asarray(np.exp(-_checked(distance_m) / scale_m))


def _street(distance_m: Array, fade_m: float) -> Array:
    """18 / d + exp(-d / fade) (1 - 18 / d), 1 within 18 m."""
    ratio = STREET_M / np.maximum(distance_m, STREET_M)
    return np.asarray(ratio + np.exp(-distance_m / fade_m) * (1 - ratio))


def _roof(distance_m: Array, device_height_m: float) -> Array:
    """C of UMa: C'(h_UT) times the function of distance that goes with it, 0 within 18 m."""
    height = max(device_height_m - GROUND_M, 0.0) / 10
    over = height**1.5 * 1.25 * (distance_m / 100) ** 3 * np.exp(-distance_m / 150)
    return np.where(distance_m <= STREET_M, 0.0, over)


def _checked(distance_m: npt.ArrayLike) -> Array:
    check_positive("distance_m", distance_m)
    return np.asarray(distance_m, dtype=np.float64)
