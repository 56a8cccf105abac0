"""Doppler: how fast a channel changes with the speed of a device."""

from __future__ import annotations

import math

from channel_sim.checks import check_not_negative, check_positive

SPEED_OF_LIGHT_M_S = 299_792_458.0


def doppler_hz(speed_m_s: float, carrier_hz: float) -> float:
    """Return the largest Doppler shift v f / c in Hz.

    Raises ValueError for a negative speed or a carrier that is not positive.
    """
    check_not_negative("speed_m_s", speed_m_s)
    check_positive("carrier_hz", carrier_hz)
    return speed_m_s * carrier_hz / SPEED_OF_LIGHT_M_S


def coherence_time_s(speed_m_s: float, carrier_hz: float) -> float:
    """Coherence time 0.423 / f_d in seconds (Rappaport 2002, eq. 5.40.c).

    A speed of 0 is a static channel: infinity. Raises ValueError for a
    negative speed or a carrier that is not positive.
    """
    shift_hz = doppler_hz(speed_m_s, carrier_hz)
    return 0.423 / shift_hz if shift_hz > 0 else math.inf
