"""Delivery chances: the traces of mahimahi (Netravali et al., USENIX ATC 2015).

One line per chance, its millisecond from the beginning; several lines may
name the same one. A chance carries 1500 bytes of whatever waits then; one
that finds nothing waiting is lost. After the last line the trace begins anew
(link_queue.cc, commit 18915b6).
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from channel_sim.lines import malformed
from channel_sim.replay.capacity import BYTE_MILLIBITS, MILLISECOND_NS, Capacity, Counts
from channel_sim.replay.files import open_traces

CHANCE_BYTES = 1500
CHANCE_MILLIBITS = CHANCE_BYTES * BYTE_MILLIBITS


class DeliveryChances(Capacity):
    """Chances at ``times_ms``, whole milliseconds in order, the last above 0.

    A millisecond with at least one chance counts as one of carrying: a
    transmission time interval of LTE. Raises ValueError for other times.
    """

    def __init__(self, times_ms: npt.ArrayLike, *, name: str = "chances") -> None:
        times = np.asarray(times_ms)
        sound = times.ndim == 1 and len(times) and np.issubdtype(times.dtype, np.integer)
        if not (sound and times[0] >= 0 and times[-1] > 0 and np.all(np.diff(times) >= 0)):
            raise ValueError(
                f"times_ms of {name!r} are no chances; give whole milliseconds of 0 or more,"
                " in order, the last above 0"
            )
        self.name = name
        self._times_ns = times.astype(np.int64) * MILLISECOND_NS
        self._slots_ns = np.unique(self._times_ns)
        self.period_ns = int(self._times_ns[-1])
        self.period_millibits = len(times) * CHANCE_MILLIBITS
        self.period_busy_ns = len(self._slots_ns) * MILLISECOND_NS

    def _level(self, within_ns: Counts) -> Counts:
        return np.searchsorted(self._times_ns, within_ns, side="right") * CHANCE_MILLIBITS

    def _when_ns(self, within: Counts) -> Counts:
        return np.asarray(self._times_ns[(within - 1) // CHANCE_MILLIBITS])

    def _busy_ns(self, within_ns: Counts) -> Counts:
        return np.searchsorted(self._slots_ns, within_ns, side="right") * MILLISECOND_NS


def load_mahimahi(path: str | Path) -> tuple[DeliveryChances, ...]:
    """Read one trace, plain or gzipped, or all of an archive.

    Raises ValueError that names file and line for a line that is no whole
    number or is before the last one (empty lines too, as mahimahi does).
    """
    return tuple(
        DeliveryChances(_times_ms(name, lines), name=name) for name, lines in open_traces(path)
    )


def _times_ms(name: str, lines: Iterable[tuple[int, str]]) -> npt.NDArray[np.int64]:
    times: list[int] = []
    last = 0
    for number, text in lines:
        if not (text.isascii() and text.isdigit()):
            raise malformed(name, number, text, "give one whole number of milliseconds per line")
        time_ms = int(text)
        if time_ms < last:
            raise malformed(name, number, text, f"the line before says {last}; sort by time")
        times.append(time_ms)
        last = time_ms
    if not last:
        raise ValueError(f"{name} has no chance after 0 ms; a trace must last some time")
    return np.array(times, np.int64)
