"""Wi-Fi as a family: parameters, and the three engines that read them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import numpy.typing as npt

from channel_sim.checks import (
    check_between,
    check_count,
    check_finite,
    check_known,
    check_not_negative,
)
from channel_sim.energy import RadioPower, load_radio
from channel_sim.family import Blocks, LinkPlan
from channel_sim.outcomes import Outcomes
from channel_sim.rate import noise_dbm
from channel_sim.reception.wifi_error import WifiModel
from channel_sim.wifi.batch import check_burst, run_burst
from channel_sim.wifi.cell import WifiCell
from channel_sim.wifi.ofdma import OfdmaCell, run_cells
from channel_sim.wifi.planning import plan_messages
from channel_sim.wifi.rules import Rules
from channel_sim.wifi.timing import (
    CCMP_BYTES,
    FCS_BYTES,
    LLC_BYTES,
    STANDARDS,
    Mode,
    StandardName,
    eifs_ns,
    modes_of,
)

MAX_MTU_BYTES = 2304 - LLC_BYTES
"""The largest MSDU, IEEE 802.11-2016 table 9-19 (as remembered), less LLC and SNAP."""


@dataclass(frozen=True, kw_only=True)
class Wifi:
    """802.11b, a, g, n or ax: stations that contend for one channel with an access point.

    ``standard``, ``width_mhz``, ``streams``, ``gi_ns`` (guard interval; None:
    the standard's longest before 802.11ax, 800 ns). ``mode``: index of the
    modulation and coding, 0 the slowest; None is the ideal choice, the fastest
    that loses at most 10 % of full frames ``fade_margin_db`` below the mean
    SNR. ``error_model``: see :mod:`channel_sim.reception`.

    ``retry_limit`` attempts per packet; ``cw_min``, ``cw_max``, ``aifsn`` None:
    those of the standard (best effort). ``post_collision``: the gap that
    follows a collision nobody understood, "difs" (as ns-3) or "eifs".
    ``ampdu_bytes`` longest aggregate, 0 for none (65535 in 802.11n).
    ``mtu_bytes``: a message of IP bytes is cut into packets of that size, each
    with its headers; ``ccmp`` adds WPA2's 16 bytes. ``on_loss``: after a packet
    is lost for good, "abort" the message or "continue" with its other packets;
    lost it is either way. ``capture``: the strongest of colliding frames may
    be understood. A preamble needs ``detection_snr_db`` (over noise and the
    others) and, where given, ``detection_dbm``. ``ofdma``: 802.11ax in which
    the access point schedules (see :mod:`channel_sim.wifi.ofdma`).

    Raises ValueError for what the standard does not have.
    """

    kind: ClassVar[str] = "wifi"
    shared: ClassVar[bool] = True

    standard: StandardName = "n"
    width_mhz: int = 20
    streams: int = 1
    gi_ns: int | None = None
    mode: int | None = None
    fade_margin_db: float = 0.0
    error_model: WifiModel = "ns3_table"
    retry_limit: int = 7
    cw_min: int | None = None
    cw_max: int | None = None
    aifsn: int | None = None
    post_collision: Literal["difs", "eifs"] = "difs"
    ampdu_bytes: int = 0
    mtu_bytes: int = 1500
    ccmp: bool = False
    on_loss: Literal["abort", "continue"] = "abort"
    capture: bool = True
    detection_snr_db: float = 4.0
    detection_dbm: float | None = None
    ofdma: bool = False
    tx_power_dbm: float = 16.0
    station_tx_power_dbm: float = 20.0
    noise_figure_db: float = 7.0
    radio_name: str = "wifi_nic"

    def __post_init__(self) -> None:
        modes = self.modes  # names what the standard does not have
        if self.mode is not None and self.mode not in range(len(modes)):
            raise ValueError(
                f"mode = {self.mode!r} does not exist in 802.11{self.standard};"
                f" give 0 to {len(modes) - 1}, or None for the ideal choice"
            )
        check_count("retry_limit", self.retry_limit)
        check_between("mtu_bytes", self.mtu_bytes, 68, MAX_MTU_BYTES, why="IPv4 and the MSDU")
        for key in ("cw_min", "cw_max", "aifsn"):
            if getattr(self, key) is not None:
                check_count(key, getattr(self, key))
        low, high = self._windows
        if low > high:
            raise ValueError(f"cw_min = {low} is above cw_max = {high}; give cw_min <= cw_max")
        check_known("on_loss", self.on_loss, ("abort", "continue"))
        check_known("post_collision", self.post_collision, ("difs", "eifs"))
        check_not_negative("ampdu_bytes", self.ampdu_bytes)
        if self.ampdu_bytes and STANDARDS[self.standard].longest_ns is None:
            raise ValueError(
                f"ampdu_bytes = {self.ampdu_bytes}: 802.11{self.standard} has no aggregates; give 0"
            )
        if self.ofdma and self.standard != "ax":
            raise ValueError(
                f"ofdma = True: 802.11{self.standard} has no OFDMA; give standard 'ax'"
            )
        check_not_negative("detection_snr_db", self.detection_snr_db)
        for key in ("fade_margin_db", "tx_power_dbm", "station_tx_power_dbm", "noise_figure_db"):
            check_finite(key, getattr(self, key))

    @property
    def modes(self) -> tuple[Mode, ...]:
        """The modes of these parameters, slowest first."""
        check_known("standard", self.standard, STANDARDS)
        interval_ns = self.gi_ns
        if interval_ns is None:
            interval_ns = STANDARDS[self.standard].intervals_ns[0]
        return modes_of(
            self.standard, width_mhz=self.width_mhz, streams=self.streams, interval_ns=interval_ns
        )

    @property
    def radio(self) -> RadioPower:
        """Powers of a device's radio by state."""
        return load_radio(self.radio_name)

    @property
    def rest_w(self) -> float:
        """Power of a device's radio between messages: it stays awake and listens."""
        return self.radio.idle_w

    @property
    def _windows(self) -> tuple[int, int]:
        base = STANDARDS[self.standard]
        low = base.cw_min if self.cw_min is None else self.cw_min
        return low, base.cw_max if self.cw_max is None else self.cw_max

    @property
    def noise_dbm(self) -> float:
        """Noise in the channel's width, dBm."""
        base = STANDARDS[self.standard]
        hertz = base.noise_hz * self.width_mhz / 20
        return noise_dbm(hertz, self.noise_figure_db)

    def rules(self) -> Rules:
        """Derive the numbers that the engines go by."""
        base = STANDARDS[self.standard]
        modes = self.modes
        aifsn = base.aifsn if self.aifsn is None else self.aifsn
        ifs_ns = base.sifs_ns + aifsn * base.slot_ns
        long_ns = eifs_ns(modes[0], base.sifs_ns, ifs_ns)
        cw_min, cw_max = self._windows
        return Rules(
            modes=modes,
            slot_ns=base.slot_ns,
            sifs_ns=base.sifs_ns,
            ifs_ns=ifs_ns,
            collision_ns=ifs_ns if self.post_collision == "difs" else long_ns,
            noise_gap_ns=long_ns,
            after_slot=int(base.edca),
            cw_min=cw_min,
            cw_max=cw_max,
            retry_limit=self.retry_limit,
            header_bytes=base.mac_bytes + LLC_BYTES + FCS_BYTES + (CCMP_BYTES if self.ccmp else 0),
            mtu_bytes=self.mtu_bytes,
            limit_bytes=self.ampdu_bytes,
            longest_ns=base.longest_ns or 0,
            capture=self.capture,
            abort=self.on_loss == "abort",
            detection_snr_db=self.detection_snr_db,
            detection_dbm=self.detection_dbm,
            noise_dbm=self.noise_dbm,
            streams=self.streams,
            error_model=self.error_model,
            fixed=self.mode,
            fade_margin_db=self.fade_margin_db,
        )

    def plan(self, loss_db: npt.ArrayLike, size_bytes: int, *, fading: str = "none") -> LinkPlan:
        """Work out one message up, alone on the medium; see :mod:`channel_sim.wifi.planning`.

        ``fading`` "rayleigh" averages the packet error over it, as if each
        attempt met another fade. Raises ValueError for any other but "none".
        """
        return plan_messages(
            self.rules(),
            np.asarray(loss_db, dtype=np.float64),
            size_bytes,
            tx_power_dbm=self.tx_power_dbm,
            radio=self.radio,
            fading=fading,
        )

    def medium(
        self,
        losses_db: Mapping[str, float],
        *,
        rng: np.random.Generator,
        blocks: Blocks | None = None,
    ) -> WifiCell | OfdmaCell:
        """Build the calendar of one cell; losses in dB by device, links in their order."""
        if self.ofdma:
            return self._scheduled(losses_db, self.rules(), rng, blocks)
        return WifiCell(
            losses_db,
            rules=self.rules(),
            up_dbm=self.tx_power_dbm,
            down_dbm=self.station_tx_power_dbm,
            radio=self.radio,
            rng=rng,
            blocks=blocks,
        )

    def _scheduled(
        self,
        losses_db: Mapping[str, float],
        rules: Rules,
        rng: np.random.Generator,
        blocks: Blocks | None,
    ) -> OfdmaCell:
        return OfdmaCell(
            losses_db,
            rules=rules,
            width_mhz=self.width_mhz,
            up_dbm=self.tx_power_dbm,
            down_dbm=self.station_tx_power_dbm,
            radio=self.radio,
            rng=rng,
            blocks=blocks,
        )

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
        """Send one message up per device over many cells; see :mod:`channel_sim.wifi.batch`."""
        losses_db = np.asarray(losses_db, dtype=np.float64)
        sizes_bytes, ready_ns, cells = (
            np.asarray(item, dtype=np.int64) for item in (sizes_bytes, ready_ns, cells)
        )
        check_burst(losses_db, sizes_bytes, ready_ns, cells)
        if self.ofdma:
            rules = self.rules()
            return run_cells(
                lambda losses, some: self._scheduled(losses, rules, rng, some),
                losses_db,
                sizes_bytes,
                ready_ns,
                cells=cells,
                blocks=blocks,
            )
        return run_burst(
            self.rules(),
            self.tx_power_dbm - losses_db,
            sizes_bytes,
            ready_ns,
            cells=cells,
            rng=rng,
            blocks=blocks,
        )
