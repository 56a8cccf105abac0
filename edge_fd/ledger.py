"""The byte ledger: what one message costs on the link of its device, split by cause."""

from __future__ import annotations

from broker.frame import FrameSizes, sizes
from broker.overhead import puback_bytes, publish_bytes, tcp_ip_bytes
from edge_fd.records import Bytes

PUBACK_BYTES = puback_bytes()
PUBACK_TCP_IP_BYTES = tcp_ip_bytes(PUBACK_BYTES)


def message_bytes(
    topic: str, frame: bytes, *, split: FrameSizes | None = None, paper_bits: int = 0
) -> Bytes:
    """Return the bytes of one QoS 1 message between a device and its broker.

    Payload and envelope are counted in the frame itself, MQTT is exact by the
    packet formats (PUBLISH and its PUBACK), TCP/IP is the first-order estimate
    of :mod:`broker.overhead`. ``split`` saves reading a frame whose sizes are known.
    """
    split = split or sizes(frame)
    publish = publish_bytes(topic, len(frame))
    return Bytes(
        payload=split.payload,
        envelope=split.envelope,
        mqtt=publish - len(frame) + PUBACK_BYTES,
        tcp_ip=tcp_ip_bytes(publish) + PUBACK_TCP_IP_BYTES,
        paper_bits=paper_bits,
    )
