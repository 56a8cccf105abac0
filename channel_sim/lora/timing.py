"""What the parameters of a cell mean in nanoseconds, worked out once for all engines."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from channel_sim.lora.airtime import MIN_SF, SPREADING_FACTORS, air_ns, symbol_ns
from channel_sim.lora.isolation import channels_meet, find_rule
from channel_sim.lora.region import (
    EMPTY_BYTES,
    RX1_DELAY_S,
    RX2_DELAY_S,
    RX2_HZ,
    group_channels,
)
from channel_sim.units import SECOND_NS, to_ns

if TYPE_CHECKING:
    from channel_sim.lora.family import Lorawan

RX1_NS, RX2_NS = to_ns(RX1_DELAY_S), to_ns(RX2_DELAY_S)
ACK_WAIT_NS = (SECOND_NS, 3 * SECOND_NS)
"""ACK_TIMEOUT, 2 s give or take 1 s, from the opening of RX2 (LoRaWAN 1.0.x, as remembered)."""
BANDWIDTH_HZ = 125_000


@dataclass(frozen=True, kw_only=True)
class Timing:
    """Lists indexed by SF - 7, channels and sub-bands by number.

    ``device_band[c]`` is the sub-band of channel c for devices; the gateway
    numbers its own, that of RX2 included.
    """

    symbol_ns: list[int]
    window1_ns: list[int]
    window2_ns: int
    ack1_ns: list[int]
    ack2_ns: int
    device_band: list[int]
    device_duties: list[float]
    station_band: list[int]
    station_rx2_band: int
    station_duties: list[float]
    meet: list[list[int]]

    @property
    def closed_ns(self) -> int:
        """From the end of a frame to the end of an empty RX2: the device may not send before."""
        return RX2_NS + self.window2_ns


def work_out(family: Lorawan) -> Timing:
    """Return the timing of a family's parameters."""
    symbols: list[int] = symbol_ns(SPREADING_FACTORS, BANDWIDTH_HZ).tolist()
    device_band, device_duties = group_channels(family.channels_hz)
    station, station_duties = group_channels((*family.channels_hz, RX2_HZ))
    meet = channels_meet(
        family.channels_hz, find_rule(family.interference), bandwidth_hz=BANDWIDTH_HZ
    )
    acks = down_air_ns(family, np.full(6, EMPTY_BYTES), np.array(SPREADING_FACTORS)).tolist()
    rx2 = family.rx2_spreading_factor - MIN_SF
    return Timing(
        symbol_ns=symbols,
        window1_ns=[family.window_symbols * symbol for symbol in symbols],
        window2_ns=family.window_symbols * symbols[rx2],
        ack1_ns=acks,
        ack2_ns=acks[rx2],
        device_band=device_band,
        device_duties=device_duties,
        station_band=station[:-1],
        station_rx2_band=station[-1],
        station_duties=station_duties,
        meet=[np.flatnonzero(row).tolist() for row in meet],
    )


def up_air_ns(
    family: Lorawan, phy_bytes: npt.NDArray[np.int64], spreading_factor: npt.NDArray[np.int64]
) -> npt.NDArray[np.int64]:
    """Return the time on air of uplinks."""
    return air_ns(
        phy_bytes,
        spreading_factor,
        bandwidth_hz=BANDWIDTH_HZ,
        coding_rate=family.coding_rate,
        preamble_symbols=family.preamble_symbols,
    )


def down_air_ns(
    family: Lorawan, phy_bytes: npt.NDArray[np.int64], spreading_factor: npt.NDArray[np.int64]
) -> npt.NDArray[np.int64]:
    """Return the time on air of downlinks, which have no CRC."""
    return air_ns(
        phy_bytes,
        spreading_factor,
        bandwidth_hz=BANDWIDTH_HZ,
        coding_rate=family.coding_rate,
        preamble_symbols=family.preamble_symbols,
        crc=False,
    )
