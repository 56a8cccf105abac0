"""What both lock steps know of devices: columns, and what the law and the air do to rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from channel_sim.family import Blocks
from channel_sim.lora.fragments import Cut
from channel_sim.lora.region import FRAME_BYTES
from channel_sim.units import decibel

if TYPE_CHECKING:
    from channel_sim.lora.family import Lorawan

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False, kw_only=True)
class Devices:
    """The devices of a burst as columns: loss, spreading factor, frames to send, cell."""

    loss_db: Floats
    sf: Ints
    pieces: Cut
    ready_ns: Ints
    cells: Ints

    def phy_bytes(self, rows: Ints, number: Ints | int) -> Ints:
        """Return the size of the frame of that number of some devices."""
        last = np.asarray(number) + 1 == self.pieces.count[rows]
        body = np.where(last, self.pieces.last_bytes[rows], self.pieces.full_bytes[rows])
        return np.asarray(body + FRAME_BYTES)


def draw_channels(family: Lorawan, open_ns: Ints, start_ns: Ints, rng: np.random.Generator) -> Ints:
    """Draw a channel per device among those of sub-bands open at its start, shape (devices,)."""
    is_open = (open_ns <= start_ns[:, None])[:, family.timing.device_band]
    place = np.cumsum(is_open, axis=1)
    drawn = (rng.random(len(start_ns)) * place[:, -1]).astype(np.int64)
    return np.asarray(np.argmax(place > drawn[:, None], axis=1))


def closed_until_ns(family: Lorawan, start_ns: Ints, end_ns: Ints, channel: Ints) -> Ints:
    """Return when the law opens a frame's sub-band again, see :func:`.region.off_ns`."""
    duty = np.asarray(family.timing.device_duties)[np.asarray(family.timing.device_band)[channel]]
    return np.asarray(end_ns + np.rint((end_ns - start_ns) * (1 / duty - 1)).astype(np.int64))


def rx_power_dbm(
    devices: Devices,
    rows: Ints,
    start_ns: Ints,
    *,
    tx_power_dbm: float,
    blocks: Blocks | None,
) -> Floats:
    """Return the received power of frames either way; a frame keeps the fading it begins with."""
    power = np.asarray(tx_power_dbm - devices.loss_db[rows])
    if blocks is not None:
        power = power + decibel(blocks.gains(rows, start_ns // blocks.coherence_ns))
    return power
