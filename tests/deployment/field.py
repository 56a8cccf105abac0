"""A deployment of real processes: aggregator, broker and devices, to be killed at will."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import cbor2

from edge_fd import Scenario, export, simulate
from edge_fd.kit import Kit
from edge_fd.methods import METHODS
from edge_fd.run_folder import Run

TIMEOUT_S = 60.0
SLOW_DEVICE = Path(__file__).with_name("slow_device.py")
PREFORK = Path(__file__).with_name("prefork.py")
ENTRY = ("-m", "edge_fd")


def tree(method: str, **changes: Any) -> dict[str, Any]:
    """A scenario of three small devices on digits; ``changes`` replace whole sections."""
    devices: list[dict[str, Any]] = [
        {"name": "cnn", "count": 1, "student": "lenet5"},
        {"name": "mlp", "count": 1, "student": "mlp"},
        {
            "name": "sensor",
            "count": 1,
            "student": "mlp",
            "capability": "infer",
            "factory_epochs": 3,
        },
    ]
    if METHODS[method.rpartition("+")[2]].needs_training:
        devices = [{"name": "mlp", "count": 3, "student": "mlp"}]
    return {
        "name": method,
        "seed": 5,
        "data": {"name": "digits", "proxy": 60, "test": 100},
        "split": {"kind": "dirichlet", "alpha": 0.5, "max_per_device": 80},
        "training": {"lr": 0.1, "batch": 8},
        "method": {"name": method},
        "rounds": {"count": 3, "deadline_s": 300.0, "remind_s": 2.0, "resend_s": 1.0},
        "devices": devices,
        "server": {"student": "mlp"},
        "channel": {"model": "ideal"},
        **changes,
    }


def wait_until(
    predicate: Callable[[], bool],
    what: str,
    *,
    timeout_s: float = TIMEOUT_S,
    state: Callable[[], str] = str,
) -> None:
    """Poll until ``predicate`` holds; fail, with ``state()``, where it never does."""
    end_s = time.monotonic() + timeout_s
    while not predicate():
        if time.monotonic() > end_s:
            raise AssertionError(f"not within {timeout_s:g} s: {what}\n{state()}")
        time.sleep(0.02)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def read_journal(path: Path) -> list[tuple[str, int, str, bytes]]:
    """Read a journal while it is written: length, CRC-32, CBOR; a cut tail is left out."""
    data = path.read_bytes() if path.exists() else b""
    entries, at = [], 0
    while at + 8 <= len(data):
        length, crc = struct.unpack_from(">II", data, at)
        body = data[at + 8 : at + 8 + length]
        if len(body) < length or zlib.crc32(body) != crc:
            break
        entries.append(tuple(cbor2.loads(body)))
        at += 8 + length
    return entries


def write_journal(path: Path, entries: Sequence[tuple[str, int, str, bytes]]) -> None:
    bodies = [cbor2.dumps(list(entry)) for entry in entries]
    path.write_bytes(b"".join(struct.pack(">II", len(b), zlib.crc32(b)) + b for b in bodies))


def hashes(run: Run) -> dict[int, str | None]:
    """SHA-256 of the fused knowledge of each round; a round told twice is an error."""
    numbers = [record.round for record in run.rounds]
    assert len(numbers) == len(set(numbers)), numbers
    return {record.round: record.fused_sha256 for record in run.rounds}


ROLES: dict[str, tuple[str, ...]] = {"device": ("broker.client", "edge_fd.messages")}
ROLES["page"] = (*ROLES["device"], "edge_fd.methods", "edge_fd.fit", "edge_fd.report")
ROLES["serve"] = (*ROLES["page"], "no_page")
"""What processes are forked from; a device must load nothing of the aggregator.

