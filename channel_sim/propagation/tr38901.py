"""Path loss of 3GPP TR 38.901 v19.4.0, table 7.4.1-1: UMa, UMi, RMa, InH, InF.

Every function takes the horizontal distance and the carrier, both heights in
metres, and gives dB. Outside the table's range of frequency, height or
longest distance it raises ValueError. Below the shortest distance (10 m
outdoors, 1 m indoors) the table gives no value; the formula is used with the
slant distance, which the heights keep away from 0. Distances have any shape,
the result the same.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from channel_sim.checks import check_between, check_known, check_positive

TABLE = "TR 38.901 table 7.4.1-1"
SPEED_M_S = 3.0e8
"""Of light, as the table's notes round it for the breakpoint."""
INF_NLOS = {
    "sl": (33.0, 25.5),
    "dl": (18.6, 35.7),
    "sh": (32.4, 23.0),
    "dh": (33.63, 21.9),
}
"""Indoor factory without sight: loss in dB at 1 m and 1 GHz, dB per decade of distance."""

Array = npt.NDArray[np.float64]


def uma_los_db(
    distance_m: npt.ArrayLike,
    carrier_hz: float,
    *,
    station_height_m: float = 25.0,
    device_height_m: float = 1.5,
    effective_height_m: npt.ArrayLike = 1.0,
) -> Array:
    """Urban macro in sight: station at 25 m, device at 1.5 to 22.5 m, up to 5 km.

    ``effective_height_m`` is h_E of note 1, of the distances' shape or one.
    """
    check_between("station_height_m", station_height_m, 25.0, 25.0, why=f"{TABLE}, UMa")
    check_between("device_height_m", device_height_m, 1.5, 22.5, why=f"{TABLE}, UMa")
    slant_m = _slant_m(distance_m, station_height_m, device_height_m, longest_m=5_000.0)
    carrier_db = _carrier_db(carrier_hz)
    effective_m = np.asarray(effective_height_m, dtype=np.float64)
    break_m = _break_m(carrier_hz, station_height_m - effective_m, device_height_m - effective_m)
    rise_m = station_height_m - device_height_m
    near_db = 28.0 + 22 * np.log10(slant_m) + carrier_db
    far_db = 28.0 + 40 * np.log10(slant_m) + carrier_db - 9 * np.log10(break_m**2 + rise_m**2)
    return np.where(np.asarray(distance_m) <= break_m, near_db, far_db)


def uma_nlos_db(
    distance_m: npt.ArrayLike,
    carrier_hz: float,
    *,
    station_height_m: float = 25.0,
    device_height_m: float = 1.5,
    effective_height_m: npt.ArrayLike = 1.0,
) -> Array:
    """Urban macro without sight, never less than in sight; limits as there."""
    sight_db = uma_los_db(
        distance_m,
        carrier_hz,
        station_height_m=station_height_m,
        device_height_m=device_height_m,
        effective_height_m=effective_height_m,
    )
    slant_m = _slant_m(distance_m, station_height_m, device_height_m, longest_m=5_000.0)
    loss_db = 13.54 + 39.08 * np.log10(slant_m) + _carrier_db(carrier_hz)
    return np.maximum(sight_db, loss_db - 0.6 * (device_height_m - 1.5))


def umi_los_db(
    distance_m: npt.ArrayLike,
    carrier_hz: float,
    *,
    station_height_m: float = 10.0,
    device_height_m: float = 1.5,
) -> Array:
    """Urban micro, street canyon, in sight: station at 10 m, device at 1.5 to 22.5 m, to 5 km."""
    check_between("station_height_m", station_height_m, 10.0, 10.0, why=f"{TABLE}, UMi")
    check_between("device_height_m", device_height_m, 1.5, 22.5, why=f"{TABLE}, UMi")
    slant_m = _slant_m(distance_m, station_height_m, device_height_m, longest_m=5_000.0)
    carrier_db = _carrier_db(carrier_hz)
    break_m = _break_m(carrier_hz, station_height_m - 1.0, device_height_m - 1.0)
    rise_m = station_height_m - device_height_m
    near_db = 32.4 + 21 * np.log10(slant_m) + carrier_db
    far_db = 32.4 + 40 * np.log10(slant_m) + carrier_db - 9.5 * np.log10(break_m**2 + rise_m**2)
    return np.where(np.asarray(distance_m) <= break_m, near_db, far_db)


