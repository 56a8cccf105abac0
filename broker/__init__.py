"""Frames, topics and brokers: how bytes get from a device to the aggregator and back.

    frame      one message as bytes, strict both ways       encode, decode, Frame
    topics     who writes where                             up, down, bcast, parse
    client     one small class around paho                  Client
    embedded   a broker for this run, found or spawned      open_broker
    overhead   bytes that MQTT and TCP add                  publish_bytes, tcp_ip_bytes

Knows no method, no round and no model. Imports none of the other packages.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from broker.client import Client
    from broker.embedded import BrokerHandle, brokers_found, open_broker
    from broker.errors import BrokerError, FrameError, TopicError
    from broker.events import Connected, Counts, Disconnected, Message
    from broker.frame import KINDS, Frame, FrameSizes, check_origin, decode, encode, sizes
    from broker.limits import Limits

_HOMES = {
    "BrokerError": "errors",
    "BrokerHandle": "embedded",
    "Client": "client",
    "Connected": "events",
    "Counts": "events",
    "Disconnected": "events",
    "Frame": "frame",
    "FrameError": "errors",
    "FrameSizes": "frame",
    "KINDS": "frame",
    "Limits": "limits",
    "Message": "events",
    "TopicError": "errors",
    "brokers_found": "embedded",
    "check_origin": "frame",
    "decode": "frame",
    "encode": "frame",
    "open_broker": "embedded",
    "sizes": "frame",
}

__all__ = [
    "KINDS",
    "BrokerError",
    "BrokerHandle",
    "Client",
    "Connected",
    "Counts",
    "Disconnected",
    "Frame",
    "FrameError",
    "FrameSizes",
    "Limits",
    "Message",
    "TopicError",
    "brokers_found",
    "check_origin",
    "decode",
    "encode",
    "open_broker",
    "sizes",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
