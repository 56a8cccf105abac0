"""What stands above the radio: bytes of the protocols, TCP's pace, retries, the broker's queue.

overhead   bytes of IP, TCP, TLS and MQTT around a message
tcp        slow start and retransmission time-out, to first order
backoff    waits between attempts of an application
queue      one server and a line: waiting at the broker
"""

from __future__ import annotations

from channel_sim.transport.backoff import Backoff
from channel_sim.transport.overhead import (
    TLS_HANDSHAKES,
    Handshake,
    Transport,
    mqtt_publish_bytes,
    tls_bytes,
    varint_bytes,
)
from channel_sim.transport.queue import Queue, departures_s
from channel_sim.transport.tcp import Tcp

__all__ = [
    "TLS_HANDSHAKES",
    "Backoff",
    "Handshake",
    "Queue",
    "Tcp",
    "Transport",
    "departures_s",
    "mqtt_publish_bytes",
    "tls_bytes",
    "varint_bytes",
]
