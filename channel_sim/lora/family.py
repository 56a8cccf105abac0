"""The LoRaWAN family: its parameters, and the doors to plan, calendar and lock step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Literal

import numpy as np
import numpy.typing as npt

from channel_sim.checks import check_count, check_finite, check_known, check_positive
from channel_sim.energy import RadioPower, load_radio
from channel_sim.family import Blocks, LinkPlan
from channel_sim.lora.adr import converged_spreading_factors
from channel_sim.lora.airtime import MIN_SF, SPREADING_FACTORS, check_spreading_factor
from channel_sim.lora.burst import send_burst
from channel_sim.lora.cell import LorawanCell
from channel_sim.lora.fragments import (
    FRAGMENT_HEADER_BYTES,
    MAX_FRAGMENTS,
    Cut,
    alone_starts_ns,
    cut,
)
from channel_sim.lora.isolation import RULES, InterferenceRule, find_rule
from channel_sim.lora.plan import plan_links
from channel_sim.lora.region import (
    DEFAULT_CHANNELS_HZ,
    FRAME_BYTES,
    RX2_HZ,
    RX2_SPREADING_FACTOR,
    check_power,
    max_payload_bytes,
)
from channel_sim.lora.sensitivity import TABLES, frame_success, sensitivities_dbm
from channel_sim.lora.timing import BANDWIDTH_HZ, Timing, up_air_ns, work_out
from channel_sim.outcomes import Outcomes
from channel_sim.rate import noise_dbm
from channel_sim.units import SECOND_NS, to_ns

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

ERROR_MODELS = ("threshold", "elshabrawy")


@dataclass(frozen=True, kw_only=True)
class Lorawan:
    """Class A devices and one gateway in EU868, 125 kHz; every default with its source.

    Raises ValueError that names the key, the value and the remedy.
    """

    kind: ClassVar[str] = "lorawan"
    shared: ClassVar[bool] = True

    spreading_factor: int | None = None
    """Of all devices; None: each has what adaptive data rate settles at for its loss."""
    fade_margin_db: float = 10.0
    """Installation margin of adaptive data rate; Semtech and The Things Network, as remembered."""
    confirmed: bool = False
    """Every frame up asks for an acknowledgement, and is repeated without one."""
    max_attempts: int = 8
    """NbTrans of confirmed frames (ns-3 end-device-lorawan-mac.cc), and tries of a downlink."""
    channels_hz: tuple[float, ...] = DEFAULT_CHANNELS_HZ
    """A channel is drawn for every frame among those that the law leaves open."""
    coding_rate: int = 1
    """4/5, LoRaWAN regional parameters."""
    preamble_symbols: int = 8
    """LoRaWAN regional parameters."""
    tx_power_dbm: float = 14.0
    """ERP limit of most sub-bands (ns-3 lorawan-mac-helper.cc)."""
    station_tx_power_dbm: float = 14.0
    """In RX1, on the channel of the uplink: the same limit."""
    rx2_tx_power_dbm: float = 27.0
    """ERP limit at 869.525 MHz (ns-3 lorawan-mac-helper.cc)."""
    rx2_spreading_factor: int = RX2_SPREADING_FACTOR
    """DR0, LoRaWAN regional parameters; some networks use SF9."""
    window_symbols: int = 8
    """Length of an empty receive window (ns-3 end-device-lorawan-mac.cc)."""
    noise_figure_db: float = 6.0
    """ns-3 adr-component; for SNRs, and for the table "snr_floor"."""
    sensitivity: str = "sx1276"
    """Of devices: sx1276, sx1272, sx1301, bor2016 or snr_floor."""
    station_sensitivity: str = "sx1301"
    """Of the gateway: the same names."""
    error_model: Literal["threshold", "elshabrawy"] = "threshold"
    """Above sensitivity all frames are right, or some are lost to noise."""
    interference: str = "goursaud"
    """Which overlapping frames are lost: simple, capture_6db, aloha or goursaud."""
    demodulators: int = 8
    """Frames that the gateway follows at once (SX1301)."""
    repeater: bool = True
    """Largest payloads leave room for a repeater: 222 bytes instead of 242 at DR4 and DR5."""
    poll_s: float = 60.0
    """How often a silent device sends an empty frame to be sent to; chosen."""
    max_message_s: float = 86_400.0
    """Longest that one message may take by the duty cycle before it is refused; chosen."""
    radio_name: str = "sx1276"
    """Key of the radio power table."""

    def __post_init__(self) -> None:
        for key in ("fade_margin_db", "tx_power_dbm", "station_tx_power_dbm"):
            check_finite(key, getattr(self, key))
        for key in ("rx2_tx_power_dbm", "noise_figure_db"):
            check_finite(key, getattr(self, key))
        for key in ("max_attempts", "preamble_symbols", "window_symbols", "demodulators"):
            check_count(key, getattr(self, key))
        check_positive("poll_s", self.poll_s)
        check_positive("max_message_s", self.max_message_s, finite=False)
        if self.spreading_factor is not None:
            check_spreading_factor("spreading_factor", self.spreading_factor)
        check_spreading_factor("rx2_spreading_factor", self.rx2_spreading_factor)
        check_known("sensitivity", self.sensitivity, TABLES)
        check_known("station_sensitivity", self.station_sensitivity, TABLES)
        check_known("interference", self.interference, RULES)
        check_known("error_model", self.error_model, ERROR_MODELS)
        if not 1 <= self.coding_rate <= 4:  # noqa: PLR2004 - 4/5 to 4/8
            raise ValueError(f"coding_rate = {self.coding_rate!r}; give 1 to 4 for 4/5 to 4/8")
        if not self.channels_hz:
            raise ValueError("channels_hz is empty; give at least one channel in hertz")
        for frequency_hz in self.channels_hz:
            check_power("tx_power_dbm", self.tx_power_dbm, frequency_hz)
            check_power("station_tx_power_dbm", self.station_tx_power_dbm, frequency_hz)
        check_power("rx2_tx_power_dbm", self.rx2_tx_power_dbm, RX2_HZ)

    @property
    def radio(self) -> RadioPower:
        """Powers of a device's radio at its transmit power."""
        return load_radio(self.radio_name, tx_power_dbm=self.tx_power_dbm)

    @property
    def rest_w(self) -> float:
        """Power of a device's radio between messages: it sleeps."""
        return self.radio.sleep_w

    @cached_property
    def rule(self) -> InterferenceRule:
        """The interference rule by its name."""
        return find_rule(self.interference)

    @cached_property
    def timing(self) -> Timing:
        """The same parameters in nanoseconds."""
        return work_out(self)

    @cached_property
    def floors_dbm(self) -> Floats:
        """Weakest power at the gateway, shape (6,), by SF - 7."""
        return sensitivities_dbm(self.station_sensitivity, noise_figure_db=self.noise_figure_db)

    @cached_property
    def device_floors_dbm(self) -> Floats:
        """Weakest power at a device, shape (6,), by SF - 7."""
        return sensitivities_dbm(self.sensitivity, noise_figure_db=self.noise_figure_db)

    @cached_property
    def frame_bytes(self) -> Ints:
        """Application bytes that one frame carries, shape (6,), by SF - 7."""
        return np.array([max_payload_bytes(sf, repeater=self.repeater) for sf in SPREADING_FACTORS])

    def snr_db(self, rx_power_dbm: npt.ArrayLike) -> Floats:
        """Return the SNR of a received power in dB."""
        return np.asarray(rx_power_dbm) - noise_dbm(BANDWIDTH_HZ, self.noise_figure_db)

    def assign_spreading_factors(self, loss_db: npt.ArrayLike) -> Ints:
        """Return the spreading factor of devices by their mean loss, same shape."""
        loss = np.asarray(loss_db, dtype=np.float64)
        if self.spreading_factor is not None:
            return np.full(loss.shape, self.spreading_factor, dtype=np.int64)
        return converged_spreading_factors(
            self.snr_db(self.tx_power_dbm - loss), margin_db=self.fade_margin_db
        )

    def noise_survival(self, rx_power_dbm: Floats, sf: Ints, phy_bytes: Ints) -> Floats:
        """Return the chance that a frame above sensitivity is not lost to noise."""
        if self.error_model == "threshold":
            return np.ones(np.shape(rx_power_dbm))
        return frame_success(self.snr_db(rx_power_dbm), sf, phy_bytes)

    def cut(self, size_bytes: npt.ArrayLike, sf: npt.ArrayLike) -> Cut:
        """Cut messages into frames; raise ValueError for one that takes too long by law.

        Counts the frames sent once each, on an empty medium.
        """
        sizes, factors = np.broadcast_arrays(
            np.asarray(size_bytes, dtype=np.int64), np.asarray(sf, dtype=np.int64)
        )
        pieces = cut(sizes, self.frame_bytes[factors - MIN_SF])
        needed = self.alone_ns(pieces, factors)
        bad = (needed > self.max_message_s * SECOND_NS) | (pieces.count > MAX_FRAGMENTS)
        if np.any(bad):
            worst = int(np.argmax(np.where(bad, needed, -1)))
            self._refuse(int(sizes.flat[worst]), int(factors.flat[worst]), int(needed.flat[worst]))
        return pieces

    def alone_ns(self, pieces: Cut, sf: Ints) -> Ints:
        """Return the time from first start to last end of messages, each frame sent once."""
        full = up_air_ns(self, pieces.full_bytes + FRAME_BYTES, sf)
        last = up_air_ns(self, pieces.last_bytes + FRAME_BYTES, sf)
        gap = full + self.timing.closed_ns
        starts = alone_starts_ns(pieces.count - 1, full, gap, self.timing.device_duties)
        return np.asarray(starts + last)

    def _refuse(self, size_bytes: int, sf: int, needed_ns: int) -> None:
        """Raise for a message that is too large, naming the bytes that would fit."""
        room = int(self.frame_bytes[sf - MIN_SF])
        low, high = 0, min(size_bytes, MAX_FRAGMENTS * (room - FRAGMENT_HEADER_BYTES))
        while low < high:
            middle = (low + high + 1) // 2
            pieces = cut(middle, room)
            if self.alone_ns(pieces, np.asarray(sf)) <= to_ns(min(self.max_message_s, 1e9)):
                low = middle
            else:
                high = middle - 1
        duty = sum(self.timing.device_duties)
        raise ValueError(
            f"size_bytes = {size_bytes} needs {needed_ns / SECOND_NS:.0f} s at SF{sf} and"
            f" {100 * duty:g} % duty cycle, more than max_message_s = {self.max_message_s:g};"
            f" at most {low} bytes would fit, so it is {size_bytes - low} bytes too large:"
            " send less, or raise max_message_s"
        )

    def plan(self, loss_db: npt.ArrayLike, size_bytes: int, *, fading: str = "none") -> LinkPlan:
        """Work out one message of ``size_bytes`` up over each loss; see :mod:`.plan`."""
        return plan_links(self, loss_db, size_bytes, fading=fading)

    def medium(
        self,
        losses_db: Mapping[str, float],
        *,
        rng: np.random.Generator,
        blocks: Blocks | None = None,
    ) -> LorawanCell:
        """Build the calendar of one cell; see :class:`LorawanCell`."""
        return LorawanCell(self, losses_db, rng=rng, blocks=blocks)

    def burst(
        self,
        losses_db: Floats,
        sizes_bytes: Ints,
        ready_ns: Ints,
        *,
        cells: Ints,
        rng: np.random.Generator,
        blocks: Blocks | None = None,
    ) -> Outcomes:
        """Send one message up per device in many cells at once; see :mod:`.burst`."""
        return send_burst(
            self, losses_db, sizes_bytes, ready_ns, cells=cells, rng=rng, blocks=blocks
        )
