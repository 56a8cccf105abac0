"""From power to bits: thermal noise and the rate that an SNR carries."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from channel_sim.checks import check_finite, check_positive

THERMAL_NOISE_DBM_HZ = -174.0
"""k T at 290 K, in dBm per Hz, rounded as usual (exactly -173.98)."""


def noise_dbm(bandwidth_hz: float, noise_figure_db: float) -> float:
    """Thermal noise power -174 + 10 log10 B + NF in dBm.

    Raises ValueError for a bandwidth that is not positive and finite.
    """
    check_positive("bandwidth_hz", bandwidth_hz)
    check_finite("noise_figure_db", noise_figure_db)
    return THERMAL_NOISE_DBM_HZ + 10 * math.log10(bandwidth_hz) + noise_figure_db


@dataclass(frozen=True)
class TruncatedShannon:
    """Spectral efficiency of an adaptive link (3GPP TR 36.942, annex A).

    0 below ``floor_db``, ``alpha`` log2(1 + SNR) above it, never more than
    ``cap_bps_hz``. Raises ValueError for an alpha or a cap that is not
    positive and for a floor that is NaN.
    """

    alpha: float
    cap_bps_hz: float
    floor_db: float

    def __post_init__(self) -> None:
        check_positive("alpha", self.alpha)
        check_positive("cap_bps_hz", self.cap_bps_hz, finite=False)
        if math.isnan(self.floor_db):
            raise ValueError("floor_db = nan; give a number of dB, or -inf for no floor")

    def efficiency_bps_hz(self, snr_db: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Spectral efficiency in bit/s/Hz for ``snr_db`` of any shape."""
        snr_db = np.asarray(snr_db, dtype=np.float64)
        # log2(1 + SNR) by logaddexp: exact at -60 dB, no overflow at +4000 dB.
        carried = self.alpha * np.logaddexp(0.0, snr_db * math.log(10) / 10) / math.log(2)
        return np.where(snr_db < self.floor_db, 0.0, np.minimum(carried, self.cap_bps_hz))

    @property
    def cap_snr_db(self) -> float:
        """The lowest SNR in dB that carries the cap; infinity without a cap."""
        bits = self.cap_bps_hz / self.alpha
        # 10 log10(2^bits - 1), in the form that cannot overflow.
        return 10 / math.log(10) * (bits * math.log(2) + math.log1p(-(2.0**-bits)))


SHANNON = TruncatedShannon(alpha=1.0, cap_bps_hz=math.inf, floor_db=-math.inf)
"""The bound itself: log2(1 + SNR) without gap, cap or floor (Shannon 1948)."""
