"""Orthogonal frequency division: resource units granted per interval, as in 802.11ax.

Up: trigger frame, SIFS, all granted devices send at once, each in its own
resource unit, SIFS, one BlockAck to all. Down: one frame to all granted
devices, SIFS, their BlockAcks at once. Nobody contends.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from channel_sim.checks import (
    check_between,
    check_count,
    check_finite,
    check_known,
    check_not_negative,
    check_positive,
)
from channel_sim.energy import RadioPower, load_radio
from channel_sim.family import Blocks, LinkPlan
from channel_sim.outcomes import Outcomes
from channel_sim.rate import THERMAL_NOISE_DBM_HZ
from channel_sim.reception.wifi_error import WifiModel, lowest_snr_db
from channel_sim.scheduled import resource_units as ru
from channel_sim.scheduled.ofdma_calendar import OfdmaCalendar
from channel_sim.scheduled.ofdma_lockstep import burst
from channel_sim.scheduled.ofdma_plan import plan
from channel_sim.units import SECOND_NS, decibel, to_ns

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Ofdma:
    """An 802.11ax cell that grants resource units; a message is a run of equal MPDUs.

    The n devices that have something to send share ``width_mhz`` (20, 40, 80)
    in the widest equal units of which there are n; more than there are units
    take turns, least recently served first. Devices put all their power into
    their unit, the station spreads its own over all. The mode of a device is
    the fastest that fails in a tenth of MPDUs at its mean SNR less
    ``fade_margin_db``. A frame lasts ``ppdu_s`` at most and carries up to
    ``max_packets`` MPDUs of one message, each of at most ``packet_bytes`` of
    it and ``header_bytes`` (26 QoS, 8 LLC, 4 FCS, 16 WPA2), and each sent at
    most ``max_attempts`` times. ``gap_s`` between intervals, PIFS.
    Raises ValueError by key.
    """

    kind: ClassVar[str] = "ofdma"
    shared: ClassVar[bool] = True
    target_error: ClassVar[float] = 0.1

    width_mhz: int = 20
    tx_power_dbm: float = 16.0
    station_tx_power_dbm: float = 20.0
    noise_figure_db: float = 7.0
    fade_margin_db: float = 0.0
    error_model: WifiModel = "ns3_table"
    packet_bytes: int = 1460
    header_bytes: int = 54
    max_attempts: int = 8
    max_packets: int = 64
    ppdu_s: float = 5.484e-3
    guard_interval_s: float = 1.6e-6
    sifs_s: float = 16e-6
    gap_s: float = 25e-6
    radio_name: str = "wifi_nic"

    def __post_init__(self) -> None:
        check_known("width_mhz", str(self.width_mhz), map(str, ru.UNITS))
        for key in ("tx_power_dbm", "station_tx_power_dbm", "noise_figure_db"):
            check_finite(key, getattr(self, key))
        for key in ("fade_margin_db", "header_bytes", "gap_s"):
            check_not_negative(key, getattr(self, key))
        for key in ("packet_bytes", "max_attempts", "max_packets"):
            check_count(key, getattr(self, key))
        for key in ("sifs_s", "guard_interval_s"):
            check_positive(key, getattr(self, key))
        check_between("ppdu_s", self.ppdu_s, 0.0005, 0.005484, why="the longest HE frame")
        lowest_snr_db("he0", self.target_error, self.mpdu_bytes, self.error_model)

    @property
    def radio(self) -> RadioPower:
        """Powers of the device's radio at its transmit power."""
        return load_radio(self.radio_name, tx_power_dbm=self.tx_power_dbm)

    @property
    def rest_w(self) -> float:
        """Power of a device's radio between messages: it stays awake and listens."""
        return self.radio.idle_w

    @property
    def units(self) -> tuple[tuple[int, int], ...]:
        """Tones of a unit and how many there are, widest first."""
        return ru.UNITS[self.width_mhz]

    @property
    def mpdu_bytes(self) -> int:
        """The longest MPDU."""
        return self.packet_bytes + self.header_bytes

    @property
    def symbol_ns(self) -> int:
        """A symbol and its guard interval."""
        return ru.SYMBOL_NS + to_ns(self.guard_interval_s)

    def max_symbols(self, preamble_ns: int) -> int:
        """Symbols of the longest frame."""
        return (to_ns(self.ppdu_s) - preamble_ns) // self.symbol_ns

    def unit_for(self, devices: npt.ArrayLike) -> Ints:
        """Place in :attr:`units` of the unit that each of ``devices`` is granted."""
        counts = np.array([count for _, count in self.units])
        found = np.searchsorted(counts, np.asarray(devices))
        return np.minimum(found, len(counts) - 1)

    def snr_db(self, loss_db: npt.ArrayLike, *, up: bool = True) -> Floats:
        """Mean SNR in each unit, shape of ``loss_db`` and a last axis over :attr:`units`."""
        tones = np.array([tones for tones, _ in self.units], dtype=np.float64)
        power_dbm = self.tx_power_dbm if up else self.station_tx_power_dbm
        width_hz = (tones if up else tones[:1]) * ru.TONE_HZ
        noise_dbm = THERMAL_NOISE_DBM_HZ + decibel(width_hz) + self.noise_figure_db
        losses_db = np.asarray(loss_db, dtype=np.float64)[..., np.newaxis]
        return np.broadcast_to(
            power_dbm - losses_db - noise_dbm, (*losses_db.shape[:-1], len(tones))
        )

    def modes(self, snr_db: Floats) -> tuple[Ints, Ints]:
        """MCS and unit that a device uses when granted each unit: the unit or a narrower one.

        ``snr_db`` as of :meth:`snr_db`. MCS -1: out of reach in any of them.
        """
        need_db = np.array(
            [
                lowest_snr_db(mode, self.target_error, self.mpdu_bytes, self.error_model)
                for mode in ru.MODES
            ]
        )
        # Never fewer dB for a faster mode, so that places are ranks.
        need_db = np.maximum.accumulate(need_db)
        mcs = np.searchsorted(need_db, snr_db - self.fade_margin_db, side="right") - 1
        unit = np.broadcast_to(np.arange(mcs.shape[-1]), mcs.shape).copy()
        for place in range(mcs.shape[-1] - 2, -1, -1):
            silent = mcs[..., place] < 0
            mcs[..., place] = np.where(silent, mcs[..., place + 1], mcs[..., place])
            unit[..., place] = np.where(silent, unit[..., place + 1], unit[..., place])
        return mcs, unit

    def bits(self, mcs: Ints, unit: Ints) -> Ints:
        """Data bits per symbol; 0 out of reach."""
        table = np.array(
            [
                [ru.bits_per_symbol(tones, mode) for mode in range(len(ru.MODES))] + [0]
                for tones, _ in self.units
            ]
        )
        return np.asarray(table[unit, mcs])

    def packet_sizes(self, size_bytes: npt.ArrayLike, bits: Ints, preamble_ns: int) -> Ints:
        """Bytes of a message in each of its equal MPDUs: one fits into the narrowest unit.

        ``bits`` per symbol in that unit, above 0.
        """
        sizes = np.asarray(size_bytes, dtype=np.int64)
        room = (self.max_symbols(preamble_ns) * bits - ru.SERVICE_TAIL_BITS) // 8 // 4 * 4
        limit = np.minimum(self.packet_bytes, room - 4 - self.header_bytes)
        packets = -(-sizes // np.maximum(limit, 1))
        return np.asarray(-(-sizes // packets))

    def plan(self, loss_db: npt.ArrayLike, size_bytes: int, *, fading: str = "none") -> LinkPlan:
        """Work out one message up, alone in its cell; see :mod:`.ofdma_plan`."""
        return plan(self, loss_db, size_bytes, fading=fading)

    def medium(
        self,
        losses_db: Mapping[str, float],
        *,
        rng: np.random.Generator,
        blocks: Blocks | None = None,
    ) -> OfdmaCalendar:
        """Build the calendar of one cell."""
        return OfdmaCalendar(self, losses_db, rng=rng, blocks=blocks)

    def burst(
        self,
        losses_db: npt.NDArray[np.float64],
        sizes_bytes: npt.NDArray[np.int64],
        ready_ns: npt.NDArray[np.int64],
        *,
        cells: npt.NDArray[np.int64],
        rng: np.random.Generator,
        blocks: Blocks | None = None,
    ) -> Outcomes:
        """Send one message up per device over many cells at once; the law of :meth:`medium`."""
        return burst(self, losses_db, sizes_bytes, ready_ns, cells=cells, rng=rng, blocks=blocks)

    def rate_bps(self, bits: Ints) -> Floats:
        """Bit/s on air of ``bits`` per symbol."""
        return np.asarray(bits * (SECOND_NS / self.symbol_ns))
