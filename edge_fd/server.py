"""The aggregator on a real network: MQTT in, MQTT out, real time, journal on disk.

All decisions are the aggregator's; this file owns the clock, the socket, the
broker and the run folder. A run that was interrupted is taken up where it was.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from broker import topics
from broker.client import Client, Connected, Disconnected, Event, Message
from broker.embedded import BrokerHandle, open_broker
from broker.errors import FrameError, TopicError
from broker.frame import decode
from devices.student import Student
from edge_fd.aggregator import Aggregator
from edge_fd.codecs import paper_bits
from edge_fd.desk import Desk
from edge_fd.evaluation import server_test
from edge_fd.facts import members, run_facts
from edge_fd.journal import Journal
from edge_fd.keeper import JOURNAL, FileKeeper, load_outcome
from edge_fd.kit import Kit, prepare
from edge_fd.knowledge import VALUE_OF_KIND
from edge_fd.ledger import message_bytes
from edge_fd.messages import Out, read_piece
from edge_fd.recorder import Recorder
from edge_fd.records import RoundRecord
from edge_fd.report import summarise
from edge_fd.run_folder import Run, RunFolder, load_run
from edge_fd.scenario import Scenario

LONGEST_WAIT_S = 0.5
EPOCHS_BITS = 16
"""Room for the reconnections of one start, each an epoch of its own."""
LINGER_S = 30.0
"""How long devices may take to fetch the last knowledge after the last round."""


@dataclass(frozen=True)
class ServerSettings:
    """How the aggregator is started; ``url`` auto, mosquitto, amqtt or a broker's URL."""

    folder: Path
    url: str = "auto"
    port: int = 0
    ca_file: str | None = None
    method: str | None = None
    bundles: Path | None = None
    command: str = ""


def serve(
    scenario: Scenario,
    settings: ServerSettings,
    *,
    say: Callable[[str], None] = lambda _text: None,
    on_round: Callable[[RoundRecord], None] = lambda _record: None,
) -> Run:
    """Run the aggregator of ``scenario`` until its rounds are over; return the run.

    Raises UsageError and BrokerError for what is wrong at the start. An
    interrupted run in the folder is taken up: nothing accepted is lost.
    """
    folder = settings.folder
    kit = prepare(scenario, settings.bundles or folder.parent / "bundles", method=settings.method)
    with RunFolder(folder) as run_folder:
        run_folder.start(scenario.to_toml(), run_facts(kit, "deployed", settings.command))
        earlier = load_run(folder).rounds
        with (
            Journal(folder / JOURNAL) as journal,
            open_broker(folder, url=settings.url, port=settings.port) as broker,
        ):
            server = _Server(kit, run_folder, journal, broker, settings, say, on_round)
            server.run(since_s=max((r.closed_s for r in earlier), default=0.0))
        run = load_run(folder)
        run_folder.finish(
            summarise(
                run.name,
                run.rounds,
                run.devices,
                mode="deployed",
                method=kit.method.name,
                seed=scenario.seed,
                one_time_proxy_bytes=kit.one_time_proxy_bytes,
                one_time_bundle_bytes=kit.one_time_bundle_bytes,
            )
        )
    return load_run(folder)


