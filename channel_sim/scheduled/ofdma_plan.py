"""One OFDMA message up by formula, alone in its cell: the widest unit is its own.

Exact without errors. With errors, intervals for what failed come on top, as
many as the geometric law needs on average; first order for many MPDUs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from channel_sim.checks import check_count, check_known
from channel_sim.family import LinkPlan
from channel_sim.scheduled import resource_units as ru
from channel_sim.scheduled.cells import attempts_if_right
from channel_sim.units import SECOND_NS, decibel

if TYPE_CHECKING:
    from channel_sim.scheduled.ofdma import Ofdma

Floats = npt.NDArray[np.float64]
FADING_NODES = 1024


def plan(family: Ofdma, loss_db: npt.ArrayLike, size_bytes: int, *, fading: str) -> LinkPlan:
    """Work out one message; "rayleigh" fading is drawn anew for each attempt."""
    check_count("size_bytes", size_bytes)
    check_known("fading", fading, ("none", "rayleigh"))
    losses_db = np.asarray(loss_db, dtype=np.float64)
    snr_db = family.snr_db(losses_db)
    mcs, unit = family.modes(snr_db)
    reached = mcs[..., 0] >= 0
    bits = np.maximum(family.bits(mcs, unit), 1)
    packet = family.packet_sizes(size_bytes, bits[..., -1], ru.TB_PREAMBLE_NS)
    packets = -(-size_bytes // packet)
    own_snr_db = np.take_along_axis(snr_db, unit[..., :1], axis=-1)[..., 0]
    error = _error(family, mcs[..., 0], own_snr_db, packet + family.header_bytes, fading)
    subframe = ru.subframe_bytes(packet + family.header_bytes)
    symbols = family.max_symbols(ru.TB_PREAMBLE_NS)
    fit = np.minimum(family.max_packets, ru.packets_in(symbols, subframe, bits[..., 0]))
    fit = np.maximum(fit, 1)
    tries = family.max_attempts
    loss = 1 - (1 - error**tries) ** packets
    mean_tries = attempts_if_right(error, tries)
    full, rest = packets // fit, packets % fit
    clean = full + (rest > 0)
    # Intervals that come on top: for what failed in the last one, until nothing
    # is left, and the room that what failed before it takes from the others.
    batch = np.minimum(packets, fit)
    still = error[..., np.newaxis] ** np.arange(1, tries)
    extra = (1 - (1 - still) ** batch[..., np.newaxis]).sum(axis=-1)
    extra = extra + (packets - batch) * (mean_tries - 1) / fit
    intervals = clean + extra
    symbol_ns, data_bits = family.symbol_ns, bits[..., 0]
    clean_ns = clean * ru.TB_PREAMBLE_NS + symbol_ns * (
        full * ru.symbols_of(fit, subframe, data_bits)
        + np.where(rest > 0, ru.symbols_of(rest, subframe, data_bits), 0)
    )
    again_ns = packets * (mean_tries - 1) * 8 * subframe / data_bits * symbol_ns
    per_extra_ns = ru.TB_PREAMBLE_NS + symbol_ns * (0.5 + ru.SERVICE_TAIL_BITS / data_bits)
    air_s = (clean_ns + again_ns + extra * per_extra_ns) / SECOND_NS
    sifs_s, gap_s = family.sifs_s, family.gap_s
    trigger_s, ack_s = ru.trigger_ns(1) / SECOND_NS, ru.multi_ack_ns(1) / SECOND_NS
    between_s = ack_s + sifs_s + gap_s
    latency_s = gap_s + intervals * (trigger_s + sifs_s) + (intervals - 1) * between_s + air_s
    radio = family.radio
    energy_j = air_s * radio.tx_w + intervals * (trigger_s + ack_s) * radio.rx_w
    energy_j = energy_j + intervals * 2 * sifs_s * radio.idle_w
    return LinkPlan(
        loss_db=losses_db,
        rx_power_dbm=family.tx_power_dbm - losses_db,
        snr_db=own_snr_db,
        rate_bps=np.where(reached, family.rate_bps(bits[..., 0]), 0.0),
        packets=np.asarray(packets, dtype=np.int64),
        packet_error=np.where(reached, error, 1.0),
        message_loss=np.where(reached, loss, 1.0),
        air_s=np.where(reached, air_s, np.inf),
        latency_s=np.where(reached, latency_s, np.inf),
        energy_j=np.where(reached, energy_j, 0.0),
    )


def _error(
    family: Ofdma, mcs: npt.NDArray[np.int64], snr_db: Floats, size_bytes: Any, fading: str
) -> Floats:
    """Error rate of an MPDU, mean over the fading."""
    sizes = np.broadcast_to(size_bytes, mcs.shape)
    if fading == "none":
        return ru.packet_errors(mcs, snr_db, sizes, family.error_model)
    # The mean over a gain of Exp(1): midpoints of equal probability.
    gains = -np.log1p(-(np.arange(FADING_NODES) + 0.5) / FADING_NODES)
    shape = (*mcs.shape, FADING_NODES)
    errors = ru.packet_errors(
        np.broadcast_to(mcs[..., np.newaxis], shape),
        snr_db[..., np.newaxis] + decibel(gains),
        np.broadcast_to(sizes[..., np.newaxis], shape),
        family.error_model,
    )
    return np.asarray(errors.mean(axis=-1))
