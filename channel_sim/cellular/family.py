"""The cellular family: LTE, NR, LTE-M and NB-IoT as one set of parameters.

A device at rest is let in (random access, set-up of the connection), gets its
share of the carrier, sends its blocks with HARQ under RLC and stays connected
for a while. The presets are in ``presets/*.json``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, get_args

import numpy as np
import numpy.typing as npt

from channel_sim.calendar import Calendar
from channel_sim.cellular.access import RandomAccess
from channel_sim.cellular.burst import burst
from channel_sim.cellular.harq import Combining, Harq
from channel_sim.cellular.medium import CellularMedium
from channel_sim.cellular.modes import Grid, Modes, modes_of
from channel_sim.cellular.plan import plan
from channel_sim.cellular.sharing import Scheduler
from channel_sim.cellular.tbs import Standard
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
from channel_sim.medium import Direction
from channel_sim.outcomes import Outcomes
from channel_sim.rate import THERMAL_NOISE_DBM_HZ
from channel_sim.units import to_ns

WIDTHS_PRB = (1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 20, 25, 30, 40, 50, 75, 100, 150, 200, 270)
"""Grants up: products of 2, 3 and 5, as the transform of TS 36.211 5.3.3 needs (as remembered)."""
_POSITIVE = ("prb_hz", "tti_s", "uplink_peak_bps", "downlink_peak_bps", "prach_period_s")
_NOT_NEGATIVE = (
    "prach_response_s",
    "prach_backoff_s",
    "preamble_s",
    "setup_s",
    "signalling_bytes",
    "grant_s",
    "inactivity_s",
    "paging_cycle_s",
    "harq_round_trip_s",
    "rlc_wait_s",
    "header_bytes",
    "noise_rise_db",
    "fade_margin_db",
    "radio_up_bps",
    "radio_down_bps",
)
_FINITE = (
    "tx_power_dbm",
    "station_tx_power_dbm",
    "noise_figure_db",
    "station_noise_figure_db",
    "target_snr_db",
)
_COUNTS = (
    "prbs",
    "block_units",
    "preambles",
    "prach_attempts",
    "harq_attempts",
    "rlc_rounds",
    "downlink_layers",
)


@dataclass(frozen=True, kw_only=True)
class Cellular:
    """Parameters of a cell and its devices; the defaults are LTE, 10 MHz, category 4.

    Resources: ``standard`` (whose error curves and block sizes: "lte", "nr"),
    ``prbs`` of ``prb_hz`` per direction, intervals of ``tti_s``; grants up are
    one of ``widths_prb`` (None: :data:`WIDTHS_PRB`), grants down the whole
    carrier. ``block_units`` above 1: a block is up to that many PRB intervals,
    longer where its grant is narrower (NB-IoT). ``..._block_bits`` limits a
    block, ``..._peak_bps`` a device (its category), ``repetitions`` are allowed
    numbers, ``..._fraction`` of the time belongs to a direction (1 with paired
    spectrum). ``header_bytes`` of MAC, RLC and PDCP per block.

    Link: powers in dBm, noise figures, ``noise_rise_db`` by other cells;
    ``fade_margin_db`` above a threshold before a mode is taken;
    ``target_snr_db`` is the SNR that power control keeps before it widens a
    grant up; no service above ``max_coupling_loss_db`` (None: as far as the
    modes reach).

    Access: see :class:`~channel_sim.cellular.access.RandomAccess`; then
    ``setup_s`` plus ``signalling_bytes`` at the mode's rate. A connected device
    waits ``grant_s`` for its first grant and stays connected for
    ``inactivity_s``. Down, a device at rest is paged first, at its place in
    ``paging_cycle_s``. ``connected``: all are connected always.

    HARQ and RLC: see :class:`~channel_sim.cellular.harq.Harq`; ``scheduler``:
    :data:`~channel_sim.cellular.sharing.Scheduler`. ``radio_up_bps`` and
    ``radio_down_bps``: the rates at which a phone's power is read.

    Raises ValueError for a value out of range.
    """

    kind: ClassVar[str] = "cellular"
    shared: ClassVar[bool] = True

    standard: Standard = "lte"
    prbs: int = 50
    prb_hz: float = 180e3
    tti_s: float = 1e-3
    widths_prb: tuple[float, ...] | None = None
    block_units: int = 1
    uplink_block_bits: int | None = None
    downlink_block_bits: int | None = None
    uplink_peak_bps: float = 51.0e6
    downlink_peak_bps: float = 150.8e6
    uplink_fraction: float = 1.0
    downlink_fraction: float = 1.0
    downlink_layers: int = 1
    repetitions: tuple[int, ...] = (1,)
    header_bytes: int = 3
    tx_power_dbm: float = 23.0
    station_tx_power_dbm: float = 46.0
    noise_figure_db: float = 9.0
    station_noise_figure_db: float = 5.0
    noise_rise_db: float = 0.0
    fade_margin_db: float = 0.0
    target_snr_db: float = 6.0
    max_coupling_loss_db: float | None = None
    connected: bool = False
    preambles: int = 54
    prach_period_s: float = 0.010
    prach_response_s: float = 0.053
    prach_backoff_s: float = 0.020
    prach_attempts: int = 10
    preamble_s: float = 0.001
    setup_s: float = 0.075
    signalling_bytes: int = 0
    grant_s: float = 0.010
    inactivity_s: float = 11.6
    paging_cycle_s: float = 1.28
    scheduler: Scheduler = "proportional_fair"
    harq_attempts: int = 4
    harq_round_trip_s: float = 0.008
    harq_combining: Combining = "chase"
    rlc_rounds: int = 8
    rlc_wait_s: float = 0.050
    radio_name: str = "lte_phone"
    radio_up_bps: float = 5.2e6
    radio_down_bps: float = 10.3e6

    def __post_init__(self) -> None:
        for keys, check in (
            (_POSITIVE, check_positive),
            (_NOT_NEGATIVE, check_not_negative),
            (_FINITE, check_finite),
            (_COUNTS, check_count),
        ):
            for key in keys:
                check(key, getattr(self, key))
        check_known("standard", self.standard, get_args(Standard))
        check_known("scheduler", self.scheduler, get_args(Scheduler))
        check_known("harq_combining", self.harq_combining, get_args(Combining))
        for key in ("uplink_fraction", "downlink_fraction"):
            check_positive(key, getattr(self, key))
            check_between(key, getattr(self, key), 0, 1, why="a part of the time")
        for key in ("uplink_block_bits", "downlink_block_bits", "max_coupling_loss_db"):
            if getattr(self, key) is not None:
                check_positive(key, getattr(self, key))
        self._check_grants()

    def _check_grants(self) -> None:
        for count in self.repetitions:
            check_count("repetitions", count)
        if not self.repetitions:
            raise ValueError("repetitions = () allows no transmission; give (1,)")
        if self.widths_prb is not None:
            check_positive("widths_prb", list(self.widths_prb))
            check_between("widths_prb", list(self.widths_prb), 0, self.prbs, why="prbs")
        if not self.widths_prb and self.widths_prb is not None:
            raise ValueError("widths_prb = () allows no grant; give None")
        if self.block_units == 1 and any(width < 1 for width in self.widths_prb or ()):
            raise ValueError(
                f"widths_prb = {self.widths_prb!r} with block_units = 1: a grant below one PRB"
                " needs blocks that go on in time; give block_units of 2 or more"
            )

    @cached_property
    def radio(self) -> RadioPower:
        """Powers of a device's radio by state."""
        return load_radio(self.radio_name, up_bps=self.radio_up_bps, down_bps=self.radio_down_bps)

    @property
    def rest_w(self) -> float:
        """Power of a device's radio between messages: it sleeps, paging included."""
        return self.radio.sleep_w

    @cached_property
    def access(self) -> RandomAccess:
        """Rules of the random access."""
        return RandomAccess(
            preambles=self.preambles,
            period_ns=to_ns(self.prach_period_s),
            response_ns=to_ns(self.prach_response_s),
            backoff_ns=to_ns(self.prach_backoff_s),
            attempts=self.prach_attempts,
        )

    @cached_property
    def harq(self) -> Harq:
        """Rules of HARQ and RLC."""
        return Harq(
            attempts=self.harq_attempts,
            rounds=self.rlc_rounds,
            round_trip_ns=to_ns(self.harq_round_trip_s),
            round_ns=to_ns(self.rlc_wait_s),
            combining=self.harq_combining,
        )

    @cached_property
    def up(self) -> Modes:
        """Modes of the uplink, by received power of the device."""
        return self._modes("up")

    @cached_property
    def down(self) -> Modes:
        """Modes of the downlink, by received power of the station."""
        return self._modes("down")

    def modes(self, direction: Direction) -> Modes:
        """Return the modes of a direction."""
        return self.up if direction == "up" else self.down

    def choose(
        self, loss_db: npt.ArrayLike, direction: Direction = "up"
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
        """Return places of modes and received powers in dBm by loss; -1 is out of reach."""
        loss = np.asarray(loss_db, dtype=np.float64)
        check_finite("loss_db", loss)
        sent_dbm = self.tx_power_dbm if direction == "up" else self.station_tx_power_dbm
        chosen = self.modes(direction).choose(sent_dbm - loss)
        if self.max_coupling_loss_db is not None:
            chosen = np.where(loss > self.max_coupling_loss_db, -1, chosen)
        return chosen, sent_dbm - loss

    def plan(self, loss_db: npt.ArrayLike, size_bytes: int, *, fading: str = "none") -> LinkPlan:
        """Work out one message up; see :func:`channel_sim.cellular.plan.plan`."""
        return plan(self, loss_db, size_bytes, fading=fading)

    def medium(
        self,
        losses_db: Mapping[str, float],
        *,
        rng: np.random.Generator,
        blocks: Blocks | None = None,
    ) -> Calendar:
        """Build the calendar of one cell; losses in dB by device, links in their order."""
        return CellularMedium(self, losses_db, rng=rng, blocks=blocks)

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
        """Send one message up per device; see :func:`channel_sim.cellular.burst.burst`."""
        return burst(self, losses_db, sizes_bytes, ready_ns, cells=cells, rng=rng, blocks=blocks)

    def _modes(self, direction: Direction) -> Modes:
        up = direction == "up"
        widths = self.widths_prb or tuple(width for width in WIDTHS_PRB if width <= self.prbs)
        figure_db = self.station_noise_figure_db if up else self.noise_figure_db
        modes = modes_of(
            Grid(
                standard=self.standard,
                prbs=self.prbs,
                prb_hz=self.prb_hz,
                tti_ns=to_ns(self.tti_s),
                widths_prb=tuple(sorted({*widths, self.prbs})) if up else (self.prbs,),
                block_units=self.block_units,
                block_bits=self.uplink_block_bits if up else self.downlink_block_bits,
                repetitions=self.repetitions,
                layers=1 if up else self.downlink_layers,
                peak_bps=self.uplink_peak_bps if up else self.downlink_peak_bps,
                header_bytes=self.header_bytes,
                noise_dbm_hz=THERMAL_NOISE_DBM_HZ + figure_db + self.noise_rise_db,
                margin_db=self.fade_margin_db,
                target_snr_db=self.target_snr_db if up else None,
            )
        )
        if not modes.steps:
            raise ValueError(
                f"header_bytes = {self.header_bytes} leaves no room in any block; give less"
            )
        return modes
