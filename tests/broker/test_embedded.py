"""Spawned brokers: their life, their port, and who may end them."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from broker import amqtt_process, embedded, mosquitto
from broker.address import answers
from broker.client import Client, Message
from broker.embedded import BrokerHandle, brokers_found, open_broker
from broker.errors import BrokerError

pytestmark = pytest.mark.broker

ANSWER_S = 15.0
REPOSITORY = Path(__file__).parents[2]
PARENT = """
import sys
from pathlib import Path
from broker.embedded import open_broker
handle = open_broker(Path(sys.argv[1]), url=sys.argv[2])
print(handle.pid, handle.port, flush=True)
sys.stdin.read()
"""

DIES = """
import os, subprocess
real = subprocess.Popen
subprocess.Popen = lambda *a, **k: (real(*a, **k), os.kill(os.getpid(), 9))
"""


def eventually(holds: Callable[[], object]) -> bool:
    """Whether ``holds()`` comes true within ANSWER_S; looked at every 10 ms."""
    pause = threading.Event()
    return any(holds() or pause.wait(0.01) for _ in range(int(ANSWER_S * 100)))


def process_is_gone(pid: int) -> bool:
    """By what the kernel says, zombies counting as gone (proc(5))."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


@pytest.fixture
def orphan(kind: str, tmp_path: Path) -> Iterator[tuple[Path, int, int]]:
    """A broker whose parent was killed: folder, pid and port."""
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, tmp_path, kind],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=REPOSITORY,
    ) as parent:
        assert parent.stdout is not None
        pid, port = map(int, parent.stdout.readline().split())
        parent.kill()
    yield tmp_path, pid, port
    if not process_is_gone(pid):
        os.kill(pid, signal.SIGKILL)


def test_a_broker_answers_while_the_context_holds_and_not_after(kind: str, tmp_path: Path) -> None:
    with open_broker(tmp_path, url=kind) as handle:
        assert handle.kind == kind
        assert handle.url == f"mqtt://127.0.0.1:{handle.port}"
        assert handle.alive()
        assert not handle.ensure()
        record = json.loads((tmp_path / "broker.json").read_text())
        assert record == {"kind": kind, "port": handle.port}
        pid = int((tmp_path / "broker.pid").read_text().split()[0])
        assert pid == handle.pid
        assert not process_is_gone(pid)
        assert os.getsid(pid) == pid  # so that Ctrl-C on our terminal does not reach it
    assert process_is_gone(pid)
    assert not handle.alive()
    assert not answers("127.0.0.1", handle.port)


def test_auto_takes_mosquitto_first(tmp_path: Path) -> None:
    with open_broker(tmp_path) as handle:
        assert handle.kind == brokers_found()[0]
        assert brokers_found()[-1] == "amqtt"


def test_a_broker_outlives_its_parent_and_is_adopted(orphan: tuple[Path, int, int]) -> None:
    folder, pid, port = orphan
    with open_broker(folder) as handle:
        assert (handle.pid, handle.port) == (pid, port)
        assert handle.alive()
    assert process_is_gone(pid)


@pytest.mark.parametrize("silent", [False, True], ids=["adopted", "replaced"])
def test_a_broker_whose_parent_was_killed_right_after_its_start_is_known(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, silent: bool
) -> None:
    """Found by a kill test: the restarted parent found the port held by a broker of nobody."""
    command = [sys.executable, "-c", DIES + PARENT, tmp_path, kind]
    subprocess.run(command, cwd=REPOSITORY, check=False)
    port = json.loads((tmp_path / "broker.json").read_text())["port"]
    assert eventually(lambda: answers("127.0.0.1", port))
    pid = int((tmp_path / "broker.pid").read_text().split()[0])
    if silent:
        monkeypatch.setattr(embedded, "_SILENCE_S", 0.2)
        monkeypatch.setattr(embedded, "_STOP_TIMEOUT_S", 0.2)
        os.kill(pid, signal.SIGSTOP)
    with open_broker(tmp_path) as handle:
        assert handle.port == port
        assert (handle.pid != pid) is silent
        assert handle.alive()
    assert process_is_gone(pid)


