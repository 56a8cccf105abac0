"""Parameters of Shannon links, their plan, and the lock-step engine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

import numpy as np
import numpy.typing as npt

from channel_sim.checks import (
    check_count,
    check_finite,
    check_known,
    check_not_negative,
    check_positive,
)
from channel_sim.energy import RadioPower, load_radio
from channel_sim.family import Blocks, LinkPlan
from channel_sim.medium import Direction
from channel_sim.outcomes import CODES, Outcomes
from channel_sim.rate import THERMAL_NOISE_DBM_HZ, TruncatedShannon
from channel_sim.shannon.calendar import ShannonCalendar
from channel_sim.shannon.law import LONGEST_S, Floats, Ints, Law
from channel_sim.units import SECOND_NS, decibel, linear, to_ns

ErrorModel = Literal["outage", "chen", "slotted"]
MW_PER_W = 1000.0


@dataclass(frozen=True, kw_only=True)
class Shannon:
    """Orthogonal links at B log2(1 + SNR): a band per device and direction, nobody contends.

    SNR is mean received power over ``noise_dbm_hz`` (N0, the noise figure in
    it) times the band plus the interference: up, of the resource block of the
    device, block i mod n of ``interference_w`` for the i-th device of a cell;
    a plan takes their mean. ``shannon_alpha``, ``shannon_cap_bps_hz`` and
    ``shannon_floor_db`` truncate the rate; None: no cap, no floor.

    A message is lost in one of three ways, each after ``max_attempts`` units.
    "outage": a packet fails when its momentary SNR is below ``threshold_db``
    (None: the mean less ``fade_margin_db``), at which its rate is Shannon's; in
    Rayleigh fading with 1 - exp(-threshold / SNR). "chen": a packet at the rate
    of the mean SNR fails with 1 - exp(-m / SNR), m the ``waterfall`` (Chen et
    al., IEEE TWC 20(1), 2021, eq. 4). "slotted": the message goes in slots of
    ``slot_s`` with the bits that ``threshold_db`` carries, and those whose SNR
    is below it are lost (Oh et al., Mix2FLD, 2020). Fading is new in every unit
    unless the engine is given blocks, whose gain at its start a unit then has.

    ``radio_name`` None charges the radiated power and nothing else, as the
    papers do. Raises ValueError that names the key, the value and the remedy.
    """

    kind: ClassVar[str] = "shannon"
    shared: ClassVar[bool] = False

    bandwidth_hz: float = 1e6
    station_bandwidth_hz: float = 1e6
    tx_power_dbm: float = 23.0
    station_tx_power_dbm: float = 30.0
    noise_dbm_hz: float = THERMAL_NOISE_DBM_HZ
    interference_w: tuple[float, ...] = (0.0,)
    station_interference_w: float = 0.0
    shannon_alpha: float = 1.0
    shannon_cap_bps_hz: float | None = None
    shannon_floor_db: float | None = None
    error_model: ErrorModel = "outage"
    threshold_db: float | None = None
    fade_margin_db: float = 10.0
    waterfall: float = 1.0
    slot_s: float = 0.001
    max_attempts: int = 4
    radio_name: str | None = None

    def __post_init__(self) -> None:
        check_known("error_model", self.error_model, get_args(ErrorModel))
        for key in ("bandwidth_hz", "station_bandwidth_hz", "waterfall", "slot_s"):
            check_positive(key, getattr(self, key))
        for key in ("tx_power_dbm", "station_tx_power_dbm", "noise_dbm_hz", "fade_margin_db"):
            check_finite(key, getattr(self, key))
        if not self.interference_w:
            raise ValueError("interference_w is empty; give one power per resource block, or (0,)")
        # A negative power, as two lists in the code of Chen et al. have, makes
        # a negative error rate.
        check_not_negative("interference_w", self.interference_w)
        check_not_negative("station_interference_w", self.station_interference_w)
        check_count("max_attempts", self.max_attempts)
        if self.threshold_db is not None:
            check_finite("threshold_db", self.threshold_db)
        elif self.error_model == "slotted":
            raise ValueError("threshold_db = None; error_model 'slotted' needs a number of dB")
        if self.error_model == "slotted" and to_ns(self.slot_s) < 1:
            raise ValueError(f"slot_s = {self.slot_s!r} is below 1 ns; give 1e-9 or more")
        curve = self._curve
        if self.threshold_db is not None and curve.efficiency_bps_hz(self.threshold_db) == 0:
            raise ValueError(
                f"threshold_db = {self.threshold_db!r} is below shannon_floor_db ="
                f" {self.shannon_floor_db!r} and carries nothing; raise it"
            )

    @property
    def radio(self) -> RadioPower:
        """Powers of the device's radio."""
        if self.radio_name is not None:
            return load_radio(self.radio_name, tx_power_dbm=self.tx_power_dbm)
        radiated_w = float(linear(self.tx_power_dbm)) / MW_PER_W
        return RadioPower(radiated_w, 0.0, 0.0, 0.0, "radiated power only, as in the papers")

    @property
    def rest_w(self) -> float:
        """Power of a device's radio between messages: it stays awake."""
        return self.radio.idle_w

    @property
    def _curve(self) -> TruncatedShannon:
        cap, floor = self.shannon_cap_bps_hz, self.shannon_floor_db
        return TruncatedShannon(
            alpha=self.shannon_alpha,
            cap_bps_hz=np.inf if cap is None else cap,
            floor_db=-np.inf if floor is None else floor,
        )

    def snr_db(
        self, loss_db: npt.ArrayLike, *, interference_w: npt.ArrayLike = 0.0, up: bool = True
    ) -> Floats:
        """Mean SNR over losses in dB; the interference is broadcast with them."""
        power_dbm = self.tx_power_dbm if up else self.station_tx_power_dbm
        bandwidth_hz = self.bandwidth_hz if up else self.station_bandwidth_hz
        noise_mw = linear(self.noise_dbm_hz) * bandwidth_hz
        noise_dbm = decibel(noise_mw + MW_PER_W * np.asarray(interference_w))
        return np.asarray(power_dbm - np.asarray(loss_db, dtype=np.float64) - noise_dbm)

    def law(
        self,
        loss_db: npt.ArrayLike,
        size_bytes: npt.ArrayLike,
        *,
        interference_w: npt.ArrayLike,
        up: bool = True,
    ) -> Law:
        """Work out what messages of ``size_bytes`` meet; the arrays broadcast.

        Raises ValueError for a size that even lossless slots cannot carry.
        """
        snr_db = self.snr_db(loss_db, interference_w=interference_w, up=up)
        snr_db, bits = np.broadcast_arrays(snr_db, 8 * np.asarray(size_bytes, dtype=np.float64))
        snr, curve = linear(snr_db), self._curve
        threshold_db = snr_db
        if self.error_model != "chen":
            threshold_db = np.minimum(snr_db - self.fade_margin_db, curve.cap_snr_db)
            if self.threshold_db is not None:
                threshold_db = np.full_like(snr_db, self.threshold_db)
        bandwidth_hz = self.bandwidth_hz if up else self.station_bandwidth_hz
        rate_bps = bandwidth_hz * curve.efficiency_bps_hz(threshold_db)
        with np.errstate(divide="ignore", over="ignore"):
            margin = (self.waterfall if self.error_model == "chen" else linear(threshold_db)) / snr
            unit_s = np.where(rate_bps > 0, bits / rate_bps, np.inf)
        need = np.ones(snr.shape, dtype=np.int64)
        if self.error_model == "slotted":
            slots = np.ceil(bits / (rate_bps * self.slot_s))
            self._check_slots(slots, rate_bps)
            need, unit_s = slots.astype(np.int64), np.full(snr.shape, self.slot_s)
        reached = unit_s < LONGEST_S
        unit_ns = np.maximum(np.rint(np.where(reached, unit_s, 1.0) * SECOND_NS), 1)
        return Law(
            snr=snr,
            rate_bps=np.where(reached, rate_bps, 0.0),
            need=need,
            unit_ns=unit_ns.astype(np.int64),
            fail=np.where(reached, -np.expm1(-margin), 1.0),
            threshold=linear(threshold_db),
            limit=self.max_attempts,
        )

    def _check_slots(self, slots: Floats, rate_bps: Floats) -> None:
        if np.any(slots > self.max_attempts):
            most = int(self.max_attempts * self.slot_s * np.min(rate_bps) / 8)
            raise ValueError(
                f"size_bytes needs {np.max(slots):.0f} slots of {self.slot_s:g} s, max_attempts ="
                f" {self.max_attempts}; send {most} bytes at most (fewer classes or samples, a"
                " coarser codec), allow more slots or give more bandwidth_hz"
            )

    def plan(self, loss_db: npt.ArrayLike, size_bytes: int, *, fading: str = "none") -> LinkPlan:
        """Work out one message up, with the mean of the interference; Rayleigh fading in each unit.

        "none" and "rayleigh" are the same here: "chen" is a mean already, and
        the fading of "outage" and "slotted" is their own. Raises ValueError for
        other fading and for a size that does not fit into the slots.
        """
        check_count("size_bytes", size_bytes)
        if fading not in ("none", "rayleigh") or (self.error_model, fading) == ("chen", "rayleigh"):
            raise ValueError(
                f"fading = {fading!r} has no formula with error_model {self.error_model!r};"
                " give 'none' ('rayleigh' for outage and slotted), or simulate it"
            )
        loss_db = np.asarray(loss_db, dtype=np.float64)
        law = self.law(loss_db, size_bytes, interference_w=float(np.mean(self.interference_w)))
        delivered, unit_s = law.delivered(), law.unit_ns / SECOND_NS
        with np.errstate(divide="ignore", invalid="ignore"):
            air_s = np.where(delivered > 0, law.units_if_delivered() / delivered * unit_s, np.inf)
        return LinkPlan(
            loss_db=loss_db,
            rx_power_dbm=self.tx_power_dbm - loss_db,
            snr_db=decibel(law.snr),
            rate_bps=law.rate_bps,
            packets=law.need,
            packet_error=law.fail,
            message_loss=1 - delivered,
            air_s=air_s,
            latency_s=air_s,
            energy_j=law.units() * unit_s * self.radio.tx_w,
        )

    def medium(
        self,
        losses_db: Mapping[str, float],
        *,
        rng: np.random.Generator,
        blocks: Blocks | None = None,
    ) -> ShannonCalendar:
        """Build the calendar of one cell; resource blocks in the order of ``losses_db``."""
        self._check_blocks(blocks)
        for loss_db in losses_db.values():
            check_finite("losses_db", loss_db)

        def law(index: int, loss_db: float, direction: Direction, size_bytes: int) -> Law:
            up = direction == "up"
            interference_w = self.station_interference_w
            if up:
                interference_w = self.interference_w[index % self._channels]
            return self.law(loss_db, size_bytes, interference_w=interference_w, up=up)

        return ShannonCalendar(losses_db, law, radio=self.radio, rng=rng, blocks=blocks)

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
        """Send one message up per device at once; the law of :meth:`medium`."""
        self._check_blocks(blocks)
        check_finite("losses_db", losses_db)
        check_positive("sizes_bytes", sizes_bytes)
        interference_w = np.array(self.interference_w)[_place_in_cell(cells) % self._channels]
        law = self.law(losses_db, sizes_bytes, interference_w=interference_w)
        if blocks is None:
            units, delivered = law.draw(rng)
        else:
            units, delivered = _units_in_blocks(law, ready_ns, blocks)
        air_ns = units * law.unit_ns
        reason = np.where(delivered, CODES["delivered"], CODES["retry_limit"])
        reason[law.rate_bps == 0] = CODES["below_sensitivity"]
        zero = np.zeros_like(air_ns)
        return Outcomes(
            reason=reason.astype(np.uint8),
            ready_ns=ready_ns,
            start_ns=ready_ns,
            finish_ns=ready_ns + air_ns,
            packets=law.need.astype(np.int32),
            attempts=units.astype(np.int32),
            air_ns=air_ns,
            tx_ns=air_ns,
            rx_ns=zero,
            idle_ns=zero,
        )

    @property
    def _channels(self) -> int:
        return len(self.interference_w)

    def _check_blocks(self, blocks: Blocks | None) -> None:
        if blocks is not None and self.error_model == "chen":
            raise ValueError(
                "error_model = 'chen' is an error rate at the mean gain and takes no fading;"
                " give fading 'none' or error_model 'outage'"
            )


def _place_in_cell(cells: Ints) -> Ints:
    """How many rows before this one belong to the same cell."""
    order = np.argsort(cells, kind="stable")
    inside = cells[order]
    first = np.searchsorted(inside, inside, side="left")
    place = np.empty(len(cells), dtype=np.int64)
    place[order] = np.arange(len(cells)) - first
    return place


def _units_in_blocks(
    law: Law, start_ns: Ints, blocks: Blocks
) -> tuple[Ints, npt.NDArray[np.bool_]]:
    """Send unit by unit, all messages in step, each through the gain at its start."""
    left = law.need.copy()
    units = np.zeros_like(left)
    active = np.flatnonzero(law.rate_bps > 0)
    for unit in range(law.limit):
        at_ns = start_ns[active] + unit * law.unit_ns[active]
        gain = blocks.gains(active, at_ns // blocks.coherence_ns)
        left[active] -= law.snr[active] * gain >= law.threshold[active]
        units[active] += 1
        active = active[left[active] > 0]
        if not len(active):
            break
    return units, (left == 0)
