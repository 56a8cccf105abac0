"""Which mode a station sends in: the best that the SNR carries, or always the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from channel_sim.checks import check_between, check_count, check_finite, check_known
from channel_sim.reception.wifi_error import WifiModel, lowest_snr_db
from channel_sim.reception.wifi_modes import WIFI_MODES

OUT_OF_REACH = -1


@dataclass(frozen=True, kw_only=True)
class IdealRate:
    """The fastest mode whose error rate, ``margin_db`` below the mean SNR, is at most the target.

    ``modes`` are names of ``WIFI_MODES``; ``size_bytes`` the frame for which
    the choice is made. Raises ValueError for no or unknown modes and for
    numbers out of range.
    """

    modes: Sequence[str]
    size_bytes: int = 1500
    margin_db: float = 0.0
    target_per: float = 0.1
    model: WifiModel = "ns3_table"

    def __post_init__(self) -> None:
        if not self.modes:
            raise ValueError("modes is empty; give one at least")
        for mode in self.modes:
            check_known("modes", mode, WIFI_MODES)
        check_count("size_bytes", self.size_bytes)
        check_finite("margin_db", self.margin_db)
        check_between("target_per", self.target_per, 1e-12, 1 - 1e-12, why="a share of frames")

    def choose(self, snr_db: npt.ArrayLike) -> npt.NDArray[np.int64]:
        """Return the place in ``modes`` for each mean SNR in dB, -1 where none is good enough."""
        snr_db = np.asarray(snr_db, dtype=np.float64)
        chosen = np.full(snr_db.shape, OUT_OF_REACH, dtype=np.int64)
        # A slower mode may need more SNR than a faster one: each is asked, the fastest last.
        for place in sorted(range(len(self.modes)), key=self._rate_bps):
            needed_db = lowest_snr_db(
                self.modes[place], self.target_per, self.size_bytes, self.model
            )
            chosen = np.where(snr_db >= needed_db + self.margin_db, place, chosen)
        return chosen

    def _rate_bps(self, place: int) -> float:
        return WIFI_MODES[self.modes[place]].rate_bps


@dataclass(frozen=True)
class FixedRate:
    """Always the same place in the list of modes, whatever the SNR."""

    place: int

    def choose(self, snr_db: npt.ArrayLike) -> npt.NDArray[np.int64]:
        """Return that place, in the shape of ``snr_db``."""
        return np.full(np.shape(snr_db), self.place, dtype=np.int64)
