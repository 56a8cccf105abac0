"""Parameters of a Bluetooth LE cell: a central that polls its peripherals in turn."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from channel_sim.ble.events import BleCalendar
from channel_sim.ble.lockstep import burst
from channel_sim.ble.phy import (
    IFS_NS,
    L2CAP_ATT_BYTES,
    MAX_PAYLOAD,
    MIC_BYTES,
    PHYS,
    REFERENCE_SNR_DB,
    Phy,
)
from channel_sim.ble.plan import plan
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
from channel_sim.reception.ble_error import BLE_SENSITIVITY_DBM
from channel_sim.units import SECOND_NS, to_ns

UNIT_NS = 1_250_000
"""Connection intervals are multiples of 1.25 ms."""


@dataclass(frozen=True, kw_only=True)
class Ble:
    """Bluetooth 5 connections of one central; a message is a run of notifications.

    ``phy`` "1m", "2m", "coded_s2" or "coded_s8". Each device has a connection
    event every ``connection_interval_s`` (a multiple of 1.25 ms, 7.5 ms to
    4 s), ``event_s`` long at most; None shares the interval equally among the
    devices of the cell. Link-layer retransmission goes on until nothing valid
    was heard for ``supervision_timeout_s``; then the link is lost.
    ``att_mtu`` at most 247, so that a notification is one frame, with a
    message integrity check of 4 bytes where ``encrypted``. The receivers err
    in one bit of 1000 at ``sensitivity_dbm`` (None: usual for the PHY).
    ``wake_s``: from sleep to the first bit of an event, at idle power.
    Raises ValueError for a parameter outside the specification.
    """

    kind: ClassVar[str] = "ble"
    shared: ClassVar[bool] = True

    phy: str = "1m"
    connection_interval_s: float = 0.03
    event_s: float | None = None
    supervision_timeout_s: float = 4.0
    att_mtu: int = 247
    encrypted: bool = True
    tx_power_dbm: float = 0.0
    station_tx_power_dbm: float = 0.0
    sensitivity_dbm: float | None = None
    station_sensitivity_dbm: float | None = None
    wake_s: float = 0.0004
    radio_name: str = "nrf52840_ble"

    def __post_init__(self) -> None:
        check_known("phy", self.phy, PHYS)
        check_between("connection_interval_s", self.connection_interval_s, 0.0075, 4, why="BLE")
        if self.interval_ns % UNIT_NS:
            near_s = round(self.interval_ns / UNIT_NS) * UNIT_NS / SECOND_NS
            raise ValueError(
                f"connection_interval_s = {self.connection_interval_s!r} is no multiple of"
                f" 1.25 ms; give {near_s:g}"
            )
        check_between("supervision_timeout_s", self.supervision_timeout_s, 0.1, 32.0, why="BLE")
        if self.supervision_timeout_s <= 2 * self.connection_interval_s:
            raise ValueError(
                f"supervision_timeout_s = {self.supervision_timeout_s!r} must be above two"
                f" connection intervals, {2 * self.connection_interval_s:g}"
            )
        check_between("att_mtu", self.att_mtu, 23, MAX_PAYLOAD - 4, why="one notification a frame")
        check_count("att_mtu", self.att_mtu)
        for key in ("tx_power_dbm", "station_tx_power_dbm"):
            check_finite(key, getattr(self, key))
        for key in ("sensitivity_dbm", "station_sensitivity_dbm"):
            if getattr(self, key) is not None:
                check_finite(key, getattr(self, key))
        check_not_negative("wake_s", self.wake_s)
        if self.event_s is not None:
            check_positive("event_s", self.event_s)
        self.event_ns(1)

    @property
    def radio(self) -> RadioPower:
        """Powers of the device's radio at its transmit power."""
        return load_radio(self.radio_name, tx_power_dbm=self.tx_power_dbm)

    @property
    def rest_w(self) -> float:
        """Power of a device's radio between messages: it sleeps but for empty exchanges."""
        return self.connection_w()

    @property
    def air(self) -> Phy:
        """Timing and error law of the physical layer."""
        return PHYS[self.phy]

    @property
    def interval_ns(self) -> int:
        """The connection interval."""
        return to_ns(self.connection_interval_s)

    @property
    def value_bytes(self) -> int:
        """Bytes of a message in one notification: 244 at an ATT MTU of 247."""
        return self.att_mtu - 3

    def frame_bytes(self, value_bytes: int) -> int:
        """Link-layer payload of a notification of ``value_bytes``; 0 is the empty frame."""
        if value_bytes == 0:
            return 0
        return value_bytes + L2CAP_ATT_BYTES + (MIC_BYTES if self.encrypted else 0)

    def exchange_ns(self, central_bytes: int, peripheral_bytes: int) -> int:
        """From one frame of the central to its next: both frames, each followed by T_IFS.

        The arguments are values in bytes (0: an empty frame).
        """
        central_ns = self.air.air_ns(self.frame_bytes(central_bytes))
        peripheral_ns = self.air.air_ns(self.frame_bytes(peripheral_bytes))
        return central_ns + IFS_NS + peripheral_ns + IFS_NS

    @property
    def throughput_bps(self) -> float:
        """Bits of messages per second of back-to-back full notifications, without errors."""
        return 8 * self.value_bytes / (self.exchange_ns(0, self.value_bytes) / SECOND_NS)

    @property
    def max_devices(self) -> int:
        """How many devices can each have an event with room for one full notification."""
        least_ns = self.exchange_ns(0, self.value_bytes)
        event_ns = least_ns if self.event_s is None else to_ns(self.event_s)
        return self.interval_ns // event_ns

    def event_ns(self, devices: int) -> int:
        """Length of each device's event where ``devices`` share the interval.

        Raises ValueError where they do not fit, with how many do.
        """
        check_count("devices", devices)
        least_ns = self.exchange_ns(0, self.value_bytes)
        event_ns = self.interval_ns // devices if self.event_s is None else to_ns(self.event_s)
        if event_ns < least_ns:
            needed_s = math.ceil(devices * least_ns / UNIT_NS) * UNIT_NS / SECOND_NS
            raise ValueError(
                f"an event of {event_ns / 1e6:g} ms for each of {devices} devices has no room for"
                f" a notification of {self.value_bytes} bytes ({least_ns / 1e6:g} ms);"
                f" give connection_interval_s = {needed_s:g}, a smaller att_mtu or fewer devices"
                f" ({self.interval_ns // least_ns} fit)"
            )
        if devices * event_ns > self.interval_ns:
            raise ValueError(
                f"devices = {devices} do not fit: {self.max_devices} events of"
                f" {event_ns / 1e6:g} ms fill connection_interval_s ="
                f" {self.connection_interval_s:g}; lengthen it or shorten event_s"
            )
        return event_ns

    def margin_db(self, loss_db: npt.ArrayLike, *, up: bool = True) -> npt.NDArray[np.float64]:
        """Mean received power above the sensitivity of the receiver, over losses in dB."""
        sensitivity_dbm = self.sensitivity_dbm
        if up and self.station_sensitivity_dbm is not None:
            sensitivity_dbm = self.station_sensitivity_dbm
        if sensitivity_dbm is None:
            sensitivity_dbm = BLE_SENSITIVITY_DBM[self.phy]
        power_dbm = self.tx_power_dbm if up else self.station_tx_power_dbm
        return np.asarray(power_dbm - np.asarray(loss_db, dtype=np.float64) - sensitivity_dbm)

    def snr_db(self, loss_db: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Mean SNR up over losses in dB, with the noise that the sensitivity implies."""
        return self.margin_db(loss_db) + REFERENCE_SNR_DB - self.air.coding_gain_db

    def connection_w(self) -> float:
        """Mean power of a connection on which nothing is sent: one empty exchange an interval."""
        empty_s = self.air.air_ns(0) / SECOND_NS
        idle_s = self.wake_s + IFS_NS / SECOND_NS
        sleep_s = max(0.0, self.connection_interval_s - 2 * empty_s - idle_s)
        joules = self.radio.energy_j(tx_s=empty_s, rx_s=empty_s, idle_s=idle_s, sleep_s=sleep_s)
        return joules / self.connection_interval_s

    def plan(self, loss_db: npt.ArrayLike, size_bytes: int, *, fading: str = "none") -> LinkPlan:
        """Work out one message up, alone in its cell; see :func:`channel_sim.ble.plan.plan`."""
        return plan(self, loss_db, size_bytes, fading=fading)

    def medium(
        self,
        losses_db: Mapping[str, float],
        *,
        rng: np.random.Generator,
        blocks: Blocks | None = None,
    ) -> BleCalendar:
        """Build the calendar of one cell; anchors in the order of ``losses_db``.

        Raises ValueError where the devices do not fit into the interval.
        """
        return BleCalendar(self, losses_db, rng=rng, blocks=blocks)

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
