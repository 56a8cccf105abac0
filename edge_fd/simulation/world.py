"""A whole simulated run: the aggregator, its devices, the radio between them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path

import numpy as np
import simpy

import channel_sim
from devices.bundle import Bundle
from devices.profile import DeviceProfile, load_profile
from devices.student import Student
from edge_fd.aggregator import Aggregator
from edge_fd.desk import Desk
from edge_fd.errors import UsageError
from edge_fd.evaluation import Evaluator, server_test
from edge_fd.facts import members, run_facts
from edge_fd.kit import Kit, prepare
from edge_fd.messages import Out
from edge_fd.methods.base import Method
from edge_fd.outcome import MemoryKeeper
from edge_fd.recorder import Recorder
from edge_fd.records import RoundRecord
from edge_fd.report import summarise
from edge_fd.rounds import Close
from edge_fd.run_folder import Run, RunFolder, load_run
from edge_fd.scenario import Scenario
from edge_fd.simulation.cells import Cells, build_cells
from edge_fd.simulation.lives import build_lives
from edge_fd.simulation.node import KEEPALIVE_S, Coming, Node, Power
from edge_fd.simulation.radio import Flight, Radio
from edge_fd.simulation.reach import check_reach, found_nobody
from edge_fd.simulation.timer import Timer
from edge_fd.simulation.workers import Workers, open_workers
from edge_fd.streams import stream
from edge_fd.task import Replay, Task

JOIN_PATIENCE = 10
"""How many times ``join_s`` the first round waits where no device appears at all."""


def simulate(
    scenario: Scenario,
    folder: str | Path,
    *,
    method: str | Method | None = None,
    bundles: str | Path | None = None,
    workers: int = 1,
    backend: str = "processes",
    on_round: Callable[[RoundRecord], None] = lambda _record: None,
    command: str = "",
) -> Run:
    """Simulate a scenario and write its run folder.

    ``method``, a name or a method, replaces the scenario's own; ``bundles`` is
    where bundles are looked for and written (None: in ``bundles`` beside the
    run folder). The devices' computing is spread over ``workers`` processes of
    one thread, here or (``backend`` ray or dask) on a cluster that is there;
    the results are the same bits. Raises UsageError for a scenario that cannot
    be run, before the folder is made.
    """
    folder = Path(folder)
    kit = prepare(scenario, bundles or folder.parent / "bundles", method=method)
    cells, profiles = cells_of(kit), profiles_of(kit)
    with (
        open_workers(workers, kit.devices, proxy=kit.proxy, backend=backend) as crew,
        RunFolder(folder) as run_folder,
    ):
        if crew is not None:
            kit = crew.on_shelf(kit)
        run_folder.start(scenario.to_toml(), run_facts(kit, "simulated", command))
        World(kit, cells, profiles, run_folder, workers=crew, on_round=on_round).run()
        run = load_run(folder)
        run_folder.finish(
            summarise(
                run.name,
                run.rounds,
                run.devices,
                mode="simulated",
                method=kit.method.name,
                seed=scenario.seed,
                one_time_proxy_bytes=kit.one_time_proxy_bytes,
                one_time_bundle_bytes=kit.one_time_bundle_bytes,
            )
        )
    return load_run(folder)


class World:
    """The parts of one simulated run, wired together."""

    def __init__(
        self,
        kit: Kit,
        cells: Cells,
        profiles: Mapping[str, DeviceProfile | None],
        run_folder: RunFolder,
        *,
        workers: Workers | None = None,
        on_round: Callable[[RoundRecord], None] = lambda _record: None,
    ) -> None:
        self.env = simpy.Environment()
        self._kit, self._profiles, self._workers = kit, profiles, workers
        self._streams = partial(stream, kit.scenario.seed)
        self._radio = Radio(self.env, cells)
        self._lives = build_lives(kit.scenario.dropout, list(kit.devices), self._streams)
        self._desks = _desks(kit)
        self._test = {
            key: Evaluator(desk, kit.test, kit.method) for key, desk in self._desks.items()
        }
        self._counts = {
            name: np.bincount(device.private.y, minlength=kit.dataset.classes)
            for name, device in kit.devices.items()
            if device.private.y is not None
        }
        self._lost: Counter[str] = Counter()
        self._coming: dict[str, Coming] = {}
        self.recorder = self._build_recorder(run_folder, on_round)
        self.aggregator = self._build_aggregator()
        self._timer = Timer(self.env, self._tick)
        self._retained: Out | None = None
        self._opened_s = 0.0
        self._number = 0
        self.nodes = {name: self._build_node(name) for name in kit.devices}

    def run(self) -> None:
        """Run until all rounds are over and the last messages have arrived."""
        self._act(self.aggregator.start(self.env.now))
        for node in self.nodes.values():
            self.env.process(node.live())
        give_up_s = JOIN_PATIENCE * self._kit.plan.join_s
        while not self.aggregator.finished:
            if self.aggregator.number == 0 and self.env.now > give_up_s:
                fates = self._lost + Counter({"under way": self._radio.under_way})
                raise UsageError(found_nobody(give_up_s, fates))
            self.env.step()
        # The last receipts: on a slow radio they take their time, but nobody waits for ever.
        end_s = self.env.now + self._kit.plan.deadline_s
        self.env.run(until=self.env.now + KEEPALIVE_S)
        while self._radio.under_way and self.env.now < end_s:
            self.env.step()
        self.recorder.flush(before=self._kit.plan.rounds + 1)

    def _build_recorder(
        self, run_folder: RunFolder, on_round: Callable[[RoundRecord], None]
    ) -> Recorder:
        return Recorder(
            run_folder,
            members(self._kit, boards=True),
            server_accuracy=server_test(self._kit, self._desks) if self._kit.servers else None,
            on_close=self._on_close,
            on_round=on_round,
        )

    def _build_aggregator(self) -> Aggregator:
        kit = self._kit
        return Aggregator(
            kit.scenario.name,
            kit.method,
            kit.plan,
            classes=kit.dataset.classes,
            codec=kit.codec,
            keeper=MemoryKeeper(),
            watcher=self.recorder,
            holdings=kit.holdings(self._desks),
        )

    def _build_node(self, name: str) -> Node:
        kit, dropout = self._kit, self._kit.scenario.dropout
        device = kit.devices[name]
        battery = None
        if dropout.battery_j is not None:
            battery = channel_sim.Battery(dropout.battery_j)
        return Node(
            self.env,
            kit,
            device,
            self._desks[device.bundle.id],
            profile=self._profiles[name],
            power=Power(self._lives.get(name), battery),
            recorder=self.recorder,
            send=self._up,
            booted=self._booted,
            died=self._died,
            jobs=self._job if self._workers is not None else None,
        )

    # Computing, where it is done by other processes.

    def _job(self, node: Node, task: Task) -> Replay:
        if self._workers is None:
            raise RuntimeError(f"{node.name} computes here")
        return self._workers.job(task, self._expected)

    def _expected(self) -> Iterator[Task]:
        """What the devices that were sent an announcement will compute, unless they miss it."""
        for name, coming in self._coming.items():
            task = self.nodes[name].foresee(coming)
            if task is not None:
                yield task

    def _foresee(self, sent: list[tuple[Node, Out]], *, fresh: bool) -> None:
        """Note what is sent; have a fresh round computed while it is still on air."""
        if self._workers is None:
            return
        for node, message in sent:
            if node.up:
                self._coming.setdefault(node.name, Coming()).note(message)
        if fresh:
            self._workers.ahead(self._expected)

    # Messages: every one goes over the radio of the device that it concerns.

    def _up(self, node: Node, message: Out) -> None:
        session = node.session
        self._carry("up", node, message, lambda: self._arrive(node, message, session))

    def _arrive(self, node: Node, message: Out, session: int) -> None:
        if node.up and node.session == session:
            self._act(self.aggregator.receive_out(message, self.env.now))

    def _act(self, outs: list[Out]) -> None:
        fresh = self.aggregator.number != self._number
        if fresh:
            self._number, self._opened_s = self.aggregator.number, self.env.now
        sent = [
            (self.nodes[name], message)
            for message in map(Out.light, outs)
            for name in ([message.device] if message.device else self._kit.devices)
        ]
        self._foresee(sent, fresh=fresh)
        for node, message in sent:
            if message.retain:
                self._retained = message
            self._down(node, message)
        if self.aggregator.job is not None:
            if self._workers is not None:
                self._workers.trim()
            self.aggregator.job.run()
            self._act(self.aggregator.finish(self.env.now))
        self._timer.set(self.aggregator.next_tick_s)

    def _down(self, node: Node, message: Out) -> None:
        if not node.up:
            return
        session, opened_s = node.session, self._opened_s

        def deliver() -> None:
            if node.session == session:
                node.receive(message, opened_s)

        self._carry("down", node, message, deliver)

    def _carry(
        self,
        direction: channel_sim.Direction,
        node: Node,
        message: Out,
        deliver: Callable[[], None],
    ) -> None:
        """Carry a message over the device's radio and deliver it when it arrives."""
        if message.cost is None:
            self._at(self.env.now, deliver)
            return
        session = node.session

        def done(flight: Flight) -> None:
            for _ in range(flight.sent):
                self.recorder.charge(node.name, direction, message)
            self.recorder.note(node.name, message.round, attempts=flight.attempts)
            joules = {"tx_j": flight.tx_j, "rx_j": flight.rx_j}
            if self._radio.rest_w is not None:
                joules["idle_j"] = flight.idle_j
            node.spend(message.round, **joules)
            if direction == "up":
                node.sent(session)
            if flight.arrives_s is None:
                self._lost[flight.reason] += 1
                self.recorder.lost(node.name, message.round, flight.reason)
            else:
                deliver()

        self._radio.send(direction, node.name, message.cost.on_air, done)

    def _booted(self, node: Node) -> None:
        if self._retained is not None:
            self._down(node, self._retained)

    def _died(self, name: str, topic: str, will: bytes) -> None:
        self._coming.pop(name, None)
        self._radio.leave(name, "battery" if self.nodes[name].empty else "off")

        def tell() -> None:
            self._act(self.aggregator.receive(topic, will, self.env.now))

        self._at(self.env.now + 1.5 * KEEPALIVE_S, tell)

    def _tick(self) -> None:
        self._act(self.aggregator.tick(self.env.now))

    def _at(self, when_s: float, what: Callable[[], None]) -> None:
        event = self.env.timeout(max(0.0, when_s - self.env.now))
        event.callbacks.append(lambda _event: what())

    # What the records want to know.

    def _on_close(self, close: Close) -> None:
        kit = self._kit
        for node in self.nodes.values():
            node.settle_idle(close.round, self._radio.rest_w)
        every, last = kit.scenario.rounds.evaluate_every, kit.plan.rounds
        if close.round % every and close.round != last:
            return
        for name, device in kit.devices.items():
            if self._workers is not None:
                self._workers.looked()
            saved = self.nodes[name].saved
            evaluator = self._test[device.bundle.id]
            accuracy = evaluator.accuracy(saved.state, saved.memory, self._counts[name])
            self.recorder.note(
                name, close.round, accuracy_test=accuracy.test, accuracy_own=accuracy.own
            )


