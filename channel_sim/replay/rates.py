"""Rates in time: ``seconds Mbit/s`` files and the drive tests of G-NetTrack."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from pathlib import Path

import numpy as np
import numpy.typing as npt

from channel_sim.checks import check_finite, check_not_negative, check_positive
from channel_sim.lines import malformed, to_number
from channel_sim.replay.capacity import MILLISECOND_NS, Capacity, Counts
from channel_sim.replay.files import open_traces

FIELDS = 2
TIMESTAMP = "Timestamp"
TIME_FORMAT = "%Y.%m.%d_%H.%M.%S"


class RateTrace(Capacity):
    """A rate that is constant between times.

    ``rates_bps[i]`` holds from ``times_s[i]`` to ``times_s[i + 1]``; there is
    one more time than rates and the first is the beginning. Times are rounded
    to whole milliseconds and rates to whole bit/s. Raises ValueError for
    times not in order or closer than a millisecond, a negative rate, and rates
    that are all 0.
    """

    def __init__(
        self, times_s: npt.ArrayLike, rates_bps: npt.ArrayLike, *, name: str = "rates"
    ) -> None:
        times, rates = np.atleast_1d(np.asarray(times_s)), np.atleast_1d(np.asarray(rates_bps))
        if len(times) != len(rates) + 1 or not len(rates):
            raise ValueError(
                f"times_s and rates_bps of {name!r} have {len(times)} and {len(rates)} entries;"
                " give at least one rate and one more time than rates"
            )
        check_finite("times_s", times)
        check_not_negative("rates_bps", rates)
        times_ms = np.rint((times - times[0]) * 1000).astype(np.int64)
        lengths_ms = np.diff(times_ms)
        if np.any(lengths_ms < 1):
            raise ValueError(
                f"times_s of {name!r} do not grow by a millisecond each; sort them, join doubles"
            )
        self.name = name
        self.rates_bps = np.rint(rates).astype(np.int64)
        """Whole bit/s between one time and the next, int64."""
        self._times_ns = times_ms * MILLISECOND_NS
        carries = self.rates_bps > 0
        # bit/s times milliseconds are millibits.
        self._levels = np.concatenate(([0], np.cumsum(self.rates_bps * lengths_ms)))
        self._busy = np.concatenate(([0], np.cumsum(carries * lengths_ms * MILLISECOND_NS)))
        self.period_ns = int(self._times_ns[-1])
        self.period_millibits = int(self._levels[-1])
        self.period_busy_ns = int(self._busy[-1])
        if not self.period_millibits:
            raise ValueError(f"rates_bps of {name!r} are all 0; nothing would ever arrive")

    @classmethod
    def constant(cls, rate_bps: float, *, name: str = "constant") -> RateTrace:
        """Return the trace of one rate."""
        check_positive("rate_bps", rate_bps)
        return cls([0.0, 1.0], [rate_bps], name=name)

    def _piece(self, within_ns: Counts) -> Counts:
        return np.searchsorted(self._times_ns, within_ns, side="right") - 1

    def _level(self, within_ns: Counts) -> Counts:
        piece = self._piece(within_ns)
        rate = self.rates_bps[piece]
        # In two parts: a rate times nanoseconds would not fit 64 bits.
        whole_ms, rest_ns = np.divmod(within_ns - self._times_ns[piece], MILLISECOND_NS)
        return np.asarray(self._levels[piece] + rate * whole_ms + rate * rest_ns // MILLISECOND_NS)

    def _when_ns(self, within: Counts) -> Counts:
        piece = np.searchsorted(self._levels, within, side="left") - 1
        rate = self.rates_bps[piece]  # above 0, since the count grows here
        whole_ms, rest = np.divmod(within - self._levels[piece], rate)
        rest_ns = -(-rest * MILLISECOND_NS // rate)
        return np.asarray(self._times_ns[piece] + whole_ms * MILLISECOND_NS + rest_ns)

    def _busy_ns(self, within_ns: Counts) -> Counts:
        piece = self._piece(within_ns)
        here_ns = (within_ns - self._times_ns[piece]) * (self.rates_bps[piece] > 0)
        return np.asarray(self._busy[piece] + here_ns)


def load_seconds_mbit(path: str | Path) -> tuple[RateTrace, ...]:
    """Read files of ``seconds Mbit/s`` lines: one, or all of an archive.

    The rate of a line holds since the line before, as Pensieve's simulator
    reads them (fixed_env.py, commit a49b2ac) and as the 3G logs of Riiser et
    al. were taken (bytes since the last line); that of the first line is used
    by neither. Raises ValueError that names file and line.
    """
    return tuple(_seconds_mbit(name, lines) for name, lines in open_traces(path))


def _seconds_mbit(name: str, lines: Iterable[tuple[int, str]]) -> RateTrace:
    remedy = "give seconds, above those of the line before, and Mbit/s of 0 or more"
    times_s: list[float] = []
    rates_bps: list[float] = []
    for number, text in lines:
        parts = text.split()
        if len(parts) != FIELDS:
            raise malformed(name, number, text, remedy)
        time_s, rate_mbps = (to_number(name, number, part, remedy) for part in parts)
        if rate_mbps < 0 or (times_s and time_s - times_s[-1] < 1e-3):  # noqa: PLR2004
            raise malformed(name, number, text, remedy)
        times_s.append(time_s)
        rates_bps.append(rate_mbps * 1e6)
    return RateTrace(times_s, rates_bps[1:], name=name)


def load_g_nettrack(
    path: str | Path, *, under: str = "/Download/", column: str = "DL_bitrate"
) -> tuple[RateTrace, ...]:
    """Read CSV logs of G-NetTrack: one, or those of an archive whose path has ``under``.

    The layout of the 5G set of Raca et al. (MMSys 2020): ``Timestamp`` in
    whole seconds, rates in kbit/s, one sample a second. The clock stands
    still or skips a second at times; the samples are taken as one second
    each, so that the mean rate is that of the samples. Raises ValueError that names
    file and line.
    """
    return tuple(
        _g_nettrack(name, lines, column)
        for name, lines in open_traces(path, under=under, ending=".csv")
    )


def _g_nettrack(name: str, lines: Iterable[tuple[int, str]], column: str) -> RateTrace:
    header: list[str] = []
    rates_bps: list[float] = []
    for number, text in lines:
        parts = text.split(",")
        if not header:
            if TIMESTAMP not in parts or column not in parts:
                raise malformed(name, number, text, f"begin with {TIMESTAMP} and {column}")
            header, time_at, rate_at = parts, parts.index(TIMESTAMP), parts.index(column)
            continue
        if len(parts) != len(header) or not _is_time(parts[time_at]):
            remedy = f"give {len(header)} fields, the time as in 2019.12.16_13.40.04"
            raise malformed(name, number, text, remedy)
        rate_kbps = to_number(name, number, parts[rate_at], f"give {column} in kbit/s")
        if rate_kbps < 0:
            raise malformed(name, number, text, f"give {column} of 0 or more")
        rates_bps.append(rate_kbps * 1e3)
    return RateTrace(np.arange(len(rates_bps) + 1), rates_bps, name=name)


def _is_time(text: str) -> bool:
    try:
        datetime.strptime(text, TIME_FORMAT)  # noqa: DTZ007 - only its form matters
    except ValueError:
        return False
    return True
