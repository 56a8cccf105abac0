"""One simulated device: its computing, its ups and downs, its energy."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any

import simpy

import channel_sim
from devices.profile import DeviceProfile
from edge_fd import messages
from edge_fd.desk import Desk, Job, Spent, Work
from edge_fd.kit import Kit, KitDevice, device_of
from edge_fd.knowledge import Knowledge
from edge_fd.messages import Out
from edge_fd.methods.base import Round
from edge_fd.participant import Identity, Participant
from edge_fd.recorder import Recorder
from edge_fd.simulation.timer import Timer
from edge_fd.store import Saved
from edge_fd.task import Replay, Task

KEEPALIVE_S = 60.0
"""A broker notices a silent device after one and a half of these (MQTT 3.1.1, 3.1.2.10)."""


@dataclass
class Coming:
    """What is on its way to a device, or has arrived."""

    announced: Out | None = None
    piece: Out | None = None
    accepted: int = 0
    """Round of the last contribution of this life that was accepted."""

    def note(self, message: Out) -> None:
        """A message to the device is sent."""
        if message.leaf == "round":
            self.announced = message
        elif message.leaf == "knowledge":
            self.piece = message
        elif message.leaf == "receipt" and message.frame.meta.get("verdict") == "accepted":
            self.accepted = message.frame.round


@dataclass(frozen=True)
class Power:
    """What a device is powered by and when it is up; None: always, for ever."""

    life: channel_sim.Availability | None
    battery: channel_sim.Battery | None


class Node:
    """A device under the simulator's clock.

    ``send`` carries a message to the aggregator; ``booted`` and ``died`` tell
    the broker that the device subscribed, or fell silent. ``jobs`` computes a
    task elsewhere; None: here, when virtual time has come.
    """

    def __init__(
        self,
        env: simpy.Environment,
        kit: Kit,
        me: KitDevice,
        desk: Desk,
        *,
        profile: DeviceProfile | None,
        power: Power,
        recorder: Recorder,
        send: Callable[[Node, Out], None],
        booted: Callable[[Node], None],
        died: Callable[[str, str, bytes], None],
        jobs: Callable[[Node, Task], Job[Knowledge | None] | Replay] | None = None,
    ) -> None:
        self.name = me.name
        self.up = False
        self.session = 0
        self._env, self._kit, self._me, self._desk = env, kit, me, desk
        self._profile, self._power, self._recorder = profile, power, recorder
        self._send, self._booted, self._died, self._jobs = send, booted, died, jobs
        self._saved = Saved(0, b"", desk.student.initial)
        self._upload: Out | None = None
        self._timer = Timer(env, self._tick)
        self._job: simpy.Process | None = None
        self._computed: tuple[int, float] = (0, 0.0)
        self._receipt_seen = 0
        self._idle_since_s = self._idle_s = 0.0
        self._on_their_way = 0
        """Messages of this life that its radio has still to send."""

    @property
    def saved(self) -> Saved:
        """What the device has committed: it survives a power cut."""
        return self._saved

    def live(self) -> Generator[simpy.Event, Any, None]:
        """The device's life as a SimPy process: up and down in turn."""
        life = self._power.life
        while not self.empty:
            if life is not None and not life.is_up(self._env.now):
                yield self._env.timeout(life.next_change_s(self._env.now) - self._env.now)
                continue
            self._boot()
            if life is None:
                return
            yield self._env.timeout(life.next_change_s(self._env.now) - self._env.now)
            self._crash()

    def receive(self, message: Out, round_opened_s: float) -> None:
        """A message from the broker arrived."""
        if not self.up:
            return
        self._opened_s = round_opened_s
        self._act(self._participant.receive_out(message, self._env.now))

    def sent(self, session: int) -> None:
        """The radio is done with a message that was sent in life ``session``."""
        if not self.up or session != self.session:
            return
        self._on_their_way -= 1
        if not self._on_their_way:
            self._participant.sent(self._env.now)
            self._timer.set(self._participant.next_tick_s)

    def foresee(self, coming: Coming) -> Task | None:
        """What it will compute once it has all of this; None where it will not, or is busy."""
        if coming.announced is None:
            return None
        number = coming.announced.frame.round
        after, _, indices = messages.read_announce(coming.announced.frame)
        piece = coming.piece
        found = 0 if piece is None else piece.frame.round
        busy = self._job is not None and self._job.is_alive
        if not self.up or busy or self._saved.done >= number or found != after:
            return None
        facts = Round(number, indices, after=after, acknowledged=coming.accepted)
        return self._participant.task(facts, None if piece is None else piece.piece)

    def spend(self, number: int, **joules: float) -> None:
        """Draw energy, charged to a round; an empty battery ends the device."""
        self._recorder.note(self.name, number, **joules)
        if self._power.battery is not None:
            self._power.battery.drain(sum(joules.values()))
            if self.empty and self.up:
                self._crash()

    def settle_idle(self, number: int, radio_rest_w: float | None) -> None:
        """Charge the idle consumption of board and radio since the last call to a round."""
        if self.up:
            self._rest()
        seconds, self._idle_s = self._idle_s, 0.0
        board_j = self._profile.idle_j(seconds) if self._profile else 0.0
        if self._profile is not None or radio_rest_w is not None:
            self.spend(number, idle_j=board_j + (radio_rest_w or 0.0) * seconds)

    @property
    def empty(self) -> bool:
        """True when there is a battery and nothing is left in it."""
        return self._power.battery is not None and self._power.battery.empty

    def _boot(self) -> None:
        kit, me = self._kit, self._me
        self.up = True
        self.session += 1
        self._opened_s = self._env.now
        self._idle_since_s = self._env.now
        self._on_their_way = 0
        identity = Identity(kit.scenario.name, me.name, me.name.encode(), self.session)
        jobs = self._jobs
        self._participant = Participant(
            identity,
            kit.method,
            device_of(kit, me),
            self._desk,
            codec=kit.codec,
            seed=kit.scenario.seed,
            saved=self._saved,
            save=self._keep,
            resend_s=kit.scenario.rounds.resend_s,
            jitter_s=kit.scenario.rounds.jitter_s,
            buffered=kit.plan.buffer > 0,
            jobs=None if jobs is None else lambda task: jobs(self, task),
            upload=self._upload,
            light=True,
        )
        self._act(self._participant.connected(self._env.now))
        self._booted(self)

    def _crash(self) -> None:
        if not self.up:
            return
        self._rest()
        self.up = False
        self._timer.set(float("inf"))
        # A job that drained the battery itself sees that the device is down.
        mine = self._job is self._env.active_process
        if self._job is not None and self._job.is_alive and not mine:
            self._job.interrupt()
        self._upload = self._participant.upload
        self._died(self.name, *self._participant.will())

    def _rest(self) -> None:
        """Count the seconds of idle consumption until now."""
        self._idle_s += self._env.now - self._idle_since_s
        self._idle_since_s = self._env.now

    def _keep(self, saved: Saved) -> None:
        self._saved = saved

    def _tick(self) -> None:
        if self.up:
            self._act(self._participant.tick(self._env.now))

    def _act(self, outs: list[Out]) -> None:
        for message in outs:
            if self.up:  # the battery may not last for all of them
                self._on_their_way += 1
                self._send(self, message)
        participant = self._participant
        number, done_s = self._computed
        if participant.settled[0] == number > self._receipt_seen:
            self._receipt_seen = number
            self._recorder.note(self.name, number, up_s=self._env.now - done_s)
        if participant.job is not None and (self._job is None or not self._job.is_alive):
            self._job = self._env.process(self._compute(participant))
        self._timer.set(participant.next_tick_s)

    def _compute(self, participant: Participant) -> Generator[simpy.Event, Any, None]:
        job, number = participant.job, participant.job_round
        if job is None:
            return
        begun_s, spent = self._env.now, Spent()
        self._recorder.note(self.name, number, down_s=begun_s - self._opened_s)
        try:
            while not job.over:
                seconds = self._seconds(job.work)
                yield self._env.timeout(seconds)
                spent.add(job.kind, seconds)
                job.answer()
        except simpy.Interrupt:
            self._charge_computing(number, begun_s)
            return
        self._charge_computing(number, begun_s)
        self._recorder.note(self.name, number, **spent.notes())
        self._computed = (number, self._env.now)
        if job.loss is not None:
            self._recorder.note(self.name, number, loss=job.loss)
        if self.up:
            self._job = None
            self._act(participant.finish(self._env.now))

    def _charge_computing(self, number: int, begun_s: float) -> None:
        seconds = self._env.now - begun_s
        self._recorder.note(self.name, number, compute_s=seconds)
        if self._profile is not None:
            self.spend(number, compute_j=self._profile.compute_j(seconds))

    def _seconds(self, work: Work) -> float:
        if self._profile is None:
            return 0.0
        seconds = 0.0
        if work.trained:
            seconds += self._profile.train_s(self._desk.macs, work.trained, work.steps)
        if work.predicted:
            seconds += self._profile.predict_s(self._desk.macs, work.predicted)
        return seconds
