"""Files of recorded phones: when each was idle, charging and on Wi-Fi.

Two layouts of the FLASH study (Yang et al. 2021), JSON, plain or gzipped:
``cached_timers.json``, phone -> {isSuccess, trace_start, trace_end,
ready_time: [[from, to], ...]}, and ``ready_strict.json``, phone -> [[from,
to], ...]; seconds.
"""

from __future__ import annotations

import gzip
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from channel_sim.availability.diurnal import DAY_S
from channel_sim.availability.trace import TraceOnOff
from channel_sim.checks import check_positive
from channel_sim.lines import GZIP_MAGIC

Intervals: TypeAlias = list[tuple[float, float]]


@dataclass(frozen=True, kw_only=True)
class Phones:
    """Traces by phone, and what the file held besides.

    ``without_trace`` phones are named without a recording, ``impossible``
    ones hold a time before their recording began; neither is in ``traces``.
    Of the ``intervals`` read for the others, ``zero_length`` and ``reversed``
    ones (end before beginning) are left out. A phone that was never ready is
    kept: its trace is always down.
    """

    traces: dict[str, TraceOnOff]
    without_trace: int
    impossible: int
    intervals: int
    zero_length: int
    reversed: int


def load_phones(path: str | Path, *, period_s: float | None = None) -> Phones:
    """Read either layout; time 0 of a trace is the beginning of its recording.

    A trace repeats after its own length. ``ready_strict.json`` has no
    lengths: there all repeat after ``period_s``, by default the last end in
    the file rounded up to whole days, which keeps the hours of the day.
    Raises ValueError that names file and phone for anything else.
    """
    if period_s is not None:
        check_positive("period_s", period_s)
    spans, without_trace = _spans(path, _read(path), period_s)
    traces, impossible, intervals, zero_length, backward = {}, 0, 0, 0, 0
    for phone, (ready_s, length_s) in spans.items():
        if any(from_s < 0 for from_s, _ in ready_s):
            impossible += 1
            continue
        intervals += len(ready_s)
        zero_length += sum(from_s == to_s for from_s, to_s in ready_s)
        backward += sum(from_s > to_s for from_s, to_s in ready_s)
        kept_s = [(from_s, to_s) for from_s, to_s in ready_s if not from_s >= to_s]
        traces[phone] = _trace(path, phone, kept_s, length_s)
    return Phones(
        traces=traces,
        without_trace=without_trace,
        impossible=impossible,
        intervals=intervals,
        zero_length=zero_length,
        reversed=backward,
    )


def _trace(path: str | Path, phone: str, ready_s: Intervals, length_s: float) -> TraceOnOff:
    try:
        return TraceOnOff(ready_s, length_s)
    except ValueError as error:
        raise ValueError(f"{path}, phone {phone!r}: {error}") from None


def _spans(
    path: str | Path, phones: dict[str, Any], period_s: float | None
) -> tuple[dict[str, tuple[Intervals, float]], int]:
    """Ready times and length of each phone's trace, from the beginning of its recording."""
    lists: dict[str, Intervals] = {}
    lengths_s: dict[str, float] = {}
    without_trace = 0
    for phone, entry in phones.items():
        if isinstance(entry, dict) and not entry.get("isSuccess", True):
            without_trace += 1
            continue
        lists[phone], length_s = _entry(path, phone, entry)
        if length_s is not None:
            lengths_s[phone] = length_s
    if period_s is None:
        ends_s = [to_s for spans in lists.values() for _, to_s in spans if math.isfinite(to_s)]
        period_s = DAY_S * max(math.ceil(max(ends_s, default=0.0) / DAY_S), 1)
    return {
        phone: (ready_s, lengths_s.get(phone, period_s)) for phone, ready_s in lists.items()
    }, without_trace


def _entry(path: str | Path, phone: str, entry: Any) -> tuple[Intervals, float | None]:
    """Ready times of one phone from the beginning of its recording, and its length if told."""
    try:
        if isinstance(entry, list):
            return [(float(from_s), float(to_s)) for from_s, to_s in entry], None
        begin_s, end_s = float(entry["trace_start"]), float(entry["trace_end"])
        return [(a - begin_s, b - begin_s) for a, b in entry["ready_time"]], end_s - begin_s
    except (KeyError, TypeError, ValueError):
        raise ValueError(
            f"{path}, phone {phone!r}: no trace; give isSuccess, trace_start, trace_end and"
            " ready_time, or a list of [from, to] in seconds"
        ) from None


def _read(path: str | Path) -> dict[str, Any]:
    raw = Path(path).read_bytes()
    try:
        phones = json.loads(gzip.decompress(raw) if raw.startswith(GZIP_MAGIC) else raw)
    except (ValueError, EOFError, OSError) as error:
        raise ValueError(f"{path} is no JSON ({error}); give a file of phones") from None
    if not isinstance(phones, dict):
        raise ValueError(f"{path} holds no object; give a JSON object of phones")  # noqa: TRY004
    return phones
