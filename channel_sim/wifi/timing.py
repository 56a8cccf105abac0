"""How long things last in 802.11: slots, gaps, frames, acknowledgements; whole nanoseconds.

At 2.4 GHz an OFDM frame is followed by a SIFS of 10 us and 6 us of silence
(the signal extension); at 5 GHz by a SIFS of 16 us. The gaps come to the
same, so one table serves both bands.

Sources: IEEE 802.11-2016 clauses 15.4.4, 16.3.4, 17.4.4, 19.4.4 (as
remembered); the rates of ns-3.37; oracles.md 2.6.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from channel_sim.checks import check_known

StandardName: TypeAlias = Literal["b", "a", "g", "n", "ax"]

LLC_BYTES = 8
"""LLC and SNAP headers between IP and MAC."""
FCS_BYTES = 4
CCMP_BYTES = 16
"""What WPA2 and WPA3 add to a frame: 8 of header, 8 of integrity check."""
ACK_BYTES, BLOCK_ACK_BYTES, BAR_BYTES, RTS_BYTES, CTS_BYTES = 14, 32, 24, 20, 14
AMPDU_FRAMES = 64
"""Bits in the bitmap of a block acknowledgement."""
DELIMITER_BYTES = 4


@dataclass(frozen=True, kw_only=True)
class Standard:
    """What all stations of a standard share; ``noise_hz`` is the receiver's bandwidth at 20 MHz.

    ``edca``: counters go down once more at the end of the gap, before the
    first idle slot; under the DCF of the older standards only after it.
    """

    slot_ns: int
    sifs_ns: int
    aifsn: int
    cw_min: int
    cw_max: int
    mac_bytes: int
    edca: bool
    widths_mhz: tuple[int, ...]
    intervals_ns: tuple[int, ...]
    max_streams: int
    longest_ns: int | None
    noise_hz: float = 20e6


_OFDM = Standard(
    slot_ns=9_000,
    sifs_ns=16_000,
    aifsn=2,
    cw_min=15,
    cw_max=1023,
    mac_bytes=24,
    edca=False,
    widths_mhz=(20,),
    intervals_ns=(800,),
    max_streams=1,
    longest_ns=None,
)
STANDARDS: dict[str, Standard] = {
    "b": Standard(
        slot_ns=20_000,
        sifs_ns=10_000,
        aifsn=2,
        cw_min=31,
        cw_max=1023,
        mac_bytes=24,
        edca=False,
        widths_mhz=(20,),
        intervals_ns=(0,),
        max_streams=1,
        longest_ns=None,
        noise_hz=22e6,
    ),
    "a": _OFDM,
    "g": _OFDM,
    "n": Standard(
        slot_ns=9_000,
        sifs_ns=16_000,
        aifsn=3,
        cw_min=15,
        cw_max=1023,
        mac_bytes=26,
        edca=True,
        widths_mhz=(20, 40),
        intervals_ns=(800, 400),
        max_streams=4,
        longest_ns=10_000_000,
    ),
    "ax": Standard(
        slot_ns=9_000,
        sifs_ns=16_000,
        aifsn=3,
        cw_min=15,
        cw_max=1023,
        mac_bytes=26,
        edca=True,
        widths_mhz=(20, 40, 80, 160),
        intervals_ns=(800, 1600, 3200),
        max_streams=8,
        longest_ns=5_484_000,
    ),
}
"""By name. ``g`` is a cell without 802.11b; best-effort EDCA for ``n`` and ``ax``;
``longest_ns`` limits an aggregate (10 ms HT, 5.484 ms HE, as remembered)."""


@dataclass(frozen=True, kw_only=True)
class Mode:
    """One modulation and coding: a frame lasts ``preamble_ns`` and whole symbols.

    ``bits_per_symbol`` is doubled in ``half_bits`` (5.5 Mb/s has a half);
    ``extra_bits`` are service and tail; ``answer`` names the mode of the
    acknowledgement, ``least`` the most robust one, for EIFS.
    """

    name: str
    preamble_ns: int
    symbol_ns: int
    half_bits: int
    extra_bits: int
    answer: str
    least: str

    @property
    def rate_bps(self) -> float:
        """Bits per second within the symbols."""
        return self.half_bits / 2 / self.symbol_ns * 1e9

    def frame_ns(self, size_bytes: int) -> int:
        """Duration of a frame of that many bytes, MAC header to FCS."""
        return self.preamble_ns + self.symbol_ns * -(
            -2 * (self.extra_bits + 8 * size_bytes) // self.half_bits
        )


def frames_ns(
    size_bytes: npt.NDArray[np.int64],
    half_bits: npt.NDArray[np.int64],
    mode: Mode,
) -> npt.NDArray[np.int64]:
    """Durations of many frames whose modes share the preamble and symbol of ``mode``."""
    symbols = -(-2 * (mode.extra_bits + 8 * size_bytes) // half_bits)
    return np.asarray(mode.preamble_ns + mode.symbol_ns * symbols, dtype=np.int64)


def _dsss() -> tuple[Mode, ...]:
    """802.11b with the long preamble; every rate is basic, so it answers itself."""
    return tuple(
        Mode(
            name=name,
            preamble_ns=192_000,
            symbol_ns=1_000,
            half_bits=half_bits,
            extra_bits=0,
            answer=name,
            least="dsss1",
        )
        for name, half_bits in (("dsss1", 2), ("dsss2", 4), ("cck5.5", 11), ("cck11", 22))
    )


def _ofdm() -> tuple[Mode, ...]:
    """802.11a: data bits per 4 us symbol; answers at 6, 12 or 24 Mb/s."""
    return tuple(
        Mode(
            name=f"ofdm{mbps}",
            preamble_ns=20_000,
            symbol_ns=4_000,
            half_bits=8 * mbps,
            extra_bits=22,
            answer=f"ofdm{max(basic for basic in (6, 12, 24) if basic <= mbps)}",
            least="ofdm6",
        )
        for mbps in (6, 9, 12, 18, 24, 36, 48, 54)
    )


CONTROL: dict[str, Mode] = {mode.name: mode for mode in (*_dsss(), *_ofdm())}
"""The modes that every station knows: those of acknowledgements."""

# Data bits per subcarrier and stream of HT 0-7 and HE 0-11, times 12: whole numbers.
_TWELFTHS = (6, 12, 18, 24, 36, 48, 54, 60, 72, 80, 90, 100)
_HT_TONES = {20: 52, 40: 108}
_HE_TONES = {20: 234, 40: 468, 80: 980, 160: 1960}
RU_TONES = {26: 24, 52: 48, 106: 102, 242: 234, 484: 468, 996: 980, 1992: 1960}
"""Data tones of the resource units of 802.11ax, by their size."""


def _answer(index: int) -> str:
    """Mode of the answer to HT or HE ``index``: the basic rate of its modulation and coding."""
    return ("ofdm6", "ofdm12", "ofdm12")[index] if index < 3 else "ofdm24"  # noqa: PLR2004 - 16-QAM


def _ht(width_mhz: int, streams: int, interval_ns: int) -> tuple[Mode, ...]:
    """HT mixed format: 20 us legacy, 8 us HT-SIG, 4 us HT-STF, 4 us per HT-LTF."""
    trainings = (1, 2, 4, 4)[streams - 1]
    return tuple(
        Mode(
            name=f"ht{index}",
            preamble_ns=32_000 + 4_000 * trainings,
            symbol_ns=3_200 + interval_ns,
            half_bits=2 * _HT_TONES[width_mhz] * twelfths * streams // 12,
            extra_bits=22,
            answer=_answer(index),
            least="ofdm6",
        )
        for index, twelfths in enumerate(_TWELFTHS[:8])
    )


def he_mode(index: int, *, tones: int, streams: int, interval_ns: int, preamble_ns: int) -> Mode:
    """Return one HE mode over ``tones`` data tones; 16 service and 6 tail bits, as ns-3."""
    return Mode(
        name=f"he{index}",
        preamble_ns=preamble_ns,
        symbol_ns=12_800 + interval_ns,
        half_bits=2 * tones * _TWELFTHS[index] * streams // 12,
        extra_bits=22,
        answer=_answer(index),
        least="ofdm6",
    )


def _he(width_mhz: int, streams: int, interval_ns: int) -> tuple[Mode, ...]:
    """HE single user: 36 us to the HE-STF, 8 us per HE-LTF."""
    trainings = (1, 2, 4, 4, 6, 6, 8, 8)[streams - 1]
    return tuple(
        he_mode(
            index,
            tones=_HE_TONES[width_mhz],
            streams=streams,
            interval_ns=interval_ns,
            preamble_ns=36_000 + 8_000 * trainings,
        )
        for index in range(12)
    )


def modes_of(standard: str, *, width_mhz: int, streams: int, interval_ns: int) -> tuple[Mode, ...]:
    """Return the modes of a standard, slowest first.

    Raises ValueError for a width, number of streams or guard interval that the
    standard does not have.
    """
    check_known("standard", standard, STANDARDS)
    base = STANDARDS[standard]
    for key, value, known in (
        ("width_mhz", width_mhz, base.widths_mhz),
        ("gi_ns", interval_ns, base.intervals_ns),
        ("streams", streams, tuple(range(1, base.max_streams + 1))),
    ):
        if value not in known:
            raise ValueError(
                f"{key} = {value!r} does not exist in 802.11{standard}; give one of {known}"
            )
    if standard == "b":
        return _dsss()
    if standard in ("a", "g"):
        return _ofdm()
    return (_ht if standard == "n" else _he)(width_mhz, streams, interval_ns)


def eifs_ns(mode: Mode, sifs_ns: int, ifs_ns: int) -> int:
    """The gap after a frame that was heard but not understood: SIFS + slowest ACK + IFS."""
    return sifs_ns + CONTROL[mode.least].frame_ns(ACK_BYTES) + ifs_ns


def subframe_bytes(mpdu_bytes: int) -> int:
    """Bytes of one frame within an aggregate: delimiter, frame, padding to four."""
    return DELIMITER_BYTES + -(-mpdu_bytes // 4) * 4


def ampdu_frames(mode: Mode, mpdu_bytes: int, *, limit_bytes: int, longest_ns: int) -> int:
    """How many frames of one size fit in an aggregate: bytes, duration and bitmap allow; 1 or more.

    The padding of the last subframe is counted, as in ns-3.
    """
    subframe = subframe_bytes(mpdu_bytes)
    frames = max(1, min(AMPDU_FRAMES, limit_bytes // subframe))
    while frames > 1 and mode.frame_ns(frames * subframe) > longest_ns:
        frames -= 1
    return frames
