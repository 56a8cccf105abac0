"""LoRa and LoRaWAN: class A devices around one gateway in the European 868 MHz band.

family       Lorawan: the parameters; plan, medium, burst
airtime      time on air, exact in nanoseconds
sensitivity  how weak a frame may be: named tables, SNR floors, a smooth error rate
isolation    which overlapping frames destroy one another: named rules
collisions   the rules and the demodulators for millions of frames
region       channels, sub-bands, duty cycles, powers, payloads, windows
fragments    messages larger than a frame
adr          adaptive data rate: network, device, where it settles
timing       parameters in nanoseconds
gateway      what is on air in a calendar
devices      devices, messages and single frames of a calendar
cell         the calendar of one cell, both directions
burst        lock step over many cells
confirmed    the same with acknowledgements
plan         one link by formula
"""

from __future__ import annotations

from channel_sim.lora.adr import DeviceAdr, NetworkAdr, Setting, converged_spreading_factors
from channel_sim.lora.airtime import air_ns, bit_rate_bps, symbol_ns
from channel_sim.lora.cell import LorawanCell
from channel_sim.lora.collisions import Frames, collided, find_demodulators
from channel_sim.lora.family import Lorawan
from channel_sim.lora.isolation import RULES, InterferenceRule, channels_meet, find_rule
from channel_sim.lora.region import (
    DEFAULT_CHANNELS_HZ,
    EIGHT_CHANNELS_HZ,
    SUB_BANDS,
    SubBand,
    find_sub_band,
    max_payload_bytes,
)
from channel_sim.lora.sensitivity import (
    SENSITIVITY_DBM,
    SNR_FLOOR_DB,
    bit_error_rate,
    frame_success,
    sensitivity_dbm,
)

__all__ = [
    "DEFAULT_CHANNELS_HZ",
    "EIGHT_CHANNELS_HZ",
    "RULES",
    "SENSITIVITY_DBM",
    "SNR_FLOOR_DB",
    "SUB_BANDS",
    "DeviceAdr",
    "Frames",
    "InterferenceRule",
    "Lorawan",
    "LorawanCell",
    "NetworkAdr",
    "Setting",
    "SubBand",
    "air_ns",
    "bit_error_rate",
    "bit_rate_bps",
    "channels_meet",
    "collided",
    "converged_spreading_factors",
    "find_demodulators",
    "find_rule",
    "find_sub_band",
    "frame_success",
    "max_payload_bytes",
    "sensitivity_dbm",
    "symbol_ns",
]
