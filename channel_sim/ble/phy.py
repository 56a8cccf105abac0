"""Frames of Bluetooth LE on air: how long they last and how many bits must be right.

Times: Core Specification 5, Vol 6 Part B, 2.1, 2.2 and 4.1 (as remembered; the
extremes, 44 to 2120 us uncoded and 462 to 17040 us coded, are tested).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from channel_sim.fragmentation import ATT_HEADER_BYTES, L2CAP_HEADER_BYTES
from channel_sim.reception.ble_error import ble_ber
from channel_sim.units import MICROSECOND_NS

IFS_NS = 150 * MICROSECOND_NS
"""Between two frames of a connection event."""
MAX_PAYLOAD = 251
"""Bytes of a link-layer data frame without its message integrity check."""
MIC_BYTES = 4
L2CAP_ATT_BYTES = L2CAP_HEADER_BYTES + ATT_HEADER_BYTES
"""Before the value of a notification."""
ACCESS_BITS = 32
REFERENCE_SNR_DB = float(10 * np.log10(2 * np.log(500)))
"""Where non-coherent FSK errs in one bit of 1000: 10.94 dB."""


@dataclass(frozen=True)
class Phy:
    """One of the physical layers; ``spread`` is S of the coded ones, 0 uncoded.

    ``byte_ns`` of payload; ``rate_bps`` of payload bits; ``coding_gain_db``
    against 1M at the same SNR.
    """

    byte_ns: int
    spread: int
    rate_bps: float
    coding_gain_db: float

    def air_ns(self, payload_bytes: int) -> int:
        """Nanoseconds of a frame with ``payload_bytes`` after its 2-byte header."""
        if self.spread == 0:
            preamble = 1 if self.rate_bps == PHYS["1m"].rate_bps else 2
            return (preamble + 4 + 2 + payload_bytes + 3) * self.byte_ns
        # Preamble 80; access address 256, coding indicator 16, TERM1 24 at S = 8.
        head_us = 80 + 256 + 16 + 24
        tail_us = self.spread * (8 * (2 + payload_bytes) + 24 + 3)
        return (head_us + tail_us) * MICROSECOND_NS

    def frame_bits(self, payload_bytes: int) -> int:
        """Bits that must all be right: access address, header, payload, CRC."""
        return ACCESS_BITS + 8 * (2 + payload_bytes + 3)


PHYS = {
    "1m": Phy(8_000, 0, 1e6, 0.0),
    "2m": Phy(4_000, 0, 2e6, 0.0),
    "coded_s2": Phy(16_000, 2, 500e3, 4.0),
    "coded_s8": Phy(64_000, 8, 125e3, 8.0),
}


def log_bit_success(margin_db: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Return ln(1 - BER) at ``margin_db`` above the sensitivity, same shape.

    A frame of n bits is right with exp(n x).
    """
    return np.log1p(-ble_ber(margin_db))
