"""Stop-and-wait ARQ: how one message crosses a link, packet by packet.

A message is cut into packets of ``mtu_bytes``. A packet that fails is sent
again after ``ack_timeout_s``; when it has failed ``max_attempts`` times the
message is lost and the rest of it is not sent. A good packet is followed at
once by the next: acknowledgements take no air time here.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from channel_sim.checks import check_count, check_not_negative


@dataclass(frozen=True, slots=True)
class Transfer:
    """What became of one message: seconds, attempts of all its packets."""

    delivered: bool
    finish_s: float
    air_s: float
    attempts: int
    packets: int


@dataclass(frozen=True)
class Arq:
    """The rules: packet size in bytes, attempts per packet, wait after a failure in seconds.

    ``ack_timeout_s`` covers the missing acknowledgement and the backoff
    together. Raises ValueError for a packet size or a number of attempts
    below 1 and for a negative wait.
    """

    mtu_bytes: int
    max_attempts: int
    ack_timeout_s: float

    def __post_init__(self) -> None:
        check_count("mtu_bytes", self.mtu_bytes)
        check_count("max_attempts", self.max_attempts)
        check_not_negative("ack_timeout_s", self.ack_timeout_s)

    def packets(self, size_bytes: int) -> int:
        """Return the number of packets of a message."""
        return -(-size_bytes // self.mtu_bytes)

    def transfer(
        self,
        size_bytes: int,
        start_s: float,
        *,
        rate_bps: float,
        first_bad: Callable[[int, int], int],
        coherence_s: float = math.inf,
    ) -> Transfer:
        """Send one message from ``start_s`` on and return what became of it.

        ``first_bad(first, last)`` tells the first of these blocks of
        ``coherence_s`` seconds during which the link does not carry
        ``rate_bps``, ``last + 1`` where it always does; a packet gets through
        when it touches no such block. ``finish_s`` of a lost message is the
        end of its last wait, so that always
        ``finish_s - start_s = air_s + failed attempts * ack_timeout_s``.
        """
        packets = self.packets(size_bytes)
        full_s = 8 * self.mtu_bytes / rate_bps
        last_s = 8 * (size_bytes - (packets - 1) * self.mtu_bytes) / rate_bps
        now_s, air_s, attempts, failures, done = start_s, 0.0, 0, 0, 0
        bad, bad_from_s = -1, 0.0  # the next bad block, and when it begins
        while done < packets:
            block = int(now_s // coherence_s)
            if block > bad:
                whole_s = (packets - 1 - done) * full_s + last_s
                end = max(block, math.ceil((now_s + whole_s) / coherence_s) - 1)
                bad = first_bad(block, end)
                bad_from_s = bad * coherence_s if bad <= end else math.inf
            packet_s = full_s if done < packets - 1 else last_s
            if block < bad and now_s + packet_s <= bad_from_s:
                run = packets - 1 - done or 1
                # All packets that fit before the bad block go in one step.
                if run * packet_s > bad_from_s - now_s:
                    run = max(1, int((bad_from_s - now_s) // packet_s))
                done, attempts, failures = done + run, attempts + run, 0
                now_s, air_s = now_s + run * packet_s, air_s + run * packet_s
                continue
            attempts, air_s = attempts + 1, air_s + packet_s
            failures, now_s = failures + 1, now_s + packet_s + self.ack_timeout_s
            if failures == self.max_attempts:
                return Transfer(False, now_s, air_s, attempts, packets)
        return Transfer(True, now_s, air_s, attempts, packets)
