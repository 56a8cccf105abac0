"""The models by name: loss with and without sight, chance of sight, shadowing.

A model takes a :class:`Place`, which holds every number that any of them
reads; ``reads`` tells which of those a user may set.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from channel_sim.propagation import itu, sight, tr38901
from channel_sim.propagation.basic import free_space_db, log_distance_db, power_law_db
from channel_sim.propagation.indoor import BUILDINGS

Array = npt.NDArray[np.float64]

HEIGHTS = frozenset({"station_height_m", "device_height_m"})
EXPONENT = frozenset({"exponent", "reference_loss_db"})


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a link is: carrier, heights in metres, parameters of the plain laws.

    ``effective_height_m`` is h_E of UMa, one number or one per distance.
    """

    carrier_hz: float
    station_height_m: float
    device_height_m: float
    effective_height_m: npt.ArrayLike = 1.0
    exponent: float = 2.0
    reference_loss_db: float = 0.0
    reference_distance_m: float = 1.0
    floors: int = 0


@dataclass(frozen=True, kw_only=True)
class Model:
    """One model of propagation.

    ``los_db`` and ``nlos_db`` give the loss in dB of distances in metres,
    ``sight`` the probability of the first; without ``nlos_db`` the model does
    not tell sight apart. ``los_sigma_db`` and ``sigma_db`` (without sight, or
    at all) spread the shadowing, which forgets itself over ``correlation_m``;
    ``indoor`` names the buildings of O2I that go with it, ``indoor_sigma_db``
    and ``indoor_correlation_m`` stand for both states then.
    """

    los_db: Callable[[Array, Place], Array]
    nlos_db: Callable[[Array, Place], Array] | None = None
    sight: Callable[[Array, Place], Array] | None = None
    los_sigma_db: Callable[[Array, Place], Array] | None = None
    sigma_db: float = 0.0
    los_correlation_m: float | None = None
    correlation_m: float | None = None
    station_height_m: float = 3.0
    device_height_m: float = 1.0
    rician_k_db: float | None = None
    reads: frozenset[str] = frozenset()
    indoor: tuple[str, ...] = ()
    indoor_sigma_db: float | None = None
    indoor_correlation_m: float | None = None
    indoor_depth_m: float = 25.0

    def spread_db(
        self, distance_m: Array, place: Place, *, los: npt.NDArray[np.bool_], indoor: bool
    ) -> Array:
        """Return sigma of the shadowing per link in dB, shape of the distances."""
        if indoor and self.indoor_sigma_db is not None:
            return np.full(distance_m.shape, self.indoor_sigma_db)
        if self.los_sigma_db is None:
            return np.full(distance_m.shape, self.sigma_db)
        return np.where(los, self.los_sigma_db(distance_m, place), self.sigma_db)

    def reach_m(self, *, indoor: bool) -> tuple[float | None, float | None]:
        """Return the correlation distances of the shadowing with and without sight, in metres."""
        if indoor and self.indoor_correlation_m is not None:
            return self.indoor_correlation_m, self.indoor_correlation_m
        return self.los_correlation_m or self.correlation_m, self.correlation_m


def _heights(function: Callable[..., Array]) -> Callable[[Array, Place], Array]:
    def loss_db(distance_m: Array, place: Place) -> Array:
        return function(
            distance_m,
            place.carrier_hz,
            station_height_m=place.station_height_m,
            device_height_m=place.device_height_m,
        )

    return loss_db


def _uma(function: Callable[..., Array]) -> Callable[[Array, Place], Array]:
    def loss_db(distance_m: Array, place: Place) -> Array:
        return function(
            distance_m,
            place.carrier_hz,
            station_height_m=place.station_height_m,
            device_height_m=place.device_height_m,
            effective_height_m=place.effective_height_m,
        )

    return loss_db


def _constant(sigma_db: float) -> Callable[[Array, Place], Array]:
    return lambda distance_m, _: np.full(distance_m.shape, sigma_db)


def _rma_sigma_db(distance_m: Array, place: Place) -> Array:
    break_m = tr38901.rma_break_m(place.carrier_hz, place.station_height_m, place.device_height_m)
    return np.where(distance_m <= break_m, 4.0, 6.0)


def _office(chance: Callable[[Array], Array]) -> Model:
    return Model(
        los_db=_heights(tr38901.inh_los_db),
        nlos_db=_heights(tr38901.inh_nlos_db),
        sight=lambda distance_m, _: chance(distance_m),
        los_sigma_db=_constant(3.0),
        sigma_db=8.03,
        los_correlation_m=10.0,
        correlation_m=6.0,
        rician_k_db=7.0,
        reads=HEIGHTS,
    )