def umi_nlos_db(
    distance_m: npt.ArrayLike,
    carrier_hz: float,
    *,
    station_height_m: float = 10.0,
    device_height_m: float = 1.5,
) -> Array:
    """Urban micro without sight, never less than in sight; limits as there."""
    heights = {"station_height_m": station_height_m, "device_height_m": device_height_m}
    slant_m = _slant_m(distance_m, station_height_m, device_height_m, longest_m=5_000.0)
    loss_db = 22.4 + 35.3 * np.log10(slant_m) + 1.065 * _carrier_db(carrier_hz)
    sight_db = umi_los_db(distance_m, carrier_hz, **heights)
    return np.maximum(sight_db, loss_db - 0.3 * (device_height_m - 1.5))


def rma_los_db(
    distance_m: npt.ArrayLike,
    carrier_hz: float,
    *,
    station_height_m: float = 35.0,
    device_height_m: float = 1.5,
    building_height_m: float = 5.0,
) -> Array:
    """Rural macro in sight: to 30 GHz and 10 km, station at 10 to 150 m, device at 1 to 10 m."""
    _check_rma(carrier_hz, station_height_m, device_height_m, building_height_m)
    slant_m = _slant_m(distance_m, station_height_m, device_height_m, longest_m=10_000.0)
    break_m = rma_break_m(carrier_hz, station_height_m, device_height_m)

    def near_db(length_m: npt.ArrayLike) -> Array:
        rough = building_height_m**1.72
        return np.asarray(
            20 * np.log10(40 * np.pi * np.asarray(length_m) / 3)
            + _carrier_db(carrier_hz)
            + min(0.03 * rough, 10.0) * np.log10(length_m)
            - min(0.044 * rough, 14.77)
            + 0.002 * np.log10(building_height_m) * np.asarray(length_m)
        )

    far_db = near_db(break_m) + 40 * np.log10(slant_m / break_m)
    return np.where(np.asarray(distance_m) <= break_m, near_db(slant_m), far_db)


def rma_nlos_db(
    distance_m: npt.ArrayLike,
    carrier_hz: float,
    *,
    station_height_m: float = 35.0,
    device_height_m: float = 1.5,
    building_height_m: float = 5.0,
    street_width_m: float = 20.0,
) -> Array:
    """Rural macro without sight, never less than in sight; up to 5 km, streets of 5 to 50 m."""
    check_between("street_width_m", street_width_m, 5.0, 50.0, why=f"{TABLE}, RMa")
    slant_m = _slant_m(distance_m, station_height_m, device_height_m, longest_m=5_000.0)
    sight_db = rma_los_db(
        distance_m,
        carrier_hz,
        station_height_m=station_height_m,
        device_height_m=device_height_m,
        building_height_m=building_height_m,
    )
    log_station = np.log10(station_height_m)
    loss_db = (
        161.04
        - 7.1 * np.log10(street_width_m)
        + 7.5 * np.log10(building_height_m)
        - (24.37 - 3.7 * (building_height_m / station_height_m) ** 2) * log_station
        + (43.42 - 3.1 * log_station) * (np.log10(slant_m) - 3)
        + _carrier_db(carrier_hz)
        - (3.2 * np.log10(11.75 * device_height_m) ** 2 - 4.97)
    )
    return np.asarray(np.maximum(sight_db, loss_db))


def rma_break_m(carrier_hz: float, station_height_m: float, device_height_m: float) -> float:
    """Return the breakpoint distance in metres, 2 pi h_BS h_UT f / c."""
    return 2 * np.pi * station_height_m * device_height_m * carrier_hz / SPEED_M_S


