"""The client against real brokers, and against a fake one that misbehaves as told."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from broker import client as client_module
from broker import mosquitto
from broker.client import Client, Connected, Disconnected, Event, Message
from broker.embedded import BrokerHandle
from broker.errors import BrokerError

if TYPE_CHECKING:
    from typing_extensions import Self

pytestmark = pytest.mark.broker

ANSWER_S = 15.0
TOPIC = "efd/v1/demo/up/dev-00/knowledge"
CONNACK, CONNACK_NOT_AUTHORISED = b"\x20\x02\x00\x00", b"\x20\x02\x00\x05"


def eventually(holds: Callable[[], object]) -> bool:
    """Whether ``holds()`` comes true within ANSWER_S; looked at every 10 ms."""
    pause = threading.Event()
    return any(holds() or pause.wait(0.01) for _ in range(int(ANSWER_S * 100)))


class FakeBroker:
    """Accepts connections on loopback; the test says what each one answers.

    ``script(connection number, socket)`` runs for each connection on the server's thread.
    """

    def __init__(self, script: Callable[[int, socket.socket], None]) -> None:
        self.script = script
        self.server = socket.create_server(("127.0.0.1", 0))
        self.url = f"mqtt://127.0.0.1:{self.server.getsockname()[1]}"
        self.thread = threading.Thread(target=self._serve)

    def __enter__(self) -> Self:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown(socket.SHUT_RDWR)
        self.server.close()
        self.thread.join()

    def _serve(self) -> None:
        number = 0
        while True:
            try:
                sock, _ = self.server.accept()
            except OSError:
                return
            with sock:
                self.script(number, sock)
            number += 1


def started(url: str, **options: object) -> Client:
    client = Client(url, "test", rng=np.random.default_rng(1), **options)  # type: ignore[arg-type]
    client.start(timeout_s=ANSWER_S)
    return client


def refused(client: Client, says: str) -> None:
    with client, pytest.raises(BrokerError, match=says):
        client.start(timeout_s=ANSWER_S)


def message(client: Client) -> Message:
    """The next message; changes of state before it are passed over."""
    while True:
        event = client.next_event(timeout_s=ANSWER_S)
        assert event is not None, "no message came"
        if isinstance(event, Message):
            return event


def drained(client: Client) -> list[Event]:
    return list(iter(lambda: client.next_event(timeout_s=0), None))


def test_messages_come_back_in_order_and_are_counted(running: BrokerHandle) -> None:
    with started(running.url, subscriptions=[TOPIC]) as client:
        assert client.next_event(timeout_s=0) == Connected()
        payloads = [bytes([i]) * i for i in range(10)]
        assert all(client.publish(TOPIC, payload) for payload in payloads)
        assert [message(client) for _ in payloads] == [Message(TOPIC, p) for p in payloads]
        counts = client.counts
    total = sum(map(len, payloads))
    assert (counts.messages_sent, counts.bytes_sent) == (10, total)
    assert (counts.messages_received, counts.bytes_received) == (10, total)
    assert (counts.dropped_in, counts.dropped_out, counts.connects) == (0, 0, 1)


def test_retained_message_says_so_to_who_comes_later(running: BrokerHandle) -> None:
    with started(running.url) as first:
        first.publish("a/state", b"online", retain=True)
        assert first.stop(timeout_s=ANSWER_S)
    with started(running.url, subscriptions=["a/+"]) as second:
        assert message(second) == Message("a/state", b"online", retained=True)


def test_nothing_comes_within_the_timeout(running: BrokerHandle) -> None:
    with started(running.url) as client:
        drained(client)
        assert client.next_event(timeout_s=0) is None


def test_a_stopped_client_holds_no_socket(running: BrokerHandle) -> None:
    open_before = sorted(Path("/dev/fd").iterdir())
    client = started(running.url)
    assert client.stop(timeout_s=ANSWER_S)
    assert sorted(Path("/dev/fd").iterdir()) == open_before


def test_small_packets_leave_at_once(running: BrokerHandle) -> None:
    with started(running.url) as client:
        sock = client._paho.socket()
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)  # type: ignore[union-attr]


def test_reconnects_after_the_broker_was_killed_and_subscribes_again(running: BrokerHandle) -> None:
    with started(running.url, subscriptions=[TOPIC]) as client:
        drained(client)
        os.kill(running.pid or 0, signal.SIGKILL)
        assert isinstance(client.next_event(timeout_s=ANSWER_S), Disconnected)
        assert not client.connected
        assert client.unacknowledged == 0
        assert client.publish(TOPIC, b"while offline")
        assert client.unacknowledged == 1
        assert running.ensure()
        assert eventually(lambda: client.connected)
        client.publish(TOPIC, b"after")
        # amqtt may route the first before it has taken the subscription that was sent before it.
        while message(client).payload != b"after":
            pass
        assert client.counts.connects == 2
        assert client.stop(timeout_s=ANSWER_S)  # both are acknowledged
        assert client.unacknowledged == 0


WILLING = """
import sys
from broker.client import Client
client = Client(sys.argv[1], "willing", will=("a/death", b"gone"))
client.start(timeout_s=15)
print("up", flush=True)
sys.stdin.read()
client.stop()
"""


@pytest.mark.parametrize("crash", [True, False], ids=["killed", "stopped"])
def test_will_is_published_after_a_crash_only(running: BrokerHandle, crash: bool) -> None:  # noqa: FBT001
    with started(running.url, subscriptions=["a/#"]) as watcher:
        process = subprocess.Popen(
            [sys.executable, "-c", WILLING, running.url],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=Path(__file__).parents[2],
        )
        with process:
            assert process.stdout is not None
            assert process.stdout.readline() == b"up\n"
            if crash:
                process.kill()
        watcher_marker = Message("a/marker", b"")
        if crash:
            assert message(watcher) == Message("a/death", b"gone")
        watcher.publish("a/marker", b"")
        assert message(watcher) == watcher_marker
        assert process.returncode == (-signal.SIGKILL if crash else 0)


def flood(count: int, size: int) -> Callable[[int, socket.socket], None]:
    """The script of a broker that sends messages (QoS 0, topic "t", numbered) and hangs up."""

    def script(number: int, sock: socket.socket) -> None:
        sock.recv(1000)
        if number == 0:
            sock.sendall(CONNACK)
            for i in range(count):
                body = b"\x00\x01t" + bytes([i]) * size
                sock.sendall(bytes([0x30, len(body)]) + body)

    return script


def test_full_queue_drops_messages_counts_them_and_keeps_the_rest() -> None:
    with FakeBroker(flood(50, 1)) as fake, started(fake.url, queue_size=5) as client:
        assert eventually(lambda: client.counts.messages_received == 50)
        assert eventually(lambda: not client.connected)
        *kept, last = drained(client)
        assert kept == [Connected(), *(Message("t", bytes([i])) for i in range(3))]
        assert isinstance(last, Disconnected)  # in place of the newest message
        assert client.counts.dropped_in == 47


def test_queue_is_bounded_in_bytes_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "QUEUE_BYTES", 250)
    with FakeBroker(flood(4, 100)) as fake, started(fake.url) as client:
        assert eventually(lambda: client.counts.messages_received == 4)
        messages = [event for event in drained(client) if isinstance(event, Message)]
        assert messages == [Message("t", bytes([i]) * 100) for i in range(2)]
        assert client.counts.dropped_in == 2
        with client._changed:
            client._put(Message("t", bytes(250)))  # what was taken out made room
        assert Message("t", bytes(250)) in drained(client)


def test_offline_publishing_is_bounded_and_never_blocks(running: BrokerHandle) -> None:
    with started(running.url, queue_size=10) as client:
        os.kill(running.pid or 0, signal.SIGKILL)
        assert eventually(lambda: not client.connected)
        accepted = [client.publish(TOPIC, bytes([i])) for i in range(15)]
        assert accepted == [True] * 10 + [False] * 5
        assert client.counts.dropped_out == 5
        assert client.counts.messages_sent == 10
        assert client.unacknowledged == 10
        assert not client.stop(timeout_s=0)


def test_error_in_the_code_that_handles_events_leaves_the_client_up(running: BrokerHandle) -> None:
    with started(running.url, subscriptions=[TOPIC]) as client:
        for _ in range(3):
            client.publish(TOPIC, b"x")

            def handle(event: Event) -> None:
                raise RuntimeError(event)

            with pytest.raises(RuntimeError):
                handle(message(client))
        assert client.connected


def test_no_broker_is_told_with_url_and_remedy_and_without_password() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    url = f"mqtt://me:secret@127.0.0.1:{port}"
    with Client(url, "test") as client, pytest.raises(BrokerError) as caught:
        client.start(timeout_s=0.1)
    assert f"mqtt://127.0.0.1:{port}" in str(caught.value)
    assert "refused" in str(caught.value)
    assert "start one" in str(caught.value)
    assert "secret" not in str(caught.value)


def test_refused_credentials_are_told_at_once() -> None:
    def refuse(_: int, sock: socket.socket) -> None:
        sock.recv(1000)
        sock.sendall(CONNACK_NOT_AUTHORISED)

    with FakeBroker(refuse) as fake:
        refused(Client(fake.url, "test"), r"mqtt://127.*Not authorized; check user")


def test_refused_subscription_is_told() -> None:
    def refuse(_: int, sock: socket.socket) -> None:
        sock.recv(1000)
        sock.sendall(CONNACK)
        packet = sock.recv(1000)
        sock.sendall(b"\x90\x03" + packet[2:4] + b"\x80")
        sock.recv(1000)

    with FakeBroker(refuse) as fake:
        refused(Client(fake.url, "test", subscriptions=["a/b"]), "subscriptions a/b")


# A PUBLISH whose topic length runs past its end; one whose topic is not UTF-8.
BROKEN = {"cut": b"\x30\x01\x00", "empty": b"\x32\x00", "suback": b"\x90\x01\x00"}


@pytest.mark.parametrize("packet", BROKEN.values(), ids=BROKEN)
def test_malformed_packet_costs_one_connection_not_the_network_thread(packet: bytes) -> None:
    def script(number: int, sock: socket.socket) -> None:
        sock.recv(1000)
        sock.sendall(CONNACK)
        if number == 0:
            sock.sendall(packet)
        else:
            sock.sendall(b"\x30\x05\x00\x01tok")
        while sock.recv(1000):
            pass

    with FakeBroker(script) as fake, started(fake.url) as client:
        assert message(client) == Message("t", b"ok")
        assert client.counts.connects == 2


def test_topic_that_is_no_text_is_counted_and_passed_over() -> None:
    def script(_: int, sock: socket.socket) -> None:
        sock.recv(1000)
        sock.sendall(CONNACK + b"\x30\x04\x00\x01\xffx" + b"\x30\x05\x00\x01tok")
        while sock.recv(1000):
            pass

    with FakeBroker(script) as fake, started(fake.url) as client:
        assert message(client) == Message("t", b"ok")
        assert client.counts.dropped_in == 1
        assert client.counts.connects == 1


def test_pauses_between_attempts_have_full_jitter_under_a_growing_bound() -> None:
    client = Client("mqtt://h", "test", rng=np.random.default_rng(7))
    pauses = []
    for _ in range(2000):
        client._back_off()
        pauses.append(client._paho._reconnect_min_delay)
    bounds = np.minimum(30.0, 0.5 * 2.0 ** np.minimum(np.arange(2000), 10))
    shares = np.array(pauses) / bounds
    assert (shares <= 1).all()
    # Uniform on [0, 1]: mean 1/2 with a standard error of 0.29 / sqrt(2000) = 0.0065.
    assert abs(shares.mean() - 0.5) < 0.03
    assert shares.min() < 0.01


@pytest.fixture
def secured(tmp_path: Path) -> Iterator[tuple[int, int, Path]]:
    """A mosquitto that asks for a password: its plain port, its TLS port, the CA file."""
    program = mosquitto.find()
    tools = ("mosquitto_passwd", "openssl")
    if program is None or not all(map(shutil.which, tools)):
        pytest.skip("needs mosquitto, mosquitto_passwd and openssl")
    users, key, ca = (tmp_path / name for name in ("users", "key.pem", "ca.pem"))
    subprocess.check_output(["mosquitto_passwd", "-b", "-c", users, "me", "p@ss"])
    subprocess.check_output(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
         "-nodes", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost",
         "-days", "2", "-keyout", key, "-out", ca],
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    servers = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
    plain, tls = (server.getsockname()[1] for server in servers)
    for server in servers:
        server.close()
    config = tmp_path / "secured.conf"
    root = "user root\n" if os.geteuid() == 0 else ""  # else it could not read our files
    config.write_text(
        f"{root}allow_anonymous false\npassword_file {users}\nlistener {plain} 127.0.0.1\n"
        f"listener {tls} 127.0.0.1\ncertfile {ca}\nkeyfile {key}\n"
    )
    with subprocess.Popen([program, "-c", config], stderr=subprocess.DEVNULL) as process:
        assert eventually(lambda: listening(tls))
        yield plain, tls, ca
        process.terminate()


def listening(port: int) -> bool:
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0


def test_password_opens_a_secured_broker_and_a_wrong_one_does_not(
    secured: tuple[int, int, Path],
) -> None:
    port = secured[0]
    with started(f"mqtt://me:p%40ss@127.0.0.1:{port}") as client:
        assert client.connected
    for user in ("me:wrong@", ""):
        url = f"mqtt://{user}127.0.0.1:{port}"
        refused(Client(url, "test"), r"cannot be used.*check user and password")


# paho leaves the socket of a failed handshake to the garbage collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_tls_needs_the_ca_of_the_broker(secured: tuple[int, int, Path], tmp_path: Path) -> None:
    url = f"mqtts://me:p%40ss@localhost:{secured[1]}"
    with started(url, ca_file=str(secured[2])) as client:
        assert client.connected
    refused(Client(url, "test"), "give its CA")
    missing = str(tmp_path / "nothing.pem")
    refused(Client(url, "test", ca_file=missing), r"CA file.*nothing\.pem")
