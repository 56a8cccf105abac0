"""Loss of going into a building, TR 38.901 v19.4.0, clause 7.4.3 (O2I).

Three buildings: "simple" below 6 GHz (table 7.4.3-3), "low" of plain glass
and "high" of metallised glass (table 7.4.3-2). Loss of the wall, 0.5 dB per
metre behind it, and a normal part; drawn once per device.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from channel_sim.checks import check_between, check_known

BUILDINGS = ("simple", "low", "high")
SIMPLE_TOP_HZ = 6e9
DB_PER_METRE = 0.5
SPREAD_DB = {"simple": 0.0, "low": 4.4, "high": 6.5}
"""Sigma of the normal part."""


def wall_db(building: str, carrier_hz: float) -> float:
    """Return the loss of the outer wall in dB.

    Raises ValueError for an unknown building, for "simple" from 6 GHz on and
    outside 0.5 to 100 GHz.
    """
    check_known("building", building, BUILDINGS)
    check_between("carrier_hz", carrier_hz, 0.5e9, 100e9, why="TR 38.901 clause 7.4.3")
    carrier_ghz = carrier_hz / 1e9
    concrete_db = 5 + 4 * carrier_ghz
    if building == "low":
        return _mixed_db(0.3, 2 + 0.2 * carrier_ghz, concrete_db)
    if building == "high":
        return _mixed_db(0.7, 25.4 + 0.11 * carrier_ghz, concrete_db)
    if carrier_hz >= SIMPLE_TOP_HZ:
        raise ValueError(
            f"building = 'simple' holds below 6 GHz, carrier_hz = {carrier_hz:g};"
            " give 'low' or 'high'"
        )
    return 20.0


def mean_indoor_db(building: str, carrier_hz: float, *, depth_m: float) -> float:
    """Return the mean of :func:`draw_indoor_db` in dB."""
    share = 1 / 2 if building == "simple" else 1 / 3
    return wall_db(building, carrier_hz) + DB_PER_METRE * share * depth_m


def draw_indoor_db(
    building: str, carrier_hz: float, *, depth_m: float, count: int, rng: np.random.Generator
) -> npt.NDArray[np.float64]:
    """Draw the loss of ``count`` devices in dB, shape (count,).

    Metres behind the wall are uniform up to ``depth_m`` for "simple", the
    smaller of two such draws for the others (25 m in UMa and UMi, 10 m in RMa).
    """
    # Two generators: one more device then changes no other's. Both depths are
    # always drawn: a device keeps its place under another building.
    depth_rng, spread_rng = rng.spawn(2)
    depths_m = depth_rng.uniform(0.0, depth_m, size=(count, 2))
    inside_m = depths_m[:, 0] if building == "simple" else depths_m.min(axis=1)
    spread_db = SPREAD_DB[building] * spread_rng.standard_normal(count)
    return wall_db(building, carrier_hz) + DB_PER_METRE * inside_m + spread_db


def _mixed_db(glass_share: float, glass_db: float, concrete_db: float) -> float:
    """A wall of glass and concrete; 5 dB for not hitting it square on (table 7.4.3-2)."""
    through = glass_share * 10 ** (-glass_db / 10) + (1 - glass_share) * 10 ** (-concrete_db / 10)
    return float(5 - 10 * np.log10(through))
