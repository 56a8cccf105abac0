"""Shadowing: what walls and hills take from a link, for good.

One number per link and drop, added to the path loss. It is never drawn again
for a packet, or it would be a second fading. Devices near one another stand
in the same shadow, and one that moves carries its own along for a while.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from channel_sim.checks import check_finite, check_not_negative, check_positive

WAVES = 256
"""Plane waves that make up a field of shadows."""
CHUNK = 4096
"""Places worked out at once."""

Array = npt.NDArray[np.float64]


def shadowing_db(sigma_db: float, rng: np.random.Generator) -> float:
    """Draw the shadowing of one link, N(0, sigma^2) in dB (TR 38.901, 7.4.1).

    Added to the path loss. Raises ValueError for a negative sigma.
    """
    check_not_negative("sigma_db", sigma_db)
    return float(rng.normal(0.0, sigma_db))


def moved_shadowing_db(
    before_db: npt.ArrayLike,
    moved_m: npt.ArrayLike,
    *,
    sigma_db: float,
    correlation_m: float,
    rng: np.random.Generator,
) -> Array:
    """Shadowing after a move: rho S + sigma sqrt(1 - rho^2) N, rho = exp(-moved / d_cor).

    Of links in any shape; ``moved_m`` 0 leaves it as it was (TR 38.901, eq. 7.4-5).
    """
    check_not_negative("moved_m", moved_m)
    check_not_negative("sigma_db", sigma_db)
    check_positive("correlation_m", correlation_m)
    before_db = np.asarray(before_db, dtype=np.float64)
    rho = np.exp(-np.asarray(moved_m, dtype=np.float64) / correlation_m)
    fresh_db = sigma_db * rng.standard_normal(np.broadcast_shapes(before_db.shape, rho.shape))
    return np.asarray(rho * before_db + np.sqrt(1 - rho**2) * fresh_db)


def correlated_normals(
    positions_m: npt.ArrayLike, *, correlation_m: float, rng: np.random.Generator
) -> Array:
    """Draw a unit normal per place, of correlation exp(-d / d_cor) between places d apart.

    ``positions_m`` (devices, 2), result (devices,). A sum of plane waves with
    wave numbers from the kernel's spectrum (Shinozuka and Jan 1972): over
    drops the correlation is exact at every distance, the law normal up to a
    kurtosis of 1.5 / 256. One more device changes no other's shadow. Raises
    ValueError for another shape.
    """
    positions_m = np.asarray(positions_m, dtype=np.float64)
    if positions_m.ndim != 2 or positions_m.shape[1] != 2:  # noqa: PLR2004
        raise ValueError(f"positions_m has shape {positions_m.shape}; give (devices, 2)")
    check_finite("positions_m", positions_m)
    check_positive("correlation_m", correlation_m)
    # The exponential kernel in the plane has the density k (1 + k^2)^(-3/2) of
    # wave numbers. One draw per stratum keeps each drop close to it.
    strata = (np.arange(WAVES) + rng.random(WAVES)) / WAVES
    numbers = np.sqrt((1 - strata) ** -2 - 1) / correlation_m
    golden = (np.arange(WAVES) * (np.sqrt(5) - 1) / 2 + rng.random()) % 1
    angles = 2 * np.pi * golden
    waves = numbers * np.stack([np.cos(angles), np.sin(angles)])
    phases = 2 * np.pi * rng.random(WAVES)
    field = np.empty(len(positions_m))
    for start in range(0, len(positions_m), CHUNK):
        places_m = positions_m[start : start + CHUNK]
        field[start : start + CHUNK] = np.cos(places_m @ waves + phases).sum(axis=1)
    return np.asarray(field * np.sqrt(2 / WAVES))
