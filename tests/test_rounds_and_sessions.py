"""Rounds and sessions together, under everything that a network and a power cut can do.

Hypothesis plays the adversary: it loses, repeats, delays and reorders messages,
kills devices and the aggregator between any two actions (and in the middle of
a write to the real journal), starts them again from what they had made durable,
and lets time pass as it likes. The claims are those of architecture.md, section 4.
"""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from edge_fd import rounds, session
from edge_fd.journal import Journal
from edge_fd.rounds import Plan, Rounds
from edge_fd.session import Session

NAMES = ("a", "b", "c")
ROUNDS = 3
SEED = 7


def fuse(contributions: Any) -> bytes:
    return hashlib.sha256(repr(list(contributions.items())).encode()).digest()


def compute(name: str, number: int, knowledge: bytes | None) -> bytes:
    return repr((name, number, knowledge)).encode()


@dataclass
class Board:
    """A device: what is on its disk (done, upload, starts) and what is lost with the power."""

    name: str
    done: int = 0
    upload: bytes = b""
    starts: int = 0
    session: Session | None = None
    job: session.Compute | None = None
    left: session.Leave | None = None
    connected: bool = False
    sent: dict[int, bytes] = field(default_factory=dict)

    @property
    def identity(self) -> tuple[bytes, int]:
        return self.name.encode(), self.starts


