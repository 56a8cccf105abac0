"""Which station serves which device."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from channel_sim.checks import check_finite


def nearest_station(
    devices_m: npt.ArrayLike, stations_m: npt.ArrayLike
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Find the nearest station of each device, in O((n + m) log m) with a k-d tree.

    Takes positions in metres of shape (n, d) and (m, d), m >= 1. Returns the
    number of the station, int64 of shape (n,), and the distance in metres,
    shape (n,); among equally near ones any may be named. Raises ValueError
    for other shapes and for positions that are not finite.
    """
    # Here and not above: of all the places, only this needs scipy's half second.
    from scipy.spatial import cKDTree

    devices, stations = np.asarray(devices_m, float), np.asarray(stations_m, float)
    both_tables = devices.ndim == stations.ndim == 2  # noqa: PLR2004
    if not both_tables or devices.shape[1] != stations.shape[1] or not len(stations):
        raise ValueError(
            f"devices_m and stations_m have shapes {devices.shape} and {stations.shape};"
            " give (n, d) and (m, d) with at least one station"
        )
    check_finite("devices_m", devices)
    check_finite("stations_m", stations)
    distance_m, station = cKDTree(stations).query(devices)
    return np.asarray(station, np.int64), np.asarray(distance_m, np.float64)
