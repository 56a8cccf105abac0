"""Energy of a radio by its states, the battery that it drains, and what fills that.

radio     power by state; the table of radios (radios.json)
battery   joules in and out, cut-off, leak
harvest   harvested power as a trace
"""

from __future__ import annotations

from channel_sim.energy.battery import Battery
from channel_sim.energy.harvest import Harvest, load_harvest
from channel_sim.energy.radio import ESP32, WIFI_NIC, RadioPower, load_radio, radio_names

__all__ = [
    "ESP32",
    "WIFI_NIC",
    "Battery",
    "Harvest",
    "RadioPower",
    "load_harvest",
    "load_radio",
    "radio_names",
]