def _factory(clutter: str, sigma_db: float, station_height_m: float) -> Model:
    return Model(
        los_db=_heights(tr38901.inf_los_db),
        nlos_db=_heights(partial(tr38901.inf_nlos_db, clutter=clutter)),
        sight=lambda distance_m, place: sight.inf_sight(
            distance_m,
            clutter=clutter,
            station_height_m=place.station_height_m,
            device_height_m=place.device_height_m,
        ),
        los_sigma_db=_constant(4.3),
        sigma_db=sigma_db,
        los_correlation_m=10.0,
        correlation_m=10.0,
        station_height_m=station_height_m,
        device_height_m=1.5,
        rician_k_db=7.0,
        reads=HEIGHTS,
    )


def _hata(area: str) -> Model:
    return Model(
        los_db=_heights(partial(itu.hata_db, area=area)),
        station_height_m=30.0,
        device_height_m=1.5,
        reads=HEIGHTS,
        indoor=BUILDINGS,
    )


def _p1238(building: str, sigma_db: float) -> Model:
    return Model(
        los_db=lambda distance_m, place: itu.p1238_db(
            distance_m, place.carrier_hz, building=building, floors=place.floors
        ),
        sigma_db=sigma_db,
        reads=frozenset({"floors"}),
    )


MODELS = MappingProxyType(
    {
        "free_space": Model(
            los_db=lambda distance_m, place: free_space_db(distance_m, place.carrier_hz),
            indoor=BUILDINGS,
        ),
        "log_distance": Model(
            los_db=lambda distance_m, place: log_distance_db(
                distance_m,
                place.exponent,
                reference_loss_db=place.reference_loss_db,
                reference_distance_m=place.reference_distance_m,
            ),
            reads=EXPONENT | {"reference_distance_m"},
            indoor=BUILDINGS,
        ),
        "power_law": Model(
            los_db=lambda distance_m, place: power_law_db(
                distance_m, place.exponent, reference_loss_db=place.reference_loss_db
            ),
            reads=EXPONENT,
            indoor=BUILDINGS,
        ),
        "uma": Model(
            los_db=_uma(tr38901.uma_los_db),
            nlos_db=_uma(tr38901.uma_nlos_db),
            sight=lambda distance_m, place: sight.uma_sight(
                distance_m, device_height_m=place.device_height_m
            ),
            los_sigma_db=_constant(4.0),
            sigma_db=6.0,
            los_correlation_m=37.0,
            correlation_m=50.0,
            station_height_m=25.0,
            device_height_m=1.5,
            rician_k_db=9.0,
            reads=HEIGHTS,
            indoor=BUILDINGS,
            indoor_sigma_db=7.0,
            indoor_correlation_m=7.0,
        ),
        "umi": Model(
            los_db=_heights(tr38901.umi_los_db),
            nlos_db=_heights(tr38901.umi_nlos_db),
            sight=lambda distance_m, _: sight.umi_sight(distance_m),
            los_sigma_db=_constant(4.0),
            sigma_db=7.82,
            los_correlation_m=10.0,
            correlation_m=13.0,
            station_height_m=10.0,
            device_height_m=1.5,
            rician_k_db=9.0,
            reads=HEIGHTS,
            indoor=BUILDINGS,
            indoor_sigma_db=7.0,
            indoor_correlation_m=7.0,
        ),
        "rma": Model(
            los_db=_heights(tr38901.rma_los_db),
            nlos_db=_heights(tr38901.rma_nlos_db),
            sight=lambda distance_m, _: sight.rma_sight(distance_m),
            los_sigma_db=_rma_sigma_db,
            sigma_db=8.0,
            los_correlation_m=37.0,
            correlation_m=120.0,
            station_height_m=35.0,
            device_height_m=1.5,
            rician_k_db=7.0,
            reads=HEIGHTS,
            indoor=("low",),
            indoor_sigma_db=8.0,
            indoor_correlation_m=120.0,
            indoor_depth_m=10.0,
        ),
        "inh_mixed": _office(sight.inh_mixed_sight),
        "inh_open": _office(sight.inh_open_sight),
        "inf_sl": _factory("sl", 5.7, 1.5),
        "inf_dl": _factory("dl", 7.2, 1.5),
        "inf_sh": _factory("sh", 5.9, 8.0),
        "inf_dh": _factory("dh", 4.0, 8.0),
        "hata_urban": _hata("urban"),
        "hata_suburban": _hata("suburban"),
        "hata_open": _hata("open"),
        "p1238_residential": _p1238("residential", 8.0),
        "p1238_office": _p1238("office", 10.0),
        "p1238_commercial": _p1238("commercial", 10.0),
    }
)
"""Shadowing, correlation and K of TR 38.901 tables 7.4.1-1 and 7.5-6 (O2I columns read in Sionna).

Sigma of P.1238 as remembered; Hata and the plain laws have none of their own.
"""
