from __future__ import annotations

import gzip
import io
import tarfile
import zipfile
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from channel_sim.replay import (
    Capacity,
    DeliveryChances,
    RateTrace,
    load_g_nettrack,
    load_mahimahi,
    load_seconds_mbit,
)

MILLISECOND_NS = 1_000_000
BYTE = 8_000  # millibits

CHANCES = st.lists(st.integers(0, 30), min_size=1, max_size=20).map(sorted).filter(lambda t: t[-1])
RATES = st.lists(
    st.tuples(st.integers(1, 4_000), st.sampled_from([0, 1, 999, 8_000, 7_654_321, 2_000_000_000])),
    min_size=1,
    max_size=6,
).filter(lambda pieces: any(rate for _, rate in pieces))
TIMES_NS = st.integers(0, 200_000_000_000)


def chances_up_to(times_ms: list[int], time_ns: int) -> int:
    """Millibits by counting line after line, as mahimahi's loop does."""
    count, base_ms, place = 0, 0, 0
    while (base_ms + times_ms[place]) * MILLISECOND_NS <= time_ns:
        count += 1
        place += 1
        if place == len(times_ms):
            place, base_ms = 0, base_ms + times_ms[-1]
    return count * 1_500 * BYTE


@given(CHANCES, st.integers(0, 200 * MILLISECOND_NS))
def test_chances_are_counted_as_mahimahi_does(times_ms: list[int], time_ns: int) -> None:
    trace = DeliveryChances(times_ms)
    assert trace.level(time_ns) == chances_up_to(times_ms, time_ns)


def rate_up_to(pieces: list[tuple[int, int]], time_ns: int) -> Fraction:
    """Millibits by adding up piece after piece in exact fractions."""
    total, at_ns = Fraction(0), 0
    while True:
        for length_ms, rate_bps in pieces:
            span_ns = min(length_ms * MILLISECOND_NS, time_ns - at_ns)
            total += Fraction(rate_bps * span_ns, MILLISECOND_NS)
            at_ns += span_ns
            if at_ns == time_ns:
                return total


def rate_trace(pieces: list[tuple[int, int]]) -> RateTrace:
    times_ms = np.cumsum([0, *(length_ms for length_ms, _ in pieces)])
    return RateTrace(times_ms / 1000, [rate for _, rate in pieces])


@given(RATES, st.integers(0, 20_000 * MILLISECOND_NS))
def test_rates_are_integrated_exactly(pieces: list[tuple[int, int]], time_ns: int) -> None:
    # Whole millibits, rounded down within a millisecond.
    exact = rate_up_to(pieces, time_ns)
    assert 0 <= exact - int(rate_trace(pieces).level(time_ns)) < 1


@given(st.one_of(CHANCES.map(DeliveryChances), RATES.map(rate_trace)), TIMES_NS, TIMES_NS)
def test_level_and_time_are_each_others_inverse(
    trace: Capacity, time_ns: int, further_ns: int
) -> None:
    level = int(trace.level(time_ns)) + 1
    when_ns = int(trace.when_ns(level))
    assert trace.level(when_ns) >= level
    assert when_ns == 0 or trace.level(when_ns - 1) < level
    assert trace.level(time_ns + further_ns) >= trace.level(time_ns)
    assert trace.busy_ns(time_ns + further_ns) - trace.busy_ns(time_ns) >= 0
    # A period later, the same.
    periods = 12_345
    assert trace.when_ns(level + periods * trace.period_millibits) == (
        when_ns + periods * trace.period_ns
    )
    assert trace.level(time_ns + periods * trace.period_ns) == (
        int(trace.level(time_ns)) + periods * trace.period_millibits
    )


def test_busy_is_the_time_with_a_rate_and_the_milliseconds_with_a_chance() -> None:
    rates = RateTrace([0, 1, 3, 4], [8e3, 0, 1e6])
    assert [int(rates.busy_ns(round(t * 1e9))) / 1e9 for t in (0.5, 1, 2.9, 3.25, 4, 6.9)] == [
        0.5, 1, 1, 1.25, 2, 3,
    ]  # fmt: skip
    chances = DeliveryChances([0, 2, 2, 2, 5])
    assert [int(chances.busy_ns(t * MILLISECOND_NS)) for t in (0, 1, 2, 4, 5, 7)] == [
        n * MILLISECOND_NS for n in (1, 1, 2, 2, 4, 5)
    ]


def test_arrays_give_what_numbers_give() -> None:
    trace = RateTrace([0, 0.5, 2], [3e6, 1e6])
    times = np.arange(0, 10_000_000_000, 123_456_789)
    levels = trace.level(times)
    assert levels.tolist() == [int(trace.level(time)) for time in times.tolist()]
    assert trace.when_ns(levels + 1).tolist() == [int(trace.when_ns(x)) for x in levels + 1]


def test_mean_rates() -> None:
    assert DeliveryChances([0, 1, 1, 4]).mean_rate_bps == 4 * 12_000 / 0.004
    assert RateTrace([0, 1, 4], [8e6, 2e6]).mean_rate_bps == 3.5e6
    assert RateTrace.constant(1234.0).mean_rate_bps == 1234


