"""The device's side of the rounds as a state machine without clock, socket or arrays.

It is told what arrived and when (``now_s``, any monotonic clock) and returns
what to do. Announcements, knowledge and uploads are opaque here.

    announced ──knowledge here──► Compute ──computed()──► SendUpload ──receipt──► idle
                                                            ▲    │
                                                            └────┘ resent until the receipt

What it asked to send may wait for a slow radio. The wait for an answer begins when
it has left (:meth:`Session.sent`): a copy behind one that still waits helps nobody.

The driver makes weights, memory and the encoded upload durable in one step
*before* it calls :meth:`Session.computed`; so after a crash the same bytes are
sent again, or the round is computed again from the same state.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, TypeAlias

LONGEST_RESEND_S = 60.0
PATIENCE = 3
"""How often a device asks again after the end of the run before it leaves all the same."""


@dataclass(frozen=True)
class SendBirth:
    """Say that this device is here."""


@dataclass(frozen=True)
class Compute:
    """Compute round ``round`` with these facts and this knowledge, then call ``computed``."""

    round: int
    facts: Any
    knowledge: Any


@dataclass(frozen=True)
class SendUpload:
    """Publish the encoded contribution to ``round``."""

    round: int
    upload: bytes


@dataclass(frozen=True)
class Settled:
    """The contribution to ``round`` was answered; it need not be kept for resending."""

    round: int
    verdict: str
    reason: str


@dataclass(frozen=True)
class Leave:
    """The run is over for this device; ``error`` says why where it was turned away."""

    knowledge: Any = None
    error: str = ""


Action: TypeAlias = SendBirth | Compute | SendUpload | Settled | Leave


class Session:
    """One start of one device in one run.

    ``done`` is the last round that this device computed and ``upload`` its
    encoded contribution, both from the saved state; ``settled`` tells whether
    a receipt for it has been seen. ``resend_s`` is the first wait before an
    unanswered upload is sent again, from when it has left; it doubles up to a minute.
    """

    def __init__(
        self,
        *,
        done: int = 0,
        upload: bytes = b"",
        settled: bool = True,
        resend_s: float = 10.0,
    ) -> None:
        self.done = done
        self.upload = upload
        self.computing = 0
        self._settled = settled
        self._resend_s = resend_s
        self._wait_s = resend_s
        self._next_s = math.inf
        self._held_until_s: float | None = None
        self._sending = self._sending_upload = False
        self._epoch: int | None = None
        self._fresh_connection = True
        self._connected = False
        self._announced: tuple[int, int, Any] = (0, 0, None)
        self._knowledge: tuple[int, Any] = (0, None)
        self._finished_after: int | None = None
        self._asked_after_end = 0
        self._left = False

    @property
    def next_tick_s(self) -> float:
        """When :meth:`tick` has something to do; infinite where it has not."""
        return self._next_s

    @property
    def connected(self) -> bool:
        """Whether the broker can be reached, as far as is known."""
        return self._connected

    def connected_at(self, now_s: float) -> list[Action]:
        """The broker can be reached (again); what it sends next is the aggregator's state."""
        self._connected = True
        self._arm(now_s)
        return []

    def sent(self, now_s: float) -> None:
        """All that this session asked to send has left this device, or was given up on the way."""
        if self._sending:
            self._sending = self._sending_upload = False
            self._arm(now_s)

    def disconnected_at(self, now_s: float) -> list[Action]:  # noqa: ARG002
        """The broker cannot be reached; computing goes on, sending waits."""
        self._connected = self._sending = self._sending_upload = False
        self._fresh_connection = True
        self._next_s = math.inf
        return []

    def state(
        self, epoch: int, *, online: bool, finished_after: int | None, now_s: float
    ) -> list[Action]:
        """The aggregator's retained state; ``epoch`` is new after its starts and reconnections.

        A new epoch or a new connection of our own asks for a birth. ``finished_after``
        names the knowledge with which the run ended, None while it goes on.
        """
        self._finished_after = finished_after
        actions: list[Action] = []
        if online and (epoch != self._epoch or self._fresh_connection):
            self._epoch = epoch
            self._fresh_connection = False
            actions.append(SendBirth())
            self._sending = True
        self._arm(now_s)
        return [*actions, *self._maybe_leave()]

    def announced(self, number: int, after: int, facts: Any, now_s: float) -> list[Action]:
        """Round ``number`` is open and builds on the knowledge of round ``after`` (0: none)."""
        if number < self._announced[0]:
            return []
        self._announced = (number, after, facts)
        if number == self.done and not self.computing:
            self._settled = False
            if self._held_until_s is None and not self._sending_upload:
                return [self._send_upload(now_s)]
            self._arm(now_s)
            return []
        return self._maybe_compute(now_s)

    def knowledge(self, number: int, piece: Any, now_s: float) -> list[Action]:
        """The knowledge that round ``number`` produced arrived."""
        if number >= self._knowledge[0]:
            self._knowledge = (number, piece)
        return self._maybe_leave() or self._maybe_compute(now_s)

    def computed(
        self, number: int, upload: bytes, now_s: float, *, hold_s: float = 0.0
    ) -> list[Action]:
        """The driver has computed round ``number`` and made the outcome durable.

        The upload goes out ``hold_s`` later, so that a whole fleet that was
        asked at one instant does not answer at one.
        """
        self.computing = 0
        self.done, self.upload = number, upload
        superseded = self._announced[0] > number
        self._settled = superseded
        self._wait_s = self._resend_s
        if superseded:
            return self._maybe_leave() or self._maybe_compute(now_s)
        if hold_s > 0:
            self._held_until_s = now_s + hold_s
            self._arm(now_s)
            return self._maybe_leave()
        return [self._send_upload(now_s), *self._maybe_leave()]

    def receipt(self, number: int, verdict: str, reason: str, now_s: float) -> list[Action]:
        """The aggregator answered the contribution to round ``number``."""
        if number != self.done or self._settled:
            return []
        self._settled = True
        self._held_until_s = None
        self._arm(now_s)
        return [Settled(number, verdict, reason), *self._maybe_leave()]

    def turned_away(self, reason: str) -> list[Action]:
        """The aggregator does not want this incarnation of the device."""
        self._left = True
        return [Leave(error=reason)]

    def tick(self, now_s: float) -> list[Action]:
        """Time has passed: send again what was not answered, ask again for what is missing."""
        if now_s < self._next_s:
            return []
        if self._held_until_s is not None:
            self._held_until_s = None
            return [self._send_upload(now_s)]
        self._wait_s = min(2 * self._wait_s, max(LONGEST_RESEND_S, self._resend_s))
        self._arm(now_s)
        if self._finished_after is not None:
            self._asked_after_end += 1
            if self._asked_after_end > PATIENCE:
                self._left = True
                return [Leave(knowledge=self._knowledge[1])]
        if not self._settled:
            return [self._send_upload(now_s)]
        if not self._waits_for_knowledge:
            return []
        self._sending = True
        self._arm(now_s)
        return [SendBirth()]

    def _send_upload(self, now_s: float) -> SendUpload:
        self._sending = self._sending_upload = True
        self._arm(now_s)
        return SendUpload(self.done, self.upload)

    @property
    def _waits_for_knowledge(self) -> bool:
        number, after, _ = self._announced
        wanted = after if number > self.done else (self._finished_after or 0)
        return not self.computing and wanted > self._knowledge[0]

    def _arm(self, now_s: float) -> None:
        waiting = not self._settled or self._waits_for_knowledge
        next_s = math.inf if self._sending else now_s + self._wait_s
        if self._held_until_s is not None:
            next_s = self._held_until_s
        self._next_s = next_s if waiting and self._connected else math.inf

    def _maybe_compute(self, now_s: float) -> list[Action]:
        number, after, facts = self._announced
        self._arm(now_s)
        if self.computing or number <= self.done or after != self._knowledge[0]:
            return []
        self.computing = number
        self._settled = True
        self._held_until_s = None
        self._next_s = math.inf
        return [Compute(number, facts, self._knowledge[1])]

    def _maybe_leave(self) -> list[Action]:
        after = self._finished_after
        if after is None or self._left or self.computing or not self._settled:
            return []
        if after > self._knowledge[0]:
            return []
        self._left = True
        return [Leave(knowledge=self._knowledge[1])]
