"""Bluetooth LE 5: connection events of one central and its peripherals.

phy        frames on air: times, bits, error law
family     parameters; sizes and limits that follow from them
plan       one message by formula
events     the calendar of one cell, frame by frame
lockstep   many messages at once
"""

from __future__ import annotations

from channel_sim.ble.events import BleCalendar
from channel_sim.ble.family import Ble

__all__ = ["Ble", "BleCalendar"]