def test_chances_come_from_files(tmp_path: Path) -> None:
    plain, zipped = tmp_path / "a.up", tmp_path / "b.gz"
    plain.write_text("0\n3\n3\n7\n")
    zipped.write_bytes(gzip.compress(b"5\r\n6\r\n"))
    (one,), (two,) = load_mahimahi(plain), load_mahimahi(zipped)
    assert (one.name, one.period_ns, one.period_millibits) == ("a.up", 7_000_000, 4 * 12_000_000)
    assert (two.name, two.period_ns) == ("b.gz", 6_000_000)


def test_a_rate_holds_since_the_line_before(tmp_path: Path) -> None:
    # As in Pensieve's simulator: 1 Mbit/s until 2 s, 3 Mbit/s until 3 s; the 9 is not used.
    path = tmp_path / "bus"
    path.write_text("0.0\t9\n2.0 1\n3.0\t3.0\n")
    (trace,) = load_seconds_mbit(path)
    assert trace.rates_bps.tolist() == [1_000_000, 3_000_000]
    assert [int(trace.level(t * 10**9)) // 1000 for t in (1, 2, 3, 4)] == [
        1_000_000, 2_000_000, 5_000_000, 6_000_000,
    ]  # fmt: skip


G_NETTRACK = "Timestamp,CellID,DL_bitrate,UL_bitrate\n"
ROWS = "2019.12.16_13.40.04,11,72,20\n2019.12.16_13.40.05,11,0,6\n"


def test_archives_hold_many(tmp_path: Path) -> None:
    tar = tmp_path / "many.tar.gz"
    with tarfile.open(tar, "w:gz") as archive:
        for name in ("t/b", "t/a", "t/._b"):
            content = f"0 1\n1 {len(name)}\n".encode()
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    assert [trace.name for trace in load_seconds_mbit(tar)] == ["t/a", "t/b"]
    path = tmp_path / "many.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x/Download/one.csv", G_NETTRACK + ROWS)
        archive.writestr("x/Video/two.csv", G_NETTRACK + ROWS)
        archive.writestr("__MACOSX/x/Download/one.csv", "no")
        archive.writestr("x/Download/.one.csv", "no")
    (down,) = load_g_nettrack(path)
    assert down.rates_bps.tolist() == [72_000, 0]
    assert down.period_ns == 2 * 10**9
    assert len(load_g_nettrack(path, under="x/", column="UL_bitrate")) == 2
    with pytest.raises(ValueError, match=r"many.zip has no member with '/Upload/'"):
        load_g_nettrack(path, under="/Upload/")


@pytest.mark.parametrize(
    ("load", "text", "line"),
    [
        (load_mahimahi, "1\n2.5\n", 2),
        (load_mahimahi, "1\n\n3\n", 2),
        (load_mahimahi, "5\n4\n", 2),
        (load_mahimahi, "-5\n", 1),
        (load_seconds_mbit, "0 1\n1 2 3\n", 2),
        (load_seconds_mbit, "0 1\n0 2\n", 2),
        (load_seconds_mbit, "0 1\n1 -2\n", 2),
        (load_seconds_mbit, "0 1\n1 x\n", 2),
        (load_seconds_mbit, "0 1\ninf 1\n", 2),
        (load_g_nettrack, "Time,DL_bitrate\n", 1),
        (load_g_nettrack, G_NETTRACK + "2019.12.16_13.40.04,11,72\n", 2),
        (load_g_nettrack, G_NETTRACK + ROWS + "2019-12-16 13:40,11,72,20\n", 4),
        (load_g_nettrack, G_NETTRACK + ROWS + "2019.12.16_13.40.06,11,-,20\n", 4),
        (load_g_nettrack, G_NETTRACK + ROWS + "2019.12.16_13.40.06,11,-3,20\n", 4),
    ],
)
def test_a_malformed_line_is_named_with_its_file(
    tmp_path: Path, load: Callable[[Path], object], text: str, line: int
) -> None:
    path = tmp_path / "trace.log"
    path.write_text(text)
    with pytest.raises(ValueError, match=rf"trace.log, line {line}: .* is malformed; "):
        load(path)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (lambda: DeliveryChances([0, 0]), "no chances; give whole milliseconds"),
        (lambda: DeliveryChances([1.5]), "no chances; give whole milliseconds"),
        (lambda: RateTrace([0, 1], [0.0]), "all 0; nothing would ever arrive"),
        (lambda: RateTrace([0, 1], [1.0, 2.0]), "2 and 2 entries"),
        (lambda: RateTrace([0, 1, 1.0001], [1.0, 2.0]), "do not grow by a millisecond"),
        (lambda: RateTrace([0, 1], [-1.0]), "rates_bps = .*negative"),
        (lambda: RateTrace.constant(0.0), "rate_bps = 0.0 must be above 0"),
    ],
)
def test_bad_traces_are_refused(bad: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        bad()


def test_a_file_that_is_no_text_is_named(tmp_path: Path) -> None:
    path = tmp_path / "noise"
    path.write_bytes(b"\x1f\x8bnot really")
    with pytest.raises(ValueError, match=r"noise is no text file"):
        load_mahimahi(path)
    path.write_text("0\n0\n")
    with pytest.raises(ValueError, match=r"noise has no chance after 0 ms"):
        load_mahimahi(path)
