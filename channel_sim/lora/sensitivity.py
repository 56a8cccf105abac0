"""How weak a LoRa frame may be: named tables, SNR floors and a smooth error rate.

Tables are read by name and by key (spreading factor, bandwidth), never by
column number.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr

from channel_sim.checks import check_known
from channel_sim.lora.airtime import MAX_SF, MIN_SF, SPREADING_FACTORS, check_spreading_factor
from channel_sim.rate import noise_dbm

BANDWIDTHS_HZ = (125_000, 250_000, 500_000)


def _by_sf(*values_dbm: float) -> dict[tuple[int, int], float]:
    return {(sf, 125_000): value for sf, value in zip(SPREADING_FACTORS, values_dbm, strict=True)}


def _by_bandwidth(rows: Mapping[int, tuple[float, float, float]]) -> dict[tuple[int, int], float]:
    return {
        (sf, bandwidth_hz): value
        for sf, row in rows.items()
        for bandwidth_hz, value in zip(BANDWIDTHS_HZ, row, strict=True)
    }


SENSITIVITY_DBM: Mapping[str, Mapping[tuple[int, int], float]] = MappingProxyType(
    {
        # Semtech, as quoted in LoRaEnergySim issue 12.
        "sx1276": _by_sf(-123, -126, -129, -132, -133, -136),
        # flora LoRaReceiver.cc; ns-3 end-device-lora-phy.cc.
        "sx1272": _by_sf(-124, -127, -130, -133, -135, -137),
        # A gateway; ns-3 gateway-lora-phy.cc.
        "sx1301": _by_sf(-130, -132.5, -135, -137.5, -140, -142.5),
        # Measured by Bor et al., MSWiM 2016, table 3, as LoRaSim has it.
        "bor2016": _by_bandwidth(
            {
                7: (-126.5, -124.25, -120.75),
                8: (-127.25, -126.75, -124.0),
                9: (-131.25, -128.25, -127.5),
                10: (-132.75, -130.25, -128.75),
                11: (-134.5, -132.75, -128.75),
                12: (-133.25, -132.25, -132.25),
            }
        ),
    }
)
"""Weakest power in dBm that is received, by table, then by (SF, bandwidth in Hz)."""

SNR_FLOOR_DB: Mapping[int, float] = MappingProxyType(
    {7: -7.5, 8: -10.0, 9: -12.5, 10: -15.0, 11: -17.5, 12: -20.0}
)
"""SNR that a demodulator needs, by SF (ttn core/band/adr.go; ns-3 adr-component.cc)."""

SNR_TABLE = "snr_floor"
"""The name of the table that is made of the SNR floors and a noise figure."""
TABLES = (*SENSITIVITY_DBM, SNR_TABLE)


def sensitivity_dbm(
    table: str, spreading_factor: int, *, bandwidth_hz: int = 125_000, noise_figure_db: float = 6.0
) -> float:
    """Return the weakest power in dBm at which a frame is received.

    A table without the bandwidth is shifted from 125 kHz by the wider noise,
    10 lg(bandwidth / 125 kHz). "snr_floor" is thermal noise plus
    ``noise_figure_db`` plus the floor. Raises ValueError for an unknown
    table (nearest name) or spreading factor.
    """
    check_known("sensitivity", table, TABLES)
    check_spreading_factor("spreading_factor", spreading_factor)
    if table == SNR_TABLE:
        return float(noise_dbm(bandwidth_hz, noise_figure_db)) + SNR_FLOOR_DB[spreading_factor]
    values = SENSITIVITY_DBM[table]
    if (spreading_factor, bandwidth_hz) in values:
        return values[spreading_factor, bandwidth_hz]
    wider_db = 10 * float(np.log10(bandwidth_hz / 125_000))
    return values[spreading_factor, 125_000] + wider_db


def sensitivities_dbm(
    table: str, *, bandwidth_hz: int = 125_000, noise_figure_db: float = 6.0
) -> npt.NDArray[np.float64]:
    """Return the same for SF 7 to 12, shape (6,): index it by SF - 7."""
    return np.array(
        [
            sensitivity_dbm(table, sf, bandwidth_hz=bandwidth_hz, noise_figure_db=noise_figure_db)
            for sf in range(MIN_SF, MAX_SF + 1)
        ]
    )


def bit_error_rate(
    snr_db: npt.ArrayLike, spreading_factor: npt.ArrayLike
) -> npt.NDArray[np.float64]:
    """Return the bit error rate of LoRa in noise, 0.5 Q(sqrt(2^(SF+1) g) - sqrt(1.386 SF + 1.154)).

    Elshabrawy & Robert, IEEE Communications Letters 2018, as remembered; g is
    the SNR, linear. Never above 1/2.
    """
    sf = np.asarray(spreading_factor, dtype=np.float64)
    snr = np.power(10.0, np.asarray(snr_db, dtype=np.float64) / 10)
    argument = np.sqrt(2 ** (sf + 1) * snr) - np.sqrt(1.386 * sf + 1.154)
    return np.asarray(0.5 * ndtr(-argument))


def frame_success(
    snr_db: npt.ArrayLike, spreading_factor: npt.ArrayLike, phy_bytes: npt.ArrayLike
) -> npt.NDArray[np.float64]:
    """Return the probability that all bits of a frame are right, (1 - BER)^(8 bytes).

    Bits fail independently and no code repairs them: coding rates are not told apart.
    """
    error = bit_error_rate(snr_db, spreading_factor)
    return np.asarray(np.exp(8.0 * np.asarray(phy_bytes) * np.log1p(-error)))
