"""From distances to losses: one set of parameters, one drop of all devices.

A drop is drawn once per run: who is in sight, in whose shadow, how deep
inside a building. What changes from packet to packet is fading, which
:meth:`Propagation.blocks` makes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

from channel_sim.checks import (
    check_count,
    check_finite,
    check_known,
    check_not_negative,
    check_positive,
)
from channel_sim.fading.blocks import BlockFading
from channel_sim.fading.doppler import coherence_time_s
from channel_sim.fading.laws import FADING, Law, law_of
from channel_sim.propagation.basic import free_space_db
from channel_sim.propagation.indoor import BUILDINGS, draw_indoor_db, mean_indoor_db
from channel_sim.propagation.models import MODELS, Model, Place
from channel_sim.propagation.shadowing import correlated_normals
from channel_sim.propagation.sight import GROUND_M, draw_effective_height_m

LOS = ("draw", "los", "nlos")
PROBE_M = 100.0
"""A distance that every model holds at, to try its parameters on."""

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False, kw_only=True)
class PathLosses:
    """One drop; arrays of shape (devices,).

    ``loss_db`` is all that comes off the sent power but for fading: path
    loss, ``shadowing_db`` and the walls of a building, less the gains of the
    antennas. ``los`` tells who is in sight (all, where the model cannot tell).
    """

    loss_db: Array
    los: npt.NDArray[np.bool_]
    shadowing_db: Array


@dataclass(frozen=True, kw_only=True)
class Propagation:
    """How signals travel in one cell; None stands for the model's own value.

    Raises ValueError that names the key, the value and the remedy, also for a
    parameter that the model does not read.
    """

    model: str
    """A name in ``MODELS``."""
    carrier_hz: float
    station_height_m: float | None = None
    device_height_m: float | None = None
    los: str = "draw"
    """Sight: "draw" it per device from its probability, or all "los", all "nlos"."""
    indoor: str = "none"
    """Devices inside a building: "none", "simple", "low", "high" (TR 38.901 O2I)."""
    exponent: float | None = None
    """Of log_distance and power_law, which need it."""
    reference_loss_db: float | None = None
    """None: free space at the reference distance for log_distance, 0 dB for power_law."""
    reference_distance_m: float | None = None
    """None: 1 m."""
    floors: int | None = None
    """Floors between device and station, P.1238; None: 0."""
    gains_db: float = 0.0
    """Antenna gains of both ends less cable losses; taken off the loss."""
    shadowing_sigma_db: float | None = None
    """Spread of the shadowing, with and without sight."""
    shadowing_correlation_m: float | None = None
    """Distance over which shadows forget, for devices with positions."""
    fading: str = "none"
    """Small-scale: "none", "rayleigh", "rician", "nakagami"."""
    rician_k_db: float | None = None
    """None: the mean K of the model, where it has one."""
    nakagami_m: float | None = None
    """Needed by fading "nakagami"."""
    speed_m_s: float = 0.0
    """Of the device or of what moves around it; 0: one fading gain for ever."""

    def __post_init__(self) -> None:
        check_known("model", self.model, MODELS)
        check_known("los", self.los, LOS)
        check_known("indoor", self.indoor, ("none", *BUILDINGS))
        check_known("fading", self.fading, FADING)
        self._check_reads()
        self._check_numbers()
        if self.indoor not in ("none", *self._model.indoor):
            raise ValueError(
                f"indoor = {self.indoor!r} does not go with model = {self.model!r};"
                f" give one of {('none', *self._model.indoor)}"
            )
        self._law()
        # Models and walls check carrier and heights themselves.
        self.mean_loss_db(PROBE_M)

    def mean_loss_db(self, distance_m: npt.ArrayLike) -> Array:
        """Return the loss in dB without any draw, same shape as the distances.

        Shadowing is 0, walls and the way behind them at their mean, h_E of UMa
        1 m. With ``los`` "draw" the losses (in dB) with and without sight are
        weighted by the probability of sight.
        """
        distance_m = np.asarray(distance_m, dtype=np.float64)
        chance = self._sight(distance_m)
        loss_db = self._path_db(distance_m, self._place, chance)
        if self.indoor != "none":
            depth_m = self._model.indoor_depth_m
            loss_db = loss_db + mean_indoor_db(self.indoor, self.carrier_hz, depth_m=depth_m)
        return loss_db - self.gains_db

    def losses(
        self,
        distances_m: npt.ArrayLike,
        *,
        rng: np.random.Generator,
        positions_m: npt.ArrayLike | None = None,
    ) -> PathLosses:
        """Draw one drop of devices at ``distances_m`` (devices,).

        Distances are horizontal in the models that read heights, else the
        length of the path. With ``positions_m`` (devices, 2) devices near one
        another share their shadows; sight and walls stay independent. Each
        layer has a generator of its own spawned from ``rng``, so that turning
        one on leaves the draws of the others as they are. Raises ValueError
        for distances outside the model and positions of another length.
        """
        distances_m = np.asarray(distances_m, dtype=np.float64)
        if distances_m.ndim != 1:
            raise ValueError(f"distances_m has shape {distances_m.shape}; give (devices,)")
        sight_rng, height_rng, shadow_rng, indoor_rng = rng.spawn(4)
        los = sight_rng.random(len(distances_m)) < self._sight(distances_m)
        place = self._place
        if self.model == "uma" and place.device_height_m > GROUND_M:
            effective_m = draw_effective_height_m(
                distances_m, device_height_m=place.device_height_m, rng=height_rng
            )
            place = replace(place, effective_height_m=effective_m)
        shadows_db = self._shadowing_db(distances_m, los, positions_m, shadow_rng)
        loss_db = self._path_db(distances_m, place, los.astype(np.float64)) + shadows_db
        if self.indoor != "none":
            loss_db = loss_db + draw_indoor_db(
                self.indoor,
                self.carrier_hz,
                depth_m=self._model.indoor_depth_m,
                count=len(distances_m),
                rng=indoor_rng,
            )
        return PathLosses(loss_db=loss_db - self.gains_db, los=los, shadowing_db=shadows_db)

    def blocks(
        self, *, rng: np.random.Generator, coherence_s: float | None = None
    ) -> BlockFading | None:
        """Return the fading of all links, None where there is none.

        Blocks last ``coherence_s``; None: 0.423 / f_d of ``speed_m_s``. All
        links follow one law, in sight or not.
        """
        law = self._law()
        if law is None:
            return None
        if coherence_s is None:
            coherence_s = coherence_time_s(self.speed_m_s, self.carrier_hz)
        return BlockFading(law, coherence_s, rng=rng)

    @property
    def _model(self) -> Model:
        return MODELS[self.model]

    @cached_property
    def _place(self) -> Place:
        model, length_m = self._model, self.reference_distance_m or 1.0
        loss_db = self.reference_loss_db
        if loss_db is None:
            near_db = float(free_space_db(length_m, self.carrier_hz))
            loss_db = near_db if self.model == "log_distance" else 0.0
        return Place(
            carrier_hz=self.carrier_hz,
            station_height_m=self.station_height_m or model.station_height_m,
            device_height_m=self.device_height_m or model.device_height_m,
            exponent=self.exponent or 2.0,
            reference_loss_db=loss_db,
            reference_distance_m=length_m,
            floors=self.floors or 0,
        )

    def _sight(self, distance_m: Array) -> Array:
        """Probability of sight, same shape."""
        if self._model.sight is None or self.los == "los":
            return np.ones(distance_m.shape)
        if self.los == "nlos":
            return np.zeros(distance_m.shape)
        return self._model.sight(distance_m, self._place)

    def _path_db(self, distance_m: Array, place: Place, los: Array) -> Array:
        """The path loss, ``los`` being the share of sight, 0 to 1."""
        model = self._model
        if model.nlos_db is None or self.los == "los":
            return model.los_db(distance_m, place)
        if self.los == "nlos":
            return model.nlos_db(distance_m, place)
        los_db, nlos_db = model.los_db(distance_m, place), model.nlos_db(distance_m, place)
        return np.asarray(los * los_db + (1 - los) * nlos_db)

    def _shadowing_db(
        self,
        distances_m: Array,
        los: npt.NDArray[np.bool_],
        positions_m: npt.ArrayLike | None,
        rng: np.random.Generator,
    ) -> Array:
        indoor = self.indoor != "none"
        spread_db = self._model.spread_db(distances_m, self._place, los=los, indoor=indoor)
        if self.shadowing_sigma_db is not None:
            spread_db = np.full(distances_m.shape, self.shadowing_sigma_db)
        if positions_m is None:
            return spread_db * rng.standard_normal(len(distances_m))
        if len(np.asarray(positions_m)) != len(distances_m):
            raise ValueError(
                f"positions_m has {len(np.asarray(positions_m))} rows for {len(distances_m)}"
                " distances_m; give one each"
            )
        open_m, hidden_m = self._model.reach_m(indoor=indoor)
        if not spread_db.any():
            return spread_db  # no shadows, so no distance over which they reach
        if self.shadowing_correlation_m is not None:
            open_m = hidden_m = self.shadowing_correlation_m
        if open_m is None or hidden_m is None:
            raise ValueError(
                f"model = {self.model!r} has no correlation distance;"
                " give shadowing_correlation_m or no positions_m"
            )
        # Inside a building the shadow is one and the same, in sight or not.
        seen = los | indoor
        places_m = np.asarray(positions_m, dtype=np.float64)
        normals = np.empty(len(places_m))
        for state, reach_m in ((seen, open_m), (~seen, hidden_m)):
            normals[state] = correlated_normals(places_m[state], correlation_m=reach_m, rng=rng)
        return spread_db * normals

    def _law(self) -> Law | None:
        k_db = self.rician_k_db
        if k_db is None and self.fading == "rician":
            k_db = self._model.rician_k_db
        return law_of(self.fading, rician_k_db=k_db, nakagami_m=self.nakagami_m)

    def _check_reads(self) -> None:
        """Refuse a parameter that the model would ignore."""
        model = self._model
        for key in (
            "station_height_m",
            "device_height_m",
            "exponent",
            "reference_loss_db",
            "reference_distance_m",
            "floors",
        ):
            if getattr(self, key) is not None and key not in model.reads:
                raise ValueError(
                    f"{key} = {getattr(self, key)!r} is not read by model = {self.model!r};"
                    f" leave it out (it reads {', '.join(sorted(model.reads)) or 'none of these'})"
                )
        if "exponent" in model.reads and self.exponent is None:
            raise ValueError(f"exponent is missing; model = {self.model!r} needs one")
        if self.los != "draw" and model.nlos_db is None:
            raise ValueError(
                f"los = {self.los!r}, but model = {self.model!r} does not tell sight apart;"
                " leave it out"
            )

    def _check_numbers(self) -> None:
        check_positive("carrier_hz", self.carrier_hz)
        check_finite("gains_db", self.gains_db)
        check_not_negative("speed_m_s", self.speed_m_s)
        for key in (
            "station_height_m",
            "device_height_m",
            "exponent",
            "reference_distance_m",
            "shadowing_correlation_m",
        ):
            if getattr(self, key) is not None:
                check_positive(key, getattr(self, key))
        if self.reference_loss_db is not None:
            check_finite("reference_loss_db", self.reference_loss_db)
        if self.shadowing_sigma_db is not None:
            check_not_negative("shadowing_sigma_db", self.shadowing_sigma_db)
        if self.floors:
            check_count("floors", self.floors)
