"""Bytes on the socket above TCP for one message of each kind, and the round trip.

    python benchmarks/wire.py

A real client publishes through a counting TCP relay to a real broker; printed as JSON.
The figure of a message is PUBLISH (header, topic, frame) plus PUBACK. Aims of the
knowledge message of 100 values: 520 B float32, 320 B float16, 220 B uint8.
"""

from __future__ import annotations

import contextlib
import json
import socket
import statistics
import tempfile
import threading
import time
from pathlib import Path
from timeit import repeat
from typing import Any

import numpy as np

from broker import topics
from broker.client import Client, Message
from broker.embedded import BrokerHandle, open_broker
from broker.frame import Frame, decode, encode, sizes
from broker.overhead import puback_bytes, publish_bytes

RUN, DEVICE = "demo", "dev-00"
ANSWER_S = 10.0
ROUND_TRIPS = 200


class Relay:
    """Counts the bytes between one client and the broker, both ways together."""

    def __init__(self, broker_port: int) -> None:
        self._broker = ("127.0.0.1", broker_port)
        self._server = socket.create_server(("127.0.0.1", 0))
        self._lock = threading.Lock()
        self.count = 0
        self.url = f"mqtt://127.0.0.1:{self._server.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        client, _ = self._server.accept()
        broker = socket.create_connection(self._broker)
        for source, sink in ((client, broker), (broker, client)):
            threading.Thread(target=self._pump, args=(source, sink), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        while data := source.recv(65536):
            with self._lock:
                self.count += len(data)
            sink.sendall(data)
        with contextlib.suppress(OSError):
            sink.shutdown(socket.SHUT_WR)


def messages() -> dict[str, tuple[str, Frame]]:
    """One of each, as a label-wise method with ten classes sends them."""
    table = np.random.default_rng(0).dirichlet(np.ones(10), size=10)
    forms = {
        "float32": table.astype("<f4"),
        "float16": table.astype("<f2"),
        "uint8": np.rint(table * 255).astype("u1"),
    }
    facts: dict[str, Any] = {"run": RUN, "round": 3, "device": DEVICE}
    up = topics.up(RUN, DEVICE, "knowledge")
    counts = {"u8": np.arange(10, dtype="u1"), "u16": np.arange(10, dtype="<u2")}
    made: dict[str, tuple[str, Frame]] = {
        f"knowledge {form}, counts {width}": (
            up,
            Frame("label_table", **facts, method="fd", arrays={"table": value, "counts": count}),
        )
        for form, value in forms.items()
        for width, count in counts.items()
    }
    made["receipt"] = (
        topics.down(RUN, DEVICE, "receipt"),
        Frame("receipt", **facts, meta={"verdict": "accepted"}),
    )
    made["announcement"] = (
        topics.bcast(RUN, "round"),
        Frame("announce", run=RUN, round=3, meta={"after": 2, "left_s": 60.0}),
    )
    return made


def measure(broker: BrokerHandle) -> list[dict[str, object]]:
    """Publish each message alone and wait until the relay has seen its acknowledgement."""
    relay = Relay(broker.port)
    rows: list[dict[str, object]] = []
    with Client(relay.url, "sender") as client:
        client.start(timeout_s=ANSWER_S)
        for name, (topic, frame) in messages().items():
            for compress in (False, True):
                data = encode(frame, compress=compress)
                expected = publish_bytes(topic, len(data)) + puback_bytes()
                before = relay.count
                client.publish(topic, data)
                end_s = time.monotonic() + ANSWER_S
                while relay.count - before < expected and time.monotonic() < end_s:
                    time.sleep(0.001)
                rows.append(
                    {
                        "message": name,
                        "zstd": compress,
                        "socket_bytes": relay.count - before,
                        "computed_bytes": expected,
                        "frame_bytes": len(data),
                        "payload_bytes": sizes(data).payload,
                    }
                )
    return rows


def round_trip_ms(broker: BrokerHandle) -> dict[str, float]:
    """400 B of knowledge up, a receipt down: two clients, one broker, no disk."""
    topic, frame = messages()["knowledge float32, counts u8"]
    receipt_topic, receipt = messages()["receipt"]
    upload, answer = encode(frame), encode(receipt)
    stop = threading.Event()

    def aggregate(client: Client) -> None:
        while not stop.is_set():
            if isinstance(client.next_event(timeout_s=0.1), Message):
                client.publish(receipt_topic, answer)

    times_ms = []
    with (
        Client(broker.url, "aggregator", subscriptions=[topic]) as server,
        Client(broker.url, "device", subscriptions=[receipt_topic]) as device,
    ):
        server.start(timeout_s=ANSWER_S)
        device.start(timeout_s=ANSWER_S)
        device.next_event(timeout_s=ANSWER_S)
        thread = threading.Thread(target=aggregate, args=(server,))
        thread.start()
        for _ in range(ROUND_TRIPS):
            begin_s = time.perf_counter()
            device.publish(topic, upload)
            if device.next_event(timeout_s=ANSWER_S) is None:
                raise TimeoutError(f"no receipt within {ANSWER_S} s")
            times_ms.append(1e3 * (time.perf_counter() - begin_s))
        stop.set()
        thread.join()
    cuts = statistics.quantiles(times_ms, n=20)
    return {"median": round(statistics.median(times_ms), 3), "p95": round(cuts[-1], 3)}


def codec_us() -> dict[str, float]:
    """Time of one encode and one decode of the float32 message."""
    frame = messages()["knowledge float32, counts u8"][1]
    data = encode(frame)
    best = {
        "encode": min(repeat(lambda: encode(frame), number=200, repeat=5)),
        "decode": min(repeat(lambda: decode(data), number=200, repeat=5)),
    }
    return {name: round(1e6 * seconds / 200, 1) for name, seconds in best.items()}


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, open_broker(Path(folder)) as broker:
        figures = {
            "broker": broker.kind,
            "messages": measure(broker),
            "round_trip_ms": round_trip_ms(broker),
            "codec_us": codec_us(),
        }
    print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
