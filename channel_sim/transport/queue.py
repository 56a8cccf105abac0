"""One server and a line before it: waiting at the broker."""

from __future__ import annotations

from collections import deque

import numpy as np
import numpy.typing as npt

from channel_sim.checks import check_count, check_not_negative


def departures_s(arrivals_s: npt.ArrayLike, services_s: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Return when each customer leaves a first-come first-served server.

    Lindley's recursion D_i = max(A_i, D_{i-1}) + S_i (1952), in one pass of
    cumulative sums and maxima. Shapes (n,), arrivals in time order. Raises
    ValueError for arrivals out of order and negative service times.
    """
    arrivals_s = np.asarray(arrivals_s, dtype=np.float64)
    services_s = np.broadcast_to(np.asarray(services_s, dtype=np.float64), arrivals_s.shape)
    check_not_negative("services_s", services_s)
    if np.any(np.diff(arrivals_s) < 0):
        raise ValueError("arrivals_s are not in time order; sort them first")
    work_s = np.cumsum(services_s)
    before_s = work_s - services_s
    return np.asarray(np.maximum.accumulate(arrivals_s - before_s) + work_s)


class Queue:
    """The same, one customer at a time; ``places`` in all, the one in service included.

    ``per_message_s`` and ``per_byte_s`` are the service time. Raises
    ValueError for negative times.
    """

    def __init__(
        self, *, per_message_s: float, per_byte_s: float = 0.0, places: int | None = None
    ) -> None:
        check_not_negative("per_message_s", per_message_s)
        check_not_negative("per_byte_s", per_byte_s)
        if places is not None:
            check_count("places", places)
        self._per_message_s, self._per_byte_s, self._places = per_message_s, per_byte_s, places
        self._inside: deque[float] = deque()
        self._last_s = 0.0

    def enter(self, now_s: float, size_bytes: int = 0) -> float | None:
        """Enter at ``now_s``; return when the customer leaves, None where there is no place.

        Raises ValueError for a time before that of the customer before.
        """
        if now_s < self._last_s:
            raise ValueError(f"now_s = {now_s!r} is before the last arrival, {self._last_s!r}")
        self._last_s = now_s
        while self._inside and self._inside[0] <= now_s:
            self._inside.popleft()
        if self._places is not None and len(self._inside) >= self._places:
            return None
        begins_s = self._inside[-1] if self._inside else now_s
        leaves_s = begins_s + self._per_message_s + self._per_byte_s * size_bytes
        self._inside.append(leaves_s)
        return leaves_s
