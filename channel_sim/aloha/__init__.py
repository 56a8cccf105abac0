"""ALOHA, pure and slotted: whoever has a frame sends it, overlap is loss, or capture.

family    the parameters (Aloha) and the formulas
medium    the calendar of one cell, both directions
batch     many cells at once in numpy, uplink
"""

from __future__ import annotations

from channel_sim.aloha.family import Aloha, pure_throughput, slotted_throughput
from channel_sim.aloha.medium import AlohaMedium

__all__ = ["Aloha", "AlohaMedium", "pure_throughput", "slotted_throughput"]
