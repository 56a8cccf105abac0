"""The aggregator between two rounds: what it holds, what came of a round, and who keeps it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from devices.student import State
from edge_fd.desk import Desk
from edge_fd.knowledge import Fused
from edge_fd.methods.base import Memory
from edge_fd.requests import Samples
from edge_fd.rounds import Entry


@dataclass(frozen=True)
class Holdings:
    """What a server half works with, beside the uploads.

    ``desk`` is the server's student, None where the method or the scenario has
    none; ``others`` are further students by name, and ``groups`` tells for each
    device which of them has its architecture. Uploads are about the samples in
    ``proxy``, at most ``proxy_per_round`` of them in a round (None: all);
    ``validation`` are labelled samples of the server's own. ``parameters`` is
    the length of each device's weights and ``features`` the common width of
    the students' features, where the method must know them.
    """

    desk: Desk | None = None
    others: Mapping[str, Desk] = field(default_factory=dict)
    groups: Mapping[str, str] = field(default_factory=dict)
    proxy: Samples | None = None
    proxy_per_round: int | None = None
    validation: Samples | None = None
    parameters: Mapping[str, int] = field(default_factory=dict)
    features: int = 0


@dataclass(frozen=True)
class Outcome:
    """The aggregator after fusing round ``round``: what a restart begins with.

    ``state`` are the weights of the server's student and ``states`` those of
    its further students, by name.
    """

    round: int
    fused: Fused
    state: State | None
    memory: Memory
    states: Mapping[str, State] = field(default_factory=dict)


def beginning(holdings: Holdings) -> Outcome:
    """Return what stands before the first round."""
    state = None if holdings.desk is None else holdings.desk.student.initial
    states = {name: desk.student.initial for name, desk in holdings.others.items()}
    return Outcome(0, Fused(), state, {}, states)


class Keeper(Protocol):
    """Where the aggregator's promises are kept; files for a server, memory in a simulation."""

    def append(self, entry: Entry) -> None:
        """Make a journal entry durable."""

    def keep(self, outcome: Outcome) -> None:
        """Make the outcome of a round durable."""


class MemoryKeeper:
    """Keeps nothing durable: the simulator's aggregator does not crash."""

    def append(self, entry: Entry) -> None:
        """Forget the entry."""

    def keep(self, outcome: Outcome) -> None:
        """Forget the outcome."""
