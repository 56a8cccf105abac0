"""Recorded positions, straight from one to the next."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from channel_sim.lines import malformed, read_lines, to_number
from channel_sim.places.area import Positions
from channel_sim.places.mobility import Clock

HEADER = "time_s,name,x_m,y_m"


class TraceMobility:
    """Devices that follow recorded points, by linear interpolation.

    ``points`` are rows of time in seconds, x and y in metres, shape (m, 3),
    by device; times increase. Before its first point and after its last a
    device stands there. The devices are in the order of the mapping. Raises
    ValueError for no device and for points of another shape, not finite or
    not in order.
    """

    def __init__(self, points: Mapping[str, npt.ArrayLike]) -> None:
        self.names = tuple(points)
        if not self.names:
            raise ValueError("points = {} has no device; give points of at least one")
        tables = [_checked(name, rows) for name, rows in points.items()]
        counts = np.array([len(table) for table in tables])
        joined = np.concatenate(tables)
        self._time_s, self._at_m = joined[:, 0], joined[:, 1:]
        self._last = np.cumsum(counts) - 1
        self._row = self._last - counts + 1
        """By device, the last row that has been reached (the first, before it is)."""
        self._clock = Clock()

    def positions_m(self, t_s: float) -> Positions:
        """Return places at ``t_s``, shape (n, 2); see :class:`channel_sim.places.Mobility`."""
        self._clock.advance(t_s)
        row, last = self._row, self._last
        behind = np.flatnonzero(row < last)
        while len(behind):
            behind = behind[self._time_s[row[behind] + 1] <= t_s]
            row[behind] += 1
            behind = behind[row[behind] < last[behind]]
        following = np.minimum(row + 1, last)
        length_s = self._time_s[following] - self._time_s[row]
        done = np.clip(t_s - self._time_s[row], 0.0, length_s) / np.where(length_s, length_s, 1.0)
        from_m, to_m = self._at_m[row], self._at_m[following]
        return np.asarray(from_m + done[:, np.newaxis] * (to_m - from_m))


def load_mobility(path: str | Path, names: Iterable[str] | None = None) -> TraceMobility:
    """Read a CSV file whose first line is ``time_s,name,x_m,y_m``; times of a name increase.

    ``names`` picks devices and their order; None takes all, as they first
    appear. Raises ValueError that names file and line for a malformed line,
    and that names a device which the file lacks.
    """
    points: dict[str, list[tuple[float, float, float]]] = {}
    for number, text in read_lines(path):
        if number == 1:
            if text != HEADER:
                raise malformed(path, number, text, f"begin with {HEADER}")
            continue
        if not text.strip():
            continue
        parts = [part.strip() for part in text.split(",")]
        remedy = f"give {HEADER}, numbers finite"
        if len(parts) != HEADER.count(",") + 1 or not parts[1]:
            raise malformed(path, number, text, remedy)
        time_s, x_m, y_m = (
            to_number(path, number, part, remedy) for part in (parts[0], *parts[2:])
        )
        rows = points.setdefault(parts[1], [])
        if rows and rows[-1][0] >= time_s:
            raise malformed(path, number, text, f"{parts[1]!r} was there later; sort by time")
        rows.append((time_s, x_m, y_m))
    wanted = tuple(points) if names is None else tuple(names)
    lacking = [name for name in wanted if name not in points]
    if lacking or not wanted:
        raise ValueError(f"{path} has no positions of {lacking}; it has {', '.join(points)}")
    return TraceMobility({name: points[name] for name in wanted})


def _checked(name: str, rows: npt.ArrayLike) -> npt.NDArray[np.float64]:
    table = np.asarray(rows, np.float64)
    shaped = table.ndim == 2 and table.shape[1:] == (3,) and len(table)  # noqa: PLR2004
    if not (shaped and np.all(np.isfinite(table)) and np.all(np.diff(table[:, 0]) > 0)):
        raise ValueError(
            f"points of {name!r} are no track; give finite rows (time, x, y), times increasing"
        )
    return table
