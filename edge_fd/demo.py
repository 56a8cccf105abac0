"""The demo: a real deployment on this machine, then the simulation of a larger one.

Everything is started as a user would start it: the aggregator with
``edge-fd serve``, each device with ``edge-fd device`` in a process of its own.
"""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from edge_fd.errors import EdgeFDError
from edge_fd.kit import Kit, export
from edge_fd.run_folder import Run, load_run
from edge_fd.scenario import Scenario

HERE = Path(__file__).parent
MIXED, ONE_STUDENT = HERE / "demo.toml", HERE / "demo_one_student.toml"
SIMULATED_DEVICES = 20
MIXED_METHODS = ("local", "fd", "fedmd", "dsfl")
DEPLOYMENT_TIMEOUT_S = 300.0

Say = Callable[[str], None]


def deploy(scenario: Path, folder: Path, *, broker: str, say: Say) -> Run:
    """Export a kit and run it for real on this machine; return the deployed run.

    Raises EdgeFDError with the last words of the process that failed.
    """
    kit = export(Scenario.load(scenario), folder / "kit")
    say(f"exported {len(kit.devices)} devices to {folder / 'kit'}")
    run_folder = folder / "deployed"
    port = _free_port()
    url = broker if "://" in broker else f"mqtt://127.0.0.1:{port}"
    arguments = ["serve", str(scenario), "--out", str(run_folder), "--broker", broker]
    arguments += ["--bundles", str(folder / "kit" / "bundles")]
    if "://" not in broker:
        arguments += ["--port", str(port)]
    logs = folder / "logs"
    logs.mkdir(exist_ok=True)
    with _process(arguments, logs / "serve.log") as server, _devices(kit, folder, url):
        status = server.wait(timeout=DEPLOYMENT_TIMEOUT_S)
    if status != 0:
        raise EdgeFDError(f"the demo's deployment failed: {_last_words(logs)}")
    say(f"deployed {len(kit.devices)} device processes over MQTT at {url}")
    return load_run(run_folder)


@contextmanager
def _devices(kit: Kit, folder: Path, url: str) -> Iterator[None]:
    with ExitStack() as stack:
        for name, one in kit.devices.items():
            arguments = ["device", "--name", name, "--bundle", str(one.bundle_path)]
            arguments += ["--data", str(folder / "kit" / "data" / f"{name}.npz"), "--broker", url]
            arguments += ["--state", str(folder / "state" / name)]
            stack.enter_context(_process(arguments, folder / "logs" / f"{name}.log"))
        yield


@contextmanager
def _process(arguments: list[str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run ``edge-fd`` with its output in ``log``; ended with the context."""
    with log.open("wb") as file:
        command = [sys.executable, "-m", "edge_fd", *arguments]
        process = subprocess.Popen(command, stdout=file, stderr=file)  # noqa: S603
        try:
            yield process
        finally:
            if process.poll() is None:
                process.terminate()
            process.wait(timeout=30)


def _last_words(logs: Path) -> str:
    texts = {
        path.stem: path.read_text(encoding="utf-8").strip().splitlines()
        for path in sorted(logs.glob("*.log"))
    }
    said = [f"{name}: {lines[-1]}" for name, lines in texts.items() if lines]
    return "; ".join(said) or "no process said anything"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
