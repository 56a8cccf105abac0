"""Error of one coded bit of 802.11 in closed form: DSSS, CCK, and two bounds for OFDM.

What ns-3 computes, written from the formulas: `wifi_error` turns the error of
a bit or symbol into the error of a frame. ``snr`` here is linear, over the
noise of 20 MHz (OFDM) or 22 MHz (DSSS).
"""

from __future__ import annotations

import math
from fractions import Fraction
from math import comb

import numpy as np
import numpy.typing as npt
from scipy.special import erfc, ndtr

from channel_sim.reception.wifi_modes import WifiMode

Floats = npt.NDArray[np.float64]

CHANNEL_HZ = 20e6
DSSS_HZ = 22e6
CCK_SYMBOL_HZ = 1.375e6
"""8 chips at 11 MHz."""
BPSK = 2
"""Points of its constellation."""

# Bit weights of the K = 7 code (133, 171) from the free distance on, over 2 b
# for puncturing to b/(b+1): Frenger, Orten and Ottosson, "Multi-rate
# convolutional codes" (1998), tables 3.1.1 and 3.1.2; 5/6: Haccoun and Begin,
# IEEE Trans. Commun. 32(3), 1984, table V; as ns-3's NistErrorRateModel has them.
_WEIGHTS: dict[Fraction, tuple[int, int, int, tuple[float, ...]]] = {
    Fraction(1, 2): (
        1,
        10,
        2,
        (36, 211, 1404, 11633, 77433, 502690, 3322763, 21292910, 134365911),
    ),
    Fraction(2, 3): (
        2,
        6,
        1,
        (3, 70, 285, 1276, 6160, 27128, 117019, 498860, 2103891, 8784123),
    ),
    Fraction(3, 4): (
        3,
        5,
        1,
        (42, 201, 1492, 10469, 62935, 379644, 2253373, 13073811, 75152755, 428005675),
    ),
    Fraction(5, 6): (
        5,
        4,
        1,
        (92, 528, 8694, 79453, 792114, 7375573, 67884974, 610875423, 5427275376, 47664215639),
    ),
}
# First error events: (distance, how many) of the same codes, as ns-3's
# YansErrorRateModel has them (5/6: Frenger, table B.32).
_EVENTS: dict[Fraction, tuple[tuple[int, int], ...]] = {
    Fraction(1, 2): ((10, 11),),
    Fraction(2, 3): ((6, 1), (7, 16)),
    Fraction(3, 4): ((5, 8), (6, 31)),
    Fraction(5, 6): ((4, 14), (5, 69)),
}


def dsss_bit_error(mode: str, snr: npt.ArrayLike) -> tuple[Floats, int]:
    """Return the error of a symbol of a DSSS or CCK mode, and how many bits it holds.

    DBPSK exactly; DQPSK by the asymptote of the Marcum function; CCK as
    biorthogonal keying of 8 code words (Proakis), twice for 11 Mbit/s: Pursley
    and Royster, IEEE Trans. Commun. 57(12), 2009, as ns-3's DsssErrorRateModel
    has them. ``snr`` linear over 22 MHz, any shape.
    """
    snr = np.asarray(snr, dtype=np.float64)
    if mode == "dsss1":
        return 0.5 * np.exp(-snr * DSSS_HZ / 1e6), 1
    if mode == "dsss2":
        # Infinite at 0, where it is no error rate any more.
        x = np.maximum(snr * DSSS_HZ / 2e6, 1e-9)
        scale = (math.sqrt(2) + 1) / math.sqrt(8 * math.pi * math.sqrt(2))
        return np.minimum(scale / np.sqrt(x) * np.exp(-(2 - math.sqrt(2)) * x), 1.0), 1
    symbol_snr = snr * DSSS_HZ / CCK_SYMBOL_HZ
    if mode == "cck5.5":
        return _biorthogonal8(symbol_snr / 2), 4
    half = _biorthogonal8(symbol_snr / 4)
    return half * (2 - half), 8


def _biorthogonal8(symbol_snr: Floats) -> Floats:
    """Symbol error of 8 pairs of antipodal words: 1 - int (2 Phi(x + b) - 1)^7 phi(x) dx."""
    # The integrand has six continuous derivatives: the trapezoid sum converges fast.
    x = np.arange(-8.0, 8.05, 0.1)
    weight = np.exp(-(x**2) / 2) * 0.1 / math.sqrt(2 * math.pi)
    beta = np.sqrt(2 * symbol_snr)[..., np.newaxis]
    miss = np.minimum(2 * ndtr(-(x + beta)), 1 - 1e-16)
    return np.asarray(-np.expm1(7 * np.log1p(-miss)) @ weight)


def nist_bit_error(mode: WifiMode, snr: npt.ArrayLike) -> Floats:
    """Return the error of a coded bit by the Chernoff union bound.

    Pei and Henderson, "Validation of OFDM error rate model in ns-3" (2010);
    Miller, NIST (2003). ``snr`` linear, any shape; at most 1.
    """
    snr = np.asarray(snr, dtype=np.float64)
    points = mode.constellation
    if points == BPSK:
        raw = 0.5 * erfc(np.sqrt(snr))
    else:
        side = math.sqrt(points)
        raw = (1 - 1 / side) / math.log2(side) * erfc(np.sqrt(1.5 * snr / (points - 1)))
    chernoff = np.sqrt(4 * raw * (1 - raw))
    b, distance, step, weights = _WEIGHTS[mode.code_rate]
    bound = sum(
        weight * chernoff ** (distance + step * index) for index, weight in enumerate(weights)
    )
    return np.asarray(np.minimum(bound / (2 * b), 1.0))


def yans_bit_error(mode: WifiMode, snr: npt.ArrayLike) -> Floats:
    """Return the error of a coded bit by the first terms of the union bound, hard decisions.

    Lacage and Henderson, "Yet another network simulator" (2006). The energy
    per bit counts the tones and the guard interval, so that HT is 0.35 dB and
    HE 1.56 dB worse than OFDM at the same SNR. ``snr`` linear, any shape; at
    most 1.
    """
    energy = np.asarray(snr, dtype=np.float64) * CHANNEL_HZ / mode.coded_bps
    points = mode.constellation
    if points == BPSK:
        raw = 0.5 * erfc(np.sqrt(energy))
    else:
        bits = math.log2(points)
        tail = erfc(np.sqrt(1.5 * bits * energy / (points - 1)))
        rail = (1 - 1 / math.sqrt(points)) * tail
        raw = rail * (2 - rail) / bits
    events = _EVENTS[mode.code_rate]
    if points == BPSK:
        events = events[:1]
    bound = sum(count * _pairwise(raw, distance) for distance, count in events)
    return np.asarray(np.minimum(bound, 1.0))


def _pairwise(raw: Floats, distance: int) -> Floats:
    """Probability that more than half of ``distance`` hard decisions are wrong; ties count half."""
    total = np.zeros_like(raw)
    for wrong in range((distance + 1) // 2, distance + 1):
        share = 0.5 if 2 * wrong == distance else 1.0
        total += share * comb(distance, wrong) * raw**wrong * (1 - raw) ** (distance - wrong)
    return total
