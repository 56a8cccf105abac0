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

With ``Plan.buffer`` the rounds are buffers, asynchronous: see :class:`Plan`. A
device is asked when it is idle: at birth, after a contribution that came too
late, and when the next buffer opens after one that counted. A contribution that
comes while a buffer is being fused, or to a buffer that has one of its device,
counts in the next buffer; its receipt does not wait for that.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from edge_fd.plan import Plan
from edge_fd.rounds_actions import (
    Action,
    Announce,
    Close,
    Entry,
    Finish,
    Fuse,
    Receipt,
    Record,
    TurnAway,
    Verdict,
)

__all__ = [
    "Action",
    "Announce",
    "Close",
    "Entry",
    "Finish",
    "Fuse",
    "Plan",
    "Receipt",
    "Record",
    "Rounds",
    "Status",
    "TurnAway",
    "Verdict",
]

Status: TypeAlias = Literal["waiting", "open", "fusing", "finished"]


@dataclass
class _Member:
    instance: bytes
    session: int
    alive: bool | None
    """None: not heard of since this aggregator started."""
    gone_in: float = math.inf
    """The round in which it was known to go."""


@dataclass
class _Open:
    number: int
    participants: tuple[str, ...]
    asked: frozenset[str] = frozenset()
    """The same, to look one up."""
    opened_s: float = -math.inf
    deadline_s: float = math.inf
    remind_s: float = math.inf
    remind_wait_s: float = math.inf
    contributions: dict[str, tuple[int, bytes]] = field(default_factory=dict)
    """By device: the round that it was asked for, and its contribution."""
    silent: dict[str, None] = field(default_factory=dict)
    """Participants without a contribution, in the order of names."""


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
        self._devices = frozenset(plan.devices)
        self._next_contributions: dict[str, tuple[int, bytes]] = {}
        """What will be in the next buffer as soon as it opens."""
        self._counted: set[tuple[int, str]] = set()
        self._owed: dict[str, int] = {}
        """By device: the round that it was last asked for and has not answered, in this life."""
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
            return self._close(now_s) if self._full else self._ask(self._open.silent)
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
            self._owed.pop(name, None)  # what it computed went with its earlier session
        elif self._owed.get(name, 0) > member.gone_in:
            del self._owed[name]  # it was asked while it could not hear
        self._members[name] = _Member(instance, session, alive=True)
        if self.status == "waiting":
            actions += self._maybe_begin(now_s)
        elif self.status == "open" and name in self._open.silent:
            actions += self._ask((name,))
        elif self.status == "finished":
            actions.append(Finish((name,)))
        return actions

    def death(self, name: str, instance: bytes, session: int, now_s: float) -> list[Action]:
        """A device is gone. A late death of an earlier session changes nothing."""
        member = self._members.get(name)
        if member is None or (member.instance, member.session) != (instance, session):
            return []
        member.alive = False
        member.gone_in = self.number
        return self._maybe_close(now_s) if self.status == "open" else []

    def offer(self, name: str, number: int, contribution: bytes, now_s: float) -> list[Action]:
        """A device's contribution to round ``number`` arrived, perhaps not for the first time."""
        if (number, name) in self._counted:
            return [Receipt(name, number, "accepted", "counted before")]
        if number > self.number or number < 1:
            return [Receipt(name, number, "refused", f"round {number} was never announced")]
        if not self._fits(name, number):
            return self._late(name, number)
        if name not in self._open.asked:
            return [Receipt(name, number, "refused", f"not asked in round {number}")]
        self._take(name, number, contribution)
        return [
            Record(("accept", number, name, contribution)),
            Receipt(name, number, "accepted"),
            *(self._maybe_close(now_s) if self.status == "open" else []),
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
            silent = tuple(name for name in self._open.silent if name in alive)
            return self._ask(silent, reminder=True)
        return []

    def _objection(self, name: str, instance: bytes, session: int) -> str:
        if name not in self._devices:
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
        if len(self._members) < len(self.plan.devices):
            return []
        everyone = all(member.alive for member in self._members.values())
        return self._next(now_s) if everyone else []

    def _next(self, now_s: float) -> list[Action]:
        if self.number >= self.plan.rounds:
            self.status = "finished"
            return [Record(("finish", self.number, "", b"")), Finish()]
        remind_s = self._open.remind_s if self.plan.buffer else math.inf
        self._begin(self.number + 1)
        self._set_clock(now_s)
        # Buffers may follow each other faster than reminders; who is silent is reminded still.
        self._open.remind_s = min(self._open.remind_s, remind_s)
        actions: list[Action] = [Record(("open", self.number, "", b""))]
        if not self.plan.buffer:
            return [*actions, *self._ask(self._open.participants)]
        idle = [name for name in self._open.silent if name not in self._owed]
        return [*actions, *self._ask(idle), *self._maybe_close(now_s)]

    def _begin(self, number: int) -> None:
        participants = self.plan.participants(number)
        self._open = _Open(number, participants, frozenset(participants))
        here, self._next_contributions = self._next_contributions, {}
        self._open.contributions = here
        self._open.silent = dict.fromkeys(n for n in self._open.participants if n not in here)
        self.status = "open"

    def _set_clock(self, now_s: float) -> None:
        self._open.opened_s = now_s
        self._open.deadline_s = now_s + self.plan.deadline_s
        self._open.remind_wait_s = self.plan.remind_s
        self._open.remind_s = now_s + self.plan.remind_s

    def _ask(self, names: Iterable[str], *, reminder: bool = False) -> list[Action]:
        """Ask each for the round that it owes, if that may still count, else for the open one.

        A device that computes a round drops it when it is asked for a later one.
        """
        asked: dict[int, list[str]] = {}
        for name in names:
            owed = self._owed.get(name, self.number)
            self._owed[name] = owed if self.number - owed <= self.plan.reach else self.number
            asked.setdefault(self._owed[name], []).append(name)
        return [Announce(n, tuple(some), reminder) for n, some in sorted(asked.items())]

    def _fits(self, name: str, number: int) -> bool:
        """Whether a contribution to round ``number`` may count where it would be put."""
        into = self._place(name)
        buffer = self.number if into is self._open.contributions else self.number + 1
        in_time = buffer - number <= self.plan.reach and buffer <= self.plan.rounds
        return in_time and name not in into

    def _place(self, name: str) -> dict[str, tuple[int, bytes]]:
        """Return where a contribution is put: in the open buffer, or in the next one."""
        now = self.status == "open" and name not in self._open.contributions
        return self._open.contributions if now else self._next_contributions

    def _take(self, name: str, number: int, contribution: bytes) -> None:
        into = self._place(name)
        into[name] = number, contribution
        if into is self._open.contributions:
            self._open.silent.pop(name, None)
        self._counted.add((number, name))
        self._settle(name, number)

    def _settle(self, name: str, number: int) -> None:
        if self._owed.get(name, math.inf) <= number:
            del self._owed[name]

    def _late(self, name: str, number: int) -> list[Action]:
        self._settle(name, number)
        receipt = Receipt(name, number, "late", f"round {number} is closed")
        idle = self.status == "open" and name in self._open.silent and name not in self._owed
        return [receipt, *self._ask((name,))] if idle else [receipt]

    def _maybe_close(self, now_s: float) -> list[Action]:
        if self._full:
            return self._close(now_s)
        enough = len(self._open.contributions) >= self.plan.quorum
        members = self._members
        gone = all(name in members and members[name].alive is False for name in self._open.silent)
        return self._close(now_s) if gone and enough else []

    @property
    def _full(self) -> bool:
        size = self.plan.buffer or len(self._open.participants)
        return len(self._open.contributions) >= size

    def _close(self, now_s: float) -> list[Action]:
        current = self._open
        failed = len(current.contributions) < max(1, self.plan.quorum)
        what = "failed" if failed else "close"
        actions: list[Action] = [Record((what, current.number, "", b""))]
        actions.append(self._close_of(failed=failed))
        if failed:
            return [*actions, *self._next(now_s)]
        self.status = "fusing"
        return [*actions, self._fuse()]

    def _close_of(self, *, failed: bool) -> Close:
        current = self._open
        return Close(
            current.number,
            failed,
            tuple(sorted(current.contributions)),
            current.participants,
            current.opened_s,
            self._staleness,
        )

    def _fuse(self) -> Fuse:
        held = sorted(self._open.contributions.items())
        return Fuse(self.number, {name: data for name, (_, data) in held}, self._staleness)

    @property
    def _staleness(self) -> dict[str, int]:
        held = sorted(self._open.contributions.items()) if self.plan.buffer else []
        return {name: self.number - asked for name, (asked, _) in held}

    def _replay(self, entry: Entry) -> None:
        what, number, name, data = entry
        if what == "member":
            self._members[name] = _Member(data, number, alive=None)
        elif what == "open":
            self._begin(number)
        elif what == "accept":
            self._take(name, number, data)
        elif what in ("close", "failed"):
            self.status = "fusing" if what == "close" else "waiting"
        elif what == "fused":
            self.after = number
            self.status = "waiting"
        elif what == "finish":
            self.status = "finished"
        else:
            raise ValueError(f"unknown journal entry {what!r}")
