"""Wi-Fi: 802.11b, a, g, n and ax cells whose stations contend for the channel.

family      the parameters, and the way to the engines
timing      standards, modes, how long frames last
bianchi     saturation by fixed point
saturation  saturation simulated, and by formula
planning    one message alone, by formula
cell        calendar engine: one cell, any arrivals and departures, both directions
batch       lock-step engine: many cells, uplink
ofdma       802.11ax cells whose access point schedules
"""

from __future__ import annotations

from channel_sim.wifi.bianchi import FixedPoint, attempt_probability, solve, throughput
from channel_sim.wifi.cell import WifiCell
from channel_sim.wifi.family import Wifi
from channel_sim.wifi.ofdma import OfdmaCell
from channel_sim.wifi.saturation import Saturation, saturate, saturation_formula
from channel_sim.wifi.timing import STANDARDS, Mode, Standard

__all__ = [
    "STANDARDS",
    "FixedPoint",
    "Mode",
    "OfdmaCell",
    "Saturation",
    "Standard",
    "Wifi",
    "WifiCell",
    "attempt_probability",
    "saturate",
    "saturation_formula",
    "solve",
    "throughput",
]
