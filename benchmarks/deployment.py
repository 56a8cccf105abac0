"""A real deployment in small, for benchmarks: broker, aggregator, device processes.

Also a method that computes nothing, so that what is left is the cost of the protocol,
and a reader of what Linux says of a process.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from edge_fd import methods
from edge_fd.knowledge import Fused, Knowledge
from edge_fd.losses import CROSS_ENTROPY, Loss
from edge_fd.methods.base import Device, DeviceHalf, Method, Round, Server, ServerHalf

if TYPE_CHECKING:
    from typing_extensions import Self

END_TIMEOUT_S = 10


@dataclass(frozen=True)
class Echo(Method):
    """A label table of 10 x 10 float32 (400 B) goes up and comes down; nothing is computed."""

    name: ClassVar[str] = "echo"
    paper: ClassVar[str] = "none"
    kind: ClassVar[str | None] = "label_table"
    losses: ClassVar[Mapping[str, Loss]] = MappingProxyType({"local": CROSS_ENTROPY})

    def device_round(self, device: Device, round: Round, knowledge: Knowledge | None) -> DeviceHalf:  # noqa: ARG002
        table = np.full((device.classes, device.classes), 1 / device.classes, np.float32)
        return Knowledge("label_table", table, {"counts": np.ones(device.classes, np.uint8)})
        yield

    def fuse(self, server: Server, round: Round, uploads: Mapping[str, Knowledge]) -> ServerHalf:  # noqa: ARG002
        return Fused(shared=Knowledge("label_table", next(iter(uploads.values())).value))
        yield


def register_echo() -> None:
    """Make the method known to this process."""
    methods.METHODS = MappingProxyType({**methods.METHODS, Echo.name: Echo})


@dataclass(frozen=True)
class Memory:
    """Resident memory of a process, now and at its highest."""

    resident_mb: float
    peak_mb: float


class DeviceProcess:
    """An ``edge-fd device`` process, ended with the context; ``entry`` starts the interpreter."""

    def __init__(self, arguments: list[str], log: Path, *entry: str) -> None:
        self.log = log
        self.began_s = time.monotonic()
        with log.open("wb") as file:
            command = [sys.executable, *(entry or ("-m", "edge_fd")), "device", *arguments]
            self._process = subprocess.Popen(command, stdout=file, stderr=file)
        self._proc = Path(f"/proc/{self._process.pid}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        self._process.wait(timeout=END_TIMEOUT_S)

    @property
    def text(self) -> str:
        return self.log.read_text()

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def wait_for(self, text: str, *, timeout_s: float = 60) -> None:
        """Wait until the process has said ``text``."""
        end_s = time.monotonic() + timeout_s
        while text not in self.text:
            if not self.alive or time.monotonic() > end_s:
                raise RuntimeError(f"the device did not say {text!r}: {self.text[-500:]}")
            time.sleep(0.02)

    def memory(self) -> Memory:
        """VmRSS and VmHWM of proc(5)."""
        lines = dict(
            line.split(":", 1) for line in (self._proc / "status").read_text().splitlines()
        )
        resident, peak = (int(lines[key].split()[0]) * 1024 / 1e6 for key in ("VmRSS", "VmHWM"))
        return Memory(resident, peak)

    def cpu_s(self) -> float:
        """Time on a CPU of all threads, to the nanosecond (sched-stats.rst of the kernel)."""
        tasks = (self._proc / "task").glob("*/schedstat")
        return sum(int(task.read_text().split()[0]) for task in tasks) / 1e9


def tree(**changes: Any) -> dict[str, Any]:
    """A scenario of one device on the digits that come with scikit-learn."""
    return {
        "name": "bench",
        "data": {"name": "digits", "proxy": 0},
        "split": {"kind": "iid", "max_per_device": 500},
        "devices": [{"name": "dev", "count": 1, "student": "lenet5"}],
        **changes,
    }


def arguments(kit_folder: Path, bundle: Path, url: str, state: Path, name: str) -> list[str]:
    """What a device is started with."""
    data = kit_folder / "data" / f"{name}.npz"
    files = ["--bundle", str(bundle), "--data", str(data), "--state", str(state)]
    return ["--name", name, "--broker", url, *files]
