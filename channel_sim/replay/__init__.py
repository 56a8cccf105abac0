"""Measured links, replayed: what was recorded happens again, to your messages.

    capacity    how much a link could carry up to a time, in exact integers
    chances     mahimahi's delivery chances
    rates       seconds and bit/s: HSDPA, 5G
    link        the medium over capacities: one queue per device and direction
    family      the same as a family of a scenario: plan, medium, burst
    curve       measured share of frames delivered by RSSI, as an error model
    shares      measured share of frames delivered in time
    connectivity  files of such shares: 802.15.4 in Grenoble, LoRa on a campus
    lossy       the medium over shares: frames and attempts
    lossy_family  the same as a family
    fit         exponent, RSSI at 1 m and spread of measured RSSI
    speeds      speeds of measured phones, log-normal
    files       traces in archives

No data is part of the package; every loader takes a path.
"""

from channel_sim.replay.capacity import Capacity
from channel_sim.replay.chances import DeliveryChances, load_mahimahi
from channel_sim.replay.connectivity import Connectivity, load_connectivity, load_lora_campus
from channel_sim.replay.curve import DeliveryCurve
from channel_sim.replay.family import Replay
from channel_sim.replay.fit import (
    LogDistanceFit,
    fit_log_distance,
    load_indoor_rssi,
    load_rssi_by_distance,
)
from channel_sim.replay.link import ReplayLink, Track
from channel_sim.replay.lossy import LossyTrack, ReplayLossyLink
from channel_sim.replay.lossy_family import ReplayLossy
from channel_sim.replay.rates import RateTrace, load_g_nettrack, load_seconds_mbit
from channel_sim.replay.shares import DeliveryTrace
from channel_sim.replay.speeds import PhoneSpeeds, load_phone_speeds

__all__ = [
    "Capacity",
    "Connectivity",
    "DeliveryChances",
    "DeliveryCurve",
    "DeliveryTrace",
    "LogDistanceFit",
    "LossyTrack",
    "PhoneSpeeds",
    "RateTrace",
    "Replay",
    "ReplayLink",
    "ReplayLossy",
    "ReplayLossyLink",
    "Track",
    "fit_log_distance",
    "load_connectivity",
    "load_g_nettrack",
    "load_indoor_rssi",
    "load_lora_campus",
    "load_mahimahi",
    "load_phone_speeds",
    "load_rssi_by_distance",
    "load_seconds_mbit",
]
