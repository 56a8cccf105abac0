"""One MQTT connection that keeps itself up; a small face on paho (MQTT 3.1.1, QoS 1).

    with Client(url, "demo-dev-00", subscriptions=filters) as client:
        client.start(timeout_s=10)
        client.publish(topic, payload)
        match client.next_event(timeout_s=1): ...

paho's network thread only fills a bounded queue; user code never runs on it. The
broker is trusted with nothing: sessions are clean, and what is lost here is sent
again by the layer above (``docs/protocol.md``).
"""

from __future__ import annotations

import ssl
import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode
from paho.mqtt.reasoncodes import ReasonCode

from broker.address import parse_url
from broker.errors import BrokerError
from broker.events import Connected, Counts, Disconnected, Event, Message
from broker.network import Network, log, no_delay

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self

__all__ = ["Client", "Connected", "Counts", "Disconnected", "Event", "Message"]

BACKOFF_FIRST_S: Final = 0.5
BACKOFF_MAX_S: Final = 30.0
QUEUE_BYTES: Final = 64_000_000
# Refusals that do not pass by waiting: codes 1, 2, 4, 5 of MQTT 3.1.1, table 3.1, which
# paho hands over as their MQTT 5 equals.
_FATAL: Final = {
    132: "it must speak MQTT 3.1.1",
    133: "use another client id",
    134: "check user and password in the URL",
    135: "check user and password in the URL and the broker's access rules",
}


