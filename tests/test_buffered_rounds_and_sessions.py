"""Buffered rounds and sessions together: the adversary of test_rounds_and_sessions, more claims.

Who contributed to which round is in the bytes of a contribution (``compute``), so
its staleness is known here without the aggregator's books.
"""

from __future__ import annotations

import ast
import random
from collections.abc import Sequence
from dataclasses import replace

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, rule
from test_rounds_and_sessions import NAMES, Adversary, Board

from edge_fd import rounds, session
from edge_fd.rounds import Close, Plan, Rounds


class BufferedAdversary(Adversary):
    @initialize(
        buffer=st.integers(1, 3),
        spare=st.integers(0, 2),
        limit=st.integers(0, 3),
        count=st.integers(3, 8),
        seed=st.integers(0, 2**16),
    )
    def begin(self, buffer: int, spare: int, limit: int, count: int, seed: int) -> None:  # type: ignore[override]
        self.dice = random.Random(seed)  # noqa: S311 - dice, no secrets
        # By device: in which life of the aggregator, for which round, known to be here.
        self.asked: dict[str, tuple[int, int, bool]] = {}
        self.begun: dict[str, tuple[int, int, bool]] = {}  # the same of what it computes
        self.fair = False
        self.opened_in_fairness: set[int] = set()
        plan = Plan(NAMES, count, max(1, buffer - spare), 10.0, join_s=5.0, remind_s=3.0)
        self.begin_with(replace(plan, buffer=buffer, max_staleness=limit))

    def act(self, action: rounds.Action) -> None:
        super().act(action)
        if isinstance(action, rounds.Announce):
            for name in action.devices:
                self.asked[name] = self.epoch, action.round, self.knows(name)
        elif isinstance(action, rounds.Record) and action.entry[0] == "open":
            assert self.aggregator is not None
            if self.fair and self.aggregator.alive == NAMES:
                self.opened_in_fairness.add(action.entry[1])
        elif isinstance(action, rounds.Fuse):
            said = {name: ast.literal_eval(c.decode()) for name, c in action.contributions.items()}
            assert [name for name, _, _ in said.values()] == list(said)
            assert action.staleness == {name: action.round - n for name, (_, n, _) in said.items()}
            assert action.staleness == self.closed[action.round].staleness

    def knows(self, name: str) -> bool:
        """Whether the aggregator knows that this start of the device is here."""
        assert self.aggregator is not None
        known = self.aggregator._members.get(name)
        is_this = known and (known.instance, known.session) == self.boards[name].identity
        return bool(is_this and known.alive)

    @rule(name=st.sampled_from(NAMES), saved=st.booleans())
    def finish_computing(self, name: str, saved: bool = True) -> None:  # noqa: FBT001, FBT002
        """As before; what a device was asked and may still count is not cut off by a later ask."""
        board = self.boards[name]
        number = board.job.round if board.job else 0
        super().finish_computing(name, saved)
        if not (number and saved) or number in board.sent:
            return
        if self.begun[name] == (self.epoch, number, True):
            assert self.asked[name][1] - number > self.plan.max_staleness

    def device_acts(self, board: Board, actions: Sequence[session.Action]) -> None:
        super().device_acts(board, actions)
        if any(isinstance(action, session.Compute) for action in actions):
            self.begun[board.name] = self.asked[board.name]

    @invariant()
    def an_accepted_one_is_never_lost(self) -> None:
        journalled = {(n, name): data for what, n, name, data in self.durable if what == "accept"}
        for number, name in self.promised:
            assert journalled[number, name] == self.boards[name].sent[number]
        counted = [
            (number - staleness, name)
            for number, close in self.closed.items()
            for name, staleness in close.staleness.items()
        ]
        assert len(counted) == len(set(counted))
        assert set(counted) <= set(journalled)

    @invariant()
    def staleness_is_within_its_limit(self) -> None:
        for close in self.closed.values():
            assert tuple(close.staleness) == close.accepted
            assert all(0 <= s <= self.plan.max_staleness for s in close.staleness.values())

    def fair_step(self) -> bool:
        """As before, with devices of different speeds and a fusion that takes less than they."""
        if self.job is not None and self.dice.random() < 0.5:
            self.fused()
            return True
        speeds = {"a": 3.0, "b": 2.0, "c": 1.0}
        turns = {name: self.dice.expovariate(speeds[name]) for name in NAMES}
        self.boards = dict(sorted(self.boards.items(), key=lambda item: turns[item[0]]))
        return super().fair_step()

    def fair_end(self) -> None:
        self.fair = True
        super().fair_end()

    def all_is_well(self) -> None:
        super().all_is_well()
        accepted = {entry[1:3] for entry in self.durable if entry[0] == "accept"}
        ended = {(c.round - s, n) for c in self.closed.values() for n, s in c.staleness.items()}
        assert ended == accepted
        # With all devices alive and a fair network no buffer has to wait for its deadline.
        for number in self.opened_in_fairness:
            assert len(self.closed[number].accepted) >= self.plan.buffer
        self.the_journal_alone_gives_the_same_buffers()

    def the_journal_alone_gives_the_same_buffers(self) -> None:
        for length, (what, number, _, _) in enumerate(self.durable):
            if what not in ("close", "failed"):
                continue
            told_again = Rounds(self.plan, self.durable[: length + 1]).start(0.0)
            before = Rounds(self.plan, self.durable[:length])
            told_anew = [*before.start(0.0), *before.tick(self.plan.deadline_s)]
            for told in (told_again, told_anew):
                close = next(action for action in told if isinstance(action, Close))
                assert replace(close, opened_s=0.0) == self.closed[number]
                fused = [a.contributions for a in told if isinstance(a, rounds.Fuse)]
                assert fused[:1] == ([] if close.failed else [self.fusions[number]])


TestBufferedAdversary = BufferedAdversary.TestCase
TestBufferedAdversary.settings = settings(
    max_examples=100,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
