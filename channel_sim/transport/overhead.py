"""Bytes that protocols put around a message before the radio carries it.

Counted from the formats: IPv4 (RFC 791), TCP with timestamps (RFC 9293,
RFC 7323), TLS records (RFC 8446, RFC 5246 with RFC 5288), MQTT 3.1.1 and 5.0
(OASIS). Headers below IP belong to the radio technology.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from channel_sim.checks import check_between, check_count, check_known, check_not_negative

Tls: TypeAlias = Literal["1.2", "1.3"]
IPV4_BYTES = 20
TCP_BYTES = 20 + 12
"""Header and the timestamp option with its padding."""
TLS_RECORD_BYTES: dict[Tls, int] = {"1.3": 22, "1.2": 29}
"""1.3: header 5, content type 1, tag 16. 1.2 with AES-GCM: header 5, nonce 8, tag 16."""
TLS_RECORD_MAX_BYTES = 16_384
VARINT_MOST = (127, 16_383, 2_097_151, 268_435_455)


@dataclass(frozen=True)
class Handshake:
    """Bytes of TLS records of one handshake, each way, TCP/IP not counted."""

    up_bytes: int
    down_bytes: int


TLS_HANDSHAKES = {
    "1.3 ecdsa": Handshake(305, 1272),
    "1.3 rsa": Handshake(305, 1853),
    "1.3 ecdsa mutual": Handshake(831, 2139),
    "1.3 rsa mutual": Handshake(1413, 3520),
    "1.3 resumed": Handshake(597, 496),
    "1.2 ecdsa": Handshake(255, 847),
    "1.2 rsa": Handshake(255, 1428),
    "1.2 resumed": Handshake(568, 141),
}
"""Measured with OpenSSL, one self-signed P-256 or RSA-2048 certificate, default session tickets."""


def varint_bytes(value: int) -> int:
    """Return the length of an MQTT variable byte integer (MQTT 3.1.1, 2.2.3).

    Raises ValueError above 268,435,455.
    """
    check_between("remaining length", value, 0, VARINT_MOST[-1], why="MQTT 3.1.1, 2.2.3")
    return 1 + sum(value > most for most in VARINT_MOST)


def mqtt_publish_bytes(
    payload_bytes: int, topic_bytes: int, *, qos: int = 1, version: Literal[4, 5] = 4
) -> int:
    """Return the bytes of a PUBLISH (MQTT 3.1.1 or 5.0, 3.3), its payload included.

    Version 5 has at least a property length byte. Raises ValueError for a
    QoS that is none.
    """
    check_not_negative("payload_bytes", payload_bytes)
    check_count("topic_bytes", topic_bytes)
    check_between("qos", qos, 0, 2, why="MQTT 3.1.1, 4.3")
    rest = 2 + topic_bytes + (2 if qos else 0) + (1 if version == 5 else 0) + payload_bytes  # noqa: PLR2004
    return 1 + varint_bytes(rest) + rest


def tls_bytes(size_bytes: int, *, version: Tls = "1.3") -> int:
    """Return a stream's bytes in TLS records of at most 16,384 B of plain text."""
    check_count("size_bytes", size_bytes)
    check_known("version", version, TLS_RECORD_BYTES)
    return size_bytes + -(-size_bytes // TLS_RECORD_MAX_BYTES) * TLS_RECORD_BYTES[version]


@dataclass(frozen=True, kw_only=True)
class Transport:
    """A message over MQTT, optionally TLS, TCP and IPv4, on a connection that stands.

    ``topic_bytes`` and ``qos`` of the PUBLISH; ``mtu_bytes`` of an IP packet.
    Raises ValueError for an MTU that holds no data.
    """

    topic_bytes: int = 32
    qos: int = 1
    tls: Tls | None = None
    mtu_bytes: int = 1500

    def __post_init__(self) -> None:
        mqtt_publish_bytes(0, self.topic_bytes, qos=self.qos)
        if self.tls is not None:
            check_known("tls", self.tls, TLS_RECORD_BYTES)
        check_count("mtu_bytes", self.mtu_bytes)
        if self.mss_bytes < 1:
            raise ValueError(
                f"mtu_bytes = {self.mtu_bytes} leaves no room beside {IPV4_BYTES + TCP_BYTES} B"
                " of IP and TCP; give more"
            )

    @property
    def mss_bytes(self) -> int:
        """Data bytes of a full TCP segment: 1,448 at an MTU of 1,500."""
        return self.mtu_bytes - IPV4_BYTES - TCP_BYTES

    def stream_bytes(self, payload_bytes: int) -> int:
        """Return what TCP is given: the PUBLISH, in TLS records where there is TLS."""
        publish = mqtt_publish_bytes(payload_bytes, self.topic_bytes, qos=self.qos)
        return publish if self.tls is None else tls_bytes(publish, version=self.tls)

    def segments(self, payload_bytes: int) -> int:
        """Return the number of TCP segments of a message."""
        return -(-self.stream_bytes(payload_bytes) // self.mss_bytes)

    def forward_bytes(self, payload_bytes: int) -> int:
        """Return the IP bytes that carry a message."""
        headers = self.segments(payload_bytes) * (IPV4_BYTES + TCP_BYTES)
        return self.stream_bytes(payload_bytes) + headers

    def backward_bytes(self, payload_bytes: int) -> int:
        """Return the IP bytes that answer it.

        A TCP acknowledgement for every second segment (RFC 9293, 3.8.6.3);
        with QoS 1 the PUBACK travels in one of its own, with QoS 2 a PUBREC
        and a PUBCOMP.
        """
        empty = IPV4_BYTES + TCP_BYTES
        puback = 4 if self.tls is None else tls_bytes(4, version=self.tls)
        return -(-self.segments(payload_bytes) // 2) * empty + self.qos * (empty + puback)
