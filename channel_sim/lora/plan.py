"""One LoRaWAN message over one link on an empty medium, by formula."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from channel_sim.checks import check_count, check_finite
from channel_sim.family import LinkPlan
from channel_sim.lora.airtime import MIN_SF, bit_rate_bps
from channel_sim.lora.fragments import Cut, alone_starts_ns
from channel_sim.lora.region import EMPTY_BYTES, FRAME_BYTES
from channel_sim.lora.timing import ACK_WAIT_NS, BANDWIDTH_HZ, RX1_NS, RX2_NS, up_air_ns
from channel_sim.units import SECOND_NS, linear

if TYPE_CHECKING:
    from channel_sim.lora.family import Lorawan

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
NODES = 200
"""Points at which noise losses are averaged over Rayleigh fading."""


def plan_links(
    family: Lorawan, loss_db: npt.ArrayLike, size_bytes: int, *, fading: str = "none"
) -> LinkPlan:
    """Return the plan; see :meth:`channel_sim.family.Family.plan`.

    Confirmed, acknowledgements come in RX1; the fading of frames and
    acknowledgements is independent; the wait for a repetition is the mean
    one. Raises ValueError for a message that takes too long by law.
    """
    check_count("size_bytes", size_bytes)
    check_finite("loss_db", loss_db)
    if fading not in {"none", "rayleigh"}:
        raise ValueError(f"fading = {fading!r} is unknown; give 'none' or 'rayleigh'")
    loss = np.asarray(loss_db, dtype=np.float64)
    sf = family.assign_spreading_factors(loss)
    pieces = family.cut(size_bytes, sf)
    power = family.tx_power_dbm - loss
    full_bytes, last_bytes = pieces.full_bytes + FRAME_BYTES, pieces.last_bytes + FRAME_BYTES
    good = _success(family, power, sf, full_bytes, up=True, fading=fading)
    good_last = _success(family, power, sf, last_bytes, up=True, fading=fading)
    if family.confirmed:
        course = _confirmed(family, loss, sf, pieces, good, good_last, fading=fading)
    else:
        course = _Course(
            kept=good ** (pieces.count - 1) * good_last,
            tries=np.ones(loss.shape),
            tries_last=np.ones(loss.shape),
            listen_ns=pieces.count * _windows_ns(family, sf),
            latency_ns=family.alone_ns(pieces, sf).astype(np.float64),
        )
    full, last = up_air_ns(family, full_bytes, sf), up_air_ns(family, last_bytes, sf)
    air_ns = (pieces.count - 1) * full * course.tries + last * course.tries_last
    rate = bit_rate_bps(sf, bandwidth_hz=BANDWIDTH_HZ, coding_rate=family.coding_rate)
    radio, possible = family.radio, course.kept > 0
    return LinkPlan(
        loss_db=loss,
        rx_power_dbm=power,
        snr_db=family.snr_db(power),
        rate_bps=np.where(good > 0, rate, 0.0),
        packets=pieces.count,
        packet_error=1 - good,
        message_loss=1 - course.kept,
        air_s=np.where(possible, air_ns / SECOND_NS, np.inf),
        latency_s=np.where(possible, course.latency_ns / SECOND_NS, np.inf),
        energy_j=(air_ns * radio.tx_w + course.listen_ns * radio.rx_w) / SECOND_NS,
    )


@dataclass(frozen=True, eq=False, kw_only=True)
class _Course:
    """How a message fares: chance that it arrives, mean tries per frame, listening, latency."""

    kept: Floats
    tries: Floats
    tries_last: Floats
    listen_ns: npt.NDArray[Any]
    latency_ns: Floats


def _confirmed(
    family: Lorawan,
    loss: Floats,
    sf: Ints,
    pieces: Cut,
    good: Floats,
    good_last: Floats,
    *,
    fading: str,
) -> _Course:
    """Return the course of a message whose frames are repeated until acknowledged."""
    empty = np.full(sf.shape, EMPTY_BYTES)
    power = family.station_tx_power_dbm - loss
    reply = _success(family, power, sf, empty, up=False, fading=fading)
    acked, limit = good * reply, family.max_attempts
    tries, tries_last = _mean_tries(acked, limit), _mean_tries(good_last * reply, limit)
    ack = np.asarray(family.timing.ack1_ns)[sf - MIN_SF]
    windows = _windows_ns(family, sf)
    full = up_air_ns(family, pieces.full_bytes + FRAME_BYTES, sf)
    last = up_air_ns(family, pieces.last_bytes + FRAME_BYTES, sf)
    arrival = _repeats(family, last, _mean_tries(good_last, limit)) + last
    gap, duties = full + RX1_NS + ack, family.timing.device_duties
    before = (pieces.count - 1) * _repeats(family, full, tries)
    before = before + alone_starts_ns(pieces.count - 1, full, gap, duties)
    return _Course(
        kept=(1 - (1 - acked) ** limit) ** (pieces.count - 1) * (1 - (1 - good_last) ** limit),
        tries=tries,
        tries_last=tries_last,
        listen_ns=(pieces.count - 1) * (ack + (tries - 1) * windows)
        + np.where(reply > 0, ack + (tries_last - 1) * windows, tries_last * windows),
        latency_ns=before + arrival,
    )


def _windows_ns(family: Lorawan, sf: Ints) -> Ints:
    """Return how long a device listens in vain after a frame."""
    return np.asarray(family.timing.window1_ns)[sf - MIN_SF] + family.timing.window2_ns


def _law_ns(family: Lorawan, air: Ints) -> Floats:
    """Return what the law asks for from start to start, all sub-bands together."""
    return np.asarray(air / sum(family.timing.device_duties))


def _repeats(family: Lorawan, air: Ints, tries: Floats) -> Floats:
    """Return the mean time from the first try of a frame to its last."""
    wait_ns = RX2_NS + sum(ACK_WAIT_NS) / 2
    return np.asarray((tries - 1) * np.maximum(_law_ns(family, air), air + wait_ns))


def _success(
    family: Lorawan, power_dbm: Floats, sf: Ints, phy_bytes: Ints, *, up: bool, fading: str
) -> Floats:
    """Return the chance that one frame is received, over fading where there is any."""
    floors = family.floors_dbm if up else family.device_floors_dbm
    floor_dbm = floors[sf - MIN_SF]
    if fading == "none":
        heard = power_dbm >= floor_dbm
        return np.where(heard, family.noise_survival(power_dbm, sf, phy_bytes), 0.0)
    needed = linear(floor_dbm - power_dbm)  # of an exponential gain with mean 1
    if family.error_model == "threshold":
        return np.asarray(np.exp(-needed))
    # Above the floor the gain is the floor plus an exponential: average over its quantiles.
    share = (np.arange(NODES) + 0.5) / NODES
    gain = needed[..., None] - np.log1p(-share)
    with np.errstate(divide="ignore"):
        faded_dbm = power_dbm[..., None] + 10 * np.log10(gain)
    survival = family.noise_survival(faded_dbm, sf[..., None], phy_bytes[..., None])
    return np.asarray(np.exp(-needed) * survival.mean(axis=-1))


def _mean_tries(success: Floats, limit: int) -> Floats:
    """Return the mean number of tries given that one succeeds; ``limit`` where none can."""
    number = np.arange(1, limit + 1)
    weight = success[..., None] * (1 - success[..., None]) ** (number - 1)
    total = weight.sum(axis=-1)
    with np.errstate(invalid="ignore"):
        mean = (weight * number).sum(axis=-1) / total
    return np.where(total > 0, mean, float(limit))