def inh_los_db(
    distance_m: npt.ArrayLike,
    carrier_hz: float,
    *,
    station_height_m: float = 3.0,
    device_height_m: float = 1.0,
) -> Array:
    """Indoor office in sight, up to 150 m."""
    slant_m = _slant_m(distance_m, station_height_m, device_height_m, longest_m=150.0)
    return np.asarray(32.4 + 17.3 * np.log10(slant_m) + _carrier_db(carrier_hz))


def inh_nlos_db(
    distance_m: npt.ArrayLike,
    carrier_hz: float,
    *,
    station_height_m: float = 3.0,
    device_height_m: float = 1.0,
) -> Array:
    """Indoor office without sight, never less than in sight; up to 150 m."""
    heights = {"station_height_m": station_height_m, "device_height_m": device_height_m}
    slant_m = _slant_m(distance_m, station_height_m, device_height_m, longest_m=150.0)
    loss_db = 17.3 + 38.3 * np.log10(slant_m) + 1.245 * _carrier_db(carrier_hz)
    return np.maximum(inh_los_db(distance_m, carrier_hz, **heights), loss_db)


def inf_los_db(
    distance_m: npt.ArrayLike,
    carrier_hz: float,
    *,
    station_height_m: float = 8.0,
    device_height_m: float = 1.5,
) -> Array:
    """Indoor factory in sight, any clutter, up to 600 m."""
    slant_m = _slant_m(distance_m, station_height_m, device_height_m, longest_m=600.0)
    return np.asarray(31.84 + 21.5 * np.log10(slant_m) + 0.95 * _carrier_db(carrier_hz))


def inf_nlos_db(
    distance_m: npt.ArrayLike,
    carrier_hz: float,
    *,
    clutter: str,
    station_height_m: float = 8.0,
    device_height_m: float = 1.5,
) -> Array:
    """Indoor factory without sight, never less than in sight nor, for "dl", than "sl".

    ``clutter`` "sl", "dl", "sh" or "dh": sparse or dense, station low or high.
    """
    check_known("clutter", clutter, INF_NLOS)
    heights = {"station_height_m": station_height_m, "device_height_m": device_height_m}
    slant_m = _slant_m(distance_m, station_height_m, device_height_m, longest_m=600.0)
    loss_db = inf_los_db(distance_m, carrier_hz, **heights)
    for name in ("sl", "dl") if clutter == "dl" else (clutter,):
        start_db, slope_db = INF_NLOS[name]
        here_db = start_db + slope_db * np.log10(slant_m) + _carrier_db(carrier_hz)
        loss_db = np.maximum(loss_db, here_db)
    return loss_db


def _slant_m(
    distance_m: npt.ArrayLike, station_height_m: float, device_height_m: float, *, longest_m: float
) -> Array:
    check_positive("distance_m", distance_m)
    check_positive("station_height_m", station_height_m)
    check_positive("device_height_m", device_height_m)
    check_between("distance_m", distance_m, 0.0, longest_m, why=TABLE)
    rise_m = station_height_m - device_height_m
    return np.asarray(np.hypot(np.asarray(distance_m, dtype=np.float64), rise_m))


def _carrier_db(carrier_hz: float) -> float:
    """20 log10 of the carrier in GHz."""
    check_between("carrier_hz", carrier_hz, 0.5e9, 100e9, why=TABLE)
    return float(20 * np.log10(carrier_hz / 1e9))


def _break_m(carrier_hz: float, station_m: npt.ArrayLike, device_m: npt.ArrayLike) -> Array:
    """Breakpoint distance of note 1 from the heights above h_E."""
    return np.asarray(4 * np.asarray(station_m) * np.asarray(device_m) * carrier_hz / SPEED_M_S)


def _check_rma(
    carrier_hz: float, station_height_m: float, device_height_m: float, building_height_m: float
) -> None:
    why = f"{TABLE}, RMa"
    check_between("carrier_hz", carrier_hz, 0.5e9, 30e9, why=why)
    check_between("station_height_m", station_height_m, 10.0, 150.0, why=why)
    check_between("device_height_m", device_height_m, 1.0, 10.0, why=why)
    check_between("building_height_m", building_height_m, 5.0, 50.0, why=why)
