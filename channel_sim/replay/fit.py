"""Log-distance fits of measured RSSI, and the files that hold some."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from channel_sim.checks import check_finite, check_known, check_positive
from channel_sim.lines import malformed, read_lines, to_number
from channel_sim.replay.files import open_traces

TECHNOLOGIES = ("WiFi", "BLE", "Zigbee")
POINTS_M = tuple(float(tenth) / 10 for tenth in (*range(1, 11), *range(15, 51, 5)))
"""Distances of the 18 points of the indoor set: 0.1 to 1 m, then every 0.5 m to 5 m.

Read from its Pathloss_Scenario*.xlsx, the same in all three.
"""


@dataclass(frozen=True)
class LogDistanceFit:
    """RSSI = rssi_at_1m_dbm - 10 exponent log10(d / 1 m) + N(0, sigma_db^2)."""

    exponent: float
    rssi_at_1m_dbm: float
    sigma_db: float

    def rssi_dbm(self, distance_m: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Return the mean RSSI at a distance in metres, same shape."""
        check_positive("distance_m", distance_m)
        return np.asarray(self.rssi_at_1m_dbm - 10 * self.exponent * np.log10(distance_m))


def fit_log_distance(distance_m: npt.ArrayLike, rssi_dbm: npt.ArrayLike) -> LogDistanceFit:
    """Fit by least squares in dB over log10 of the distance; arrays of shape (m,).

    ``sigma_db`` is the root mean square of what is left. Raises ValueError
    for arrays of different shape, distances that are not positive and fewer than
    two different ones.
    """
    distance, rssi = np.asarray(distance_m, np.float64), np.asarray(rssi_dbm, np.float64)
    check_positive("distance_m", distance)
    check_finite("rssi_dbm", rssi)
    if distance.shape != rssi.shape or len(np.unique(distance)) < 2:  # noqa: PLR2004
        raise ValueError(
            f"distance_m and rssi_dbm have shapes {distance.shape} and {rssi.shape};"
            " give one RSSI per distance, at two distances or more"
        )
    slope, at_1m_dbm = np.polyfit(np.log10(distance), rssi, 1)
    left_db = rssi - at_1m_dbm - slope * np.log10(distance)
    return LogDistanceFit(float(-slope / 10), float(at_1m_dbm), float(np.sqrt(np.mean(left_db**2))))


def load_rssi_by_distance(
    path: str | Path,
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Read lines of a distance in metres and RSSI in dBm of several settings, by tabs.

    Returns distances, shape (m,), and RSSI, shape (m, settings), nan where
    the file says 0: not measured. Raises ValueError that names file and line.
    """
    rows: list[list[float]] = []
    for number, text in read_lines(path):
        if not text.strip():
            continue
        remedy = "give metres above 0 and as many RSSI as in the line before"
        values = [to_number(path, number, part, remedy) for part in text.split()]
        if len(values) < 2 or values[0] <= 0 or (rows and len(values) != len(rows[-1])):  # noqa: PLR2004
            raise malformed(path, number, text, remedy)
        rows.append(values)
    if not rows:
        raise ValueError(f"{path} holds no distances; give one per line")
    table = np.array(rows)
    return table[:, 0], np.where(table[:, 1:] == 0, np.nan, table[:, 1:])


def load_indoor_rssi(
    path: str | Path, *, scenario: int, technology: str
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Read the path-loss points of the indoor set of Sadowski et al.: its tar or its files.

    ``scenario`` 1 to 3, ``technology`` WiFi, BLE or Zigbee. Returns distances
    in metres and RSSI in dBm, one per packet, shapes (packets,). Raises
    ValueError that names file and line for a line unlike ``Node A: -56``.
    """
    check_known("technology", technology, TECHNOLOGIES)
    check_known("scenario", str(scenario), ("1", "2", "3"))
    distance_m: list[float] = []
    rssi_dbm: list[float] = []
    for name, lines in open_traces(path, under=f"Scenario{scenario}/", ending=".txt"):
        # Scenario 1 sorts by kind, then technology; the others the other way round.
        if not {"Pathloss", technology} <= set(Path(name).parts):
            continue
        for number, text in lines:
            if text.strip():
                rssi_dbm.append(_node_rssi_dbm(name, number, text))
                distance_m.append(_point_m(name))
    return np.array(distance_m), np.array(rssi_dbm)


def _node_rssi_dbm(name: str, number: int, text: str) -> float:
    label, _, value = text.partition(":")
    if not label.startswith("Node"):
        raise malformed(name, number, text, "give a line like 'Node A: -56'")
    return to_number(name, number, value, "give a line like 'Node A: -56'")


def _point_m(name: str) -> float:
    stem = Path(name).stem
    if not (stem.isdigit() and 1 <= int(stem) <= len(POINTS_M)):
        raise ValueError(f"{name} is no point of this set; name it 1.txt to {len(POINTS_M)}.txt")
    return POINTS_M[int(stem) - 1]
