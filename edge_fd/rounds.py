"""The aggregator's rounds as a state machine without clock, socket or arrays.

It is told what arrived and when (``now_s``, any monotonic clock) and returns
actions in the order in which they must be carried out. A :class:`Record` must
be on disk before the actions behind it are begun; that is what makes a receipt
a promise. Contributions are opaque bytes.

    waiting ──all here, or join_s over──► open ──all answered, or deadline──► fusing ─┐
                                           ▲  └──quorum missed: failed──┐             │
                                           └────────────────────────────┴──fused()────┘
                                                            last round: finished

What holds under any interleaving of loss, duplication, reordering and restart:
a contribution (round, device) counts at most once; an accepted one is never
lost; every round ends; a closed round never changes.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from edge_fd.streams import stream

Status: TypeAlias = Literal["waiting", "open", "fusing", "finished"]
Verdict: TypeAlias = Literal["accepted", "late", "refused"]
Entry: TypeAlias = tuple[str, int, str, bytes]
"""A journal entry: what, round, device, data. See :meth:`Rounds._replay`."""


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
    """

    devices: tuple[str, ...]
    rounds: int
    quorum: int
    deadline_s: float
    seed: int = 0
    participation: float = 1.0
    join_s: float = 60.0
    remind_s: float = 30.0

    def participants(self, number: int) -> tuple[str, ...]:
        """Return who is asked in round ``number``, in the order of names."""
        names = sorted(self.devices)
        count = max(1, math.ceil(self.participation * len(names) - 1e-9))
        if count >= len(names):
            return tuple(names)
        rng = stream(self.seed, "participants", number)
        return tuple(sorted(rng.choice(names, count, replace=False).tolist()))


@dataclass(frozen=True)
class Record:
    """Make ``entry`` durable before going on."""

    entry: Entry


@dataclass(frozen=True)
class Announce:
    """Tell ``devices`` of the open round and what they need to compute it."""

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
    """Fuse these contributions, in the order of names, then call :meth:`Rounds.fused`."""

    round: int
    contributions: Mapping[str, bytes]


@dataclass(frozen=True)
class Close:
    """A round that opened at ``opened_s`` has ended; ``failed`` where its quorum was missed."""

    round: int
    failed: bool
    accepted: tuple[str, ...]
    participants: tuple[str, ...]
    opened_s: float


@dataclass(frozen=True)
class Finish:
    """All rounds are over; tell ``devices`` (all of them: an empty tuple)."""

    devices: tuple[str, ...] = ()


Action: TypeAlias = Record | Announce | Receipt | TurnAway | Fuse | Close | Finish


@dataclass
class _Member:
    instance: bytes
    session: int
    alive: bool | None
    """None: not heard of since this aggregator started."""


@dataclass
class _Open:
    number: int
    participants: tuple[str, ...]
    opened_s: float = -math.inf
    deadline_s: float = math.inf
    remind_s: float = math.inf
    remind_wait_s: float = math.inf
    contributions: dict[str, bytes] = field(default_factory=dict)

    @property
    def missing(self) -> tuple[str, ...]:
        return tuple(name for name in self.participants if name not in self.contributions)


