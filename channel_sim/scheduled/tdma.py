"""Time division: a table of slots, each of one device and direction, one packet per slot.

A packet is sent again in the next own slot until it is acknowledged, at most
``max_attempts`` times; acknowledgements are never lost. So packets have the
closed forms of ARQ: success 1 - p^R, (1 - p^R) / (1 - p) attempts on average.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt
from scipy.special import erfc

from channel_sim.checks import (
    check_count,
    check_finite,
    check_known,
    check_not_negative,
    check_positive,
    check_probability,
)
from channel_sim.energy import RadioPower, load_radio
from channel_sim.family import Blocks, LinkPlan
from channel_sim.medium import Direction
from channel_sim.outcomes import Outcomes
from channel_sim.rate import noise_dbm
from channel_sim.reception.oqpsk import oqpsk_ber
from channel_sim.scheduled.cells import attempts_if_right
from channel_sim.scheduled.tdma_calendar import TdmaCalendar
from channel_sim.scheduled.tdma_lockstep import burst
from channel_sim.units import SECOND_NS, decibel, linear, to_ns

Floats = npt.NDArray[np.float64]
FADING_NODES = 1024

BIT_ERRORS: dict[str, Callable[[Floats], Floats]] = {
    # By energy per bit over noise density; O-QPSK by SINR over 2 MHz, see bit_error.
    "bpsk": lambda ebn0: np.asarray(0.5 * erfc(np.sqrt(ebn0))),
    "qpsk": lambda ebn0: np.asarray(0.5 * erfc(np.sqrt(ebn0))),
    "dbpsk": lambda ebn0: np.asarray(0.5 * np.exp(-ebn0)),
    "fsk": lambda ebn0: np.asarray(0.5 * np.exp(-ebn0 / 2)),
    "oqpsk": oqpsk_ber,
}
"""Closed forms of oracles.md 2.5: coherent PSK, differential PSK, non-coherent FSK, 802.15.4."""


@dataclass(frozen=True, kw_only=True)
class Tdma:
    """A cell with a fixed slot table; the defaults are a TSCH-like net on 802.15.4.

    A frame of the table has ``control_slots`` (beacons), then for each device
    ``up_slots`` and ``down_slots``; ``table_slots`` fixes its length (None: as
    long as the devices need). A slot of ``slot_s`` holds ``guard_s`` of
    listening before the packet, a preamble of ``preamble_s``, a packet of at
    most ``packet_bytes`` of the message and ``header_bytes`` at ``rate_bps``,
    ``turnaround_s`` and an acknowledgement of ``ack_s``. ``packet_error`` sets
    the error rate of a packet instead of ``modulation`` over ``bandwidth_hz``.
    Raises ValueError for a slot that cannot hold a packet, and by key.
    """

    kind: ClassVar[str] = "tdma"
    shared: ClassVar[bool] = True

    slot_s: float = 0.010
    guard_s: float = 0.0011
    up_slots: int = 1
    down_slots: int = 1
    control_slots: int = 1
    table_slots: int | None = None
    packet_bytes: int = 116
    header_bytes: int = 11
    preamble_s: float = 192e-6
    turnaround_s: float = 192e-6
    ack_s: float = 352e-6
    max_attempts: int = 4
    rate_bps: float = 250e3
    modulation: str = "oqpsk"
    bandwidth_hz: float = 2e6
    noise_figure_db: float = 7.0
    packet_error: float | None = None
    tx_power_dbm: float = 0.0
    station_tx_power_dbm: float = 0.0
    radio_name: str = "nrf52840_154"

    def __post_init__(self) -> None:
        for key in ("slot_s", "rate_bps", "bandwidth_hz"):
            check_positive(key, getattr(self, key))
        for key in ("guard_s", "preamble_s", "turnaround_s", "ack_s"):
            check_not_negative(key, getattr(self, key))
        for key in ("up_slots", "down_slots", "packet_bytes", "max_attempts"):
            check_count(key, getattr(self, key))
        for key in ("header_bytes", "control_slots"):
            check_not_negative(key, getattr(self, key))
        for key in ("noise_figure_db", "tx_power_dbm", "station_tx_power_dbm"):
            check_finite(key, getattr(self, key))
        if self.table_slots is not None:
            check_count("table_slots", self.table_slots)
        check_known("modulation", self.modulation, BIT_ERRORS)
        if self.packet_error is not None:
            check_probability("packet_error", self.packet_error)
        needed_s = self.guard_s + self.air_ns(self.packet_bytes) / SECOND_NS
        needed_s += self.turnaround_s + self.ack_s
        if needed_s > self.slot_s:
            raise ValueError(
                f"slot_s = {self.slot_s!r} cannot hold a packet of {self.packet_bytes} bytes and"
                f" its acknowledgement, {needed_s:.6g} s; lengthen it or cut packet_bytes"
            )

    @property
    def radio(self) -> RadioPower:
        """Powers of the device's radio at its transmit power."""
        return load_radio(self.radio_name, tx_power_dbm=self.tx_power_dbm)

    @property
    def rest_w(self) -> float:
        """Power of a device's radio between messages: it stays awake."""
        return self.radio.idle_w

    def air_ns(self, packet_bytes: int) -> int:
        """Time on air of a packet with ``packet_bytes`` of the message."""
        bits = 8 * (packet_bytes + self.header_bytes)
        return to_ns(self.preamble_s + bits / self.rate_bps)

    def table_ns(self, devices: int) -> int:
        """Length of the slot table for ``devices``.

        Raises ValueError where they do not fit into ``table_slots``.
        """
        check_count("devices", devices)
        needed = self.control_slots + devices * (self.up_slots + self.down_slots)
        if self.table_slots is not None and needed > self.table_slots:
            fit = (self.table_slots - self.control_slots) // (self.up_slots + self.down_slots)
            raise ValueError(
                f"devices = {devices} do not fit: table_slots = {self.table_slots} hold"
                f" {max(fit, 0)}; give {needed} slots or fewer devices"
            )
        return (self.table_slots or needed) * to_ns(self.slot_s)

    def first_slot(self, index: int, direction: Direction) -> int:
        """Number of the first slot of the device at place ``index`` in the table."""
        first = self.control_slots + index * (self.up_slots + self.down_slots)
        return first if direction == "up" else first + self.up_slots

    def snr_db(self, loss_db: npt.ArrayLike, *, up: bool = True) -> Floats:
        """Mean SNR in the bandwidth over losses in dB."""
        noise_in_dbm = noise_dbm(self.bandwidth_hz, self.noise_figure_db)
        power_dbm = self.tx_power_dbm if up else self.station_tx_power_dbm
        return np.asarray(power_dbm - np.asarray(loss_db, dtype=np.float64) - noise_in_dbm)

    def error(self, snr_db: npt.ArrayLike, packet_bytes: npt.ArrayLike) -> Floats:
        """Probability that a packet with ``packet_bytes`` of a message fails; arrays broadcast."""
        snr_db = np.asarray(snr_db, dtype=np.float64)
        bits = 8 * (np.asarray(packet_bytes, dtype=np.float64) + self.header_bytes)
        if self.packet_error is not None:
            return np.full(np.broadcast_shapes(snr_db.shape, bits.shape), self.packet_error)
        snr = linear(snr_db)
        if self.modulation != "oqpsk":
            snr = snr * self.bandwidth_hz / self.rate_bps
        return np.asarray(-np.expm1(bits * np.log1p(-BIT_ERRORS[self.modulation](snr))))

    def plan(self, loss_db: npt.ArrayLike, size_bytes: int, *, fading: str = "none") -> LinkPlan:
        """Work out one message up, alone in its cell, by the closed forms of ARQ.

        Latency is the mean over the phase in the table; ``fading`` "rayleigh"
        is drawn anew for each attempt. Raises ValueError for a size below 1.
        """
        check_count("size_bytes", size_bytes)
        check_known("fading", fading, ("none", "rayleigh"))
        losses_db = np.asarray(loss_db, dtype=np.float64)
        snr_db = self.snr_db(losses_db)
        packets = -(-size_bytes // self.packet_bytes)
        last_bytes = size_bytes - (packets - 1) * self.packet_bytes
        full = self._mean_error(snr_db, min(size_bytes, self.packet_bytes), fading)
        last = self._mean_error(snr_db, last_bytes, fading)
        limit = self.max_attempts
        # Given that all packets arrive: attempts per packet of a truncated geometric law.
        attempts = (packets - 1) * attempts_if_right(full, limit) + attempts_if_right(last, limit)
        full_s, last_s = (self.air_ns(n) / SECOND_NS for n in (self.packet_bytes, last_bytes))
        air_s = (packets - 1) * attempts_if_right(full, limit) * full_s
        air_s = air_s + attempts_if_right(last, limit) * last_s
        table_s, slot_s = self.table_ns(1) / SECOND_NS, self.slot_s
        gap_s = table_s - (self.up_slots - 1) * slot_s
        wait_s = (gap_s**2 + (self.up_slots - 1) * slot_s**2) / (2 * table_s) + self.guard_s
        rounds_s = (attempts - 1) / self.up_slots * table_s
        reached = full < 1
        radio = self.radio
        success = (1 - full**limit) ** (packets - 1) * (1 - last**limit)
        energy_j = air_s * radio.tx_w + attempts * self.turnaround_s * radio.idle_w
        energy_j = energy_j + packets * self.ack_s * radio.rx_w
        energy_j = energy_j + (attempts - packets) * self.ack_s * radio.idle_w
        return LinkPlan(
            loss_db=losses_db,
            rx_power_dbm=self.tx_power_dbm - losses_db,
            snr_db=snr_db,
            rate_bps=np.where(reached, self.rate_bps, 0.0),
            packets=np.full(losses_db.shape, packets, dtype=np.int64),
            packet_error=full,
            message_loss=1 - success,
            air_s=np.where(reached, air_s, np.inf),
            latency_s=np.where(reached, wait_s + rounds_s + last_s, np.inf),
            energy_j=np.asarray(energy_j),
        )

    def _mean_error(self, snr_db: Floats, packet_bytes: int, fading: str) -> Floats:
        if fading == "none":
            return self.error(snr_db, packet_bytes)
        # The mean over a gain of Exp(1): midpoints of equal probability.
        gains = -np.log1p(-(np.arange(FADING_NODES) + 0.5) / FADING_NODES)
        return np.asarray(
            self.error(snr_db[..., np.newaxis] + decibel(gains), packet_bytes).mean(axis=-1)
        )

    def medium(
        self,
        losses_db: Mapping[str, float],
        *,
        rng: np.random.Generator,
        blocks: Blocks | None = None,
    ) -> TdmaCalendar:
        """Build the calendar of one cell; slots in the order of ``losses_db``.

        Raises ValueError where the devices do not fit into the table.
        """
        return TdmaCalendar(self, losses_db, rng=rng, blocks=blocks)

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
