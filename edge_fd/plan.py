"""What the rounds of a run are to be: who is asked, and when a round ends."""

from __future__ import annotations

import math
from dataclasses import dataclass

from edge_fd.streams import stream


@dataclass(frozen=True)
class Plan:
    """What the rounds of a run are to be.

    ``quorum`` is the least number of contributions with which a round counts.
    A round ends when every participant has answered, when those missing are
    known to be gone and the quorum is met, or ``deadline_s`` after it opened.
    ``participation`` is the share of devices asked in each round. The first
    round opens when all devices are there or ``join_s`` after the start.
    Participants that are silent are reminded after ``remind_s``, then twice
    that, and so on.

    ``buffer`` above 0 makes the rounds asynchronous: the schedule of FedBuff
    (Nguyen et al., AISTATS 2022, algorithm 1), with at most one contribution
    of a device in a buffer. Round n is then a buffer, which also ends once it
    holds ``buffer`` contributions (or more, if they came while the one before
    was being fused). A device that computes an older round is left to it; what
    it brings counts in the buffer that is open then, if it is at most
    ``max_staleness`` rounds behind. Wants ``participation`` 1 and ``quorum <=
    buffer <= len(devices)``. With ``buffer`` 0 ``max_staleness`` means nothing.
    """

    devices: tuple[str, ...]
    rounds: int
    quorum: int
    deadline_s: float
    seed: int = 0
    participation: float = 1.0
    join_s: float = 60.0
    remind_s: float = 30.0
    buffer: int = 0
    max_staleness: int = 0

    def participants(self, number: int) -> tuple[str, ...]:
        """Return who is asked in round ``number``, in the order of names."""
        names = sorted(self.devices)
        count = max(1, math.ceil(self.participation * len(names) - 1e-9))
        if count >= len(names):
            return tuple(names)
        rng = stream(self.seed, "participants", number)
        return tuple(sorted(rng.choice(names, count, replace=False).tolist()))

    @property
    def reach(self) -> int:
        """How many rounds a contribution may be behind the one in which it counts."""
        return self.max_staleness if self.buffer else 0
