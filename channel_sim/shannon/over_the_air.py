"""Adding up over the air: all devices send at once, the station hears the sum.

Not a medium: there are no packets and no losses, only noise on the mean.
Amiri and Gunduz, IEEE Trans. Signal Process. 68, 2020 (arXiv 1901.00844), for
gradients; Ahn, Simeone and Kang (arXiv 2002.01337, as remembered) for logits.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from channel_sim.checks import check_finite


def over_the_air_mean(
    values: npt.ArrayLike, snr_db: float, rng: np.random.Generator
) -> npt.NDArray[np.float64]:
    """Return the noisy mean over the devices, axis 0 of ``values``.

    ``values`` (devices, ...), float; the result has the shape of one device's.
    N(0, s^2 / (P n^2)) is added to each entry of the mean of n devices, with
    P / s^2 the ``snr_db`` of one device: perfect power control, no fading.
    Raises ValueError for values that are not finite, for none, and for an SNR
    that is not finite.
    """
    values = np.asarray(values, dtype=np.float64)
    check_finite("values", values)
    check_finite("snr_db", snr_db)
    if values.ndim == 0 or len(values) == 0:
        raise ValueError(f"values has shape {values.shape}; give one row per device")
    deviation = 10 ** (-snr_db / 20) / len(values)
    mean = values.mean(axis=0)
    return np.asarray(mean + rng.normal(0.0, deviation, size=mean.shape))
