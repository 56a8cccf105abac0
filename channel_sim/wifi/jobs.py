"""The packets of one message at its sender: what goes into the next frame, what is left after it.

Packets of a message are of full size but the last. A packet is sent up to the
retry limit. :class:`Single` sends one per access. :class:`Aggregate` sends as
many as fit, the oldest first; where none of several was acknowledged it asks
what came through with a block acknowledgement request (BAR) before it sends
data again, as ns-3.37 does (HtFrameExchangeManager::MissedBlockAck with the
default UseExplicitBarAfterMissedBlockAck).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from channel_sim.calendar import Message
from channel_sim.wifi.rules import Exchange


@dataclass(slots=True, eq=False, kw_only=True)
class Link:
    """One direction of one device: mode, mean SNR, and milliwatts at the receiver.

    ``number`` is its place among the links, for fading; ``row`` that of the
    error curve of a full frame.
    """

    number: int
    exchange: Exchange
    snr_db: float
    rx_mw: float
    reached: bool
    row: int


@dataclass(slots=True, eq=False)
class Single:
    """One packet per access. ``left`` packets, the first of them sent ``tries`` times."""

    message: Message
    link: Link
    row: int
    last_bytes: int
    full_bytes: int
    limit: int
    abort: bool
    left: int
    tries: int = 0
    lost: bool = False
    count: int = 1
    request: bool = False

    @property
    def done(self) -> bool:
        """Nothing is left to send."""
        return self.left == 0

    def compose(self) -> int:
        """Return the duration of the next frame."""
        size_bytes = self.last_bytes if self.left == 1 else self.full_bytes
        return self.link.exchange.mode.frame_ns(size_bytes)

    def heard(self, error: Callable[[int], float], uniform: Callable[[], float]) -> int:
        """The frame was detected; return how many of its packets arrived."""
        per = error(self.row if self.left == 1 else self.link.row)
        if per > 0 and uniform() < per:
            return 0
        self.left -= 1
        self.tries = 0
        return 1

    def missed(self) -> bool:
        """No answer came; return whether the window grows, or is reset for the next packet."""
        self.tries += 1
        if self.tries < self.limit:
            return True
        self.tries = 0
        self.lost = True
        self.left = 0 if self.abort else self.left - 1
        return False


@dataclass(slots=True, eq=False)
class Aggregate:
    """As many packets as fit per access, each counted by how often it was sent.

    ``fresh`` full packets were never sent, ``tried[k]`` were sent k times;
    ``last`` counts for the last packet, -1 when it is through. A packet is
    retried before a fresh one is sent, so all that were tried are in each
    aggregate, except where the link has become so slow that the newest have to
    wait. ``request``: the next frame is a BAR, of which ``requests`` in a
    row found no answer.
    """

    message: Message
    link: Link
    row: int
    last_bytes: int
    full_bytes: int
    limit: int
    abort: bool
    fresh: int
    tried: list[int]
    last: int = 0
    lost: bool = False
    count: int = 0
    request: bool = False
    requests: int = 0
    _new: int = 0
    _with_last: bool = False
    _held: list[int] | None = None

    @property
    def done(self) -> bool:
        """Nothing is left to send."""
        return (self.lost and self.abort) or (
            self.fresh == 0 and self.last < 0 and not any(self.tried)
        )

    def compose(self) -> int:
        """Choose what the next frame holds and return its duration."""
        exchange = self.link.exchange
        if self.request:
            self.count = 0
            return exchange.request_ns
        old = sum(self.tried)
        self._with_last = self.last > 0
        room = exchange.frames - old - self._with_last
        if room < 0:
            old, room = old + room, 0
            self._hold(old)
        self._new = min(self.fresh, room)
        self._with_last |= self.last == 0 and self._new == self.fresh and room > self._new
        full = old + self._new
        self.count = full + self._with_last
        return exchange.data_ns(((full, self.full_bytes), (int(self._with_last), self.last_bytes)))

    def heard(self, error: Callable[[int], float], uniform: Callable[[], float]) -> int:
        """The preamble was detected; return how many packets arrived (of a BAR: 1)."""
        if self.request:
            self.request = False
            return 1
        full_per, last_per = error(self.link.row), error(self.row)
        self.tried[0] = self._new
        failed = [_binomial(number, full_per, uniform) for number in self.tried]
        last_failed = self._with_last and last_per > 0 and uniform() < last_per
        arrived = self.count - sum(failed) - last_failed
        if arrived == 0:
            self.tried[0] = 0
            return 0
        self.fresh -= self._new
        self._age(failed, last_failed=last_failed)
        return arrived

    def missed(self) -> bool:
        """No answer came; return whether the window grows, or is reset for what is next."""
        if self.request:
            self.requests += 1
            if self.requests < self.limit:
                return True
            self.request = False
            self.lost = True
            self.tried = [0] * self.limit
            self.last = -1 if self.last > 0 else self.last
            return False
        self.fresh -= self._new
        self.tried[0] = self._new
        self._age(self.tried, last_failed=self._with_last)
        again = any(self.tried) or self.last > 0
        self.request = again and self.count > 1
        self.requests = 0
        return again

    def _hold(self, room: int) -> None:
        """Of those that were tried leave ``room`` in the aggregate, the oldest."""
        every, self.tried = self.tried, [0] * self.limit
        for tries in range(self.limit - 1, 0, -1):
            self.tried[tries] = min(every[tries], room)
            room -= self.tried[tries]
        self._held = [number - own for number, own in zip(every, self.tried, strict=True)]

    def _age(self, failed: list[int], *, last_failed: bool) -> None:
        """What failed was sent once more; at the limit it is lost."""
        if failed[-1]:
            self.lost = True
        self.tried = [0, *failed[:-1]]
        if self._held is not None:
            self.tried = [own + held for own, held in zip(self.tried, self._held, strict=True)]
            self._held = None
        if self._with_last:
            self.last = self.last + 1 if last_failed else -1
            if self.last >= self.limit:
                self.lost = True
                self.last = -1


def _binomial(number: int, probability: float, uniform: Callable[[], float]) -> int:
    if number == 0 or probability <= 0:
        return 0
    return sum(uniform() < probability for _ in range(number))
