"""Scheduled access: who may send when is a table or a grant, never a contest.

tdma     a fixed slot table; tdma_calendar, tdma_lockstep are its engines
ofdma    resource units granted per interval, as 802.11ax does by trigger
         frames; ofdma_calendar, ofdma_lockstep are its engines
"""

from __future__ import annotations

from channel_sim.scheduled.ofdma import Ofdma
from channel_sim.scheduled.tdma import Tdma

__all__ = ["Ofdma", "Tdma"]
