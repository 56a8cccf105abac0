"""Broker addresses: ``mqtt://user:password@host:port`` and ``mqtts://…``."""

from __future__ import annotations

import socket
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import unquote, urlsplit

from broker.errors import BrokerError

_PORTS: Final = {"mqtt": 1883, "mqtts": 8883}
# MQTT 3.1.1, 3.1: CONNECT, clean session, keep-alive 10 s, client id "efd-probe"; then DISCONNECT.
_CONNECT: Final = b"\x10\x15\x00\x04MQTT\x04\x02\x00\x0a\x00\x09efd-probe"
_CONNACK_ACCEPTED: Final = b"\x20\x02\x00\x00"
_DISCONNECT: Final = b"\xe0\x00"


@dataclass(frozen=True)
class Address:
    """Where a broker listens. ``str()`` and ``repr()`` never show the password."""

    host: str
    port: int
    tls: bool = False
    user: str | None = None
    password: str | None = field(default=None, repr=False)

    def __str__(self) -> str:
        scheme = "mqtts" if self.tls else "mqtt"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{scheme}://{host}:{self.port}"


def parse_url(url: str) -> Address:
    """Take a broker URL apart; raise :class:`BrokerError` where it is none.

    User and password are percent-decoded (RFC 3986); the port defaults to 1883,
    with ``mqtts`` to 8883.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise BrokerError(f"broker URL: {error}; write mqtt://host:port") from error
    if parts.scheme not in _PORTS or not parts.hostname or parts.path not in ("", "/"):
        shown = url.rpartition("@")[2]
        raise BrokerError(
            f"broker URL {shown!r}: write mqtt://host:port, mqtts://host:port,"
            " with user:password@ before the host where the broker asks for it"
        )
    return Address(
        parts.hostname,
        port or _PORTS[parts.scheme],
        tls=parts.scheme == "mqtts",
        user=None if parts.username is None else unquote(parts.username),
        password=None if parts.password is None else unquote(parts.password),
    )


def answers(host: str, port: int, *, timeout_s: float = 2.0) -> bool:
    """Whether an MQTT broker accepts an anonymous CONNECT there (plain TCP)."""
    try:
        with socket.create_connection((host, port), timeout=timeout_s) as sock:
            sock.sendall(_CONNECT)
            answer = sock.recv(len(_CONNACK_ACCEPTED), socket.MSG_WAITALL)
            sock.sendall(_DISCONNECT)
    except OSError:
        return False
    return answer == _CONNACK_ACCEPTED


def listens(host: str, port: int, *, timeout_s: float = 2.0) -> bool:
    """Whether anything accepts TCP connections there."""
    try:
        socket.create_connection((host, port), timeout=timeout_s).close()
    except OSError:
        return False
    return True
