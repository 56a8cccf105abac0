"""One cell: a station in the middle, devices around it, a medium each way.

``FdmaParameters`` are plain numbers with units in their names, so that a
scenario file can hold them field by field.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from channel_sim.arq import Arq
from channel_sim.checks import (
    check_count,
    check_finite,
    check_not_negative,
    check_positive,
)
from channel_sim.energy import WIFI_NIC, RadioPower
from channel_sim.fading import RayleighBlocks, coherence_time_s
from channel_sim.fdma import Fdma
from channel_sim.link import Link
from channel_sim.propagation import free_space_db, log_distance_db, shadowing_db
from channel_sim.rate import TruncatedShannon


@dataclass(frozen=True, kw_only=True)
class FdmaParameters:
    """An FDMA cell indoors at 2.4 GHz; every default with its source.

    Raises ValueError that names the key, the value and the remedy.
    """

    carrier_hz: float = 2.4e9
    """ISM band."""
    bandwidth_up_hz: float = 20e6
    """One Wi-Fi channel at 2.4 GHz; shared by the sub-bands."""
    bandwidth_down_hz: float = 20e6
    """As up; another band, so that both directions run at once."""
    sub_bands: int | None = None
    """Equal sub-bands of each bandwidth; None: one per device, so that more devices get less."""
    tx_power_up_dbm: float = 16.0
    """Of a device, all in its sub-band; ns-3 WifiPhy's default is 16.02."""
    tx_power_down_dbm: float = 20.0
    """Of the station, split over the sub-bands; ETSI EN 300 328 limit, as remembered."""
    noise_figure_db: float = 7.0
    """ns-3 WifiPhy RxNoiseFigure."""
    path_loss_exponent: float = 3.0
    """ns-3 LogDistancePropagationLossModel Exponent."""
    reference_loss_db: float | None = None
    """None: free space at the reference distance (40.05 dB at 1 m and 2.4 GHz)."""
    reference_distance_m: float = 1.0
    """ns-3 LogDistancePropagationLossModel ReferenceDistance."""
    shadowing_sigma_db: float = 4.0
    """Between InH LOS (3) and NLOS (8.03), TR 38.901 table 7.4.1-1; chosen."""
    fading: Literal["rayleigh", "none"] = "rayleigh"
    """Small-scale fading, block by block."""
    coherence_s: float = coherence_time_s(1.0, 2.4e9)
    """0.423 / f_d at walking pace, 1 m/s: 52.8 ms; infinity for a static channel."""
    fade_margin_db: float = 10.0
    """Rayleigh outage 1 - exp(-0.1) = 9.5 % per attempt; chosen."""
    shannon_alpha: float = 0.6
    """3GPP TR 36.942 annex A, downlink (uplink 0.4), as remembered."""
    shannon_cap_bps_hz: float = 4.4
    """3GPP TR 36.942 annex A, downlink (uplink 2.0), as remembered."""
    shannon_floor_db: float = -10.0
    """3GPP TR 36.942 annex A, as remembered."""
    mtu_bytes: int = 1500
    """Ethernet and Wi-Fi IP packets (RFC 894)."""
    max_attempts: int = 8
    """maxRetxThreshold of the default signalling bearer, TS 38.331, 9.2.1 (read in srsRAN)."""
    ack_timeout_s: float = 0.045
    """t-PollRetransmit of the same bearer; about one coherence time, so that a fade may pass."""

    def __post_init__(self) -> None:
        for key in (
            "carrier_hz",
            "bandwidth_up_hz",
            "bandwidth_down_hz",
            "path_loss_exponent",
            "reference_distance_m",
            "shannon_alpha",
        ):
            check_positive(key, getattr(self, key))
        for key in ("coherence_s", "shannon_cap_bps_hz"):
            check_positive(key, getattr(self, key), finite=False)
        for key in ("tx_power_up_dbm", "tx_power_down_dbm", "noise_figure_db", "fade_margin_db"):
            check_finite(key, getattr(self, key))
        for key in ("shadowing_sigma_db", "ack_timeout_s"):
            check_not_negative(key, getattr(self, key))
        for key in ("mtu_bytes", "max_attempts"):
            check_count(key, getattr(self, key))
        if self.reference_loss_db is not None:
            check_finite("reference_loss_db", self.reference_loss_db)
        if self.sub_bands is not None:
            check_count("sub_bands", self.sub_bands)
        if math.isnan(self.shannon_floor_db):
            raise ValueError("shannon_floor_db = nan; give a number of dB, or -inf for no floor")
        if self.fading not in ("rayleigh", "none"):
            raise ValueError(f"fading = {self.fading!r} is unknown; give 'rayleigh' or 'none'")

    def path_loss_db(self, distance_m: float) -> float:
        """Path loss in dB at a distance in metres."""
        reference_loss_db = self.reference_loss_db
        if reference_loss_db is None:
            reference_loss_db = float(free_space_db(self.reference_distance_m, self.carrier_hz))
        return float(
            log_distance_db(
                distance_m,
                self.path_loss_exponent,
                reference_loss_db=reference_loss_db,
                reference_distance_m=self.reference_distance_m,
            )
        )