class _Server:
    """The loop: wait for a message or the next tick, act, fuse when asked."""

    def __init__(
        self,
        kit: Kit,
        run_folder: RunFolder,
        journal: Journal,
        broker: BrokerHandle,
        settings: ServerSettings,
        say: Callable[[str], None],
        on_round: Callable[[RoundRecord], None],
    ) -> None:
        self._kit, self._broker, self._say = kit, broker, say
        self._run = kit.scenario.name
        desks = {b.id: Desk(Student(b), kit.method.losses) for b in kit.servers}
        self._recorder = _recorder(kit, run_folder, desks, on_round)
        self._aggregator = Aggregator(
            self._run,
            kit.method,
            kit.plan,
            classes=kit.dataset.classes,
            codec=kit.codec,
            keeper=FileKeeper(settings.folder, journal),
            watcher=self._recorder,
            holdings=kit.holdings(desks),
            epoch=run_folder.starts << EPOCHS_BITS,
            history=journal.entries,
            outcome=load_outcome(settings.folder),
        )
        farewell = self._aggregator.goodbye()
        self._client = Client(
            broker.url,
            f"{self._run}-aggregator",
            subscriptions=topics.aggregator_filters(self._run),
            will=(farewell.topic, farewell.payload),
            queue_size=10_000,
            ca_file=settings.ca_file,
        )
        self._begun_s = 0.0
        self._connects = 0

    def run(self, *, since_s: float) -> None:
        """Serve until all rounds are over and the devices have left, or ``LINGER_S`` more."""
        aggregator = self._aggregator
        self._begun_s = time.monotonic() - since_s
        with self._client as client:
            client.start(timeout_s=30.0)
            self._say(f"run {self._run}: broker {self._broker.kind} at {self._broker.url}")
            self._publish(aggregator.start(self._now_s))
            self._fuse()
            finished_s = None
            while finished_s is None or self._now_s < finished_s + LINGER_S:
                self._step()
                if aggregator.finished:
                    finished_s = finished_s or self._now_s
                    if not aggregator.alive:
                        break
            self._publish([aggregator.goodbye()])
        self._recorder.flush(before=self._kit.plan.rounds + 1)

    @property
    def _now_s(self) -> float:
        return time.monotonic() - self._begun_s

    def _step(self) -> None:
        wait_s = self._aggregator.next_tick_s - self._now_s
        event = self._client.next_event(timeout_s=min(max(wait_s, 0.0), LONGEST_WAIT_S))
        self._publish(self._handle(event))
        self._fuse()

    def _handle(self, event: Event | None) -> list[Out]:
        if isinstance(event, Message):
            self._charge_up(event)
            return self._aggregator.receive(event.topic, event.payload, self._now_s)
        if isinstance(event, Connected):
            self._connects += 1
            return self._aggregator.connected() if self._connects > 1 else []
        if isinstance(event, Disconnected):
            self._say(f"broker lost: {event.reason}")
        if not self._client.connected and self._broker.ensure():
            self._say(f"broker {self._broker.kind} started again at {self._broker.url}")
        return self._aggregator.tick(self._now_s)

    def _fuse(self) -> None:
        while self._aggregator.job is not None:
            self._aggregator.job.run()
            self._publish(self._aggregator.finish(self._now_s))

    def _publish(self, outs: list[Out]) -> None:
        for message in outs:
            self._client.publish(message.topic, message.payload, retain=message.retain)
            names = [message.device] if message.device else self._aggregator.alive
            for name in names:
                if name in self._kit.devices:
                    self._recorder.charge(name, "down", message)

    def _charge_up(self, event: Message) -> None:
        """Charge what a device sent; what cannot be read is charged to nobody."""
        try:
            where = topics.parse(event.topic)
            frame = decode(event.payload)
            piece = read_piece(frame) if frame.kind in VALUE_OF_KIND else None
        except (FrameError, TopicError):
            return
        if where.device not in self._kit.devices or where.leaf == "metrics":
            return
        bits = paper_bits(piece) if piece is not None else 0
        number = frame.round or max(1, self._aggregator.number)
        cost = message_bytes(event.topic, event.payload, paper_bits=bits)
        message = Out(event.topic, event.payload, number, cost)
        self._recorder.charge(where.device, "up", message)


def _recorder(
    kit: Kit,
    run_folder: RunFolder,
    desks: Mapping[str, Desk],
    on_round: Callable[[RoundRecord], None],
) -> Recorder:
    return Recorder(
        run_folder,
        members(kit, boards=False),
        server_accuracy=server_test(kit, desks) if kit.servers else None,
        on_round=on_round,
    )
