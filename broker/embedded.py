"""A broker for one run: one that is named, one that still lives, or a child that we start.

    with open_broker(run_folder) as broker:
        client = Client(broker.url, ...)

``broker.json`` in the folder says kind and port, ``broker.pid`` which process it is. A
child outlives a kill of its parent, so that devices stay connected and the restarted
parent adopts it; it ends with the context. A broker that died is started again on the
same port, where the devices look for it.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, TypeAlias, cast

from broker import amqtt_process, mosquitto
from broker.address import answers, listens, parse_url
from broker.errors import BrokerError

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self

Kind: TypeAlias = Literal["external", "mosquitto", "amqtt"]

RECORD: Final = "broker.json"
CHILD: Final = "broker.pid"
LOG: Final = "broker.log"
HOST: Final = "127.0.0.1"
_START_TIMEOUT_S: Final = 30.0
_STOP_TIMEOUT_S: Final = 5.0
_SILENCE_S: Final = 5.0  # a live broker may be slow on a loaded board
_POLL_S: Final = 0.02
# The child writes who it is before it becomes the broker: a parent that is killed right
# after the start would otherwise leave a broker that holds the port and that nobody knows.
_INTRODUCE: Final = (
    '{ read -r life </proc/$$/stat; } 2>/dev/null; echo "$$ $life" >"$0" && exec "$@"'
)


@dataclass(frozen=True)
class _Record:
    """What runs. ``pid`` is None after a clean end; ``birth`` tells a reused pid."""

    kind: Kind
    port: int
    pid: int | None = None
    birth: str = ""


def brokers_found() -> list[Kind]:
    """Kinds of broker that can be started here, the preferred first."""
    found: list[Kind] = ["mosquitto"] if mosquitto.find() else []
    return [*found, "amqtt"] if amqtt_process.found() else found


def open_broker(folder: Path, *, url: str = "auto", port: int = 0) -> BrokerHandle:
    """Return a running broker as a context manager.

    ``url`` names an external broker, forces a kind (``mosquitto``, ``amqtt``) or is
    ``auto``: mosquitto if it is installed, else amqtt. With ``port`` 0 the port recorded
    in ``folder`` is kept, else a free one is taken. Raises :class:`BrokerError` where no
    broker can be started or the port is in use.
    """
    if "://" in url:
        parse_url(url)
        return BrokerHandle(folder, url, None)
    found = brokers_found()
    if url != "auto" and url not in found:
        raise BrokerError(
            f"broker {url!r} is not found here; found: {', '.join(found) or 'none'}."
            " Install it, or give a URL such as mqtt://host:1883"
        )
    if not found:
        raise BrokerError(
            "no broker is installed: run apt install mosquitto or pip install amqtt,"
            " or give a URL such as mqtt://host:1883"
        )
    kind = found[0] if url == "auto" else cast("Kind", url)
    folder = folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    record = _read_record(folder)
    if record is None or not _lives(record):
        port = port or (record.port if record else _free_port())
        now = replace(record, kind=kind, port=port) if record else _Record(kind, port)
        handle = BrokerHandle(folder, f"mqtt://{HOST}:{port}", now)
        handle.ensure()
        return handle
    if port not in (0, record.port) or url not in ("auto", record.kind):
        raise BrokerError(
            f"{record.kind} (pid {record.pid}) of {folder} still runs on port {record.port};"
            " leave out kind and port to use it, or end it first"
        )
    return BrokerHandle(folder, f"mqtt://{HOST}:{record.port}", record)


class BrokerHandle:
    """A broker that was opened; made by :func:`open_broker`.

    ``url`` is what clients connect to. ``kind`` and ``pid`` say what runs; an external
    broker has no pid and is never started or ended here.
    """

    def __init__(self, folder: Path, url: str, record: _Record | None) -> None:
        self.folder = folder
        self.url = url
        self._record = record
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def kind(self) -> Kind:
        """Which broker it is."""
        return self._record.kind if self._record else "external"

    @property
    def pid(self) -> int | None:
        """Process id of the child, None for an external broker."""
        return self._record.pid if self._record else None

    @property
    def port(self) -> int:
        """TCP port of the broker."""
        return parse_url(self.url).port

    def alive(self) -> bool:
        """Whether it answers; of an external broker only whether something listens there."""
        if self._record is None:
            address = parse_url(self.url)
            return listens(address.host, address.port)
        if self._process is not None:
            self._process.poll()  # takes a dead child out of the process table
        return _lives(self._record)

    def ensure(self) -> bool:
        """Start the child again, on the same port, if it died; return whether that was needed.

        Raises :class:`BrokerError` if the port is in use or the broker does not come up.
        """
        if self._record is None or self.alive():
            return False
        self._end_child()  # alive and silent counts as dead
        _check_port(self._record.port)
        self._record = self._spawn(self._record)
        return True

    def close(self) -> None:
        """End the child; an external broker is left alone."""
        if self._record is None:
            return
        self._end_child()
        (self.folder / CHILD).unlink(missing_ok=True)
        self._record = _Record(self._record.kind, self._record.port)

    def _end_child(self) -> None:
        if self._record is not None:
            _end(self._record)
        if self._process is not None:
            self._process.wait()

    def _spawn(self, record: _Record) -> _Record:
        port = record.port
        if record.kind == "mosquitto":
            command = mosquitto.command(mosquitto.find() or "mosquitto", self.folder, port)
        else:
            command = amqtt_process.command(port)
        self._write(record)
        child = self.folder / CHILD
        with (self.folder / LOG).open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603  our own command line
                ["/bin/sh", "-c", _INTRODUCE, str(child), *command],
                cwd=Path(__file__).parent.parent,  # so that python -m finds this package
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        pid = self._process.pid
        record = self._record = replace(record, pid=pid, birth=_birth(pid) or "")
        end_s = time.monotonic() + _START_TIMEOUT_S
        while not answers(HOST, port):
            status = self._process.poll()
            if status is not None or time.monotonic() > end_s:
                self._end_child()
                state = "is silent" if status is None else f"ended with status {status}"
                raise BrokerError(
                    f"{record.kind} on port {port} {state}: {_last_line(self.folder / LOG)}"
                )
            time.sleep(_POLL_S)
        return record

    def _write(self, record: _Record) -> None:
        part = self.folder / f"{RECORD}.part"
        part.write_text(json.dumps({"kind": record.kind, "port": record.port}), encoding="utf-8")
        part.replace(self.folder / RECORD)


def _read_record(folder: Path) -> _Record | None:
    path = folder / RECORD
    try:
        record = _Record(**json.loads(path.read_text(encoding="utf-8")))
        path = folder / CHILD
        said = path.read_text(encoding="utf-8") if path.exists() else ""
        # Empty where it was killed before it could say who it is, and so was no broker yet.
        pid, _, life = said.strip().partition(" ")
        return replace(record, pid=int(pid), birth=_start_time(life)) if pid else record
    except FileNotFoundError:
        return None
    except (ValueError, TypeError, IndexError) as error:
        raise BrokerError(f"{path} cannot be read ({error}); delete it") from error


def _lives(record: _Record) -> bool:
    if record.pid is None or _birth(record.pid) != record.birth:
        return False
    return answers(HOST, record.port, timeout_s=_SILENCE_S)


def _birth(pid: int) -> str | None:
    """When the process began, in kernel ticks; "" where /proc is missing, None if it is gone."""
    try:
        os.kill(pid, 0)
        life = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except ProcessLookupError:
        return None
    except FileNotFoundError:
        return ""
    return None if life.rpartition(")")[2].split()[0] == "Z" else _start_time(life)


def _start_time(life: str) -> str:
    """proc(5), stat: start time is field 22; the name, field 2, may hold blanks."""
    return life.rpartition(")")[2].split()[19] if life else ""


def _end(record: _Record) -> None:
    """SIGTERM, then SIGKILL after five seconds."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        if record.pid is None or _birth(record.pid) != record.birth:
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(record.pid, number)
        end_s = time.monotonic() + _STOP_TIMEOUT_S
        while _birth(record.pid) == record.birth and time.monotonic() < end_s:
            time.sleep(_POLL_S)


def _check_port(port: int) -> None:
    with socket.socket() as sock:
        # As the brokers do; without it a port just closed would count as in use.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind((HOST, port))
        except OSError as error:
            raise BrokerError(
                f"port {port} on {HOST} cannot be used ({error.strerror});"
                " end the program that holds it, or choose another port"
            ) from error


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind((HOST, 0))
        port: int = sock.getsockname()[1]
        return port


def _last_line(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "no log")
