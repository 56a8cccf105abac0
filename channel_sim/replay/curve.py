"""The share of frames delivered, by RSSI, as an error model."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from channel_sim.checks import check_finite, check_positive, check_probability


@dataclass(frozen=True, eq=False)
class DeliveryCurve:
    """Straight lines through points of RSSI (dBm) and share delivered, shapes (m,).

    Below the first point and above the last the share stays as there. Holds for
    frames like those measured; it knows nothing of their length. Raises
    ValueError for RSSI not in order and for shares outside [0, 1] or falling.
    """

    rssi_dbm: npt.NDArray[np.float64]
    share: npt.NDArray[np.float64]

    def __post_init__(self) -> None:
        check_finite("rssi_dbm", self.rssi_dbm)
        check_probability("share", self.share)
        if len(self.rssi_dbm) != len(self.share) or not len(self.share):
            raise ValueError(
                f"rssi_dbm and share have {len(self.rssi_dbm)} and {len(self.share)} entries;"
                " give the same number, at least one"
            )
        if np.any(np.diff(self.rssi_dbm) <= 0) or np.any(np.diff(self.share) < 0):
            raise ValueError("rssi_dbm or share falls; sort the points, join those that fall")

    @classmethod
    def from_measured(
        cls, rssi_dbm: npt.ArrayLike, share: npt.ArrayLike, *, bin_db: float = 5.0
    ) -> DeliveryCurve:
        """Build from measured pairs: mean RSSI and mean share of each bin of ``bin_db``.

        Bins begin at multiples of ``bin_db``. Where the mean share falls, bins
        are joined by their number of pairs (pool adjacent violators).
        """
        check_positive("bin_db", bin_db)
        rssi, shares = np.asarray(rssi_dbm, np.float64), np.asarray(share, np.float64)
        check_finite("rssi_dbm", rssi)
        _, rows, counts = np.unique(
            np.floor(rssi / bin_db), return_inverse=True, return_counts=True
        )
        points = np.column_stack(
            (counts, np.bincount(rows, rssi) / counts, np.bincount(rows, shares) / counts)
        )
        pooled: list[npt.NDArray[np.float64]] = []
        for count, level_dbm, mean in points:
            pooled.append(np.array([count, level_dbm, mean]))
            while len(pooled) > 1 and pooled[-2][2] > pooled[-1][2]:
                pair = np.array([pooled.pop(), pooled.pop()])
                total = pair[:, 0].sum()
                pooled.append(np.append(total, pair[:, 0] @ pair[:, 1:] / total))
        table = np.array(pooled)
        return cls(table[:, 1], table[:, 2])

    def delivery(self, rssi_dbm: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Return the share delivered at a mean RSSI in dBm, same shape."""
        return np.asarray(np.interp(np.asarray(rssi_dbm, np.float64), self.rssi_dbm, self.share))

    def packet_error(self, rssi_dbm: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Return the probability that one attempt of one frame fails, same shape."""
        return 1 - self.delivery(rssi_dbm)