def test_after_parent_and_broker_were_killed_a_new_one_takes_the_same_port(
    orphan: tuple[Path, int, int],
) -> None:
    folder, pid, port = orphan
    os.kill(pid, signal.SIGKILL)
    assert eventually(lambda: process_is_gone(pid))
    with open_broker(folder) as handle:
        assert handle.port == port
        assert handle.pid != pid
        assert handle.alive()


@pytest.fixture
def bystander() -> Iterator[int]:
    """The pid of a process that is none of ours."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        yield process.pid
        assert process.poll() is None, "it was ended"
        process.kill()


def test_a_record_whose_pid_went_to_another_process_is_not_adopted(
    running: BrokerHandle, tmp_path: Path, bystander: int
) -> None:
    record = {"kind": running.kind, "port": running.port}
    (tmp_path / "broker.json").write_text(json.dumps(record))
    life = Path(f"/proc/{running.pid}/stat").read_text()
    (tmp_path / "broker.pid").write_text(f"{bystander} {life}")
    with pytest.raises(BrokerError, match=f"port {running.port}"):
        open_broker(tmp_path, url=running.kind)


def test_a_process_that_got_the_pid_of_a_dead_broker_is_not_ended(
    running: BrokerHandle, bystander: int
) -> None:
    assert running._record is not None
    os.kill(running.pid or 0, signal.SIGKILL)
    running._record = replace(running._record, pid=bystander)
    assert eventually(running.ensure)
    assert running.pid != bystander


def test_a_killed_broker_is_started_again_on_its_port(running: BrokerHandle) -> None:
    pid, port = running.pid or 0, running.port
    os.kill(pid, signal.SIGKILL)
    assert eventually(lambda: not running.alive())
    assert running.ensure()
    assert running.alive()
    assert running.port == port
    assert running.pid != pid


def test_a_broker_that_hangs_is_replaced(
    running: BrokerHandle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded, "_SILENCE_S", 0.2)
    monkeypatch.setattr(embedded, "_STOP_TIMEOUT_S", 0.2)
    pid = running.pid or 0
    os.kill(pid, signal.SIGSTOP)
    assert running.ensure()
    assert process_is_gone(pid)
    assert running.alive()


def test_retained_state_survives_a_kill_of_mosquitto(tmp_path: Path) -> None:
    if mosquitto.find() is None:
        pytest.skip("mosquitto is not installed; amqtt keeps nothing")
    with open_broker(tmp_path, url="mosquitto") as handle:
        with Client(handle.url, "writer") as writer:
            writer.start(timeout_s=ANSWER_S)
            for i in range(3):
                writer.publish(f"a/{i}", b"state-of-the-run", retain=True)
            assert writer.stop(timeout_s=ANSWER_S)
        saved = tmp_path / "broker.db"
        os.kill(handle.pid or 0, signal.SIGUSR1)  # mosquitto(8): save now, not in 10 s
        assert eventually(lambda: saved.exists() and b"state-of-the-run" in saved.read_bytes())
        os.kill(handle.pid or 0, signal.SIGKILL)
        assert eventually(handle.ensure)
        with Client(handle.url, "reader", subscriptions=["a/#"]) as reader:
            reader.start(timeout_s=ANSWER_S)
            reader.next_event(timeout_s=ANSWER_S)
            event = reader.next_event(timeout_s=ANSWER_S)
    assert isinstance(event, Message)
    assert (event.payload, event.retained) == (b"state-of-the-run", True)


def test_frames_of_the_size_limit_pass(running: BrokerHandle) -> None:
    with Client(running.url, "big", subscriptions=["a/b"]) as client:
        client.start(timeout_s=ANSWER_S)
        client.next_event(timeout_s=ANSWER_S)
        client.publish("a/b", bytes(1_000_000))
        event = client.next_event(timeout_s=ANSWER_S)
    assert isinstance(event, Message)
    assert len(event.payload) == 1_000_000


def test_port_in_use_is_told_with_port_and_remedy(kind: str, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(BrokerError, match=f"port {port} .*choose another port"):
            open_broker(tmp_path, url=kind, port=port)


def test_a_chosen_port_is_taken(kind: str, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with open_broker(tmp_path, url=kind, port=port) as handle:
        assert handle.port == port


def test_a_running_broker_of_another_kind_is_not_left_behind(kind: str, tmp_path: Path) -> None:
    others = [other for other in brokers_found() if other != kind]
    with open_broker(tmp_path, url=kind) as handle:
        for other in others:
            with pytest.raises(BrokerError, match=f"{kind} .pid {handle.pid}.*still runs"):
                open_broker(tmp_path, url=other)
        with pytest.raises(BrokerError, match="still runs"):
            open_broker(tmp_path, port=1)


def test_an_external_broker_is_used_and_left_alone(running: BrokerHandle, tmp_path: Path) -> None:
    folder = tmp_path / "other"
    with open_broker(folder, url=running.url) as handle:
        assert (handle.kind, handle.pid, handle.url) == ("external", None, running.url)
        assert handle.port == running.port
        assert handle.alive()
        assert not handle.ensure()
    assert running.alive()
    assert not folder.exists()


def test_an_external_broker_that_is_down_is_not_alive(
    running: BrokerHandle, tmp_path: Path
) -> None:
    with open_broker(tmp_path, url=running.url) as handle:
        running.close()
        assert not handle.alive()


@pytest.mark.parametrize("url", ["rabbit", "http://host"])
def test_what_is_no_broker_is_refused(url: str, tmp_path: Path) -> None:
    with pytest.raises(BrokerError, match=r"mqtt://host:"):
        open_broker(tmp_path, url=url)


def test_no_broker_installed_is_told_with_the_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mosquitto, "find", lambda: None)
    monkeypatch.setattr(amqtt_process, "found", lambda: False)
    with pytest.raises(BrokerError, match="apt install mosquitto or pip install amqtt"):
        open_broker(tmp_path)


def test_a_broker_that_ends_at_once_is_told_with_its_last_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "mosquitto"
    program.write_text("#!/bin/sh\necho cannot go on >&2\nexit 3\n")
    program.chmod(0o755)
    monkeypatch.setattr(mosquitto, "find", lambda: str(program))
    with pytest.raises(BrokerError, match="ended with status 3: cannot go on"):
        open_broker(tmp_path / "run", url="mosquitto")


@pytest.mark.parametrize("text", ["", "{", "[]", '{"kind": "mosquitto"}', '{"surplus": 1}'])
def test_a_damaged_record_is_named(text: str, tmp_path: Path) -> None:
    (tmp_path / "broker.json").write_text(text)
    with pytest.raises(BrokerError, match=r"broker\.json cannot be read.*delete it"):
        open_broker(tmp_path)


@pytest.mark.parametrize("text", ["mosquitto", "12 (sh) S 1"])
def test_a_damaged_pid_is_named(text: str, tmp_path: Path) -> None:
    (tmp_path / "broker.json").write_text('{"kind": "mosquitto", "port": 1}')
    (tmp_path / "broker.pid").write_text(text)
    with pytest.raises(BrokerError, match=r"broker\.pid cannot be read.*delete it"):
        open_broker(tmp_path)


def test_a_child_killed_before_it_said_who_it_is_does_not_matter(kind: str, tmp_path: Path) -> None:
    with open_broker(tmp_path, url=kind):
        pass
    (tmp_path / "broker.pid").write_text("")
    with open_broker(tmp_path, url=kind) as handle:
        assert handle.alive()
