"""Small-scale fading: what many paths at once do to a signal, a power gain of mean 1.

laws       Rayleigh, Rician, Nakagami: gain and outage
blocks     one gain per link and coherence block, for any number of links
link       the same for a single link
doppler    Doppler shift, coherence time
clarke     a gain that moves continuously; how often and how long it fades
bursts     losses in bursts, Gilbert-Elliott in time
"""

from __future__ import annotations

from channel_sim.fading.blocks import BlockFading
from channel_sim.fading.bursts import BurstLosses, GilbertElliott
from channel_sim.fading.clarke import Clarke, amplitude_correlation, crossing_rate_hz, mean_fade_s
from channel_sim.fading.doppler import coherence_time_s, doppler_hz
from channel_sim.fading.laws import Law, Nakagami, Rayleigh, Rician, law_of
from channel_sim.fading.link import Fading, RayleighBlocks

__all__ = [
    "BlockFading",
    "BurstLosses",
    "Clarke",
    "Fading",
    "GilbertElliott",
    "Law",
    "Nakagami",
    "Rayleigh",
    "RayleighBlocks",
    "Rician",
    "amplitude_correlation",
    "coherence_time_s",
    "crossing_rate_hz",
    "doppler_hz",
    "law_of",
    "mean_fade_s",
]
