"""What a calendar knows of a device and of a message under way, and what one frame meets."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from channel_sim.calendar import Message
from channel_sim.family import Blocks
from channel_sim.lora.gateway import Frame
from channel_sim.lora.timing import down_air_ns, up_air_ns
from channel_sim.medium import Direction, Reason

if TYPE_CHECKING:
    from channel_sim.lora.family import Lorawan


@dataclass(slots=True, eq=False)
class Progress:
    """Frames of one message: the first ``done`` are through, the next was tried ``tries`` times.

    ``lost`` is the first loss that nobody repaired; ``received_ns`` when the
    gateway had them all; ``weak`` while no try was strong enough.
    """

    sizes: list[int]
    done: int = 0
    tries: int = 0
    lost: Reason | None = None
    received_ns: int | None = None
    weak: bool = True


@dataclass(slots=True, eq=False)
class Device:
    """One device; ``open_ns`` tells when each sub-band is its again.

    ``sf`` of its frames, ``next_sf`` that of its next message; ``busy`` from the
    start of a frame to the end of its windows; ``turn`` voids the wakes planned
    before.
    """

    name: str
    link: int
    loss_db: float
    sf: int
    next_sf: int
    open_ns: list[int]
    up: deque[Message] = field(default_factory=deque)
    down: deque[Message] = field(default_factory=deque)
    frame: Frame | None = None
    busy: bool = False
    turn: int = 0
    retry_ns: int = 0
    poll_ns: int = 0


class Air:
    """Lengths, sizes, fading and noise of single frames, remembered where they repeat."""

    def __init__(self, family: Lorawan, rng: np.random.Generator, blocks: Blocks | None) -> None:
        self._family, self._rng, self._blocks = family, rng, blocks
        self._air_ns: dict[tuple[int, int, Direction], int] = {}
        self._cuts: dict[tuple[int, int], list[int]] = {}

    def length_ns(self, phy_bytes: int, sf: int, direction: Direction) -> int:
        """Return the time on air of a frame."""
        key = (phy_bytes, sf, direction)
        if key not in self._air_ns:
            count = up_air_ns if direction == "up" else down_air_ns
            self._air_ns[key] = int(count(self._family, np.asarray(phy_bytes), np.asarray(sf)))
        return self._air_ns[key]

    def cut(self, size_bytes: int, sf: int) -> list[int]:
        """Return the application bytes of each frame of a message; see :meth:`Lorawan.cut`."""
        key = (size_bytes, sf)
        if key not in self._cuts:
            pieces = self._family.cut(size_bytes, sf)
            full = [int(pieces.full_bytes)] * (int(pieces.count) - 1)
            self._cuts[key] = [*full, int(pieces.last_bytes)]
        return self._cuts[key]

    def gain_db(self, link: int, now_ns: int) -> float:
        """Return the fading of a link now; a frame keeps what it begins with."""
        if self._blocks is None:
            return 0.0
        gain = self._blocks.gain(link, now_ns // self._blocks.coherence_ns)
        return 10 * math.log10(gain) if gain > 0 else -math.inf

    def is_noisy(self, rx_power_dbm: float, sf: int, phy_bytes: int) -> bool:
        """Tell whether noise spoils a frame above sensitivity."""
        if self._family.error_model == "threshold":
            return False
        survival = self._family.noise_survival(
            np.asarray(rx_power_dbm), np.asarray(sf), np.asarray(phy_bytes)
        )
        return self._rng.random() >= float(survival)
