"""paho with the two things it lacks: reasons for a failed connection, and a long life."""

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
    """paho whose network thread outlives what a broken broker may send.

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

    def loop_forever(
        self,
        timeout: float = 1.0,
        retry_first_connection: bool = False,  # noqa: FBT001, FBT002  paho's signature
    ) -> MQTTErrorCode:
        """Run until told to stop, whatever the broker sends."""
        code: MQTTErrorCode | None = None
        while code is None:
            code = self._loop_once(timeout, retry_first_connection)
        return code

    def _loop_once(self, *settings: Any) -> MQTTErrorCode | None:
        try:
            return super().loop_forever(*settings)
        except Exception:
            # A malformed packet: what follows in the stream means nothing any more.
            log.exception("the connection broke while reading; connecting anew")
            sock: Any = self.socket()
            if sock is not None:
                sock.shutdown(socket.SHUT_RDWR)
            return None


def no_delay(_c: Any, _u: Any, sock: Any) -> None:
    """Send small packets at once."""
    # Nagle and delayed acknowledgements together cost 44 ms for each leg.
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
