"""Path loss of Okumura and Hata outdoors and of ITU-R P.1238 indoors, in dB.

Distances in metres have any shape, the result the same.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from channel_sim.checks import check_between, check_known, check_not_negative, check_positive
from channel_sim.propagation.basic import free_space_db

HATA_AREAS = ("urban", "suburban", "open")
HATA_RANGE = "Hata 1980"
P1238 = {
    "residential": (28.0, 4.0, 4.0),
    "office": (30.0, 15.0, 4.0),
    "commercial": (22.0, 6.0, 3.0),
}
"""Loss in dB per decade of distance, of the first floor, of each further one (ns-3's P.1238)."""


def hata_db(
    distance_m: npt.ArrayLike,
    carrier_hz: float,
    *,
    area: str,
    station_height_m: float = 30.0,
    device_height_m: float = 1.5,
) -> npt.NDArray[np.float64]:
    """Okumura-Hata of a small or medium city (Hata 1980, eqs. as in COST 231, 4.4.1).

    150 to 1500 MHz, station at 30 to 200 m, device at 1 to 10 m, up to 20 km;
    outside them ValueError is raised. Measured from 1 km on; below, the
    formula goes on. It is never less than free space, which it would be near
    the station. Above 1.5 GHz take ``uma`` or ``rma``. ``area`` "urban",
    "suburban" or "open".
    """
    check_known("area", area, HATA_AREAS)
    check_between("carrier_hz", carrier_hz, 150e6, 1500e6, why=HATA_RANGE)
    check_between("station_height_m", station_height_m, 30.0, 200.0, why=HATA_RANGE)
    check_between("device_height_m", device_height_m, 1.0, 10.0, why=HATA_RANGE)
    check_positive("distance_m", distance_m)
    check_between("distance_m", distance_m, 0.0, 20_000.0, why=HATA_RANGE)
    log_carrier = np.log10(carrier_hz / 1e6)
    log_station = np.log10(station_height_m)
    device_db = (1.1 * log_carrier - 0.7) * device_height_m - (1.56 * log_carrier - 0.8)
    loss_db = (
        69.55
        + 26.16 * log_carrier
        - 13.82 * log_station
        - device_db
        + (44.9 - 6.55 * log_station) * np.log10(np.asarray(distance_m, dtype=np.float64) / 1000)
    )
    if area == "suburban":
        loss_db = loss_db - 2 * np.log10(carrier_hz / 28e6) ** 2 - 5.4
    elif area == "open":
        loss_db = loss_db - 4.78 * log_carrier**2 + 18.33 * log_carrier - 40.94
    return np.asarray(np.maximum(loss_db, free_space_db(distance_m, carrier_hz)))


def p1238_db(
    distance_m: npt.ArrayLike, carrier_hz: float, *, building: str, floors: int = 0
) -> npt.NDArray[np.float64]:
    """ITU-R P.1238 indoors: 20 lg f + N lg d + Lf(floors) - 28 with f in MHz.

    ``building`` "residential", "office" or "commercial"; ``floors`` between
    the two ends. N is that of about 2 GHz, at all carriers (as in ns-3).
    Below 1 m the loss is that of 1 m. Raises ValueError outside 300 MHz to
    450 GHz (scope of P.1238-10) and for a distance that is not positive.
    """
    check_known("building", building, P1238)
    check_not_negative("floors", floors)
    check_between("carrier_hz", carrier_hz, 300e6, 450e9, why="scope of ITU-R P.1238-10")
    check_positive("distance_m", distance_m)
    slope_db, first_db, more_db = P1238[building]
    floors_db = first_db + more_db * (floors - 1) if floors else 0.0
    length_m = np.maximum(np.asarray(distance_m, dtype=np.float64), 1.0)
    return np.asarray(
        20 * np.log10(carrier_hz / 1e6) + slope_db * np.log10(length_m) + floors_db - 28
    )
