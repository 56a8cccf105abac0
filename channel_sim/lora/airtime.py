"""Time on air of LoRa frames, exact in integer nanoseconds.

A frame is a preamble of ``preamble_symbols`` + 4.25 symbols and a payload of
whole symbols. A symbol lasts 2^SF / bandwidth; all sums are made in quarter
symbols, so that nothing is rounded before the end.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from channel_sim.checks import check_between, check_count
from channel_sim.units import SECOND_NS

MIN_SF, MAX_SF = 7, 12
SPREADING_FACTORS = tuple(range(MIN_SF, MAX_SF + 1))
"""Those of LoRaWAN; SF5 and SF6 have headers of their own."""
MAX_PHY_BYTES = 255
LOW_DATA_RATE_US = 16_000
"""Symbols longer than this need the low data rate mode (Semtech AN1200.13)."""


def check_spreading_factor(key: str, value: npt.ArrayLike) -> None:
    """Raise ValueError unless every value is a whole number from 7 to 12."""
    check_between(key, value, MIN_SF, MAX_SF, why="spreading factors of LoRaWAN")
    if not np.all(np.mod(value, 1) == 0):
        raise ValueError(f"{key} = {value!r} is not whole; give 7 to 12")


def symbol_ns(
    spreading_factor: npt.ArrayLike, bandwidth_hz: int = 125_000
) -> npt.NDArray[np.int64]:
    """Return the length of a symbol, 2^SF / bandwidth, to the nearest nanosecond, int64."""
    return _quarters_to_ns(np.asarray(4), spreading_factor, bandwidth_hz)


def air_ns(
    phy_bytes: npt.ArrayLike,
    spreading_factor: npt.ArrayLike,
    *,
    bandwidth_hz: int = 125_000,
    coding_rate: int = 1,
    preamble_symbols: int = 8,
    header: bool = True,
    crc: bool = True,
    low_data_rate: bool | None = None,
) -> npt.NDArray[np.int64]:
    """Return the time on air in nanoseconds, int64, of the broadcast shape.

    ``phy_bytes`` is the whole payload of the radio frame (LoRaWAN: 13 bytes
    more than the application's), ``coding_rate`` 1 to 4 for 4/5 to 4/8.
    ``low_data_rate`` None: on for symbols above 16 ms. Source: Semtech
    AN1200.13 as LoRaSim and ns-3 lora-phy.cc have it. Raises ValueError for
    numbers outside these ranges and frames above 255 bytes.
    """
    check_between("phy_bytes", phy_bytes, 0, MAX_PHY_BYTES, why="the length field of a LoRa frame")
    check_spreading_factor("spreading_factor", spreading_factor)
    check_count("bandwidth_hz", bandwidth_hz)
    check_between("coding_rate", coding_rate, 1, 4, why="coding rates 4/5 to 4/8")
    check_count("preamble_symbols", preamble_symbols)
    size = np.asarray(phy_bytes, dtype=np.int64)
    sf = np.asarray(spreading_factor, dtype=np.int64)
    if low_data_rate is None:
        reduced = (2**sf * 1_000_000 > LOW_DATA_RATE_US * bandwidth_hz).astype(np.int64)
    else:
        reduced = np.full(sf.shape, low_data_rate, dtype=np.int64)
    bits = 8 * size - 4 * sf + 28 + 16 * crc - 20 * (not header)
    blocks = -(-bits // (4 * (sf - 2 * reduced)))  # rounded up
    payload = 8 + np.maximum(blocks * (coding_rate + 4), 0)
    return _quarters_to_ns(4 * preamble_symbols + 17 + 4 * payload, sf, bandwidth_hz)


def bit_rate_bps(
    spreading_factor: npt.ArrayLike, *, bandwidth_hz: int = 125_000, coding_rate: int = 1
) -> npt.NDArray[np.float64]:
    """Return the bits per second within the payload: SF BW / 2^SF x 4 / (4 + CR)."""
    sf = np.asarray(spreading_factor, dtype=np.float64)
    return np.asarray(sf * bandwidth_hz / 2**sf * 4 / (4 + coding_rate))


def _quarters_to_ns(
    quarters: npt.NDArray[np.int64], spreading_factor: npt.ArrayLike, bandwidth_hz: int
) -> npt.NDArray[np.int64]:
    quarter = 2 ** (np.asarray(spreading_factor, dtype=np.int64) - 2) * SECOND_NS
    return np.asarray((quarters * quarter + bandwidth_hz // 2) // bandwidth_hz)