def draw_distances_m(
    devices: Iterable[str],
    *,
    min_m: float,
    max_m: float,
    streams: Callable[..., np.random.Generator],
) -> dict[str, float]:
    """Place each device uniformly in the ring from ``min_m`` to ``max_m`` around the station.

    Returns metres by device. ``streams(*names)`` gives the generator of those
    names; each device has its own, so that one more device moves no other.
    Raises ValueError unless 0 < min_m <= max_m.
    """
    check_positive("min_m", min_m)
    check_positive("max_m", max_m)
    if min_m > max_m:
        raise ValueError(f"min_m = {min_m!r} is above max_m = {max_m!r}; swap them")
    area = max_m**2 - min_m**2
    return {
        device: math.sqrt(min_m**2 + area * streams("channel", "position", device).random())
        for device in devices
    }


def build_fdma(
    parameters: FdmaParameters,
    distances_m: Mapping[str, float],
    *,
    streams: Callable[..., np.random.Generator],
    radio: RadioPower = WIFI_NIC,
) -> Fdma:
    """Build both directions of one cell.

    Both directions of a device share path loss and shadowing (they cross the
    same walls); their fading is independent (they are in different bands).
    Raises ValueError for a distance that is not positive, for no devices, and
    for more devices than sub-bands.
    """
    sub_bands = len(distances_m) if parameters.sub_bands is None else parameters.sub_bands
    if not 1 <= len(distances_m) <= sub_bands:
        raise ValueError(
            f"{len(distances_m)} devices do not fit {sub_bands} sub-bands;"
            " give at least one device and sub_bands no fewer than devices, or leave it out"
        )
    share_db = 10 * math.log10(sub_bands)
    losses_db = {
        device: (
            parameters.path_loss_db(distance_m),
            shadowing_db(parameters.shadowing_sigma_db, streams("channel", "shadowing", device)),
        )
        for device, distance_m in distances_m.items()
    }

    def links(direction: str, bandwidth_hz: float, tx_power_dbm: float) -> dict[str, Link]:
        return {
            device: _link(
                parameters,
                bandwidth_hz / sub_bands,
                tx_power_dbm,
                losses_db=losses_db[device],
                rng=streams("channel", "fading", direction, device),
            )
            for device in distances_m
        }

    up = links("up", parameters.bandwidth_up_hz, parameters.tx_power_up_dbm)
    down = links("down", parameters.bandwidth_down_hz, parameters.tx_power_down_dbm - share_db)
    return Fdma(up, down, radio=radio)


def _link(
    parameters: FdmaParameters,
    bandwidth_hz: float,
    tx_power_dbm: float,
    *,
    losses_db: tuple[float, float],
    rng: np.random.Generator,
) -> Link:
    faded = parameters.fading == "rayleigh"
    return Link(
        bandwidth_hz=bandwidth_hz,
        tx_power_dbm=tx_power_dbm,
        path_loss_db=losses_db[0],
        shadowing_db=losses_db[1],
        noise_figure_db=parameters.noise_figure_db,
        fade_margin_db=parameters.fade_margin_db,
        shannon=TruncatedShannon(
            parameters.shannon_alpha, parameters.shannon_cap_bps_hz, parameters.shannon_floor_db
        ),
        arq=Arq(parameters.mtu_bytes, parameters.max_attempts, parameters.ack_timeout_s),
        fading=RayleighBlocks(parameters.coherence_s, rng) if faded else None,
    )
