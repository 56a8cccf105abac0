"""What a client tells its owner, and what it counts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True)
class Connected:
    """The connection is up and the subscriptions hold (again)."""


@dataclass(frozen=True)
class Disconnected:
    """The connection is lost; the client goes on trying."""

    reason: str


@dataclass(frozen=True)
class Message:
    """A message of a subscribed topic; ``retained`` if it waited at the broker."""

    topic: str
    payload: bytes
    retained: bool = False


Event: TypeAlias = Connected | Disconnected | Message


@dataclass(frozen=True)
class Counts:
    """What went through a client since it was made; bytes of payloads.

    ``sent`` counts what was acknowledged by the broker or is on its way,
    ``dropped_in`` messages that found the queue full, ``dropped_out`` those that
    :meth:`Client.publish` turned away.
    """

    messages_sent: int = 0
    bytes_sent: int = 0
    messages_received: int = 0
    bytes_received: int = 0
    dropped_in: int = 0
    dropped_out: int = 0
    connects: int = 0
