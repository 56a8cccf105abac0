"""802.15.4 at 2.4 GHz: unslotted CSMA-CA, acknowledgements, 6LoWPAN fragments.

timing    times in nanoseconds, sizes in bytes
family    the parameters (Zigbee) and the three engines
plan      one message on an empty channel, by formula
air       who is on air, SINR by chunk of overlap
csma      the calendar of one PAN, both directions
lockstep  many PANs at once in numpy, uplink
columns   the state that lockstep keeps
"""

from __future__ import annotations

from channel_sim.ieee802154.csma import Csma
from channel_sim.ieee802154.family import Zigbee
from channel_sim.ieee802154.timing import ACK_NS, frame_ns, ifs_ns

__all__ = ["ACK_NS", "Csma", "Zigbee", "frame_ns", "ifs_ns"]
