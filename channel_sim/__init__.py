"""channel_sim: what a radio link does to messages, in time, loss and energy.

Physics is a chain of small models; a medium decides who may send.

    path_loss     free space, log-distance
    fading        shadowing, coherence time, Rayleigh blocks
    rate          thermal noise, (truncated) Shannon
    arq           packets, attempts, waits
    link          the chain: power -> SNR -> rate -> packets
    medium        the contract: offer messages, get deliveries; Ideal
    fdma          one sub-band and one queue per device
    cell          parameters, places of devices, both directions
    energy        radio states, battery
    availability  up and down times

Stands alone: nothing here knows what the messages hold. Names are imported
when they are first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from channel_sim.arq import Arq, Transfer
    from channel_sim.availability import MarkovOnOff
    from channel_sim.cell import FdmaParameters, build_fdma, draw_distances_m
    from channel_sim.energy import ESP32, WIFI_NIC, Battery, RadioPower
    from channel_sim.fading import Fading, RayleighBlocks, coherence_time_s, shadowing_db
    from channel_sim.fdma import Fdma
    from channel_sim.link import Link
    from channel_sim.medium import Delivery, Ideal, Medium, Reason
    from channel_sim.path_loss import free_space_db, log_distance_db
    from channel_sim.rate import SHANNON, TruncatedShannon, noise_dbm

__all__ = [
    "ESP32",
    "SHANNON",
    "WIFI_NIC",
    "Arq",
    "Battery",
    "Delivery",
    "Fading",
    "Fdma",
    "FdmaParameters",
    "Ideal",
    "Link",
    "MarkovOnOff",
    "Medium",
    "RadioPower",
    "RayleighBlocks",
    "Reason",
    "Transfer",
    "TruncatedShannon",
    "build_fdma",
    "coherence_time_s",
    "draw_distances_m",
    "free_space_db",
    "log_distance_db",
    "noise_dbm",
    "shadowing_db",
]

_HOMES = {
    "arq": ("Arq", "Transfer"),
    "availability": ("MarkovOnOff",),
    "cell": ("FdmaParameters", "build_fdma", "draw_distances_m"),
    "energy": ("ESP32", "WIFI_NIC", "Battery", "RadioPower"),
    "fading": ("Fading", "RayleighBlocks", "coherence_time_s", "shadowing_db"),
    "fdma": ("Fdma",),
    "link": ("Link",),
    "medium": ("Delivery", "Ideal", "Medium", "Reason"),
    "path_loss": ("free_space_db", "log_distance_db"),
    "rate": ("SHANNON", "TruncatedShannon", "noise_dbm"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> object:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME_OF[name]}"), name)


def __dir__() -> list[str]:
    return __all__