def _desks(kit: Kit) -> dict[str, Desk]:
    """One desk for each distinct bundle: devices that share a bundle share its sessions."""
    bundles: dict[str, Bundle] = {
        device.bundle.id: device.bundle for device in kit.devices.values()
    }
    bundles |= {bundle.id: bundle for bundle in kit.servers}
    return {key: Desk(Student(bundle), kit.method.losses) for key, bundle in bundles.items()}


def cells_of(kit: Kit) -> Cells:
    """Build the cells of a kit's scenario; raise UsageError for a channel that is none."""
    scenario = kit.scenario
    streams = partial(stream, scenario.seed)
    try:
        check_reach(kit)
        return build_cells(scenario, list(kit.devices), streams)
    except ValueError as error:
        raise UsageError(f"[channel]: {error}") from None


def profiles_of(kit: Kit) -> Mapping[str, DeviceProfile | None]:
    """Load each profile once; raise UsageError for one that is not known."""
    found: dict[str | None, DeviceProfile | None] = {None: None}
    for profile in dict.fromkeys(group.profile for group in kit.scenario.devices):
        if profile is not None:
            try:
                found[profile] = load_profile(profile)
            except ValueError as error:
                raise UsageError(str(error)) from None
    return {name: found[device.group.profile] for name, device in kit.devices.items()}