class Adversary(RuleBasedStateMachine):
    @initialize(quorum=st.integers(1, 3), share=st.sampled_from([1.0, 0.6]), seed=st.integers(0, 5))
    def begin(self, quorum: int, share: float, seed: int) -> None:
        plan = Plan(
            NAMES, ROUNDS, quorum, 10.0, seed=seed, participation=share, join_s=5.0, remind_s=3.0
        )
        self.begin_with(plan)

    def begin_with(self, plan: Plan) -> None:
        self.folder = Path(tempfile.mkdtemp())
        self.plan = plan
        self.now_s = 0.0
        self.epoch = 0
        self.retained: tuple[int, bool, int | None] | None = None
        self.up: list[tuple[str, Any]] = []
        self.down: list[tuple[str, Any]] = []
        self.boards = {name: Board(name) for name in NAMES}
        self.outcomes: dict[int, bytes] = {}  # durable, by the round that made it
        self.promised: set[tuple[int, str]] = set()
        self.closed: dict[int, rounds.Close] = {}
        self.fusions: dict[int, dict[str, bytes]] = {}
        self.durable: list[rounds.Entry] = []
        self.doom: tuple[int, int] | None = None
        self.aggregator: Rounds | None = None
        self.job: rounds.Fuse | None = None
        self.start_aggregator()
        for name in NAMES:
            self.boot(name)

    # The aggregator and its disk.

    @precondition(lambda self: self.aggregator is None)
    @rule()
    def start_aggregator(self) -> None:
        self.doom = None
        self.journal = Journal(self.folder / "journal")
        self.journal.__enter__()
        assert self.journal.entries == self.durable
        self.epoch += 1
        self.aggregator = Rounds(self.plan, self.journal.entries)
        self.tell_state()
        self.perform(self.aggregator.start(self.now_s))

    @rule()
    def kill_aggregator(self) -> None:
        self.aggregator_dies()

    @rule(after=st.integers(0, 3), torn=st.integers(0, 10**6))
    def doom_aggregator(self, after: int, torn: int) -> None:
        """It will die after so many more actions; a write that it is at is cut at ``torn``."""
        if self.aggregator is not None:
            self.doom = after, torn

    def aggregator_dies(self) -> None:
        if self.aggregator is None:
            return
        self.aggregator = self.job = None
        self.journal.__exit__(None, None, None)
        self.retained = self.epoch, False, None
        self.broadcast("state")

    def perform(self, actions: Sequence[rounds.Action]) -> None:
        for action in actions:
            if self.aggregator is None:
                return
            if self.doom is not None and self.doom[0] == 0:
                self.die_at(action)
                return
            if self.doom is not None:
                self.doom = self.doom[0] - 1, self.doom[1]
            self.act(action)

    def die_at(self, action: rounds.Action) -> None:
        assert self.doom is not None
        if isinstance(action, rounds.Record):
            path = self.journal.path
            before = path.stat().st_size
            self.journal.append(action.entry)
            os.truncate(path, before + self.doom[1] % (path.stat().st_size - before))
        self.aggregator_dies()

    def act(self, action: rounds.Action) -> None:
        assert self.aggregator is not None
        if isinstance(action, rounds.Record):
            self.journal.append(action.entry)
            self.durable.append(action.entry)
        elif isinstance(action, rounds.Announce):
            self.announce(action)
        elif isinstance(action, rounds.Receipt):
            counted = [e[:3] for e in self.durable if e[0] == "accept"]
            kept = ("accept", action.round, action.device) in counted
            assert kept == (action.verdict == "accepted"), action
            if kept:
                self.promised.add((action.round, action.device))
            self.down.append((action.device, action))
        elif isinstance(action, rounds.TurnAway):
            board = self.boards[action.device]
            assert (action.instance, action.session) != board.identity, action
        elif isinstance(action, rounds.Fuse):
            seen = self.fusions.setdefault(action.round, dict(action.contributions))
            assert list(seen.items()) == list(action.contributions.items())
            assert sorted(seen) == list(seen)
            self.job = action
        elif isinstance(action, rounds.Close):
            told = replace(action, opened_s=0.0)  # in which life it was opened may differ
            assert self.closed.setdefault(action.round, told) == told
        else:
            self.send_knowledge(action.devices or NAMES)
            self.tell_state()

    def announce(self, action: rounds.Announce) -> None:
        assert self.aggregator is not None
        after = self.aggregator.after
        assert after == max(self.outcomes, default=0)
        if not action.reminder:
            self.send_knowledge(action.devices)
        self.down += [(name, ("round", action.round, after)) for name in action.devices]

    def send_knowledge(self, names: Sequence[str]) -> None:
        assert self.aggregator is not None
        number = self.aggregator.after
        if number:
            piece = "knowledge", number, self.outcomes[number]
            self.down += [(name, piece) for name in names]

    def tell_state(self) -> None:
        assert self.aggregator is not None
        over = self.aggregator.status == "finished"
        self.retained = self.epoch, True, self.aggregator.after if over else None
        self.broadcast("state")

    def broadcast(self, what: str) -> None:
        self.down += [(name, what) for name in NAMES]

    @precondition(lambda self: self.job is not None)
    @rule()
    def fused(self) -> None:
        assert self.job is not None
        job, self.job = self.job, None
        assert self.outcomes.setdefault(job.round, fuse(job.contributions)) == fuse(
            job.contributions
        )
        if self.aggregator is not None:
            self.perform(self.aggregator.fused(job.round, self.now_s))

    @precondition(lambda self: self.job is not None)
    @rule()
    def die_between_outcome_and_journal(self) -> None:
        assert self.job is not None
        self.outcomes[self.job.round] = fuse(self.job.contributions)
        self.aggregator_dies()

    # The devices and their disks.

    @rule(name=st.sampled_from(NAMES))
    def boot(self, name: str) -> None:
        board = self.boards[name]
        if board.session is not None:
            return
        board.starts += 1
        board.session = Session(
            done=board.done, upload=board.upload, settled=not board.upload, resend_s=2.0
        )
        self.connect(name)

    @rule(name=st.sampled_from(NAMES))
    def kill_device(self, name: str) -> None:
        board = self.boards[name]
        if board.session is not None and board.left is None:
            board.session = board.job = None
            self.drop_link(board)

    @rule(name=st.sampled_from(NAMES))
    def connect(self, name: str) -> None:
        board = self.boards[name]
        if board.session is not None and not board.connected:
            board.connected = True
            self.device_acts(board, board.session.connected_at(self.now_s))
            self.down.append((name, "state"))

    @rule(name=st.sampled_from(NAMES))
    def disconnect(self, name: str) -> None:
        board = self.boards[name]
        if board.session is not None and board.connected:
            self.device_acts(board, board.session.disconnected_at(self.now_s))
            self.drop_link(board)

    def drop_link(self, board: Board) -> None:
        if board.connected:
            board.connected = False
            self.up.append((board.name, ("death", *board.identity)))

    @rule(name=st.sampled_from(NAMES), saved=st.booleans())
    def finish_computing(self, name: str, saved: bool = True) -> None:  # noqa: FBT001, FBT002
        """The round is computed; ``saved`` False: the power goes just before it is durable."""
        board = self.boards[name]
        if board.job is None or board.session is None:
            return
        number = board.job.round
        upload = compute(name, number, board.job.knowledge)
        if not saved:
            self.kill_device(name)
            return
        board.done, board.upload, board.job = number, upload, None
        self.device_acts(board, board.session.computed(number, upload, self.now_s))

    def device_acts(self, board: Board, actions: Sequence[session.Action]) -> None:
        for action in actions:
            assert board.left is None, action
            if isinstance(action, session.SendBirth):
                self.up.append((board.name, ("birth", *board.identity)))
            elif isinstance(action, session.SendUpload):
                assert board.sent.setdefault(action.round, action.upload) == action.upload
                self.up.append((board.name, ("upload", action.round, action.upload)))
            elif isinstance(action, session.Compute):
                assert board.job is None
                assert action.round > board.done
                assert action.knowledge == self.outcomes.get(action.facts)
                board.job = action
            elif isinstance(action, session.Leave):
                assert not action.error
                board.left = action

    # The network and the clock.

    @precondition(lambda self: self.up)
    @rule(pick=st.integers(0, 10**6), keep=st.booleans())
    def deliver_up(self, pick: int, keep: bool = False) -> None:  # noqa: FBT001, FBT002
        index = pick % len(self.up)
        name, message = self.up[index] if keep else self.up.pop(index)
        self.tell_what_left(name)
        if self.aggregator is None:
            return
        what, first, second = message
        if what == "upload":
            actions = self.aggregator.offer(name, first, second, self.now_s)
        else:
            hears = self.aggregator.birth if what == "birth" else self.aggregator.death
            actions = hears(name, first, second, self.now_s)
        self.perform(actions)

    @precondition(lambda self: self.down)
    @rule(pick=st.integers(0, 10**6), keep=st.booleans())
    def deliver_down(self, pick: int, keep: bool = False) -> None:  # noqa: FBT001, FBT002
        index = pick % len(self.down)
        name, message = self.down[index] if keep else self.down.pop(index)
        board = self.boards[name]
        if board.session is None or not board.connected or board.left is not None:
            return
        self.device_acts(board, self.device_hears(board.session, message))

    def device_hears(self, me: Session, message: Any) -> list[session.Action]:
        if message == "state":  # retained: MQTT hands out the last one
            if self.retained is None:
                return []
            epoch, online, over = self.retained
            return me.state(epoch, online=online, finished_after=over, now_s=self.now_s)
        if isinstance(message, rounds.Receipt):
            return me.receipt(message.round, message.verdict, message.reason, self.now_s)
        what, number, rest = message
        if what == "round":
            return me.announced(number, rest, rest, self.now_s)
        return me.knowledge(number, rest, self.now_s)

    @precondition(lambda self: self.up or self.down)
    @rule(pick=st.integers(0, 10**6))
    def lose(self, pick: int) -> None:
        index = pick % (len(self.up) + len(self.down))
        if index < len(self.up):
            name, _ = self.up.pop(index)
            self.tell_what_left(name)
        else:
            self.down.pop(index - len(self.up))

    def tell_what_left(self, name: str) -> None:
        """A device hears when nothing of its own waits for the network any more."""
        me = self.boards[name].session
        if me is not None and name not in {sender for sender, _ in self.up}:
            me.sent(self.now_s)

    @rule(seconds=st.floats(0, 20))
    def wait(self, seconds: float) -> None:
        self.now_s += seconds
        if self.aggregator is not None:
            self.perform(self.aggregator.tick(self.now_s))
        for board in self.boards.values():
            if board.session is not None and board.left is None:
                self.device_acts(board, board.session.tick(self.now_s))

    # What must hold.

    @invariant()
    def a_contribution_counts_at_most_once(self) -> None:
        taken = [(number, name) for what, number, name, _ in self.durable if what == "accept"]
        assert len(taken) == len(set(taken))

    @invariant()
    def an_accepted_one_is_never_lost(self) -> None:
        journalled = {(n, name): data for what, n, name, data in self.durable if what == "accept"}
        for number, name in self.promised:
            assert journalled[number, name] == self.boards[name].sent[number]
            if number in self.fusions:
                assert self.fusions[number][name] == self.boards[name].sent[number]

    @invariant()
    def a_round_is_fused_with_its_quorum_or_failed_without(self) -> None:
        for number, close in self.closed.items():
            assert close.failed == (len(close.accepted) < self.plan.quorum)
            assert not (close.failed and number in self.fusions)
            if number in self.fusions:
                assert tuple(self.fusions[number]) == close.accepted

    def teardown(self) -> None:
        """From here on the network is fair and all stay alive: the run must come to its end."""
        if not hasattr(self, "folder"):
            return
        try:
            self.fair_end()
        finally:
            if self.aggregator is not None:
                self.journal.__exit__(None, None, None)
            shutil.rmtree(self.folder)

    def fair_end(self) -> None:
        for name in NAMES:  # what was lost, was lost with a connection: MQTT's QoS 1 resends
            self.disconnect(name)
        for _ in range(400):
            self.doom = None
            if self.aggregator is None:
                self.start_aggregator()
            for name in NAMES:
                self.boot(name)
                self.connect(name)
            if not self.fair_step():
                break
        self.all_is_well()

    @rule(steps=st.integers(1, 25))
    def all_goes_well_for_a_while(self, steps: int) -> None:
        """Without it, chance alone would hardly ever see a second round."""
        for _ in range(steps):
            if self.aggregator is None or not self.fair_step():
                return

    @rule(steps=st.integers(1, 80), seed=st.integers(0, 2**16))
    def all_goes_badly_for_a_while(self, steps: int, seed: int) -> None:
        """Messages come in any order, some twice, some never; devices die as they compute."""
        chance = random.Random(seed)  # noqa: S311 - dice, no secrets
        for _ in range(steps):
            pick, fate = chance.randrange(10**6), chance.random()
            if self.aggregator is None:
                self.start_aggregator()
            elif fate < 0.08 and self.up + self.down:
                self.lose(pick)
            elif fate < 0.5 and self.down:
                self.deliver_down(pick, keep=fate < 0.15)
            elif fate < 0.85 and self.up:
                self.deliver_up(pick, keep=fate < 0.55)
            elif fate < 0.88:
                self.doom_aggregator(pick % 4, pick)
            elif fate < 0.91:
                self.kill_device(NAMES[pick % 3])
            elif fate < 0.94:
                self.boot(NAMES[pick % 3])
            elif not self.fair_step():
                return

    def fair_step(self) -> bool:
        """Let the next thing happen that would without an adversary; False where all is over."""
        busy = [name for name, board in self.boards.items() if board.job is not None]
        if self.up:
            self.deliver_up(0)
        elif self.down:
            self.deliver_down(0)
        elif busy:
            self.finish_computing(busy[0], saved=True)
        elif self.job is not None:
            self.fused()
        elif all(board.left for board in self.boards.values()):
            return False
        else:
            self.wait(min(100.0, max(0.0, self.soonest_s() - self.now_s)))
        return True

    def soonest_s(self) -> float:
        assert self.aggregator is not None
        here = [b.session for b in self.boards.values() if b.session is not None and not b.left]
        return min([self.aggregator.next_tick_s, *(s.next_tick_s for s in here)])

    def all_is_well(self) -> None:
        assert self.aggregator is not None
        assert self.aggregator.status == "finished"
        last = max(self.outcomes, default=0)
        for board in self.boards.values():
            assert board.left is not None, f"{board.name} never leaves"
            assert board.left.knowledge == self.outcomes.get(last)
        ended = {number for what, number, _, _ in self.durable if what in ("close", "failed")}
        assert ended == set(range(1, self.plan.rounds + 1))
        self.an_accepted_one_is_never_lost()
        again = Rounds(self.plan, self.durable)
        assert (again.status, again.after) == ("finished", last)


TestAdversary = Adversary.TestCase
TestAdversary.settings = settings(
    max_examples=100,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