class Client:
    """A connection to the broker at ``url``; the constructor opens nothing.

    ``subscriptions`` are made on each connect. ``will`` (topic, payload) is published
    by the broker, QoS 1, if this process dies or the link breaks, not after
    :meth:`stop`. ``queue_size`` bounds incoming messages waiting for
    :meth:`next_event` and, apart from those, outgoing ones waiting for the broker.
    ``rng`` draws the pauses between connection attempts: full jitter up to 30 s.
    """

    def __init__(
        self,
        url: str,
        client_id: str,
        *,
        subscriptions: Sequence[str] = (),
        will: tuple[str, bytes] | None = None,
        keepalive_s: int = 60,
        queue_size: int = 1000,
        ca_file: str | None = None,
        rng: np.random.Generator | None = None,
    ) -> None:
        self._address = parse_url(url)
        self._subscriptions = tuple(subscriptions)
        self._keepalive_s = keepalive_s
        self._queue_size = queue_size
        self._ca_file = ca_file
        self._rng = np.random.default_rng() if rng is None else rng
        self._changed = threading.Condition()
        self._queue: deque[Event] = deque()
        self._queue_bytes = 0
        self._unacknowledged = 0
        self._counts = Counts()
        self._attempts = 0
        self._connected = False
        self._refusal: str | None = None
        self._paho = self._build(client_id, will)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop(timeout_s=0 if kind else 2)

    @property
    def connected(self) -> bool:
        """Whether the connection is up and the subscriptions hold."""
        return self._connected

    @property
    def unacknowledged(self) -> int:
        """How many published messages the broker has not acknowledged yet."""
        with self._changed:
            return self._unacknowledged

    @property
    def counts(self) -> Counts:
        """What went through so far."""
        with self._changed:
            return self._counts

    def start(self, *, timeout_s: float) -> None:
        """Connect and subscribe; from then on the client reconnects by itself.

        Raises :class:`BrokerError`, naming URL and remedy, if the broker refuses the
        credentials or a subscription, or does not answer within ``timeout_s``.
        """
        if self._address.tls:
            try:
                self._paho.tls_set(self._ca_file)
            except (OSError, ssl.SSLError) as error:
                raise BrokerError(f"CA file {self._ca_file!r} cannot be used: {error}") from error
        self._paho.connect_async(self._address.host, self._address.port, self._keepalive_s)
        self._paho.loop_start()
        with self._changed:
            # The connection may be lost again before this thread wakes: count, do not look.
            self._changed.wait_for(lambda: self._counts.connects or self._refusal, timeout_s)
            was_up, refusal = self._counts.connects > 0, self._refusal
        if was_up:
            return
        self.stop(timeout_s=0)
        if refusal:
            raise BrokerError(f"the broker at {self._address} cannot be used: {refusal}")
        raise BrokerError(
            f"no broker at {self._address} within {timeout_s:g} s ({self._paho.failure});"
            " start one there, or check host, port and network"
        )

    def stop(self, *, timeout_s: float = 2) -> bool:
        """Wait for acknowledgements up to ``timeout_s``, then leave without a will.

        Returns whether all that was published is acknowledged.
        """
        with self._changed:
            flushed = self._changed.wait_for(
                lambda: not self._unacknowledged or not self._connected, timeout_s
            )
            flushed = flushed and not self._unacknowledged
        self._paho.disconnect()
        self._paho.loop_stop()
        self._paho.close()
        return flushed

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> bool:
        """Hand over a message, QoS 1; never blocks.

        Offline it waits in memory for the next connection. When ``queue_size`` messages
        wait the new one is dropped, counted, and False is returned: send it again later.
        """
        info = self._paho.publish(topic, payload, qos=1, retain=retain)
        with self._changed:
            if info.rc == MQTTErrorCode.MQTT_ERR_QUEUE_SIZE:
                self._count(dropped_out=1)
                return False
            self._unacknowledged += 1
            self._count(messages_sent=1, bytes_sent=len(payload))
        return True

    def next_event(self, *, timeout_s: float) -> Event | None:
        """Return the next event in order of arrival, None if none comes in time."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._queue, timeout_s):
                return None
            event = self._queue.popleft()
            if isinstance(event, Message):
                self._queue_bytes -= len(event.payload)
            return event

    def _build(self, client_id: str, will: tuple[str, bytes] | None) -> Network:
        client = Network(
            CallbackAPIVersion.VERSION2, client_id, clean_session=True, protocol=paho.MQTTv311
        )
        client.suppress_exceptions = True
        client.enable_logger(log)
        client.max_queued_messages_set(self._queue_size)
        if self._address.user is not None:
            client.username_pw_set(self._address.user, self._address.password)
        if will is not None:
            client.will_set(will[0], will[1], qos=1)
        client.on_socket_open = no_delay
        client.on_connect = self._on_connect
        client.on_connect_fail = self._on_connect_fail
        client.on_subscribe = self._on_subscribe
        client.on_disconnect = self._on_disconnect
        client.on_message = self._on_message
        client.on_publish = self._on_publish
        return client

    # The callbacks below run on paho's network thread.

    def _on_connect(self, _c: Any, _u: Any, _f: Any, code: ReasonCode, _p: Any) -> None:
        if code.is_failure:
            self._back_off()
            with self._changed:
                if code.value in _FATAL:
                    self._refusal = f"{code}; {_FATAL[code.value]}"
                self._changed.notify_all()
        elif self._subscriptions:
            self._paho.subscribe([(topic, 1) for topic in self._subscriptions])
        else:
            self._up()

    def _on_subscribe(self, _c: Any, _u: Any, _m: int, codes: list[ReasonCode], _p: Any) -> None:
        refused = [
            topic
            for topic, code in zip(self._subscriptions, codes, strict=False)
            if code.is_failure
        ]
        if refused:
            log.error("%s refuses the subscriptions %s", self._address, refused)
            with self._changed:
                self._refusal = f"subscriptions {', '.join(refused)}; check its access rules"
                self._changed.notify_all()
        else:
            self._up()

    def _on_connect_fail(self, _c: Any, _u: Any) -> None:
        self._back_off()
        if self._paho.distrust:
            with self._changed:
                self._refusal = f"{self._paho.distrust}; give its CA as ca_file"
                self._changed.notify_all()

    def _on_disconnect(self, _c: Any, _u: Any, _f: Any, code: ReasonCode, _p: Any) -> None:
        self._back_off()
        with self._changed:
            if self._connected:
                self._connected = False
                self._put(Disconnected(str(code)))

    def _on_message(self, _c: Any, _u: Any, message: paho.MQTTMessage) -> None:
        with self._changed:
            self._count(messages_received=1, bytes_received=len(message.payload))
            try:
                topic = message.topic
            except UnicodeDecodeError:
                self._count(dropped_in=1)
                return
            self._put(Message(topic, bytes(message.payload), message.retain))

    def _on_publish(self, _c: Any, _u: Any, _m: int, _r: ReasonCode, _p: Any) -> None:
        with self._changed:
            self._unacknowledged -= 1
            self._changed.notify_all()

    def _up(self) -> None:
        with self._changed:
            self._attempts = 0
            self._connected = True
            self._count(connects=1)
            self._put(Connected())

    def _put(self, event: Event) -> None:
        """Queue an event; the lock is held.

        A full queue drops messages, never the latest change of state.
        """
        size = len(event.payload) if isinstance(event, Message) else 0
        if len(self._queue) >= self._queue_size or self._queue_bytes + size > QUEUE_BYTES:
            self._count(dropped_in=1)
            if isinstance(event, Message):
                return
            newest = self._queue.pop()
            if isinstance(newest, Message):
                self._queue_bytes -= len(newest.payload)
        self._queue.append(event)
        self._queue_bytes += size
        self._changed.notify_all()

    def _back_off(self) -> None:
        """Let paho wait a drawn time.

        Its own back-off has no jitter, so that a whole fleet would come back at once.
        """
        bound_s = min(BACKOFF_MAX_S, BACKOFF_FIRST_S * 2.0**self._attempts)
        self._attempts = min(self._attempts + 1, 16)
        pause_s = float(self._rng.uniform(0, bound_s))
        self._paho.reconnect_delay_set(pause_s, pause_s)  # type: ignore[arg-type]

    def _count(self, **steps: int) -> None:
        values = {name: getattr(self._counts, name) + step for name, step in steps.items()}
        self._counts = replace(self._counts, **values)
