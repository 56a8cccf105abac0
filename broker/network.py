"""paho with what it lacks: why a connection failed, an end of its sockets, TCP_NODELAY."""

from __future__ import annotations

import logging
import socket
import ssl
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import MQTTErrorCode

log = logging.getLogger(__name__)
log.addHandler(logging.NullHandler())  # else Python prints warnings where nobody set up logging


class Network(paho.Client):
    """A paho client that remembers why it could not connect.

    ``failure`` is why the last attempt to connect failed, which paho keeps to itself,
    ``distrust`` what is wrong with the broker's certificate, empty if nothing.
    """

    failure = "no answer"
    distrust = ""

    def reconnect(self) -> MQTTErrorCode:
        """Connect, and remember why it failed."""
        try:
            return super().reconnect()
        except OSError as error:
            self.failure = str(error)
            if isinstance(error, ssl.SSLCertVerificationError):
                self.distrust = error.verify_message
            raise

    def close(self) -> None:
        """Close all sockets; paho leaves the pair that wakes its loop to the garbage collector."""
        self._reset_sockets()


def no_delay(_c: Any, _u: Any, sock: Any) -> None:
    """Send small packets at once."""
    # Nagle and delayed acknowledgements together cost 44 ms for each leg.
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
