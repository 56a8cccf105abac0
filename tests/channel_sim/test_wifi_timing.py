"""Durations and rates against the standard's own arithmetic and ns-3.37's values."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from channel_sim.wifi.timing import (
    ACK_BYTES,
    BLOCK_ACK_BYTES,
    CONTROL,
    STANDARDS,
    Mode,
    StandardName,
    ampdu_frames,
    eifs_ns,
    frames_ns,
    modes_of,
    subframe_bytes,
)


def modes(
    standard: StandardName, width_mhz: int = 20, streams: int = 1, interval_ns: int | None = None
) -> tuple[Mode, ...]:
    interval_ns = STANDARDS[standard].intervals_ns[0] if interval_ns is None else interval_ns
    return modes_of(standard, width_mhz=width_mhz, streams=streams, interval_ns=interval_ns)


@pytest.mark.parametrize(
    ("standard", "index", "size_bytes", "micros"),
    [
        # 20 + 4 ceil((22 + 8 L) / bits per symbol); oracles.md 2.6
        ("a", 7, 1536, 248),
        ("a", 0, 1536, 20 + 4 * 513),
        ("g", 4, 14, 28),
        ("a", 0, 14, 44),
        # 192 us and 8 L / R, up to whole microseconds
        ("b", 3, 1536, 192 + 1118),
        ("b", 2, 1536, 192 + 2235),
        ("b", 0, 14, 192 + 112),
        # HT mixed format, one stream: 36 us
        ("n", 7, 1538, 36 + 4 * 48),
        ("n", 0, 1538, 36 + 4 * 475),
    ],
)
def test_frame_durations(standard: StandardName, index: int, size_bytes: int, micros: int) -> None:
    assert modes(standard)[index].frame_ns(size_bytes) == micros * 1000


def test_he_symbols_are_13_6_microseconds_long() -> None:
    # 234 tones, 10 bits, 5/6: 1950 bits per symbol; 7 symbols carry 1538 bytes.
    assert modes("ax")[11].frame_ns(1538) == 44_000 + 7 * 13_600
    assert modes("ax", interval_ns=3200)[11].frame_ns(1538) == 44_000 + 7 * 16_000


def test_answers() -> None:
    assert CONTROL["ofdm24"].frame_ns(ACK_BYTES) == 28_000
    assert CONTROL["ofdm24"].frame_ns(BLOCK_ACK_BYTES) == 32_000
    assert [mode.answer for mode in modes("a")] == [
        f"ofdm{mbps}" for mbps in (6, 6, 12, 12, 24, 24, 24, 24)
    ]
    assert [mode.answer for mode in modes("n")] == ["ofdm6", *2 * ["ofdm12"], *5 * ["ofdm24"]]
    assert modes("b")[3].answer == "cck11"


@pytest.mark.parametrize(
    ("standard", "difs_us", "eifs_us"), [("a", 34, 94), ("b", 50, 364), ("n", 43, 103)]
)
def test_gaps(standard: StandardName, difs_us: int, eifs_us: int) -> None:
    # EIFS = SIFS + ACK at the lowest rate (44 or 304 us) + DIFS: 94 us in 11a, as known.
    base = STANDARDS[standard]
    ifs_ns = base.sifs_ns + base.aifsn * base.slot_ns
    assert ifs_ns == difs_us * 1000
    assert eifs_ns(modes(standard)[0], base.sifs_ns, ifs_ns) == eifs_us * 1000


def test_rates_are_those_of_ns3() -> None:
    # oracles.md 2.6, Mb/s, 20 MHz, one stream, 800 ns
    ht = (6.5, 13, 19.5, 26, 39, 52, 58.5, 65)
    he = (8.6, 17.2, 25.8, 34.4, 51.6, 68.8, 77.4, 86.0, 103.2, 114.7, 129.0, 143.4)
    assert [mode.rate_bps / 1e6 for mode in modes("n")] == pytest.approx(ht)
    assert [round(mode.rate_bps / 1e6, 1) for mode in modes("ax")] == list(he)
    assert [mode.rate_bps / 1e6 for mode in modes("b")] == pytest.approx([1, 2, 5.5, 11])
    # 802.11n tables 19-31 (40 MHz, 5/6, 64-QAM): 135 and 150 Mb/s; 4 streams 600.
    assert modes("n", 40)[7].rate_bps == pytest.approx(135e6)
    assert modes("n", 40, 1, 400)[7].rate_bps == pytest.approx(150e6)
    assert modes("n", 40, 4, 400)[7].rate_bps == pytest.approx(600e6)
    # 802.11ax: 160 MHz, 8 streams, MCS 11: 9.6078 Gb/s.
    assert modes("ax", 160, 8)[11].rate_bps == pytest.approx(9.6078e9, rel=1e-4)


def test_many_durations_at_once_are_the_same() -> None:
    for standard in STANDARDS:
        sizes = np.arange(60, 1600, 7)
        for mode in modes(standard):
            found = frames_ns(sizes, np.full(sizes.shape, mode.half_bits), mode)
            assert found.tolist() == [mode.frame_ns(size) for size in sizes.tolist()]


def test_aggregates() -> None:
    # oracles.md 2.6: 1500 B at MCS 7: 42 subframes, about 8.02 ms, within 65 535 bytes.
    mode = modes("n")[7]
    assert subframe_bytes(1538) == 1544
    frames = ampdu_frames(mode, 1538, limit_bytes=65_535, longest_ns=10_000_000)
    assert frames == 42
    assert mode.frame_ns(frames * 1544) / 1e6 == pytest.approx(8.02, abs=0.01)
    # 10 ms at 6.5 Mb/s are 8096 bytes: five subframes. The bitmap ends at 64.
    assert ampdu_frames(modes("n")[0], 1538, limit_bytes=65_535, longest_ns=10_000_000) == 5
    assert ampdu_frames(modes("ax")[11], 400, limit_bytes=65_535, longest_ns=5_484_000) == 64
    assert ampdu_frames(mode, 1538, limit_bytes=1000, longest_ns=10_000_000) == 1


@pytest.mark.parametrize(
    ("standard", "change", "word"),
    [
        ("n", {"width_mhz": 80}, "width_mhz = 80"),
        ("a", {"streams": 2}, "streams = 2"),
        ("ax", {"interval_ns": 400}, "gi_ns = 400"),
        ("ac", {}, "did you mean"),
    ],
)
def test_what_a_standard_lacks_is_named(
    standard: StandardName, change: dict[str, Any], word: str
) -> None:
    given = {"width_mhz": 20, "streams": 1, "interval_ns": 800} | change
    with pytest.raises(ValueError, match=word):
        modes_of(standard, **given)
