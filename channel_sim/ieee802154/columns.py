"""Columns of the lock-step engine: messages, devices side by side, one channel per PAN."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from channel_sim.ieee802154.timing import frame_ns, ifs_ns
from channel_sim.outcomes import Outcomes

if TYPE_CHECKING:
    from channel_sim.ieee802154.family import Zigbee

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

NEVER = np.iinfo(np.int64).max
NOBODY = -1


@dataclass(slots=True, eq=False)
class Messages:
    """What each message is (its frames) and what becomes of it; shape (messages,).

    ``frame_air_ns`` and ``frame_pause_ns`` are flat: frame k of message m is
    at ``first_frame[m] + k``.
    """

    frame_air_ns: Ints
    frame_pause_ns: Ints
    first_frame: Ints
    packets: Ints
    ready_ns: Ints
    start_ns: Ints
    finish_ns: Ints
    attempts: Ints
    tx_ns: Ints
    rx_ns: Ints
    reason: npt.NDArray[np.uint8]

    @classmethod
    def of(cls, family: Zigbee, sizes_bytes: Ints, ready_ns: Ints) -> Messages:
        """Cut the messages into frames, once per size."""
        sizes, kind = np.unique(sizes_bytes, return_inverse=True)
        cuts = [family.frames_bytes(int(size)) for size in sizes]
        counts = np.array([len(cut) for cut in cuts], dtype=np.int64)
        firsts = np.cumsum(counts) - counts
        frames_bytes = [size for cut in cuts for size in cut]
        zeros = np.zeros(len(ready_ns), dtype=np.int64)
        return cls(
            frame_air_ns=np.array([frame_ns(size) for size in frames_bytes], dtype=np.int64),
            frame_pause_ns=np.array([ifs_ns(size) for size in frames_bytes], dtype=np.int64),
            first_frame=firsts[kind],
            packets=counts[kind],
            ready_ns=ready_ns.astype(np.int64),
            start_ns=np.full(len(ready_ns), NEVER),
            finish_ns=zeros.copy(),
            attempts=zeros.copy(),
            tx_ns=zeros.copy(),
            rx_ns=zeros.copy(),
            reason=np.zeros(len(ready_ns), dtype=np.uint8),
        )

    def outcomes(self) -> Outcomes:
        """Columns of the result."""
        idle_ns = self.finish_ns - self.ready_ns - self.tx_ns - self.rx_ns
        return Outcomes(
            reason=self.reason,
            ready_ns=self.ready_ns,
            start_ns=np.minimum(self.start_ns, self.finish_ns),
            finish_ns=self.finish_ns,
            packets=self.packets.astype(np.int32),
            attempts=self.attempts.astype(np.int32),
            air_ns=self.tx_ns.copy(),
            tx_ns=self.tx_ns,
            rx_ns=self.rx_ns,
            idle_ns=idle_ns,
        )


@dataclass(slots=True, eq=False)
class Devices:
    """State of the devices, shape (cells, devices); of the key also a column for the station."""

    key: Ints
    row: Ints
    up_mw: Floats
    down_mw: Floats
    air_mw: Floats
    sent_ns: Ints
    frame_air_ns: Ints
    pause_ns: Ints
    place: Ints
    received: Ints
    frame_received: Bools
    weak: Bools
    backoffs: Ints
    exponent: Ints
    retries: Ints


@dataclass(slots=True, eq=False)
class Channel:
    """State of the PANs, shape (cells,): whom the one reception follows and what is heard."""

    follows: Ints
    signal_mw: Floats
    log_success: Floats
    since_ns: Ints
    acknowledged: Ints
    deaf_until_ns: Ints
    devices_until_ns: Ints
    station_until_ns: Ints
