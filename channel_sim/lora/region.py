"""LoRaWAN in the European 868 MHz band: channels, duty cycles, powers, payloads, windows.

Numbers read in ns-3 lorawan-mac-helper.cc unless they say otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from channel_sim.checks import check_between


@dataclass(frozen=True)
class SubBand:
    """A part of the band with one duty cycle (a share of time, per transmitter) and ERP limit."""

    low_hz: float
    high_hz: float
    duty_cycle: float
    max_erp_dbm: float
    source: str = "ns-3 lorawan-mac-helper.cc"


SUB_BANDS = (
    SubBand(865.0e6, 868.0e6, 0.01, 14.0, "ETSI EN 300 220, as remembered"),
    SubBand(868.0e6, 868.6e6, 0.01, 14.0),
    SubBand(868.7e6, 869.2e6, 0.001, 14.0),
    SubBand(869.4e6, 869.65e6, 0.1, 27.0),
)

DEFAULT_CHANNELS_HZ = (868_100_000, 868_300_000, 868_500_000)
"""The three that every device knows, in one sub-band."""
EIGHT_CHANNELS_HZ = (
    *DEFAULT_CHANNELS_HZ,
    867_100_000,
    867_300_000,
    867_500_000,
    867_700_000,
    867_900_000,
)
"""The usual plan of an eight-channel gateway (The Things Network), as remembered: two sub-bands."""

RX2_HZ = 869_525_000
RX2_SPREADING_FACTOR = 12
RX1_DELAY_S = 1.0
RX2_DELAY_S = 2.0

SPREADING_FACTOR_OF: Mapping[int, int] = MappingProxyType({0: 12, 1: 11, 2: 10, 3: 9, 4: 8, 5: 7})
"""Spreading factor of data rates DR0 to DR5, all at 125 kHz."""
DATA_RATE_OF: Mapping[int, int] = MappingProxyType(
    {sf: data_rate for data_rate, sf in SPREADING_FACTOR_OF.items()}
)

FRAME_BYTES = 13
"""MHDR 1, FHDR 7, FPort 1, MIC 4: what LoRaWAN adds to an application payload."""
EMPTY_BYTES = 12
"""A frame without payload has no FPort: an acknowledgement, or a poll."""

_PAYLOADS_BYTES = {0: 51, 1: 51, 2: 51, 3: 115, 4: 222, 5: 222}
_PAYLOADS_NO_REPEATER_BYTES = {0: 51, 1: 51, 2: 51, 3: 115, 4: 242, 5: 242}


def max_payload_bytes(spreading_factor: int, *, repeater: bool = True) -> int:
    """Return the largest application payload of one frame at 125 kHz.

    ``repeater``: leave room for a repeater's header (222 instead of 242 bytes
    at SF7 and SF8). Source: LoRaEnergySim, ns-3.
    """
    check_between("spreading_factor", spreading_factor, 7, 12, why="spreading factors of EU868")
    table = _PAYLOADS_BYTES if repeater else _PAYLOADS_NO_REPEATER_BYTES
    return table[DATA_RATE_OF[spreading_factor]]


def find_sub_band(frequency_hz: float) -> SubBand:
    """Return the sub-band of a frequency; ValueError outside all of them."""
    for band in SUB_BANDS:
        if band.low_hz <= frequency_hz < band.high_hz:
            return band
    shown = ", ".join(f"{b.low_hz / 1e6:g} to {b.high_hz / 1e6:g} MHz" for b in SUB_BANDS)
    raise ValueError(f"frequency_hz = {frequency_hz!r} lies in no sub-band of EU868; give {shown}")


def check_power(key: str, power_dbm: float, frequency_hz: float) -> None:
    """Raise ValueError for an effective radiated power above the sub-band's limit."""
    limit_dbm = find_sub_band(frequency_hz).max_erp_dbm
    if power_dbm > limit_dbm:
        raise ValueError(
            f"{key} = {power_dbm!r} dBm is above the {limit_dbm:g} dBm ERP allowed at"
            f" {frequency_hz / 1e6:g} MHz; give {limit_dbm:g} or less"
        )


def off_ns(air_ns: int, duty_cycle: float) -> int:
    """Return how long a sub-band is closed after a frame ends: air (1 / duty cycle - 1)."""
    return round(air_ns * (1 / duty_cycle - 1))


def group_channels(channels_hz: Sequence[float]) -> tuple[list[int], list[float]]:
    """Return the number of the sub-band of each channel, and the duty cycle of each number."""
    bands: list[SubBand] = []
    numbers = []
    for frequency_hz in channels_hz:
        band = find_sub_band(frequency_hz)
        if band not in bands:
            bands.append(band)
        numbers.append(bands.index(band))
    return numbers, [band.duty_cycle for band in bands]
