"""What the rounds ask of who drives them, in the order in which it must be done."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

Verdict: TypeAlias = Literal["accepted", "late", "refused"]
Entry: TypeAlias = tuple[str, int, str, bytes]
"""A journal entry: what, round, device, data. See ``Rounds._replay``."""


@dataclass(frozen=True)
class Record:
    """Make ``entry`` durable before going on."""

    entry: Entry


@dataclass(frozen=True)
class Announce:
    """Tell ``devices`` of round ``round`` and what they need to compute it.

    Of the open round; in buffered rounds perhaps of an older one that these
    devices were asked for and that still counts, so that they go on with it.
    """

    round: int
    devices: tuple[str, ...]
    reminder: bool = False


@dataclass(frozen=True)
class Receipt:
    """Answer a device's contribution."""

    device: str
    round: int
    verdict: Verdict
    reason: str = ""


@dataclass(frozen=True)
class TurnAway:
    """Tell one incarnation of a device that it is not welcome, and why."""

    device: str
    instance: bytes
    session: int
    reason: str


@dataclass(frozen=True)
class Fuse:
    """Fuse these contributions, in the order of names, then call ``Rounds.fused``.

    ``staleness`` tells by how many rounds each was behind when it was accepted:
    the contribution of a device is to round ``round - staleness[device]``.
    Empty unless the rounds are buffered.
    """

    round: int
    contributions: Mapping[str, bytes]
    staleness: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Close:
    """A round that opened at ``opened_s`` has ended; ``failed`` where its quorum was missed.

    ``staleness`` as in :class:`Fuse`.
    """

    round: int
    failed: bool
    accepted: tuple[str, ...]
    participants: tuple[str, ...]
    opened_s: float
    staleness: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Finish:
    """All rounds are over; tell ``devices`` (all of them: an empty tuple)."""

    devices: tuple[str, ...] = ()


Action: TypeAlias = Record | Announce | Receipt | TurnAway | Fuse | Close | Finish
