"""The errors of broker, one tree.

BrokerError         anything this package says in one line: a broker that is not
│                   there, a port in use, credentials that are refused
├── FrameError      bytes that are no valid frame, or a frame that cannot be sent
└── TopicError      a topic, run or device name against the rule
"""

from __future__ import annotations


class BrokerError(Exception):
    """Base of all errors that this package raises on purpose; names value and remedy."""


class FrameError(BrokerError, ValueError):
    """Refused bytes or a refused frame.

    ``reason`` is a short stable code for counters and for ``refused`` messages:

    ``size`` a limit on bytes, items or arrays; ``truncated`` a declared length runs past
    the end; ``trailing`` bytes after the map; ``crc`` damaged; ``syntax`` not the strict
    CBOR subset; ``depth``; ``tag``; ``version``; ``kind``; ``key`` unknown, missing,
    duplicate or out of order; ``type``; ``dtype``; ``shape``; ``not_finite``;
    ``compression``; ``run``; ``device``; ``round``; and of the layer above, ``range`` for
    values that are no probabilities.
    """

    def __init__(self, reason: str, message: str) -> None:
        self.reason = reason
        super().__init__(f"{message} [{reason}]")


class TopicError(BrokerError, ValueError):
    """A topic that is not one of ours, or a name that does not keep the rule."""
