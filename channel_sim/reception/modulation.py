"""Bit error rates of plain modulations: closed forms, in white noise and in Rayleigh fading.

``snr_per_bit`` is Eb/N0, linear, any shape; Proakis, "Digital Communications",
and Simon and Alouini, "Digital Communication over Fading Channels".
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from scipy.special import erfc

from channel_sim.checks import check_not_negative

Floats = npt.NDArray[np.float64]


def psk_ber(snr_per_bit: npt.ArrayLike) -> Floats:
    """Return that of BPSK and of Gray-coded QPSK: Q(sqrt(2 x)).

    Raises ValueError, as all here, for a ratio that is negative or not finite.
    """
    return _q_of_root(2 * _checked(snr_per_bit))


def dbpsk_ber(snr_per_bit: npt.ArrayLike) -> Floats:
    """Return that of differential BPSK: exp(-x) / 2."""
    return np.asarray(0.5 * np.exp(-_checked(snr_per_bit)))


def fsk_ber(snr_per_bit: npt.ArrayLike) -> Floats:
    """Return that of orthogonal binary FSK, detected without phase: exp(-x / 2) / 2."""
    return np.asarray(0.5 * np.exp(-_checked(snr_per_bit) / 2))


def qam_ber(snr_per_bit: npt.ArrayLike, points: int) -> Floats:
    """Return that of square Gray-coded QAM, nearest neighbours only.

    4 / log2 M (1 - 1 / sqrt M) Q(sqrt(3 x log2 M / (M - 1))); exact for 4, else
    low by a little at low ratios. Raises ValueError for a number of points
    that is no power of 4.
    """
    scale, slope = _qam(points)
    return np.asarray(scale * _q_of_root(slope * _checked(snr_per_bit)))


def psk_ber_rayleigh(mean_snr_per_bit: npt.ArrayLike) -> Floats:
    """Return the mean of :func:`psk_ber` over an exponential ratio: (1 - sqrt(x / (1 + x))) / 2."""
    return _mean_q_of_root(2 * _checked(mean_snr_per_bit))


def dbpsk_ber_rayleigh(mean_snr_per_bit: npt.ArrayLike) -> Floats:
    """Return the mean of :func:`dbpsk_ber` over an exponential ratio: 1 / (2 (1 + x))."""
    return np.asarray(0.5 / (1 + _checked(mean_snr_per_bit)))


def fsk_ber_rayleigh(mean_snr_per_bit: npt.ArrayLike) -> Floats:
    """Return the mean of :func:`fsk_ber` over an exponential ratio: 1 / (2 + x)."""
    return np.asarray(1 / (2 + _checked(mean_snr_per_bit)))


def qam_ber_rayleigh(mean_snr_per_bit: npt.ArrayLike, points: int) -> Floats:
    """Return the mean of :func:`qam_ber` over an exponential ratio."""
    scale, slope = _qam(points)
    return np.asarray(scale * _mean_q_of_root(slope * _checked(mean_snr_per_bit)))


def _checked(snr_per_bit: npt.ArrayLike) -> Floats:
    check_not_negative("snr_per_bit", snr_per_bit)
    return np.asarray(snr_per_bit, dtype=np.float64)


def _qam(points: int) -> tuple[float, float]:
    bits = points.bit_length() - 1
    if bits < 1 or bits % 2 or 1 << bits != points:
        raise ValueError(f"points = {points!r} is no square QAM; give 4, 16, 64, 256, ...")
    return 4 / bits * (1 - 1 / math.sqrt(points)), 3 * bits / (points - 1)


def _q_of_root(x: Floats) -> Floats:
    """Q(sqrt x)."""
    return np.asarray(0.5 * erfc(np.sqrt(x / 2)))


def _mean_q_of_root(mean: Floats) -> Floats:
    """Mean of Q(sqrt x) over an exponential x, in the form that keeps its digits."""
    half = mean / 2
    return np.asarray(0.5 / (1 + half + np.sqrt(half * (1 + half))))
