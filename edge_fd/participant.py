"""A device in a run: frames in, frames out, and jobs in between.

Joins the session (when to do what), the method's device half (what) and the
codecs (how it travels). Knows no socket and no clock: the MQTT node and the
simulator drive it alike. When :attr:`Participant.job` is set, the driver
answers its requests, in real or virtual time, and calls
:meth:`Participant.finish`. What the optimiser gathered ends with the round.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from broker import topics
from broker.errors import FrameError, TopicError
from broker.frame import Frame, decode
from devices.student import State
from edge_fd import messages, session
from edge_fd.codecs import Codec
from edge_fd.desk import Desk, Job
from edge_fd.errors import RefusedError
from edge_fd.knowledge import Knowledge
from edge_fd.ledger import message_bytes
from edge_fd.messages import Out, out
from edge_fd.methods.base import Device, Method, Round
from edge_fd.session import Session
from edge_fd.store import Saved
from edge_fd.streams import stream
from edge_fd.task import Replay, Task


@dataclass(frozen=True)
class Identity:
    """Which device, in which run, which incarnation of it."""

    run: str
    device: str
    instance: bytes
    session: int


class Participant:
    """One device in one run; ``save`` makes its state durable before anything is sent.

    ``jobs`` begins the computing of a task; None computes it here.
    ``buffered`` tells how the aggregator's rounds are. A driver that hands
    frames over instead of bytes keeps uploads ``light`` (:meth:`Out.light`),
    and gives back the last ``upload`` of an earlier life.
    """

    def __init__(
        self,
        identity: Identity,
        method: Method,
        device: Device,
        desk: Desk,
        *,
        codec: Codec,
        seed: int,
        saved: Saved | None = None,
        save: Callable[[Saved], None] = lambda _saved: None,
        resend_s: float = 10.0,
        jitter_s: float = 0.0,
        buffered: bool = False,
        jobs: Callable[[Task], Job[Knowledge | None] | Replay] | None = None,
        upload: Out | None = None,
        light: bool = False,
    ) -> None:
        self.identity = identity
        self.desk = desk
        self.saved = saved or Saved(0, b"", desk.student.initial)
        self.job: Job[Knowledge | None] | Replay | None = None
        self.job_round = 0
        self.left = False
        self.settled: tuple[int, str, str] = (0, "", "")
        """Round, verdict and reason of the last receipt."""
        self.refusals = 0
        """Frames from the aggregator that could not be read."""
        self._method, self._device, self._codec = method, device, codec
        self._seed, self._save = seed, save
        self._jitter_s, self._buffered = jitter_s, buffered
        self._jobs = jobs or self._here
        self._fingerprint = method.fingerprint()
        self._acknowledged = 0
        self._light = light
        self.upload = upload
        """The last upload, where it was made here."""
        self._session = Session(
            done=self.saved.done,
            upload=self.saved.upload,
            settled=not self.saved.upload,
            resend_s=resend_s,
        )

    @property
    def state(self) -> State:
        """The committed weights."""
        return self.saved.state

    @property
    def next_tick_s(self) -> float:
        """When :meth:`tick` has something to do."""
        return self._session.next_tick_s

    def connected(self, now_s: float) -> list[Out]:
        """The broker can be reached."""
        return self._do(self._session.connected_at(now_s))

    def disconnected(self, now_s: float) -> list[Out]:
        """The broker cannot be reached."""
        return self._do(self._session.disconnected_at(now_s))

    def sent(self, now_s: float) -> None:
        """All messages that it gave out have left this device, or were given up."""
        self._session.sent(now_s)

    def tick(self, now_s: float) -> list[Out]:
        """Time has passed."""
        return self._do(self._session.tick(now_s))

    def receive(self, topic: str, payload: bytes, now_s: float) -> list[Out]:
        """A message arrived. One that cannot be read is counted and left alone."""
        try:
            frame = decode(payload)
        except FrameError:
            self.refusals += 1
            return []
        return self._take(topic, frame, lambda: messages.read_piece(frame), now_s)

    def receive_out(self, message: Out, now_s: float) -> list[Out]:
        """As :meth:`receive`, for a driver that decodes once what many devices hear."""
        return self._take(message.topic, message.frame, lambda: message.piece, now_s)

    def task(self, facts: Round, knowledge: Knowledge | None) -> Task:
        """What this device computes when it is asked for a round now."""
        acknowledged = max(self._acknowledged, facts.acknowledged)
        facts = replace(facts, seed=self._seed, acknowledged=acknowledged, buffered=self._buffered)
        device = replace(self._device, memory=self.saved.memory)
        return Task(self._method, device, facts, knowledge, self.state.theta)

    def finish(self, now_s: float) -> list[Out]:
        """The job is over: commit its outcome, durably, then publish it."""
        job, number = self.job, self.job_round
        theta = None if job is None else job.theta
        if job is None or not job.over or theta is None:
            raise RuntimeError(f"round {number} is not computed yet")
        self.job = None
        me = self.identity
        frame, bits = messages.piece(
            job.result,
            self._codec,
            run=me.run,
            round=number,
            device=me.device,
            method=self._method.name,
        )
        made = out(self._topic("knowledge"), frame, compress=self._codec.compress, paper_bits=bits)
        self.upload = made = made.light() if self._light else made
        state = State(theta, self.desk.student.initial.opt)
        self.saved = Saved(number, made.payload, state, job.memory)
        self._save(self.saved)
        return self._do(
            self._session.computed(number, made.payload, now_s, hold_s=self._hold_s(number))
        )

    def metrics(self, number: int, values: dict[str, float]) -> Out:
        """Evaluation and timings of round ``number`` for the aggregator; not charged."""
        me = self.identity
        frame = messages.metrics(values, run=me.run, round=number, device=me.device)
        return out(self._topic("metrics"), frame, charged=False)

    def will(self) -> tuple[str, bytes]:
        """Topic and payload of the last will, which is also the good-bye."""
        me = self.identity
        frame = messages.death(
            run=me.run, device=me.device, instance=me.instance, session=me.session
        )
        made = out(self._topic("death"), frame)
        return made.topic, made.payload

    def _take(
        self, topic: str, frame: Frame, piece: Callable[[], Knowledge | None], now_s: float
    ) -> list[Out]:
        try:
            actions = self._read(topics.parse(topic).leaf, frame, piece, now_s)
        except (FrameError, TopicError):
            self.refusals += 1
            return []
        return self._do(actions)

    def _read(
        self, leaf: str, frame: Frame, piece: Callable[[], Knowledge | None], now_s: float
    ) -> list[session.Action]:
        me = self.identity
        if frame.run != me.run or frame.device not in ("", me.device):
            raise FrameError("device", f"a frame for {frame.run}/{frame.device}")
        if leaf == "state":
            said = messages.read_state(frame)
            self._same_run(said)
            return self._session.state(
                said.epoch, online=said.online, finished_after=said.finished_after, now_s=now_s
            )
        if leaf == "round":
            after, _, indices = messages.read_announce(frame)
            facts = Round(frame.round, indices, after=after)
            return self._session.announced(frame.round, after, facts, now_s)
        if leaf == "knowledge":
            return self._session.knowledge(frame.round, piece(), now_s)
        if leaf == "receipt":
            verdict = messages.want(frame, "verdict", str)
            reason = str(frame.meta.get("reason", ""))
            return self._session.receipt(frame.round, verdict, reason, now_s)
        if (frame.meta.get("instance"), frame.meta.get("session")) == (me.instance, me.session):
            return self._session.turned_away(messages.want(frame, "reason", str))
        return []

    def _same_run(self, said: messages.AggregatorState) -> None:
        if said.seed != self._seed:
            raise RefusedError(
                f"the aggregator runs seed {said.seed}, this bundle is of seed {self._seed};"
                " export the bundle again from its scenario"
            )
        if said.method != self._fingerprint:
            raise RefusedError(
                f"the aggregator runs another {self._method.name}, or with other settings;"
                " export the bundle again from its scenario, and install the same edge-fd"
            )

    def _do(self, actions: list[session.Action]) -> list[Out]:
        outs: list[Out] = []
        for action in actions:
            if isinstance(action, session.SendBirth):
                outs.append(self._birth())
            elif isinstance(action, session.SendUpload):
                outs.append(self._upload(action))
            elif isinstance(action, session.Compute):
                self._start(action)
            elif isinstance(action, session.Settled):
                self.settled = (action.round, action.verdict, action.reason)
                if action.verdict == "accepted":
                    self._acknowledged = action.round
            elif action.error:
                raise RefusedError(action.error)
            else:
                self.left = True
        return outs

    def _hold_s(self, number: int) -> float:
        """How long this round's upload waits: drawn, so that a fleet does not answer at once."""
        if self._jitter_s == 0:
            return 0.0
        rng = stream(self._seed, "device", self.identity.device, number, "jitter")
        return self._jitter_s * rng.random()

    def _start(self, action: session.Compute) -> None:
        self.job_round = action.round
        self.job = self._jobs(self.task(action.facts, action.knowledge))

    def _here(self, task: Task) -> Job[Knowledge | None]:
        return task.start(self.desk)

    def _birth(self) -> Out:
        me, bundle = self.identity, self.desk.student.bundle
        said = messages.Birth(
            me.instance,
            me.session,
            self._device.capability,
            bundle.student,
            bundle.parameters,
            self._fingerprint,
        )
        made = out(self._topic("birth"), messages.birth(said, run=me.run, device=me.device))
        return replace(made, round=max(1, self.saved.done))

    def _upload(self, action: session.SendUpload) -> Out:
        topic, made = self._topic("knowledge"), self.upload
        if made is None:  # computed in an earlier life
            made = Out(topic, action.upload, action.round, message_bytes(topic, action.upload))
        # A paper counts a number once, however often it had to be sent.
        self.upload = replace(made, cost=made.cost and replace(made.cost, paper_bits=0))
        return made

    def _topic(self, leaf: str) -> str:
        return topics.up(self.identity.run, self.identity.device, leaf)
