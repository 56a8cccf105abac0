"""Sizes of MQTT packets against packets on a socket, made by paho and by a real broker."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from broker import overhead
from broker.embedded import BrokerHandle

ANSWER_S = 15.0


class Tap:
    """A TCP relay that keeps what passes, each way."""

    def __init__(self, port: int) -> None:
        self.broker = ("127.0.0.1", port)
        self.server = socket.create_server(("127.0.0.1", 0))
        self.port: int = self.server.getsockname()[1]
        self.up = bytearray()
        self.down = bytearray()

    def serve_one(self) -> None:
        client, _ = self.server.accept()
        with client, socket.create_connection(self.broker) as broker:
            back = threading.Thread(target=self._pump, args=(broker, client, self.down))
            back.start()
            self._pump(client, broker, self.up)
            back.join()

    def _pump(self, source: socket.socket, sink: socket.socket, kept: bytearray) -> None:
        # A client that leaves while something is on its way to it resets the connection.
        with contextlib.suppress(ConnectionError):
            while data := source.recv(65536):
                kept += data
                sink.sendall(data)
        with contextlib.suppress(OSError):
            sink.shutdown(socket.SHUT_WR)


def split_packets(stream: bytes) -> list[bytes]:
    """MQTT packets of a stream, by the remaining length of MQTT 3.1.1, clause 2.2.3."""
    packets = []
    while stream:
        length, shift, at = 0, 0, 1
        while True:
            length |= (stream[at] & 127) << shift
            shift, at = shift + 7, at + 1
            if stream[at - 1] < 128:
                break
        packets.append(stream[: at + length])
        stream = stream[at + length :]
    return packets


@pytest.fixture
def tap(running: BrokerHandle) -> Iterator[Tap]:
    tap = Tap(running.port)
    yield tap
    tap.server.close()


@pytest.mark.broker
@pytest.mark.parametrize("payload_bytes", [0, 1, 100, 127, 16_300, 70_000])
def test_sizes_are_those_on_the_socket(tap: Tap, payload_bytes: int) -> None:
    topic, filters, will = "efd/v1/r/up/d/knowledge", ["efd/v1/r/up/+/+", "ä/#"], b"gone"
    relay = threading.Thread(target=tap.serve_one)
    relay.start()
    subscribed, received = threading.Event(), threading.Event()
    client = paho.Client(CallbackAPIVersion.VERSION2, "client-1")
    client.username_pw_set("me", "secret")
    client.will_set("a/will", will, qos=1)
    client.on_subscribe = lambda *_: subscribed.set()
    client.on_message = lambda *_: received.set()
    client.connect("127.0.0.1", tap.port)
    client.loop_start()
    client.subscribe([(one, 1) for one in filters])
    assert subscribed.wait(ANSWER_S)
    info = client.publish(topic, bytes(payload_bytes), qos=1)
    info.wait_for_publish(ANSWER_S)
    assert received.wait(ANSWER_S)
    client.publish(topic + "0", b"no answer", qos=0)
    client.disconnect()
    client.loop_stop()
    relay.join()

    def of_type(stream: bytearray, number: int) -> list[int]:
        return [len(p) for p in split_packets(bytes(stream)) if p[0] >> 4 == number]

    publish = overhead.publish_bytes(topic, payload_bytes)
    connect = overhead.connect_bytes(
        "client-1",
        will=("a/will", len(will)),
        user="me",
        password="secret",  # noqa: S106
    )
    assert of_type(tap.up, 1) == [connect]
    assert of_type(tap.down, 2) == [overhead.connack_bytes()]
    assert of_type(tap.up, 8) == [overhead.subscribe_bytes(filters)]
    assert of_type(tap.down, 9) == [overhead.suback_bytes(filters)]
    assert of_type(tap.up, 3) == [publish, overhead.publish_bytes(topic + "0", 9, qos=0)]
    assert of_type(tap.down, 4) == [overhead.puback_bytes()]
    assert publish in of_type(tap.down, 3)


@pytest.mark.broker
def test_ping_has_the_same_size_each_way(running: BrokerHandle) -> None:
    connect = b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x00\x00\x01p"
    assert overhead.connect_bytes("p") == len(connect)
    ping = b"\xc0\x00"
    with socket.create_connection(("127.0.0.1", running.port), timeout=ANSWER_S) as sock:
        sock.sendall(connect)
        assert len(sock.recv(4, socket.MSG_WAITALL)) == overhead.connack_bytes()
        sock.sendall(ping)
        assert sock.recv(100) == b"\xd0\x00"
    assert overhead.ping_bytes() == len(ping)


@pytest.mark.parametrize(
    ("remaining", "header"),
    # MQTT 3.1.1, table 2.4: the borders of one, two, three and four length bytes.
    [
        (127, 2),
        (128, 3),
        (16_383, 3),
        (16_384, 4),
        (2_097_151, 4),
        (2_097_152, 5),
        (268_435_455, 5),
    ],
)
def test_length_field_grows_where_the_standard_says(remaining: int, header: int) -> None:
    payload_bytes = remaining - 2 - len("t")
    assert overhead.publish_bytes("t", payload_bytes, qos=0) == remaining + header


def test_packet_beyond_the_standard_is_refused() -> None:
    with pytest.raises(ValueError, match="268435455"):
        overhead.publish_bytes("t", 268_435_455)


@pytest.mark.parametrize(
    ("mqtt_bytes", "expected"),
    # By hand: 52 B for each segment of 1448 B and for each second one's acknowledgement.
    [(1, 104), (1448, 104), (1449, 156), (2896, 156), (2897, 260), (51_520, 36 * 52 + 18 * 52)],
)
def test_tcp_ip_estimate(mqtt_bytes: int, expected: int) -> None:
    assert overhead.tcp_ip_bytes(mqtt_bytes) == expected
