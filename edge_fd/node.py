"""A device on a real network: MQTT in, MQTT out, real time, state on disk.

Runs on a board: nothing on its import path loads torch, onnx or simpy. All
decisions are the participant's; this file owns the clock and the socket.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from broker import topics
from broker.client import Client, Connected, Disconnected, Event, Message
from devices.bundle import Bundle, read_bundle
from devices.student import Student
from edge_fd import methods
from edge_fd.codecs import codec
from edge_fd.data.device_file import DeviceData, read_device_npz
from edge_fd.desk import Desk, Spent
from edge_fd.errors import UsageError
from edge_fd.evaluation import Evaluator
from edge_fd.messages import Out
from edge_fd.methods.base import Device, Method
from edge_fd.participant import Identity, Participant
from edge_fd.store import DeviceStore

LONGEST_WAIT_S = 1.0


@dataclass(frozen=True)
class NodeSettings:
    """How a device is started; ``run`` None takes the name that the bundle carries."""

    name: str
    bundle: Path
    data: Path
    url: str
    state: Path
    run: str | None = None
    ca_file: str | None = None
    connect_timeout_s: float = 30.0


def run_node(settings: NodeSettings, *, say: Callable[[str], None] = lambda _text: None) -> None:
    """Take part in a run until it is over.

    Raises BundleError, BrokerError or UsageError for what is wrong at the
    start, and RefusedError where the aggregator turns this device away. What
    was computed stays in the state folder.
    """
    bundle = read_bundle(settings.bundle)
    data = read_device_npz(settings.data, classes=bundle.classes)
    method = method_of(bundle, settings.bundle)
    run = settings.run or str(bundle.method["run"])
    topics.check_name("run", run)
    topics.check_name("device", settings.name)
    student = Student(bundle, enable_cpu_mem_arena=False)
    student.self_test()
    desk = Desk(student, method.losses)
    device = _device(settings, bundle, data, method)
    with DeviceStore(settings.state, run=run, bundle_id=bundle.id) as store:
        identity = Identity(run, settings.name, store.instance, store.session)
        participant = Participant(
            identity,
            method,
            device,
            desk,
            codec=codec(str(bundle.method["codec"])),
            seed=int(bundle.method["seed"]),
            saved=store.load(),
            save=store.save,
            resend_s=float(bundle.method["resend_s"]),
            jitter_s=float(bundle.method.get("jitter_s", 0.0)),
            buffered=bool(bundle.method["buffered"]),
        )
        # A new id in each life: a copied state folder must not push the original off the
        # broker, and amqtt would take both ones' sessions away with the first that leaves.
        client = Client(
            settings.url,
            f"{run}-{settings.name}-{uuid.uuid4().hex[:6]}",
            subscriptions=topics.device_filters(run, settings.name),
            will=participant.will(),
            ca_file=settings.ca_file,
        )
        evaluator = Evaluator(desk, data.test, method) if len(data.test) else None
        node = _Node(participant, client, evaluator, data, bundle, say)
        with client:
            client.start(timeout_s=settings.connect_timeout_s)
            say(f"{settings.name}: connected, session {store.session} of run {run}")
            node.serve()


def method_of(bundle: Bundle, path: Path) -> Method:
    """Return the method that a bundle was exported for; raise UsageError if ours differs."""
    method = methods.create(str(bundle.method["path"]), bundle.method["settings"])
    if method.fingerprint().hex() != bundle.method["fingerprint"]:
        raise UsageError(
            f"bundle {path} was exported by another version of method {method.name!r};"
            " install the edge-fd (and your own method) that exported it, or export it again"
        )
    return method


def _device(settings: NodeSettings, bundle: Bundle, data: DeviceData, method: Method) -> Device:
    if not len(data.private):
        raise UsageError(f"{settings.data}: 'x' holds no samples; give this device at least one")
    try:
        bundle.preprocess.apply(data.private.x[:1])
    except ValueError as error:
        raise UsageError(f"{settings.data}: {error}") from None
    proxy = data.proxy if len(data.proxy) else None
    if method.needs_proxy and not method.proxy_at_server and proxy is None:
        raise UsageError(
            f"method {method.name!r} needs proxy data and the data file has no 'proxy_x'; add it"
        )
    if proxy is not None and method.needs_proxy_labels and proxy.y is None:
        raise UsageError(
            f"method {method.name!r} needs the labels of the proxy data and the data file has no"
            " 'proxy_y'; add it"
        )
    return Device(
        settings.name,
        bundle.classes,
        bundle.capability,
        data.private,
        proxy,
        features=bundle.features,
        buffers=bundle.buffers,
    )


class _Node:
    """The loop: wait for a message or the next tick, act, compute when asked."""

    def __init__(
        self,
        participant: Participant,
        client: Client,
        evaluator: Evaluator | None,
        data: DeviceData,
        bundle: Bundle,
        say: Callable[[str], None],
    ) -> None:
        self._participant, self._client, self._say = participant, client, say
        self._evaluator = evaluator
        self._evaluate_every = int(bundle.method["evaluate_every"])
        self._own_counts = np.bincount(data.private.labels, minlength=bundle.classes)
        self._told: dict[str, float] = {}
        self._computed_s = 0.0

    def serve(self) -> None:
        """Run until the participant has left; then say good-bye."""
        participant = self._participant
        while not participant.left:
            wait_s = participant.next_tick_s - time.monotonic()
            event = self._client.next_event(timeout_s=min(max(wait_s, 0.0), LONGEST_WAIT_S))
            self._publish(self._handle(event))
            if not self._client.unacknowledged:
                participant.sent(time.monotonic())
            self._report_receipt()
            if participant.job is not None:
                self._compute()
        topic, payload = participant.will()
        self._client.publish(topic, payload)

    def _handle(self, event: Event | None) -> list[Out]:
        now_s = time.monotonic()
        if isinstance(event, Message):
            return self._participant.receive(event.topic, event.payload, now_s)
        if isinstance(event, Connected):
            return self._participant.connected(now_s)
        if isinstance(event, Disconnected):
            self._say(f"disconnected: {event.reason}; trying again")
            return self._participant.disconnected(now_s)
        return self._participant.tick(now_s)

    def _compute(self) -> None:
        participant, number = self._participant, self._participant.job_round
        job = participant.job
        if job is None:
            return
        begun_s, spent = time.monotonic(), Spent()
        while not job.over:
            kind, asked_s = job.kind, time.monotonic()
            job.answer()
            spent.add(kind, time.monotonic() - asked_s)
        self._computed_s = time.monotonic()
        compute_s = self._computed_s - begun_s
        self._publish(participant.finish(time.monotonic()))
        self._told = {"compute_s": compute_s, **spent.notes()}
        if job.loss is not None:
            self._told["loss"] = job.loss
        if self._evaluator is not None and number % self._evaluate_every == 0:
            saved = participant.saved
            accuracy = self._evaluator.accuracy(saved.state, saved.memory, self._own_counts)
            self._told |= {"accuracy_test": accuracy.test, "accuracy_own": accuracy.own}
        self._say(f"round {number}: computed in {compute_s:.2f} s{_percent(self._told)}")

    def _report_receipt(self) -> None:
        """Tell timings and evaluation once the round's receipt is here."""
        number, verdict, reason = self._participant.settled
        if not self._told or number != self._participant.saved.done:
            return
        values = {**self._told, "up_s": time.monotonic() - self._computed_s}
        self._told = {}
        message = self._participant.metrics(number, values)
        self._client.publish(message.topic, message.payload)
        if verdict != "accepted":
            self._say(f"round {number}: {verdict}: {reason}")

    def _publish(self, outs: list[Out]) -> None:
        for message in outs:
            self._client.publish(message.topic, message.payload, retain=message.retain)


def _percent(told: dict[str, float]) -> str:
    if "accuracy_test" not in told:
        return ""
    return f", accuracy {100 * told['accuracy_test']:.1f} %"
