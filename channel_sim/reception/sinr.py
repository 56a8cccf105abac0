"""Interference: from overlapping frames to the chance that one of them is read.

A frame is cut into chunks wherever an interferer starts or ends; within a
chunk the SINR is constant, and the frame survives if every chunk does.
Powers are linear, in milliwatts, and add up.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from channel_sim.checks import check_finite, check_not_negative, check_positive
from channel_sim.rate import noise_dbm
from channel_sim.units import SECOND_NS, decibel, linear

Floats = npt.NDArray[np.float64]

DETECTION_SNR_DB, DETECTION_DBM = 4.0, -82.0
"""ns-3 ThresholdPreambleDetectionModel, per 20 MHz."""


def noise_mw(bandwidth_hz: float, noise_figure_db: float) -> float:
    """Return the thermal noise of :func:`channel_sim.rate.noise_dbm` in milliwatts."""
    return float(linear(noise_dbm(bandwidth_hz, noise_figure_db)))


def sinr_chunks(
    start_ns: int,
    end_ns: int,
    power_mw: float,
    *,
    interferer_start_ns: npt.ArrayLike,
    interferer_end_ns: npt.ArrayLike,
    interferer_power_mw: npt.ArrayLike,
    noise_mw: float,
) -> tuple[npt.NDArray[np.int64], Floats]:
    """Cut a frame where the interference changes: durations in ns and linear SINR, in order.

    The interferers have shape (n,) and may start before and end after the
    frame. The durations add up to the frame. Raises ValueError for a frame or
    an interferer that ends before it starts, a power that is negative or not
    finite, a wanted power or noise of 0, and columns of different length.
    """
    starts = np.asarray(interferer_start_ns, dtype=np.int64)
    ends = np.asarray(interferer_end_ns, dtype=np.int64)
    powers = np.asarray(interferer_power_mw, dtype=np.float64)
    if not starts.shape == ends.shape == powers.shape:
        raise ValueError(
            f"interferers have shapes {starts.shape}, {ends.shape}, {powers.shape};"
            " give one start, end and power of each"
        )
    if end_ns <= start_ns or np.any(ends < starts):
        raise ValueError("a frame ends before it starts; give end_ns above start_ns")
    check_positive("power_mw", power_mw)
    check_positive("noise_mw", noise_mw)
    check_not_negative("interferer_power_mw", powers)
    cuts = np.unique(np.clip(np.concatenate((starts, ends, [start_ns, end_ns])), start_ns, end_ns))
    # Frames on air in each chunk, summed anew: differences of sums would leave
    # a residue of a strong frame that has ended.
    on_air = (starts <= cuts[:-1, np.newaxis]) & (ends > cuts[:-1, np.newaxis])
    return np.diff(cuts), power_mw / (noise_mw + on_air @ powers)


def success_by_ber(
    duration_ns: npt.NDArray[np.int64],
    sinr: Floats,
    *,
    rate_bps: float,
    ber: Callable[[Floats], Floats],
) -> float:
    """Return the chance that all bits of all chunks are right: prod (1 - BER)^bits.

    ``ber`` takes a linear SINR, as :func:`channel_sim.reception.oqpsk.oqpsk_ber`.
    """
    check_positive("rate_bps", rate_bps)
    bits = np.asarray(duration_ns) / SECOND_NS * rate_bps
    with np.errstate(divide="ignore"):
        return float(np.exp(np.sum(bits * np.log1p(-ber(np.asarray(sinr))))))


def success_by_per(
    duration_ns: npt.NDArray[np.int64], sinr: Floats, *, per: Callable[[Floats], Floats]
) -> float:
    """Return the same from the error rate of the whole frame: prod (1 - PER)^(share of time).

    ``per`` takes the SINR in dB and gives the error rate if all of the frame
    met it. Constant SINR gives back ``1 - per``.
    """
    share = np.asarray(duration_ns) / np.sum(duration_ns)
    with np.errstate(divide="ignore"):
        return float(np.exp(np.sum(share * np.log1p(-per(decibel(sinr))))))


def captures(
    power_mw: npt.ArrayLike, interference_mw: npt.ArrayLike, *, threshold_db: float
) -> npt.NDArray[np.bool_]:
    """Return where a frame is read through the sum of the others, at least ``threshold_db`` weaker.

    Without interference it always is. Shapes broadcast. Raises ValueError for
    a power that is negative or not finite.
    """
    check_not_negative("power_mw", power_mw)
    check_not_negative("interference_mw", interference_mw)
    check_finite("threshold_db", threshold_db)
    return np.greater_equal(power_mw, np.asarray(interference_mw) * linear(threshold_db))


def detected(
    rx_power_dbm: npt.ArrayLike,
    snr_db: npt.ArrayLike,
    *,
    min_dbm: float = DETECTION_DBM,
    min_snr_db: float = DETECTION_SNR_DB,
) -> npt.NDArray[np.bool_]:
    """Return where a preamble is found: power and SNR at or above their gates."""
    return np.asarray(
        np.greater_equal(rx_power_dbm, min_dbm) & np.greater_equal(snr_db, min_snr_db)
    )


def effective_sinr_db(sinr_db: npt.ArrayLike, beta: float, *, axis: int = -1) -> Floats:
    """Return the one SINR in dB that stands for many tones or chunks along ``axis`` (EESM).

    -beta ln mean exp(-SINR / beta), linear inside; ``beta`` is calibrated per
    MCS (Sionna's table names no origin). Never above the mean, never below
    the least. Raises ValueError for a beta that is not positive and for NaN.
    """
    check_positive("beta", beta)
    sinr = linear(sinr_db)
    if np.any(np.isnan(sinr)):
        raise ValueError("sinr_db has NaN; give dB, or -inf for no signal")
    # Taken out of the mean, the least keeps exp from underflowing at high SINR.
    least = np.min(sinr, axis=axis, keepdims=True)
    mean = np.mean(np.exp(-(sinr - least) / beta), axis=axis)
    return decibel(np.squeeze(least, axis=axis) - beta * np.log(mean))
