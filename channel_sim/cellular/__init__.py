"""Cellular: what LTE, NR, LTE-M and NB-IoT do to messages.

access    random access: slotted ALOHA on preambles
sharing   a carrier divided among active devices, an event per arrival and departure
tbs       bits of a block: the LTE table, the NR formula
modes     widths, MCS and repetitions by received power
harq      attempts of blocks, HARQ under RLC
transfer  from a message to work on the carrier
plan      one message on an empty cell, by formula
medium    the calendar of one cell, both directions
burst     many cells at once, uplink
family    the parameters: Cellular
"""

from channel_sim.cellular.access import (
    RandomAccess,
    collision_probability,
    contend,
    expected_singletons,
)
from channel_sim.cellular.family import Cellular
from channel_sim.cellular.harq import Harq, failures, mean_attempts, message_loss
from channel_sim.cellular.modes import Mode, Modes
from channel_sim.cellular.sharing import Carrier, divide, serve
from channel_sim.cellular.tbs import lte_bits, nr_bits

__all__ = [
    "Carrier",
    "Cellular",
    "Harq",
    "Mode",
    "Modes",
    "RandomAccess",
    "collision_probability",
    "contend",
    "divide",
    "expected_singletons",
    "failures",
    "lte_bits",
    "mean_attempts",
    "message_loss",
    "nr_bits",
    "serve",
]
