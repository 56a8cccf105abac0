"""Messages larger than a frame: how they are cut, and how long the law makes them take.

LoRaWAN carries no IP packets and cuts nothing itself. A message above one
frame goes as fragments of LoRaWAN TS004 (fragmented data block transport),
as remembered: 3 bytes in each frame (command 1, index and session 2), at most
2^14 - 1 of them, without its parity fragments.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FRAGMENT_HEADER_BYTES = 3
MAX_FRAGMENTS = 2**14 - 1

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Cut:
    """``count`` frames per message, ``full_bytes`` application bytes in all but the last."""

    count: Ints
    full_bytes: Ints
    last_bytes: Ints


def cut(size_bytes: npt.ArrayLike, frame_bytes: npt.ArrayLike) -> Cut:
    """Cut messages into frames that hold ``frame_bytes`` each; arrays of the broadcast shape.

    A message that fits goes without a fragment header.
    """
    size, room = np.broadcast_arrays(
        np.asarray(size_bytes, dtype=np.int64), np.asarray(frame_bytes, dtype=np.int64)
    )
    whole = size <= room
    piece = room - FRAGMENT_HEADER_BYTES
    count = np.where(whole, 1, -(-size // piece))
    last = np.where(whole, size, size - (count - 1) * piece + FRAGMENT_HEADER_BYTES)
    return Cut(count, np.where(whole, size, room), last)


def alone_starts_ns(
    frame: npt.ArrayLike, full_air_ns: npt.ArrayLike, gap_ns: npt.ArrayLike, duties: Sequence[float]
) -> Ints:
    """Return when the frames of one message start on an empty medium, from its first frame on.

    ``frame`` counts from 0; ``gap_ns`` from start to start is what the class
    asks for (air and receive windows). Sub-bands take turns: each is open
    again air / duty cycle after a start. Exact for equal duty cycles; for
    unequal ones their mean, which is exact in the long run.
    """
    number = np.asarray(frame, dtype=np.int64)
    bands = len(duties)
    mean = sum(duties) / bands
    cycle = np.rint(np.asarray(full_air_ns, dtype=np.int64) / mean).astype(np.int64)
    gap = np.asarray(gap_ns, dtype=np.int64)
    turn = np.maximum(cycle, bands * gap)
    return np.asarray(number // bands * turn + number % bands * gap)
