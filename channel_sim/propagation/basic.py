"""Path loss of the textbooks: free space, log-distance, power law, in dB.

Pure functions over numbers or arrays; shadowing and fading come after them.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from channel_sim.checks import check_finite, check_positive
from channel_sim.fading.doppler import SPEED_OF_LIGHT_M_S


def free_space_db(distance_m: npt.ArrayLike, carrier_hz: float) -> npt.NDArray[np.float64]:
    """Free-space path loss 20 log10(4 pi d f / c) in dB (Friis 1946; ITU-R P.525).

    ``distance_m`` has any shape, the result the same. Raises ValueError for a
    distance or a carrier that is not positive and finite.
    """
    check_positive("distance_m", distance_m)
    check_positive("carrier_hz", carrier_hz)
    distance_m = np.asarray(distance_m, dtype=np.float64)
    return 20 * np.log10(4 * np.pi * carrier_hz / SPEED_OF_LIGHT_M_S * distance_m)


def log_distance_db(
    distance_m: npt.ArrayLike,
    exponent: float,
    *,
    reference_loss_db: float,
    reference_distance_m: float = 1.0,
) -> npt.NDArray[np.float64]:
    """Log-distance path loss L0 + 10 n log10(d / d0) in dB (Rappaport 2002, 4.9.1).

    Below the reference distance the loss is that of the reference distance:
    the law does not hold there. ``distance_m`` has any shape, the result the
    same. Raises ValueError for a distance or an exponent that is not positive
    and finite.
    """
    check_positive("distance_m", distance_m)
    check_positive("exponent", exponent)
    check_positive("reference_distance_m", reference_distance_m)
    check_finite("reference_loss_db", reference_loss_db)
    ratio = np.maximum(np.asarray(distance_m, dtype=np.float64) / reference_distance_m, 1.0)
    return reference_loss_db + 10 * exponent * np.log10(ratio)


def power_law_db(
    distance_m: npt.ArrayLike, exponent: float, *, reference_loss_db: float = 0.0
) -> npt.NDArray[np.float64]:
    """Path loss of a gain g d^-alpha: -10 log10 g + 10 alpha log10 d in dB, d in metres.

    The channel of most papers on federated learning; it goes on below 1 m.
    ``distance_m`` has any shape, the result the same. Raises ValueError for a
    distance or an exponent that is not positive and finite.
    """
    check_positive("distance_m", distance_m)
    check_positive("exponent", exponent)
    check_finite("reference_loss_db", reference_loss_db)
    return reference_loss_db + 10 * exponent * np.log10(np.asarray(distance_m, dtype=np.float64))
