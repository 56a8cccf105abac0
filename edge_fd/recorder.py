"""Turns what happens in a run into its records and its summary.

Drivers charge bytes and note measurements; the aggregator tells when rounds
end. The records of a round's devices are written when the next round is
fused, so that what arrives late (evaluations, receipts) still finds its place.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import reduce
from operator import add
from typing import Any

from edge_fd.messages import Out
from edge_fd.methods.base import Capability
from edge_fd.outcome import Outcome
from edge_fd.records import Bytes, DeviceRecord, RoundRecord
from edge_fd.rounds import Close
from edge_fd.run_folder import RunFolder

NOTED = frozenset({
    "accuracy_test", "accuracy_own", "loss",
    "down_s", "compute_s", "train_s", "predict_s", "up_s",
})  # fmt: skip
ADDED = frozenset({"compute_j", "tx_j", "rx_j", "idle_j"})


@dataclass(frozen=True)
class Member:
    """What a record says of a device in every round."""

    student: str
    capability: Capability
    profile: str | None
    private_samples: int


@dataclass(slots=True)
class _Row:
    """One device in one round; ``up`` and ``down`` hold what each of its messages cost."""

    up: list[Bytes] = field(default_factory=list)
    down: list[Bytes] = field(default_factory=list)
    outcome: str = ""
    attempts: int = 0
    lost: dict[str, int] = field(default_factory=dict)
    notes: dict[str, float] = field(default_factory=dict)


class Recorder:
    """Collects the records of one run and writes them to ``folder``.

    ``server_accuracy`` tests the server's students, where it has any.
    """

    def __init__(
        self,
        folder: RunFolder,
        members: Mapping[str, Member],
        *,
        server_accuracy: Callable[[Outcome], float] | None = None,
        on_close: Callable[[Close], None] = lambda _close: None,
        on_round: Callable[[RoundRecord], None] = lambda _record: None,
    ) -> None:
        self._folder, self._members = folder, members
        self._names = sorted(members)
        self._server_accuracy = server_accuracy
        self._on_close, self._on_round = on_close, on_round
        self._rows: dict[tuple[int, str], _Row] = {}
        self._closed: dict[int, tuple[Close, float, float]] = {}
        self._written = 0

    def charge(self, device: str, direction: str, message: Out) -> None:
        """Charge a message to ``device``; ``direction`` is up or down."""
        if message.cost is None:
            return
        row = self._row(message.round, device)
        (row.up if direction == "up" else row.down).append(message.cost)

    def note(self, device: str, number: int, **values: float) -> None:
        """Note measurements of a device in a round; joules and attempts add up."""
        row = self._row(number, device)
        notes = row.notes
        for key, value in values.items():
            if key in ADDED:
                notes[key] = notes.get(key, 0.0) + value
            elif key == "attempts":
                row.attempts += int(value)
            elif key in NOTED and number > self._written:
                notes[key] = value

    def lost(self, device: str, number: int, reason: str) -> None:
        """The radio lost a message of a device for good."""
        lost = self._row(number, device).lost
        lost[reason] = lost.get(reason, 0) + 1

    def closed(self, close: Close, *, opened_s: float, now_s: float) -> None:
        """A round has ended; a failed one is written at once."""
        self._closed[close.round] = (close, opened_s, now_s)
        self._on_close(close)
        if close.failed:
            self._write_round(close.round, None, None)

    def fused(self, outcome: Outcome) -> None:
        """A round was fused: write it, and the devices of the rounds before it."""
        accuracy = None
        if self._server_accuracy is not None and outcome.state is not None:
            accuracy = self._server_accuracy(outcome)
        self._write_round(outcome.round, outcome.fused.sha256, accuracy)
        self.flush(before=outcome.round)

    def answered(self, device: str, round: int, verdict: str) -> None:
        """A device was sent a receipt; "accepted" stands against later ones."""
        if round <= self._written:
            return
        row = self._row(round, device)
        if row.outcome != "accepted":
            row.outcome = verdict

    def measured(self, device: str, round: int, values: dict[str, float]) -> None:
        """A device told its evaluation and timings."""
        self.note(device, round, **values)

    def flush(self, *, before: int) -> None:
        """Write the device records of all rounds below ``before`` that were closed."""
        for number in range(self._written + 1, before):
            if number not in self._closed:
                continue
            close, _, _ = self._closed.pop(number)
            participants = frozenset(close.participants)
            self._folder.device(
                *(
                    self._record(close, name, absent=name not in participants)
                    for name in self._names
                )
            )
        self._written = max(self._written, before - 1)

    def _row(self, number: int, device: str) -> _Row:
        """Return the row of a round; what comes after it was written counts in the next one."""
        key = (number if number > self._written else self._written + 1, device)
        row = self._rows.get(key)
        if row is None:
            row = self._rows[key] = _Row()
        return row

    def _write_round(self, number: int, sha256: str | None, accuracy: float | None) -> None:
        if number not in self._closed:  # closed in an earlier life of the aggregator
            return
        close, opened_s, now_s = self._closed[number]
        outcomes = [self._row(number, device).outcome for device in self._members]
        record = RoundRecord(
            round=number,
            status="failed" if close.failed else "closed",
            opened_s=opened_s,
            closed_s=now_s,
            participants=len(close.participants),
            accepted=len(close.accepted),
            late=outcomes.count("late"),
            refused=outcomes.count("refused"),
            fused_sha256=sha256,
            server_accuracy=accuracy,
        )
        self._folder.round(record)
        self._on_round(record)

    def _record(self, close: Close, device: str, *, absent: bool) -> DeviceRecord:
        number, member = close.round, self._members[device]
        row = self._rows.pop((number, device), None) or _Row()
        outcome: Any = row.outcome or ("absent" if absent else "lost")
        if close.staleness:  # a verdict is about the round that was asked for, perhaps an older one
            late = row.outcome if row.outcome != "accepted" else ""
            outcome = "accepted" if device in close.staleness else late or "absent"
        values: dict[str, Any] = dict.fromkeys(NOTED | ADDED) | row.notes
        return DeviceRecord(
            round=number,
            device=device,
            student=member.student,
            capability=member.capability,
            profile=member.profile,
            outcome=outcome,
            up=_total(row.up),
            down=_total(row.down),
            attempts=row.attempts,
            lost_messages=dict(sorted(row.lost.items())),
            private_samples=member.private_samples,
            staleness=close.staleness.get(device, 0),
            **values,
        )


def _total(costs: list[Bytes]) -> Bytes:
    return reduce(add, costs) if costs else Bytes()
