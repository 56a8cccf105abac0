"""The modes of 802.11: rate, constellation and code of each name.

20 MHz, one stream. ``dsss1``, ``dsss2``, ``cck5.5``, ``cck11`` (802.11b),
``ofdm6`` ... ``ofdm54`` (802.11a/g), ``ht0`` ... ``ht7`` (802.11n),
``he0`` ... ``he11`` (802.11ax), the last two with a guard interval of 0.8 µs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction


@dataclass(frozen=True, kw_only=True)
class WifiMode:
    """One mode: bit/s on air, points of the constellation, rate of the convolutional code.

    DSSS and CCK have no code: ``code_rate`` 1.
    """

    rate_bps: float
    constellation: int
    code_rate: Fraction

    @property
    def coded_bps(self) -> float:
        """Bit/s after coding."""
        return self.rate_bps / float(self.code_rate)


_CODED = (
    (2, Fraction(1, 2)),
    (4, Fraction(1, 2)),
    (4, Fraction(3, 4)),
    (16, Fraction(1, 2)),
    (16, Fraction(3, 4)),
    (64, Fraction(2, 3)),
    (64, Fraction(3, 4)),
    (64, Fraction(5, 6)),
    (256, Fraction(3, 4)),
    (256, Fraction(5, 6)),
    (1024, Fraction(3, 4)),
    (1024, Fraction(5, 6)),
)
"""By MCS, IEEE 802.11-2020 tables 19-4, 19-27 and 802.11ax-2021 table 27-111."""


def _ofdm(tones: int, symbol_s: float, constellation: int, code_rate: Fraction) -> WifiMode:
    rate_bps = tones * math.log2(constellation) * float(code_rate) / symbol_s
    return WifiMode(rate_bps=rate_bps, constellation=constellation, code_rate=code_rate)


def _modes() -> dict[str, WifiMode]:
    modes = {
        name: WifiMode(rate_bps=rate_bps, constellation=points, code_rate=Fraction(1))
        for name, rate_bps, points in (
            ("dsss1", 1e6, 2),
            ("dsss2", 2e6, 4),
            ("cck5.5", 5.5e6, 16),
            ("cck11", 11e6, 256),
        )
    }
    legacy = (_CODED[0], (2, Fraction(3, 4)), *_CODED[1:7])
    for mbps, coded in zip((6, 9, 12, 18, 24, 36, 48, 54), legacy, strict=True):
        modes[f"ofdm{mbps}"] = _ofdm(48, 4e-6, *coded)
    for mcs, coded in enumerate(_CODED[:8]):
        modes[f"ht{mcs}"] = _ofdm(52, 4e-6, *coded)
    for mcs, coded in enumerate(_CODED):
        modes[f"he{mcs}"] = _ofdm(234, 13.6e-6, *coded)
    return modes


WIFI_MODES: dict[str, WifiMode] = _modes()
"""By name, in ascending order of rate within each standard."""
