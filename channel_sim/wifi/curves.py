"""Packet error rates on a fine grid of SNR, so that an engine looks up and does not compute."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt

from channel_sim.reception.wifi_error import WifiModel, wifi_per

LOW_DB = -10.0
HIGH_DB = 50.0
STEPS_PER_DB = 20
"""Steps of 0.05 dB, linear in between: within 0.001 of the curve itself."""
POINTS = round((HIGH_DB - LOW_DB) * STEPS_PER_DB) + 1


@lru_cache(maxsize=1024)
def _table(model: WifiModel, mode: str, size_bytes: int) -> npt.NDArray[np.float32]:
    grid_db = LOW_DB + np.arange(POINTS) / STEPS_PER_DB
    table = wifi_per(mode, grid_db, size_bytes, model=model).astype(np.float32)
    table.flags.writeable = False
    return table


@lru_cache(maxsize=256)
def _points(model: WifiModel, mode: str, size_bytes: int) -> list[float]:
    """The same for the interpreter, which reads lists faster than arrays."""
    return [float(value) for value in _table(model, mode, size_bytes)]


class Curves:
    """Error rates of pairs of mode and size under one error model; a row per pair."""

    def __init__(self, model: WifiModel) -> None:
        self._model = model
        self._rows: dict[tuple[str, int], int] = {}
        self._tables: list[npt.NDArray[np.float32]] = []
        self._lists: list[list[float]] = []
        self._stacked = np.zeros((0, POINTS), dtype=np.float32)

    def row(self, mode: str, size_bytes: int) -> int:
        """Return the row of a frame of ``size_bytes`` in ``mode``; made when first asked for."""
        key = (mode, size_bytes)
        if key not in self._rows:
            self._rows[key] = len(self._tables)
            self._tables.append(_table(self._model, mode, size_bytes))
        return self._rows[key]

    def one(self, row: int, snr_db: float) -> float:
        """Error rate at one SNR."""
        while len(self._lists) <= row:
            key = list(self._rows)[len(self._lists)]
            self._lists.append(_points(self._model, *key))
        place = (snr_db - LOW_DB) * STEPS_PER_DB
        if place <= 0:
            return 1.0 if place < 0 else self._lists[row][0]
        if place >= POINTS - 1:
            return 0.0 if place > POINTS - 1 else self._lists[row][-1]
        below = int(place)
        table = self._lists[row]
        return table[below] + (place - below) * (table[below + 1] - table[below])

    def many(
        self, rows: npt.NDArray[np.int64], snr_db: npt.NDArray[np.float64]
    ) -> npt.NDArray[np.float64]:
        """Error rates of many frames, as :meth:`one`."""
        if len(self._stacked) < len(self._tables):
            self._stacked = np.stack(self._tables)
        place = (snr_db - LOW_DB) * STEPS_PER_DB
        inside = np.clip(place, 0, POINTS - 1)
        below = np.minimum(inside.astype(np.int64), POINTS - 2)
        low = self._stacked[rows, below].astype(np.float64)
        high = self._stacked[rows, below + 1].astype(np.float64)
        found = low + (inside - below) * (high - low)
        found[place < 0] = 1.0
        found[place > POINTS - 1] = 0.0
        return np.asarray(found)
