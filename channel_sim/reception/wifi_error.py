"""Packet error of an 802.11 frame at an SNR, by mode, size and named error model.

``ns3_table``, ns-3's default, is measured Wi-Fi in AWGN: the curves of its
table-based model for frames of 1500 and 32 bytes, read off at five and three
error rates (ns-3.37, 20 MHz, one stream, convolutional code). ``ns3_nist`` and
``yans`` are bounds in closed form, 3 to 4 dB and 1 to 2 dB more pessimistic.
DSSS and CCK are the same under all three.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Literal, TypeAlias, get_args

import numpy as np
import numpy.typing as npt

from channel_sim.checks import check_between, check_known, check_positive
from channel_sim.reception.wifi_closed import dsss_bit_error, nist_bit_error, yans_bit_error
from channel_sim.reception.wifi_modes import WIFI_MODES
from channel_sim.units import linear

WifiModel: TypeAlias = Literal["ns3_table", "ns3_nist", "yans"]
Floats = npt.NDArray[np.float64]

LONG_BYTES, SHORT_BYTES = 1500, 32
LONG_PER = (0.9, 0.5, 0.1, 0.01, 0.001)
SHORT_PER = (0.5, 0.1, 0.01)
READING_STEP_DB = 0.05
"""The SNRs below are the first of a grid of 0.05 dB at or past the error rate,
so the curve itself passes half a step lower on average."""

TABLE: tuple[tuple[tuple[float, ...], tuple[float, ...]], ...] = (
    ((-0.20, 0.35, 0.95, 1.60, 2.20), (-1.30, -0.35, 0.50)),
    ((2.80, 3.35, 3.95, 4.65, 5.25), (1.70, 2.65, 3.50)),
    ((5.25, 5.80, 6.45, 7.15, 7.85), (4.20, 5.15, 6.00)),
    ((8.35, 8.95, 9.75, 10.50, 11.35), (6.95, 8.10, 9.15)),
    ((11.55, 12.05, 12.85, 13.60, 14.40), (10.20, 11.30, 12.25)),
    ((15.60, 16.25, 17.10, 18.00, 18.90), (14.10, 15.35, 16.45)),
    ((16.95, 17.55, 18.40, 19.35, 20.20), (15.45, 16.65, 17.80)),
    ((18.20, 18.85, 19.65, 20.55, 21.40), (16.85, 18.10, 19.35)),
    ((22.10, 22.80, 23.75, 24.80, 25.75), (20.40, 21.75, 23.00)),
    ((23.65, 24.30, 25.20, 26.20, 27.00), (22.05, 23.30, 24.50)),
)
"""By MCS 0-9: SNR in dB at LONG_PER of 1500 bytes, at SHORT_PER of 32 bytes;
measured with ns-3.37 (docs/channel/reception.md)."""

_OFDM_MCS = {6: 0, 12: 1, 18: 2, 24: 3, 36: 4, 48: 5, 54: 6}


def wifi_per(
    mode: str,
    snr_db: npt.ArrayLike,
    size_bytes: npt.ArrayLike,
    *,
    model: WifiModel = "ns3_table",
) -> Floats:
    """Return the packet error rate of a frame of ``size_bytes`` (MPDU with FCS).

    ``snr_db`` over the noise of the channel; it and ``size_bytes`` broadcast.
    ``mode`` is a name of ``WIFI_MODES``. Falls with the SNR, without a floor,
    and grows with the size. Under ``ns3_table``, -ln(1 - PER) runs between 32
    and 1500 bytes as a power of the size that meets both curves, and beyond
    them in proportion to it. (ns-3 instead takes the short curve below 400
    bytes and the long one above, which falls at the seam; and it calls an
    error rate below 1e-5 zero.) The modes that ns-3 has no curve for, ``ofdm9``,
    ``he10`` and ``he11``, follow ``yans`` there, as in ns-3.

    Raises ValueError for an unknown mode or model, a size that is not
    positive and an SNR that is NaN.
    """
    check_known("mode", mode, WIFI_MODES)
    check_known("model", model, get_args(WifiModel))
    check_positive("size_bytes", size_bytes)
    snr_db = np.asarray(snr_db, dtype=np.float64)
    if np.any(np.isnan(snr_db)):
        raise ValueError("snr_db has NaN; give dB, or -inf for no signal")
    size_bytes = np.asarray(size_bytes, dtype=np.float64)
    if mode.startswith(("dsss", "cck")):
        error, bits = dsss_bit_error(mode, linear(snr_db))
        return _of_bits(error, 8 * size_bytes / bits)
    mcs = _table_row(mode)
    if model == "ns3_table" and mcs is not None:
        return _of_table(mcs, snr_db, size_bytes)
    bit_error = nist_bit_error if model == "ns3_nist" else yans_bit_error
    return _of_bits(bit_error(WIFI_MODES[mode], linear(snr_db)), 8 * size_bytes)


@lru_cache(maxsize=4096)
def lowest_snr_db(mode: str, per: float, size_bytes: int, model: WifiModel = "ns3_table") -> float:
    """Return the SNR in dB from which on a frame fails with probability ``per`` or less.

    The inverse of :func:`wifi_per`, to 2e-10 dB. Raises ValueError as that does
    and for a probability outside 1e-12 to 1 - 1e-12.
    """
    check_between("per", per, 1e-12, 1 - 1e-12, why="0 and 1 are reached nowhere")
    low_db, high_db = -100.0, 100.0
    for _ in range(40):
        middle_db = (low_db + high_db) / 2
        if wifi_per(mode, middle_db, size_bytes, model=model) > per:
            low_db = middle_db
        else:
            high_db = middle_db
    return high_db


def _of_bits(error: Floats, count: Floats) -> Floats:
    """1 - (1 - error)^count, without loss of digits; error 1 is a lost frame."""
    with np.errstate(divide="ignore"):
        return np.asarray(-np.expm1(count * np.log1p(-error)))


def _table_row(mode: str) -> int | None:
    if mode.startswith("ofdm"):
        return _OFDM_MCS.get(int(mode[4:]))
    mcs = int(mode[2:])
    return mcs if mcs < len(TABLE) else None


def _of_table(mcs: int, snr_db: Floats, size_bytes: Floats) -> Floats:
    long, short = _curves(mcs)
    log_long, log_short = np.interp(snr_db, *long), np.interp(snr_db, *short)
    power = (log_long - log_short) / np.log(LONG_BYTES / SHORT_BYTES)
    inside = np.clip(size_bytes, SHORT_BYTES, LONG_BYTES)
    log_hazard = log_short + power * np.log(inside / SHORT_BYTES) + np.log(size_bytes / inside)
    return np.asarray(-np.expm1(-np.exp(np.minimum(log_hazard, 100.0))))


@lru_cache
def _curves(mcs: int) -> tuple[tuple[Floats, Floats], tuple[Floats, Floats]]:
    """The long and the short curve of an MCS: SNR in dB and ln(-ln(1 - PER)), to run straight.

    Straight in this measure, not in logit(PER): so a union bound over the bits
    of a frame falls, and ns-3 is met above 90 % too.
    """
    long_db, short_db = (np.array(points) - READING_STEP_DB / 2 for points in TABLE[mcs])
    long, short = (np.log(-np.log1p(-np.array(per))) for per in (LONG_PER, SHORT_PER))
    long_slope, short_slope = np.diff(long) / np.diff(long_db), np.diff(short) / np.diff(short_db)
    # Above 90 % as from 90 to 10 %: ns-3 runs straight in PER from row to row
    # of its table, which bends the piece above 50 % too much to be prolonged.
    long_head = (long[2] - long[0]) / (long_db[2] - long_db[0])
    # The short curve flattens above 50 % as the long one does. Below 1 % it keeps
    # the slope of the long one: they never cross, no longer frame does better.
    short_head = short_slope[0] * long_slope[0] / long_slope[1]
    return (
        _prolonged(long_db, long, long_head, long_slope[-1]),
        _prolonged(short_db, short, short_head, long_slope[-1]),
    )


def _prolonged(
    snr_db: Floats, log_hazard: Floats, head: float, tail: float
) -> tuple[Floats, Floats]:
    far_db = 300.0
    return (
        np.concatenate(([snr_db[0] - far_db], snr_db, [snr_db[-1] + far_db])),
        np.concatenate(
            ([log_hazard[0] - head * far_db], log_hazard, [log_hazard[-1] + tail * far_db])
        ),
    )
