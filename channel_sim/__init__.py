"""channel_sim: what a radio link does to messages, in time, loss and energy.

Physics is a chain of small models; a medium decides who may send.

    propagation   path loss, shadowing, from distance to dB
    fading        gain of each coherence block, Doppler
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
    from channel_sim.availability import (
        Availability,
        Diurnal,
        MarkovOnOff,
        Phones,
        TraceOnOff,
        WeibullOnOff,
        load_phones,
    )
    from channel_sim.calendar import Calendar, Fingerprint
    from channel_sim.cell import FdmaParameters, build_fdma, draw_distances_m
    from channel_sim.energy import ESP32, WIFI_NIC, Battery, RadioPower, load_radio
    from channel_sim.fading import Fading, RayleighBlocks, coherence_time_s
    from channel_sim.family import Blocks, Family, LinkPlan
    from channel_sim.fdma import Fdma
    from channel_sim.ideal import Ideal
    from channel_sim.link import Link
    from channel_sim.medium import REASONS, Delivery, Direction, Medium, Reason
    from channel_sim.outcomes import Outcomes
    from channel_sim.presets import Preset, load_preset, preset_names
    from channel_sim.process import MediumProcess
    from channel_sim.propagation import Propagation, free_space_db, log_distance_db, shadowing_db
    from channel_sim.rate import SHANNON, TruncatedShannon, noise_dbm
    from channel_sim.survey import CrowdSurvey, survey_crowd, survey_link
    from channel_sim.units import to_ns, to_s

__all__ = [
    "ESP32",
    "REASONS",
    "SHANNON",
    "WIFI_NIC",
    "Arq",
    "Availability",
    "Battery",
    "Blocks",
    "Calendar",
    "CrowdSurvey",
    "Delivery",
    "Direction",
    "Diurnal",
    "Fading",
    "Family",
    "Fdma",
    "FdmaParameters",
    "Fingerprint",
    "Ideal",
    "Link",
    "LinkPlan",
    "MarkovOnOff",
    "Medium",
    "MediumProcess",
    "Outcomes",
    "Phones",
    "Preset",
    "Propagation",
    "RadioPower",
    "RayleighBlocks",
    "Reason",
    "TraceOnOff",
    "Transfer",
    "TruncatedShannon",
    "WeibullOnOff",
    "build_fdma",
    "coherence_time_s",
    "draw_distances_m",
    "free_space_db",
    "load_phones",
    "load_preset",
    "load_radio",
    "log_distance_db",
    "noise_dbm",
    "preset_names",
    "shadowing_db",
    "survey_crowd",
    "survey_link",
    "to_ns",
    "to_s",
]

_HOMES = {
    "arq": (
        "Arq",
        "Transfer",
    ),
    "availability": (
        "Availability",
        "Diurnal",
        "MarkovOnOff",
        "Phones",
        "TraceOnOff",
        "WeibullOnOff",
        "load_phones",
    ),
    "calendar": (
        "Calendar",
        "Fingerprint",
    ),
    "cell": (
        "FdmaParameters",
        "build_fdma",
        "draw_distances_m",
    ),
    "energy": (
        "ESP32",
        "WIFI_NIC",
        "Battery",
        "RadioPower",
        "load_radio",
    ),
    "fading": (
        "Fading",
        "RayleighBlocks",
        "coherence_time_s",
    ),
    "family": (
        "Blocks",
        "Family",
        "LinkPlan",
    ),
    "fdma": ("Fdma",),
    "ideal": ("Ideal",),
    "link": ("Link",),
    "medium": (
        "REASONS",
        "Delivery",
        "Direction",
        "Medium",
        "Reason",
    ),
    "outcomes": ("Outcomes",),
    "presets": (
        "Preset",
        "load_preset",
        "preset_names",
    ),
    "process": ("MediumProcess",),
    "propagation": (
        "Propagation",
        "free_space_db",
        "log_distance_db",
        "shadowing_db",
    ),
    "rate": (
        "SHANNON",
        "TruncatedShannon",
        "noise_dbm",
    ),
    "survey": (
        "CrowdSurvey",
        "survey_crowd",
        "survey_link",
    ),
    "units": (
        "to_ns",
        "to_s",
    ),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> object:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME_OF[name]}"), name)


def __dir__() -> list[str]:
    return __all__
