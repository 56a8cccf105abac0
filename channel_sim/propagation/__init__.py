"""Propagation at large: what distance and walls take from a signal, in dB.

scene      Propagation: parameters of a cell, one drop of its devices
models     every model by name, with its shadowing and sight
basic      free space, log-distance, power law
tr38901    3GPP UMa, UMi, RMa, InH, InF
itu        Okumura-Hata, ITU-R P.1238
sight      probability of line of sight
indoor     loss of going into a building
shadowing  one number per link and drop, its correlation in space
"""

from __future__ import annotations

from channel_sim.propagation.basic import free_space_db, log_distance_db, power_law_db
from channel_sim.propagation.indoor import draw_indoor_db, mean_indoor_db, wall_db
from channel_sim.propagation.itu import hata_db, p1238_db
from channel_sim.propagation.models import MODELS
from channel_sim.propagation.scene import PathLosses, Propagation
from channel_sim.propagation.shadowing import (
    correlated_normals,
    moved_shadowing_db,
    shadowing_db,
)
from channel_sim.propagation.sight import (
    inf_sight,
    inh_mixed_sight,
    inh_open_sight,
    rma_sight,
    uma_sight,
    umi_sight,
)
from channel_sim.propagation.tr38901 import (
    inf_los_db,
    inf_nlos_db,
    inh_los_db,
    inh_nlos_db,
    rma_los_db,
    rma_nlos_db,
    uma_los_db,
    uma_nlos_db,
    umi_los_db,
    umi_nlos_db,
)

__all__ = [
    "MODELS",
    "PathLosses",
    "Propagation",
    "correlated_normals",
    "draw_indoor_db",
    "free_space_db",
    "hata_db",
    "inf_los_db",
    "inf_nlos_db",
    "inf_sight",
    "inh_los_db",
    "inh_mixed_sight",
    "inh_nlos_db",
    "inh_open_sight",
    "log_distance_db",
    "mean_indoor_db",
    "moved_shadowing_db",
    "p1238_db",
    "power_law_db",
    "rma_los_db",
    "rma_nlos_db",
    "rma_sight",
    "shadowing_db",
    "uma_los_db",
    "uma_nlos_db",
    "uma_sight",
    "umi_los_db",
    "umi_nlos_db",
    "umi_sight",
    "wall_db",
]
