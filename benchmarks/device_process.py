"""What a device costs: memory idle and while training LeNet, start to first training step.

    python benchmarks/device_process.py [--starts 5]

Real ``edge-fd device`` processes against a real broker and aggregator: FedAvg with one
LeNet-5 on at most 500 digits, 28x28, batch 32. Memory as proc(5) has it: VmRSS connected and
waiting, and after training (median of three runs); VmHWM, the highest (worst of three). The
first step is timed from the exec of the interpreter to the end of the first training step, with
the aggregator already there, state folder empty; its CPU time is told beside, since the
machine may be busy.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import deployment

from broker.embedded import BrokerHandle, open_broker
from edge_fd.kit import Kit, export
from edge_fd.scenario import Scenario
from edge_fd.server import ServerSettings, serve

ROUNDS = 5
RUNS = 3
SETTLE_S = 1.0
MARK = "first training step at "


def plan(rounds: int, devices: int = 1) -> Scenario:
    return Scenario.parse(
        deployment.tree(
            name=f"bench-{devices}",
            method={"name": "fedavg"},
            rounds={"count": rounds},
            devices=[{"name": "dev", "count": devices, "student": "lenet5"}],
        )
    )


class Bench:
    """A kit for one scenario, an open broker, and a folder for each run."""

    def __init__(self, scenario: Scenario, folder: Path, broker: BrokerHandle) -> None:
        self.scenario, self.folder, self.broker = scenario, folder, broker
        self.kit: Kit = export(scenario, folder / "kit")
        self._runs = 0

    def start(self, *entry: str) -> tuple[threading.Thread, deployment.DeviceProcess]:
        """Start an aggregator and, once it listens, the first device."""
        self._runs += 1
        here = self.folder / f"run-{self._runs}"
        here.mkdir()
        ready = threading.Event()
        settings = ServerSettings(
            here / "run", url=self.broker.url, bundles=self.folder / "kit" / "bundles"
        )
        server = threading.Thread(
            target=serve,
            args=(self.scenario, settings),
            kwargs={"say": lambda _text: ready.set()},
            daemon=True,
        )
        server.start()
        ready.wait(60)
        name, device = next(iter(self.kit.devices.items()))
        arguments = deployment.arguments(
            self.folder / "kit", device.bundle_path, self.broker.url, here / "state", name
        )
        return server, deployment.DeviceProcess(arguments, here / "log", *entry)


def idle(folder: Path, broker: BrokerHandle) -> deployment.Memory:
    """A device that waits for another, which never comes."""
    _, process = Bench(plan(1, devices=2), folder, broker).start()
    with process:
        process.wait_for("connected")
        time.sleep(SETTLE_S)
        return process.memory()


def training(bench: Bench) -> deployment.Memory:
    """Memory over a whole run; the last reading before the process ends."""
    server, process = bench.start()
    with process:
        found = process.memory()
        while process.alive:
            try:
                found = process.memory()
            except (FileNotFoundError, KeyError):  # it ends, and its memory is gone first
                break
            time.sleep(0.01)
    server.join()
    if f"round {ROUNDS}: computed" not in process.text:
        raise RuntimeError(f"the device did not finish its run: {process.text[-500:]}")
    return found


def first_step(bench: Bench) -> tuple[float, float]:
    """Seconds from exec to the end of the first training step, and CPU seconds of the same."""
    server, process = bench.start(__file__)
    with process:
        process.wait_for(MARK)
        server.join()
    line = next(line for line in process.text.splitlines() if line.startswith(MARK))
    ended_s, cpu_s = map(float, line.removeprefix(MARK).split())
    return ended_s - process.began_s, cpu_s


def device(arguments: list[str]) -> int:
    """The device itself, but for one line when its first training step is done."""
    from devices.student import Step, Student
    from edge_fd.cli import main as edge_fd

    step, train = Student._step, Student.train  # noqa: SLF001 - where a step ends

    def timed(self: Student, *values: Any, **named: Any) -> Step:
        done = step(self, *values, **named)
        print(MARK, time.monotonic(), time.process_time(), file=sys.stderr, flush=True)
        Student._step = step  # type: ignore[method-assign]  # noqa: SLF001
        return done

    def armed(self: Student, *values: Any, **named: Any) -> Any:
        Student.train = train  # type: ignore[method-assign]
        Student._step = timed  # type: ignore[method-assign]  # noqa: SLF001
        return train(self, *values, **named)

    # Armed by training, since the self-test at the start takes steps of its own.
    Student.train = armed  # type: ignore[method-assign]
    return edge_fd(arguments)


def measure(starts: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as name, open_broker(Path(name) / "broker") as broker:
        folder = Path(name)
        at_rest = idle(folder / "idle", broker)
        bench = Bench(plan(ROUNDS), folder / "train", broker)
        trained = [training(bench) for _ in range(RUNS)]
        times = [first_step(bench) for _ in range(starts)]
        (one,) = bench.kit.devices.values()
        return {
            "broker": broker.kind,
            "student": "lenet5",
            "private_samples": len(one.private),
            "test_samples": len(bench.kit.test),
            "rounds": ROUNDS,
            "runs": RUNS,
            "idle_rss_mb": at_rest.resident_mb,
            "trained_rss_mb": statistics.median(memory.resident_mb for memory in trained),
            "training_peak_mb": max(memory.peak_mb for memory in trained),
            "start_to_first_step_s": statistics.median(wall for wall, _ in times),
            "start_to_first_step_cpu_s": statistics.median(cpu for _, cpu in times),
            "starts_s": [wall for wall, _ in times],
        }


def main() -> None:
    if sys.argv[1:2] == ["device"]:
        sys.exit(device(sys.argv[1:]))
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--starts", type=int, default=5)
    print(json.dumps(measure(parser.parse_args().starts), indent=2))


if __name__ == "__main__":
    main()
