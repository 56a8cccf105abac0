"""The numbers that both engines of a Wi-Fi cell go by, derived once from the parameters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from channel_sim.reception.wifi_error import WifiModel, lowest_snr_db
from channel_sim.units import decibel
from channel_sim.wifi.timing import (
    ACK_BYTES,
    BAR_BYTES,
    BLOCK_ACK_BYTES,
    CONTROL,
    Mode,
    ampdu_frames,
    subframe_bytes,
)

IDEAL_PER = 0.1
"""The fastest mode that loses at most this share of full frames is chosen, as by ns-3's
ideal rate manager (that aims at a bit error rate) and in oracles.md 2.6."""


@dataclass(frozen=True, kw_only=True)
class Exchange:
    """One mode with its answers: ``frames`` is the most that one aggregate holds."""

    mode: Mode
    frames: int
    ack_ns: int
    block_ack_ns: int
    request_ns: int

    def data_ns(self, frames_bytes: Sequence[tuple[int, int]]) -> int:
        """Duration of (count, bytes) frames sent together: one bare, several as an aggregate.

        The last subframe is not padded.
        """
        count = sum(number for number, _ in frames_bytes)
        if count == 1:
            return self.mode.frame_ns(next(size for number, size in frames_bytes if number))
        total = sum(number * subframe_bytes(size) for number, size in frames_bytes)
        last = [size for number, size in frames_bytes if number][-1]
        return self.mode.frame_ns(total - (-last) % 4)


@dataclass(frozen=True, kw_only=True, eq=False)
class Rules:
    """What every station of a cell obeys; times in nanoseconds.

    ``ifs_ns`` is DIFS or AIFS, ``collision_ns`` the gap after a collision that
    nobody understood, ``noise_gap_ns`` (EIFS) after a frame lost to noise.
    ``after_slot``: how far the counters of those who waited go down over a busy
    period: 1 under EDCA, 0 under DCF. ``header_bytes`` is added to an IP packet;
    ``limit_bytes`` 0 is without aggregates. ``fixed`` is the index of the mode,
    None the ideal choice.
    """

    modes: tuple[Mode, ...]
    slot_ns: int
    sifs_ns: int
    ifs_ns: int
    collision_ns: int
    noise_gap_ns: int
    after_slot: int
    cw_min: int
    cw_max: int
    retry_limit: int
    header_bytes: int
    mtu_bytes: int
    limit_bytes: int
    longest_ns: int
    capture: bool
    abort: bool
    detection_snr_db: float
    detection_dbm: float | None
    noise_dbm: float
    streams: int
    error_model: WifiModel
    fixed: int | None
    fade_margin_db: float

    @property
    def full_bytes(self) -> int:
        """A frame of one full packet, MAC header to FCS."""
        return self.mtu_bytes + self.header_bytes

    @cached_property
    def exchanges(self) -> tuple[Exchange, ...]:
        """Each mode with its answers."""
        return tuple(self._exchange(mode) for mode in self.modes)

    def _exchange(self, mode: Mode) -> Exchange:
        frames = 1
        if self.limit_bytes:
            frames = ampdu_frames(
                mode, self.full_bytes, limit_bytes=self.limit_bytes, longest_ns=self.longest_ns
            )
        answer = CONTROL[mode.answer]
        return Exchange(
            mode=mode,
            frames=frames,
            ack_ns=answer.frame_ns(ACK_BYTES),
            block_ack_ns=answer.frame_ns(BLOCK_ACK_BYTES),
            request_ns=answer.frame_ns(BAR_BYTES),
        )

    def cut(self, size_bytes: npt.ArrayLike) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Return how many packets messages make, and the last one's frame in bytes."""
        size = np.asarray(size_bytes, dtype=np.int64)
        packets = -(-size // self.mtu_bytes)
        return packets, size - (packets - 1) * self.mtu_bytes + self.header_bytes

    def snr_db(self, rx_power_dbm: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Signal to noise of each stream: they share the power."""
        shared_db = float(decibel(self.streams))
        return np.asarray(rx_power_dbm, dtype=np.float64) - self.noise_dbm - shared_db

    def reached(self, rx_power_dbm: npt.ArrayLike) -> npt.NDArray[np.bool_]:
        """True where a preamble is detected at that mean power."""
        heard = self.snr_db(rx_power_dbm) >= self.detection_snr_db
        if self.detection_dbm is not None:
            heard &= np.asarray(rx_power_dbm) >= self.detection_dbm
        return np.asarray(heard)

    def choose(self, rx_power_dbm: npt.ArrayLike) -> npt.NDArray[np.int64]:
        """Index of the mode for each mean power; the slowest where none is good enough."""
        snr_db = self.snr_db(rx_power_dbm)
        if self.fixed is not None:
            return np.full(snr_db.shape, self.fixed, dtype=np.int64)
        chosen = np.zeros(snr_db.shape, dtype=np.int64)
        for index, least_db in enumerate(self._least_db):
            chosen[snr_db - self.fade_margin_db >= least_db] = index
        return chosen

    @cached_property
    def _least_db(self) -> list[float]:
        """The SNR from which on each mode loses no more than IDEAL_PER of full frames."""
        return [
            lowest_snr_db(mode.name, IDEAL_PER, self.full_bytes, self.error_model)
            for mode in self.modes
        ]