ONNX Runtime is in none of them: it starts a thread when it is imported, which no fork has.
"""


class Template:
    """The parent of all processes of one role; a child ends with its own work, or killed."""

    def __init__(self, *modules: str) -> None:
        command = [sys.executable, str(PREFORK), *modules]
        pipe = subprocess.PIPE
        self._popen = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True)

    def start(self, arguments: list[str], log: Path, cwd: Path) -> int:
        """Return the pid of a process that runs ``python ARGUMENTS``."""
        asked = {"start": arguments, "log": str(log.resolve()), "cwd": str(cwd)}
        pid: int = self._ask(asked)
        return pid

    def poll(self, pid: int) -> int | None:
        """Return the status of a child as subprocess does, None while it runs; once."""
        status: int | None = self._ask({"poll": pid})
        return status

    def _ask(self, request: dict[str, Any]) -> Any:
        assert self._popen.stdin is not None
        assert self._popen.stdout is not None
        self._popen.stdin.write(json.dumps(request) + "\n")
        self._popen.stdin.flush()
        return json.loads(self._popen.stdout.readline())


@cache
def template(role: str) -> Template:
    return Template(*ROLES[role])


class Process:
    """A child with its output in a file."""

    def __init__(self, command: Sequence[str], log: Path, cwd: Path, role: str) -> None:
        """``python COMMAND`` in ``cwd``, forked from what ``role`` has imported."""
        self.log = log
        log.write_bytes(b"")
        self._template = template(role)
        self._pid = self._template.start(list(command), log, cwd)
        self._status: int | None = None

    @property
    def text(self) -> str:
        return self.log.read_text()

    @property
    def status(self) -> int | None:
        if self._status is None:
            self._status = self._template.poll(self._pid)
        return self._status

    def wait(self, timeout_s: float = TIMEOUT_S) -> int:
        """Return the exit status."""
        wait_until(
            lambda: self.status is not None,
            f"the end of {self.log.stem}",
            timeout_s=timeout_s,
            state=lambda: self.text,
        )
        return self.status or 0

    def kill(self) -> None:
        """SIGKILL: nothing of it can be caught, flushed or said good-bye to."""
        if self.status is None:
            os.kill(self._pid, signal.SIGKILL)
            self.wait()


@dataclass
class Unbroken:
    """A kit, and the simulation of its scenario: what a deployment must be equal to."""

    kit: Kit
    folder: Path
    run: Run

    @property
    def bundles(self) -> Path:
        return self.folder / "bundles"


def unbroken(settings: dict[str, Any], folder: Path) -> Unbroken:
    """Export the kit of a scenario and simulate it, bundles shared."""
    kit = export(Scenario.parse(settings), folder)
    run = simulate(kit.scenario, folder / "simulated", bundles=folder / "bundles")
    return Unbroken(kit, folder, run)


class Field:
    """Processes of one deployment of ``plan`` in ``folder``; all end with the context."""

    def __init__(self, plan: Unbroken, folder: Path, broker: str) -> None:
        self.plan, self.folder, self.broker = plan, folder, broker
        self.run = folder / "run"
        self.port = free_port()
        self.url = broker if "://" in broker else f"mqtt://127.0.0.1:{self.port}"
        self.gate = folder / "gate"
        self.gate.write_text("0")
        self.processes: list[Process] = []

    def serve(self, *, page: bool = False) -> Process:
        """Start the aggregator; without ``page`` it writes no report."""
        scenario = self.plan.folder / "scenario.toml"
        arguments = ["serve", str(scenario), "--out", str(self.run), "--broker", self.broker]
        if "://" not in self.broker:
            arguments += ["--port", str(self.port)]
        arguments += ["--bundles", str(self.plan.bundles)]
        return self.start("serve", [*ENTRY, *arguments], "page" if page else "serve")

    def device(self, name: str, *, state: str = "", slow: str = "") -> Process:
        """Start a device; ``slow`` (compute or saved) makes it wait for :meth:`open_gate`."""
        head = [str(SLOW_DEVICE), str(self.gate), slow] if slow else ENTRY
        return self.start(state or name, [*head, *self.arguments(name, state=state)])

    def arguments(self, name: str, *, state: str = "") -> list[str]:
        return [
            *("device", "--name", name, "--broker", self.url),
            *("--bundle", str(self.plan.kit.devices[name].bundle_path.resolve())),
            *("--data", str(self.plan.folder / "data" / f"{name}.npz")),
            *("--state", str(self.state(state or name))),
        ]

    def start(self, label: str, command: Sequence[str], role: str = "device") -> Process:
        log = self.folder / f"{len(self.processes)}-{label}.log"
        process = Process(command, log, self.folder, role)
        self.processes.append(process)
        return process

    def open_gate(self, last: int = 10**6) -> None:
        """Let rounds up to ``last`` pass the slow device."""
        part = self.gate.with_suffix(".part")
        part.write_text(str(last))
        part.replace(self.gate)

    def state(self, name: str) -> Path:
        return self.folder / "state" / name

    @property
    def journal(self) -> list[tuple[str, int, str, bytes]]:
        return read_journal(self.run / "journal.log")

    def accepted(self, number: int) -> list[str]:
        """Devices of whom the journal holds a contribution to a round, in order of arrival."""
        return [name for what, at, name, _ in self.journal if (what, at) == ("accept", number)]

    def wait_accepted(self, number: int, names: set[str]) -> None:
        wait_until(
            lambda: set(self.accepted(number)) == names,
            f"round {number} accepts {sorted(names)} and no other",
            state=self.tell,
        )

    @property
    def broker_pid(self) -> int:
        child = self.run / "broker.pid"
        said = child.read_text().split() if child.exists() else []
        return int(said[0]) if said else 0  # empty while it is being written

    def kill_broker(self) -> int:
        """SIGKILL the broker; return the pid that it had."""
        pid = self.broker_pid
        os.kill(pid, signal.SIGKILL)
        return pid

    def tell(self) -> str:
        logs = [f"--- {one.log.name} ({one.status})\n{one.text}" for one in self.processes]
        journal = [entry[:3] for entry in self.journal]
        return "\n".join([*logs, f"journal: {journal}"])

    def end(self) -> None:
        for process in self.processes:
            if process.status is None:
                process.kill()
        if self.broker_pid:
            with suppress(ProcessLookupError):
                os.kill(self.broker_pid, signal.SIGKILL)


@contextmanager
def deployed(plan: Unbroken, folder: Path, broker: str) -> Iterator[Field]:
    folder.mkdir(parents=True)
    field = Field(plan, folder, broker)
    try:
        yield field
    finally:
        field.end()
        shutil.rmtree(folder, ignore_errors=True)