class Rounds:
    """The rounds of one run; ``history`` holds the entries of an earlier life."""

    def __init__(self, plan: Plan, history: Iterable[Entry] = ()) -> None:
        self.plan = plan
        self.status: Status = "waiting"
        self.after = 0
        """Number of the last round that was fused: which knowledge is current."""
        self._open = _Open(0, ())
        self._join_by_s = math.inf
        self._members: dict[str, _Member] = {}
        self._accepted: dict[int, frozenset[str]] = {}
        for entry in history:
            self._replay(entry)

    @property
    def number(self) -> int:
        """Number of the round that is open or was last open; 0 before the first."""
        return self._open.number

    def remaining_s(self, now_s: float) -> float:
        """Seconds to the deadline of the open round."""
        return self._open.deadline_s - now_s

    @property
    def alive(self) -> tuple[str, ...]:
        """Devices that are here, as far as is known."""
        return tuple(name for name, member in sorted(self._members.items()) if member.alive)

    @property
    def next_tick_s(self) -> float:
        """When :meth:`tick` has something to do; infinite where it has not."""
        if self.status == "waiting":
            return self._join_by_s
        if self.status == "open":
            return min(self._open.deadline_s, self._open.remind_s)
        return math.inf

    def start(self, now_s: float) -> list[Action]:
        """Begin, or take up where the history ends. A deadline starts anew.

        The close of a round that was not gone on from is told again: the earlier
        life may have ended before anybody wrote it down.
        """
        if self.status == "waiting" and self.number:
            failed = self.after < self.number
            self._open.opened_s = now_s
            told = [self._close_of(failed=True)] if failed else []
            return [*told, *self._next(now_s)]
        if self.status == "waiting":
            self._join_by_s = now_s + self.plan.join_s
            return []
        if self.status == "open":
            self._set_clock(now_s)
            if not self._open.missing:
                return self._close(now_s)
            return [Announce(self.number, self._open.missing)]
        if self.status == "fusing":
            self._open.opened_s = now_s
            return [self._close_of(failed=False), self._fuse()]
        return [Finish()]

    def birth(self, name: str, instance: bytes, session: int, now_s: float) -> list[Action]:
        """A device says that it is here: ``instance`` is its state folder, ``session`` its start.

        The same instance with a higher session is a restart. A lower session
        is a copy of the state folder; another instance while the first one is
        alive is a name taken twice. Both are turned away.
        """
        member = self._members.get(name)
        reason = self._objection(name, instance, session)
        if reason:
            return [TurnAway(name, instance, session, reason)]
        actions: list[Action] = []
        if member is None or (member.instance, member.session) != (instance, session):
            actions.append(Record(("member", session, name, instance)))
        self._members[name] = _Member(instance, session, alive=True)
        if self.status == "waiting":
            actions += self._maybe_begin(now_s)
        elif self.status == "open" and name in self._open.missing:
            actions.append(Announce(self.number, (name,)))
        elif self.status == "finished":
            actions.append(Finish((name,)))
        return actions

    def death(self, name: str, instance: bytes, session: int, now_s: float) -> list[Action]:
        """A device is gone. A late death of an earlier session changes nothing."""
        member = self._members.get(name)
        if member is None or (member.instance, member.session) != (instance, session):
            return []
        member.alive = False
        return self._maybe_close(now_s) if self.status == "open" else []

    def offer(self, name: str, number: int, contribution: bytes, now_s: float) -> list[Action]:
        """A device's contribution to round ``number`` arrived, perhaps not for the first time."""
        current = self._open
        if name in self._accepted.get(number, ()):
            return [Receipt(name, number, "accepted", "counted before")]
        if number > current.number or number < 1:
            return [Receipt(name, number, "refused", f"round {number} was never announced")]
        if number < current.number or self.status != "open":
            return [Receipt(name, number, "late", f"round {number} is closed")]
        if name not in current.participants:
            return [Receipt(name, number, "refused", f"not asked in round {number}")]
        if name in current.contributions:
            return [Receipt(name, number, "accepted", "counted before")]
        current.contributions[name] = contribution
        return [
            Record(("accept", number, name, contribution)),
            Receipt(name, number, "accepted"),
            *self._maybe_close(now_s),
        ]

    def fused(self, number: int, now_s: float) -> list[Action]:
        """The driver has fused round ``number`` and stored the outcome; go on."""
        if self.status != "fusing" or number != self.number:
            return []
        self.after = number
        return [Record(("fused", number, "", b"")), *self._next(now_s)]

    def tick(self, now_s: float) -> list[Action]:
        """Time has passed: deadlines and reminders."""
        if self.status == "waiting" and now_s >= self._join_by_s and self.alive:
            return self._next(now_s)
        if self.status == "waiting" and now_s >= self._join_by_s:
            self._join_by_s = now_s + self.plan.join_s
            return []
        if self.status != "open":
            return []
        if now_s >= self._open.deadline_s:
            return self._close(now_s)
        if now_s >= self._open.remind_s:
            self._open.remind_wait_s *= 2
            self._open.remind_s = now_s + self._open.remind_wait_s
            alive = set(self.alive)
            silent = tuple(name for name in self._open.missing if name in alive)
            return [Announce(self.number, silent, reminder=True)] if silent else []
        return []

    def _objection(self, name: str, instance: bytes, session: int) -> str:
        if name not in self.plan.devices:
            return f"no device {name!r} in this run; known: {', '.join(self.plan.devices)}"
        member = self._members.get(name)
        if member is None:
            return ""
        if member.instance != instance and member.alive:
            return f"the name {name!r} is in use by another device; give this one another --name"
        if member.instance == instance and session < member.session:
            return (
                f"a copy of the state folder of {name!r} is in use elsewhere"
                f" (session {member.session}, this one is {session});"
                " start this device with an empty --state folder and another --name"
            )
        return ""

    def _maybe_begin(self, now_s: float) -> list[Action]:
        everyone = set(self.plan.devices) <= set(self.alive)
        return self._next(now_s) if everyone else []

    def _next(self, now_s: float) -> list[Action]:
        if self.number >= self.plan.rounds:
            self.status = "finished"
            return [Record(("finish", self.number, "", b"")), Finish()]
        number = self.number + 1
        self._begin(number)
        self._set_clock(now_s)
        return [Record(("open", number, "", b"")), Announce(number, self._open.participants)]

    def _begin(self, number: int) -> None:
        self._open = _Open(number, self.plan.participants(number))
        self.status = "open"

    def _set_clock(self, now_s: float) -> None:
        self._open.opened_s = now_s
        self._open.deadline_s = now_s + self.plan.deadline_s
        self._open.remind_wait_s = self.plan.remind_s
        self._open.remind_s = now_s + self.plan.remind_s

    def _maybe_close(self, now_s: float) -> list[Action]:
        missing = self._open.missing
        gone = all(name in self._members and self._members[name].alive is False for name in missing)
        enough = len(self._open.contributions) >= self.plan.quorum
        return self._close(now_s) if not missing or (gone and enough) else []

    def _close(self, now_s: float) -> list[Action]:
        current = self._open
        failed = len(current.contributions) < max(1, self.plan.quorum)
        what = "failed" if failed else "close"
        actions: list[Action] = [Record((what, current.number, "", b""))]
        actions.append(self._close_of(failed=failed))
        self._accepted[current.number] = frozenset(current.contributions)
        if failed:
            return [*actions, *self._next(now_s)]
        self.status = "fusing"
        return [*actions, self._fuse()]

    def _close_of(self, *, failed: bool) -> Close:
        current = self._open
        accepted = tuple(sorted(current.contributions))
        return Close(current.number, failed, accepted, current.participants, current.opened_s)

    def _fuse(self) -> Fuse:
        return Fuse(self.number, dict(sorted(self._open.contributions.items())))

    def _replay(self, entry: Entry) -> None:
        what, number, name, data = entry
        if what == "member":
            self._members[name] = _Member(data, number, alive=None)
        elif what == "open":
            self._begin(number)
        elif what == "accept":
            self._open.contributions[name] = data
        elif what in ("close", "failed"):
            self._accepted[number] = frozenset(self._open.contributions)
            self.status = "fusing" if what == "close" else "waiting"
        elif what == "fused":
            self.after = number
            self.status = "waiting"
        elif what == "finish":
            self.status = "finished"
        else:
            raise ValueError(f"unknown journal entry {what!r}")
