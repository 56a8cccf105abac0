"""Files of measured delivery: 802.15.4 connectivity by channel, LoRa by gaps in a count."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
import numpy.typing as npt

from channel_sim.lines import malformed, read_lines, to_number
from channel_sim.replay.curve import DeliveryCurve
from channel_sim.replay.shares import DeliveryTrace

K7_HEADER = "datetime,src,dst,channel,mean_rssi,pdr,tx_count"
LORA_COLUMNS = ("Time", "id")


@dataclass(frozen=True, eq=False, kw_only=True)
class Connectivity:
    """Measured links, one row per link, channel and visit; columns of shape (rows,).

    ``time_s`` from the first row on; ``src``, ``dst`` and ``channel`` int64;
    ``rssi_dbm`` mean over the packets heard; ``share`` delivered. A visit in which
    nothing was heard left no row, so a link's mean is one of visits with something heard.
    """

    name: str
    time_s: npt.NDArray[np.float64]
    src: npt.NDArray[np.int64]
    dst: npt.NDArray[np.int64]
    channel: npt.NDArray[np.int64]
    rssi_dbm: npt.NDArray[np.float64]
    share: npt.NDArray[np.float64]

    def link(self, src: int, dst: int, *, channel: int | None = None) -> DeliveryTrace:
        """Return one link in time; a row holds until the next, the last for the median time.

        So does the 6TiSCH simulator. ``channel`` None takes all channels as they
        were visited one after the other. Raises ValueError for a link or
        channel without a row.
        """
        rows = (self.src == src) & (self.dst == dst)
        if channel is not None:
            rows &= self.channel == channel
        if not rows.any():
            raise ValueError(
                f"link {src} -> {dst}, channel {channel}: no row in {self.name}; name another"
            )
        return self._trace(np.flatnonzero(rows))

    def links(self) -> tuple[DeliveryTrace, ...]:
        """Return all directed links, each over all its channels, by source and destination."""
        order = np.lexsort((self.time_s, self.dst, self.src))
        ends = (np.diff(self.src[order]) != 0) | (np.diff(self.dst[order]) != 0)
        return tuple(self._trace(rows) for rows in np.split(order, np.flatnonzero(ends) + 1))

    def curve(self, *, bin_db: float = 5.0) -> DeliveryCurve:
        """Return the mean share by RSSI as a curve."""
        return DeliveryCurve.from_measured(self.rssi_dbm, self.share, bin_db=bin_db)

    def _trace(self, rows: npt.NDArray[np.int64]) -> DeliveryTrace:
        times_s = self.time_s[rows]
        # A link with a single row: any length says the same for ever.
        hold_s = float(np.median(np.diff(times_s))) if len(rows) > 1 else 1.0
        name = f"{self.name}: {self.src[rows[0]]} -> {self.dst[rows[0]]}"
        return DeliveryTrace(np.append(times_s, times_s[-1] + hold_s), self.share[rows], name=name)


def load_connectivity(path: str | Path) -> Connectivity:
    """Read a k7 file: a line of JSON, a header, then rows of CSV in order of time.

    The format of the 6TiSCH simulator's traces (Brun-Laguna et al.). Raises
    ValueError that names file and line for anything else.
    """
    rows = list(_k7_rows(path))
    if not rows:
        raise ValueError(f"{path} holds no links; give rows of {K7_HEADER}")
    times, src, dst, channel, rssi_dbm, share = zip(*rows, strict=True)
    return Connectivity(
        name=Path(path).name,
        time_s=np.array([(time - times[0]).total_seconds() for time in times]),
        src=np.array(src, np.int64),
        dst=np.array(dst, np.int64),
        channel=np.array(channel, np.int64),
        rssi_dbm=np.array(rssi_dbm),
        share=np.array(share),
    )


def _k7_rows(path: str | Path) -> Iterator[tuple[datetime, int, int, int, float, float]]:
    last = datetime.min  # noqa: DTZ901 - the file's times are local
    for number, text in read_lines(path):
        if number == 1:
            try:
                json.loads(text)
            except ValueError:
                raise malformed(path, number, text, "begin with a line of JSON") from None
            continue
        if number == 2:  # noqa: PLR2004
            if text != K7_HEADER:
                raise malformed(path, number, text, f"give {K7_HEADER}")
            continue
        try:
            when, src, dst, channel, rssi_dbm, share, _ = text.split(",")
            time = datetime.fromisoformat(when.removesuffix(".0"))
            row = (time, int(src), int(dst), int(channel), float(rssi_dbm), float(share))
        except ValueError:
            raise malformed(path, number, text, f"give {K7_HEADER}") from None
        if not (0 <= row[-1] <= 1 and np.isfinite(row[-2]) and time >= last):
            remedy = "give pdr in 0 to 1, finite mean_rssi, times in order"
            raise malformed(path, number, text, remedy)
        last = time
        yield row


def load_lora_campus(path: str | Path, *, interval_s: float = 8.0) -> DeliveryTrace:
    """Read a CSV of received LoRa frames; what lacks in the count ``id`` was lost.

    Share 1 or 0 for each frame sent, from the first id received to the last,
    one every ``interval_s`` (8 s in the campus set of Oliveira et al.); pauses
    of the sender are left out. Raises ValueError that names file and line
    for a header without Time and id and for an id that is no count or goes back.
    """
    ids: list[int] = []
    column = width = -1
    for number, text in read_lines(path):
        parts = text.split(",")
        if number == 1:
            if not set(LORA_COLUMNS) <= set(parts):
                raise malformed(path, number, text, f"begin with {' and '.join(LORA_COLUMNS)}")
            column, width = parts.index("id"), len(parts)
            continue
        remedy = f"give {width} fields, id a whole number that does not go back"
        if len(parts) != width:
            raise malformed(path, number, text, remedy)
        frame = to_number(path, number, parts[column], remedy)
        if frame != int(frame) or frame < (ids[-1] if ids else 0):
            raise malformed(path, number, text, remedy)
        ids.append(int(frame))
    if not ids:
        raise ValueError(f"{path} holds no frame; give one line per frame received")
    shares = np.zeros(ids[-1] - ids[0] + 1)
    shares[np.array(ids) - ids[0]] = 1.0
    times_s = interval_s * np.arange(len(shares) + 1)
    return DeliveryTrace(times_s, shares, name=Path(path).name)
