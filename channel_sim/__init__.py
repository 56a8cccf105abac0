"""channel_sim: what a radio does to messages, in time, loss and energy.

Physics is a chain of small models; a medium decides who may send. A radio
technology is a frozen dataclass of parameters with three engines: formulas
(``plan``), events (``medium``) and lock step over many cells (``burst``).

what may happen to a message
    medium        the contract: messages offered, deliveries with a reason
    outcomes      the same of many messages, as columns
    calendar      a shared medium as events in integer nanoseconds
    queued        the base of media whose devices do not meet
    process       a calendar under a SimPy clock
    family        what a technology offers

between sender and receiver
    propagation   path loss, sight, buildings, shadowing
    fading        gain of each coherence block, Doppler, bursts of loss
    reception     SINR, capture, error models, choice of rate
    rate          thermal noise, (truncated) Shannon
    arq, link     packets and attempts over one link
    fragmentation, burst   what technologies share

technologies
    wifi, ieee802154, lora, ble, cellular, scheduled, aloha, shannon
    fdma, cell    a sub-band and a queue per device
    ideal         no loss, no time, no cost
    replay        measured links

around them
    presets       technologies in their surroundings, as data with sources
    survey        one link over distance, crowds that answer together
    transport     IP, TCP, TLS and MQTT; the broker's queue
    energy        radio states, battery, harvest
    places        where devices are, and how they move
    availability  up and down times

Stands alone: nothing here knows what the messages hold. Names are imported
when they are first used; each sub-package has more.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from channel_sim.aloha import Aloha
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
    from channel_sim.ble import Ble
    from channel_sim.calendar import Calendar, Fingerprint
    from channel_sim.cell import FdmaParameters, build_fdma, draw_distances_m
    from channel_sim.cellular import Cellular
    from channel_sim.energy import ESP32, WIFI_NIC, Battery, Harvest, RadioPower, load_radio
    from channel_sim.fading import (
        BlockFading,
        Fading,
        GilbertElliott,
        RayleighBlocks,
        coherence_time_s,
    )
    from channel_sim.family import Blocks, Family, LinkPlan
    from channel_sim.fdma import Fdma
    from channel_sim.ideal import Ideal
    from channel_sim.ieee802154 import Zigbee
    from channel_sim.link import Link
    from channel_sim.lora import Lorawan
    from channel_sim.medium import REASONS, Delivery, Direction, Medium, Reason
    from channel_sim.outcomes import Outcomes
    from channel_sim.presets import Preset, load_preset, preset_names
    from channel_sim.process import MediumProcess
    from channel_sim.propagation import Propagation, free_space_db, log_distance_db, shadowing_db
    from channel_sim.rate import SHANNON, TruncatedShannon, noise_dbm
    from channel_sim.replay import Replay, ReplayLossy
    from channel_sim.scheduled import Ofdma, Tdma
    from channel_sim.shannon import Shannon, over_the_air_mean
    from channel_sim.survey import CrowdSurvey, survey_crowd, survey_link
    from channel_sim.units import to_ns, to_s
    from channel_sim.wifi import Wifi

__all__ = [
    "ESP32",
    "REASONS",
    "SHANNON",
    "WIFI_NIC",
    "Aloha",
    "Arq",
    "Availability",
    "Battery",
    "Ble",
    "BlockFading",
    "Blocks",
    "Calendar",
    "Cellular",
    "CrowdSurvey",
    "Delivery",
    "Direction",
    "Diurnal",
    "Fading",
    "Family",
    "Fdma",
    "FdmaParameters",
    "Fingerprint",
    "GilbertElliott",
    "Harvest",
    "Ideal",
    "Link",
    "LinkPlan",
    "Lorawan",
    "MarkovOnOff",
    "Medium",
    "MediumProcess",
    "Ofdma",
    "Outcomes",
    "Phones",
    "Preset",
    "Propagation",
    "RadioPower",
    "RayleighBlocks",
    "Reason",
    "Replay",
    "ReplayLossy",
    "Shannon",
    "Tdma",
    "TraceOnOff",
    "Transfer",
    "TruncatedShannon",
    "WeibullOnOff",
    "Wifi",
    "Zigbee",
    "build_fdma",
    "coherence_time_s",
    "draw_distances_m",
    "free_space_db",
    "load_phones",
    "load_preset",
    "load_radio",
    "log_distance_db",
    "noise_dbm",
    "over_the_air_mean",
    "preset_names",
    "shadowing_db",
    "survey_crowd",
    "survey_link",
    "to_ns",
    "to_s",
]

_HOMES = {
    "aloha": ("Aloha",),
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
    "ble": ("Ble",),
    "calendar": (
        "Calendar",
        "Fingerprint",
    ),
    "cell": (
        "FdmaParameters",
        "build_fdma",
        "draw_distances_m",
    ),
    "cellular": ("Cellular",),
    "energy": (
        "ESP32",
        "WIFI_NIC",
        "Battery",
        "Harvest",
        "RadioPower",
        "load_radio",
    ),
    "fading": (
        "BlockFading",
        "Fading",
        "GilbertElliott",
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
    "ieee802154": ("Zigbee",),
    "link": ("Link",),
    "lora": ("Lorawan",),
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
    "replay": (
        "Replay",
        "ReplayLossy",
    ),
    "scheduled": (
        "Ofdma",
        "Tdma",
    ),
    "shannon": (
        "Shannon",
        "over_the_air_mean",
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
    "wifi": ("Wifi",),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> object:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME_OF[name]}"), name)


def __dir__() -> list[str]:
    return __all__
