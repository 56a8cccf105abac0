"""Presets: a radio technology and its surroundings as data, every number with its source.

    preset = load_preset("zigbee", tx_power_dbm=8)
    preset.family, preset.propagation, preset.sources["tx_power_dbm"]

A preset is a JSON file of this folder. Every number can be overridden by its
key; what is remembered rather than read says so.
"""

from __future__ import annotations

from channel_sim.presets.load import (
    Preset,
    Source,
    load_family,
    load_preset,
    preset_names,
)

__all__ = ["Preset", "Source", "load_family", "load_preset", "preset_names"]
