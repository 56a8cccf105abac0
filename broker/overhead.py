"""Bytes that MQTT, TCP and IP add to a frame: exact for MQTT 3.1.1, an estimate below.

Source of the packet layouts: OASIS MQTT 3.1.1, clauses as cited. Below it: IPv4 and
TCP headers with timestamps, a segment of at most 1448 B (MTU 1500), an empty
acknowledgement of 52 B for every second segment (RFC 1122, 4.2.3.2), no loss, no
piggybacked acknowledgement, no TLS.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

SEGMENT_BYTES_MAX: Final = 1448
HEADERS_BYTES: Final = 20 + 20 + 12  # IPv4, TCP, TCP timestamps
SEGMENTS_PER_ACK: Final = 2

_REMAINING_LENGTH_MAX: Final = 268_435_455  # 2.2.3
_CONNECT_HEADER_BYTES: Final = 10  # 3.1.2: protocol name 6, level, flags, keep-alive 2


def publish_bytes(topic: str, payload_bytes: int, *, qos: int = 1) -> int:
    """Size of a PUBLISH packet with its payload (clause 3.3)."""
    return _packet(_text(topic) + (2 if qos else 0) + payload_bytes)


def puback_bytes() -> int:
    """Size of the acknowledgement of a QoS 1 PUBLISH (clause 3.4)."""
    return _packet(2)


def connect_bytes(
    client_id: str,
    *,
    will: tuple[str, int] | None = None,
    user: str | None = None,
    password: str | None = None,
) -> int:
    """Size of a CONNECT packet (clause 3.1); ``will`` is its topic and payload bytes."""
    content = _CONNECT_HEADER_BYTES + _text(client_id)
    if will is not None:
        content += _text(will[0]) + 2 + will[1]
    content += sum(_text(part) for part in (user, password) if part is not None)
    return _packet(content)


def connack_bytes() -> int:
    """Size of the answer to CONNECT (clause 3.2)."""
    return _packet(2)


def subscribe_bytes(filters: Sequence[str]) -> int:
    """Size of one SUBSCRIBE packet with all ``filters`` (clause 3.8)."""
    return _packet(2 + sum(_text(topic) + 1 for topic in filters))


def suback_bytes(filters: Sequence[str]) -> int:
    """Size of the answer to it (clause 3.9)."""
    return _packet(2 + len(filters))


def ping_bytes() -> int:
    """Size of PINGREQ, and of PINGRESP (clauses 3.12 and 3.13)."""
    return _packet(0)


def tcp_ip_bytes(mqtt_bytes: int) -> int:
    """Estimate the bytes below MQTT, both ways, for ``mqtt_bytes`` sent in one go."""
    segments = -(-mqtt_bytes // SEGMENT_BYTES_MAX)
    acknowledgements = -(-segments // SEGMENTS_PER_ACK)
    return (segments + acknowledgements) * HEADERS_BYTES


def _text(text: str) -> int:
    """UTF-8 with a two-byte length (clause 1.5.3)."""
    return 2 + len(text.encode())


def _packet(remaining: int) -> int:
    """Fixed header and what follows; the length takes one byte for each 7 bit (2.2.3)."""
    if remaining > _REMAINING_LENGTH_MAX:
        raise ValueError(f"{remaining} B do not fit an MQTT packet of {_REMAINING_LENGTH_MAX} B")
    return 1 + max(1, -(-remaining.bit_length() // 7)) + remaining
