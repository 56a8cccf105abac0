"""The aggregator of a run: frames in, frames out, and the fusion in between.

Joins the rounds (when to do what), the method's server half (what) and the
codecs (how it travels). Knows no socket and no clock: the MQTT server and the
simulator drive it alike. When :attr:`Aggregator.job` is set, the driver
answers its requests and calls :meth:`Aggregator.finish`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Protocol

import numpy as np

from broker import topics
from broker.errors import FrameError, TopicError
from broker.frame import Frame, check_origin, decode
from edge_fd import messages, rounds
from edge_fd.admission import Expected, admit
from edge_fd.codecs import Codec
from edge_fd.desk import Job
from edge_fd.knowledge import Exact, Fused, Knowledge, smallest_unsigned
from edge_fd.messages import AggregatorState, Out, out
from edge_fd.methods.base import Method, Round, Server
from edge_fd.outcome import Holdings, Keeper, Outcome, beginning
from edge_fd.rounds import Close, Plan, Rounds
from edge_fd.streams import stream

DAMAGED = frozenset({"crc", "truncated"})
"""Reasons that another try may mend: no receipt, so that the device sends again."""


class Watcher(Protocol):
    """Who is told what happens, to write it down."""

    def closed(self, close: Close, *, opened_s: float, now_s: float) -> None:
        """A round has ended."""

    def fused(self, outcome: Outcome) -> None:
        """A round was fused."""

    def answered(self, device: str, round: int, verdict: str) -> None:
        """A device was sent a receipt."""

    def measured(self, device: str, round: int, values: dict[str, float]) -> None:
        """A device told its evaluation and timings."""


class Aggregator:
    """One run's aggregator; ``history`` and ``outcome`` are those of an earlier life."""

    def __init__(
        self,
        run: str,
        method: Method,
        plan: Plan,
        *,
        classes: int,
        codec: Codec,
        keeper: Keeper,
        watcher: Watcher,
        holdings: Holdings | None = None,
        epoch: int = 1,
        history: Iterable[rounds.Entry] = (),
        outcome: Outcome | None = None,
    ) -> None:
        self.job: Job[Fused] | None = None
        self.refusals: Counter[str] = Counter()
        """Frames that were refused, by reason."""
        self._holdings = holdings or Holdings()
        self.outcome = outcome or beginning(self._holdings)
        self._run, self._method, self._plan = run, method, plan
        self._classes, self._codec = classes, codec
        self._keeper, self._watcher = keeper, watcher
        self._epoch = epoch
        self._fingerprint = method.fingerprint()
        self._devices = frozenset(plan.devices)
        self._rounds = Rounds(plan, history)
        self._admitted: dict[tuple[str, int], tuple[bytes, Knowledge | None]] = {}
        self._job_round = 0
        self._given: dict[str, int] = {}

    @property
    def finished(self) -> bool:
        """Whether all rounds are over."""
        return self._rounds.status == "finished"

    @property
    def alive(self) -> tuple[str, ...]:
        """Devices that are here."""
        return self._rounds.alive

    @property
    def number(self) -> int:
        """The current round."""
        return self._rounds.number

    @property
    def next_tick_s(self) -> float:
        """When :meth:`tick` has something to do."""
        return self._rounds.next_tick_s

    def start(self, now_s: float) -> list[Out]:
        """Say that we are here, and begin or take up the rounds."""
        said = self._state(online=True)
        return [said, *self._do(self._rounds.start(now_s), now_s)]

    def connected(self) -> list[Out]:
        """The broker is back, perhaps empty: say so under a new epoch, so that devices answer.

        Those that were back before us spoke their births to nobody.
        """
        self._epoch += 1
        return [self._state(online=True)]

    def goodbye(self) -> Out:
        """The state that we leave behind, and our last will."""
        return self._state(online=False)

    def tick(self, now_s: float) -> list[Out]:
        """Time has passed."""
        return self._do(self._rounds.tick(now_s), now_s)

    def receive(self, topic: str, payload: bytes, now_s: float) -> list[Out]:
        """A message arrived; one that must be refused is answered, counted, and harms nothing."""
        return self.receive_out(Out(topic, payload, 0, None), now_s)

    def receive_out(self, message: Out, now_s: float) -> list[Out]:
        """As :meth:`receive`, for a driver that has the message itself and need not decode it."""
        where = _from_a_device(message.topic)
        if where is None or where.run != self._run:
            self.refusals["topic"] += 1
            return []
        frame = None
        try:
            frame = message.frame
            check_origin(frame, run=self._run, device=where.device)
            return self._read(where, frame, message.payload, now_s)
        except FrameError as error:
            self.refusals[error.reason] += 1
            if where.leaf != "knowledge" or error.reason in DAMAGED:
                return []
            if where.device not in self._devices:
                return []
            # A device listens for the receipt of its own round, which may be an older one.
            number = self.number if frame is None else min(frame.round, self.number)
            verdict = rounds.Receipt(where.device, number, "refused", str(error))
            return self._do([verdict], now_s)

    def finish(self, now_s: float) -> list[Out]:
        """The fusion is computed: keep its outcome, then go on."""
        job = self.job
        if job is None or not job.over or job.result is None:
            raise RuntimeError(f"round {self._job_round} is not fused yet")
        self.job = None
        job.result.freeze()
        self.outcome = Outcome(self._job_round, job.result, job.state, job.memory, job.states)
        self._keeper.keep(self.outcome)
        self._watcher.fused(self.outcome)
        return self._do(self._rounds.fused(self._job_round, now_s), now_s)

    def indices(self, number: int) -> Exact | None:
        """Return the proxy samples of round ``number``, in rising order; None for all."""
        total, count = self._proxy_size, self._holdings.proxy_per_round
        asked = self._method.needs_proxy and not self._method.proxy_at_server
        if not asked or count is None or count >= total:
            return None
        rng = stream(self._plan.seed, "proxy", number)
        return smallest_unsigned(np.sort(rng.choice(total, count, replace=False)))

    def _read(self, where: topics.Topic, frame: Frame, payload: bytes, now_s: float) -> list[Out]:
        name = where.device
        if where.leaf == "birth":
            return self._birth(name, messages.read_birth(frame), now_s)
        if where.leaf == "death":
            instance = messages.want(frame, "instance", bytes)
            session = messages.want(frame, "session", int)
            return self._do(self._rounds.death(name, instance, session, now_s), now_s)
        if name not in self._devices:
            raise FrameError("device", f"no device {name!r} in this run")
        if where.leaf == "metrics":
            if frame.round > self.number:
                raise FrameError("round", f"metrics of round {frame.round}, never announced")
            values = {key: messages.want(frame, key, float) for key in frame.meta}
            self._watcher.measured(name, frame.round, values)
            return []
        if frame.method != self._method.name:
            raise FrameError(
                "method", f"method {frame.method!r}; this run's is {self._method.name!r}"
            )
        if self.number - self._plan.reach <= frame.round <= self.number:
            self._admitted[name, frame.round] = payload, self._admit(name, frame)
        return self._do(self._rounds.offer(name, frame.round, payload, now_s), now_s)

    def _birth(self, name: str, said: messages.Birth, now_s: float) -> list[Out]:
        reason = self._objection(name, said)
        if reason:
            away = rounds.TurnAway(name, said.instance, said.session, reason)
            return self._do([away], now_s)
        self._given.pop(name, None)
        return self._do(self._rounds.birth(name, said.instance, said.session, now_s), now_s)

    def _objection(self, name: str, said: messages.Birth) -> str:
        if said.method != self._fingerprint:
            return (
                f"this run's method is {self._method.name} with other settings or source;"
                " export the bundle again from the scenario that is served"
            )
        if self._method.needs_training and said.capability != "train":
            return f"{self._method.name} needs devices that train; this one can only infer"
        due = self._holdings.parameters.get(name)
        if due not in (None, said.parameters):
            return (
                f"{self._method.name} expects {due} parameters of {name!r}: {said.student!r} has"
                f" {said.parameters}; start it with the bundle that was exported for it"
            )
        return ""

    @property
    def _proxy_size(self) -> int:
        return 0 if self._holdings.proxy is None else len(self._holdings.proxy)

    def _expected(self, name: str, number: int) -> Expected:
        indices = self.indices(number)
        return Expected(
            self._method.kind,
            self._classes,
            samples=self._proxy_size if indices is None else len(indices),
            parameters=self._holdings.parameters.get(name),
            features=self._holdings.features,
            symbols=self._method.symbols(self._classes),
        )

    def _do(self, actions: list[rounds.Action], now_s: float) -> list[Out]:
        outs: list[Out] = []
        for action in actions:
            if isinstance(action, rounds.Record):
                self._keeper.append(action.entry)
            elif isinstance(action, rounds.Announce):
                outs += self._announce(action, now_s)
            elif isinstance(action, rounds.Receipt):
                self._watcher.answered(action.device, action.round, action.verdict)
                outs.append(self._receipt(action))
            elif isinstance(action, rounds.TurnAway):
                outs.append(self._turn_away(action))
            elif isinstance(action, Close):
                oldest = action.round - self._plan.reach
                self._admitted = {k: v for k, v in self._admitted.items() if k[1] >= oldest}
                self._watcher.closed(action, opened_s=action.opened_s, now_s=now_s)
            elif isinstance(action, rounds.Fuse):
                outs += self._fuse(action, now_s)
            else:
                outs += self._knowledge_for(action.devices)
                if not action.devices:  # who comes later has the retained state already
                    outs.append(self._state(online=True))
        return outs

    def _fuse(self, action: rounds.Fuse, now_s: float) -> list[Out]:
        if self.outcome.round >= action.round:  # fused in an earlier life, not yet recorded
            self._watcher.fused(self.outcome)
            return self._do(self._rounds.fused(action.round, now_s), now_s)
        uploads = {}
        for name, raw in action.contributions.items():
            knowledge = self._knowledge_in(name, action.round - action.staleness.get(name, 0), raw)
            if knowledge is not None:
                uploads[name] = knowledge
        self._job_round = action.round
        self.job = self._job(uploads, action.staleness)
        return []

    def _job(self, uploads: Mapping[str, Knowledge], staleness: Mapping[str, int]) -> Job[Fused]:
        held, number = self._holdings, self._job_round
        memory = dict(self.outcome.memory)
        server = Server(
            self._classes,
            held.proxy,
            held.desk is not None,
            memory,
            validation=held.validation,
            groups=held.groups,
        )
        facts = Round(
            number,
            self.indices(number),
            self._plan.seed,
            after=self.outcome.round,
            buffered=self._plan.buffer > 0,
            staleness=staleness,
            max_staleness=self._plan.reach,
        )
        rng = stream(self._plan.seed, "server", number, "batches")
        half = self._method.fuse(server, facts, uploads)
        others = {name: (desk, self.outcome.states[name]) for name, desk in held.others.items()}
        return Job(
            half, held.desk, self.outcome.state, rng, round=number, memory=memory, others=others
        )

    def _knowledge_in(self, name: str, number: int, raw: bytes) -> Knowledge | None:
        """Knowledge of a contribution; after a restart it is known by its bytes alone."""
        read, knowledge = self._admitted.pop((name, number), (b"", None))
        return knowledge if read is raw else self._admit(name, decode(raw))

    def _admit(self, name: str, frame: Frame) -> Knowledge | None:
        knowledge = admit(frame, self._expected(name, frame.round))
        if knowledge is not None:
            memory = self.outcome.memory
            reason = self._method.objection(
                knowledge, device=name, classes=self._classes, memory=memory
            )
            if reason:
                raise FrameError("range", reason)
        return knowledge

    def _announce(self, action: rounds.Announce, now_s: float) -> list[Out]:
        outs = [] if action.reminder else self._knowledge_for(action.devices)
        everyone = len(action.devices) == len(self._devices)
        for device in [""] if everyone else action.devices:
            frame = messages.announce(
                run=self._run,
                round=action.round,
                device=device,
                after=self._rounds.after,
                left_s=self._rounds.remaining_s(now_s),
                indices=self.indices(action.round),
            )
            outs.append(out(self._topic(device, "round"), frame))
        return outs

    def _knowledge_for(self, devices: tuple[str, ...]) -> list[Out]:
        """Current knowledge for those of ``devices`` (empty: all) that were not given it yet."""
        number, fused = self._rounds.after, self.outcome.fused
        names = devices or self._plan.devices
        lacking = [name for name in names if self._given.get(name) != number and number > 0]
        self._given.update(dict.fromkeys(lacking, number))
        if not lacking:
            return []
        if not fused.each and len(lacking) == len(self._plan.devices):
            return [self._piece(fused.shared, number, "")]
        return [self._piece(fused.of(name), number, name) for name in lacking]

    def _piece(self, knowledge: Knowledge | None, number: int, device: str) -> Out:
        frame, bits = messages.piece(
            knowledge,
            self._codec,
            run=self._run,
            round=number,
            device=device,
            method=self._method.name,
        )
        topic = self._topic(device, "knowledge")
        return out(topic, frame, compress=self._codec.compress, paper_bits=bits)

    def _receipt(self, action: rounds.Receipt) -> Out:
        frame = messages.receipt(
            run=self._run,
            device=action.device,
            round=action.round,
            verdict=action.verdict,
            reason=action.reason,
        )
        return out(self._topic(action.device, "receipt"), frame)

    def _turn_away(self, action: rounds.TurnAway) -> Out:
        frame = messages.refused(
            run=self._run,
            device=action.device,
            instance=action.instance,
            session=action.session,
            reason=action.reason,
        )
        return out(self._topic(action.device, "refused"), frame)

    def _state(self, *, online: bool) -> Out:
        after = self._rounds.after if self.finished else None
        said = AggregatorState(self._epoch, online, self._fingerprint, self._plan.seed, after)
        frame = messages.state(said, run=self._run, method=self._method.name)
        made = out(topics.bcast(self._run, "state"), frame, retain=True)
        return replace(made, round=max(1, self.number))

    def _topic(self, device: str, leaf: str) -> str:
        if device:
            return topics.down(self._run, device, leaf)
        return topics.bcast(self._run, leaf)


def _from_a_device(topic: str) -> topics.Topic | None:
    """Parse a topic; None for one that is not ours, or not on the way up.

    amqtt delivers what was not subscribed to: our own retained state.
    """
    try:
        where = topics.parse(topic)
    except TopicError:
        return None
    return where if where.direction == "up" else None
