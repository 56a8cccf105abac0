"""TCP to first order: slow start after idle, and the retransmission time-out.

What is modelled is what a short message meets: a window that opens from ten
segments, doubling each round trip until the link is full, and a wait of the
time-out, doubling, for each loss. Congestion avoidance, fast retransmit and
competing flows are not.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from channel_sim.checks import check_count, check_not_negative, check_positive, check_probability


@dataclass(frozen=True, kw_only=True)
class Tcp:
    """The pace of one connection that stands and was idle before.

    ``initial_window`` segments (RFC 6928: 10), ``mss_bytes`` of a segment,
    ``min_rto_s`` the least time-out (Linux: 0.2 s, as remembered; RFC 6298
    asks for 1 s), ``max_rto_s`` its cap, ``retries`` before the connection is
    given up (Linux tcp_retries2 15, as remembered). Raises ValueError for
    numbers that make no connection.
    """

    initial_window: int = 10
    mss_bytes: int = 1448
    min_rto_s: float = 0.2
    max_rto_s: float = 120.0
    retries: int = 15

    def __post_init__(self) -> None:
        for key in ("initial_window", "mss_bytes", "retries"):
            check_count(key, getattr(self, key))
        for key in ("min_rto_s", "max_rto_s"):
            check_positive(key, getattr(self, key))
        if self.max_rto_s < self.min_rto_s:
            raise ValueError(
                f"max_rto_s = {self.max_rto_s!r} is below min_rto_s = {self.min_rto_s!r}; raise it"
            )

    def rounds(self, segments: int) -> int:
        """Return the windows that ``segments`` take: ceil(log2(segments / initial + 1)).

        Each but the last is followed by a wait for acknowledgements.
        """
        check_count("segments", segments)
        sent, window, rounds = 0, self.initial_window, 0
        while sent < segments:
            sent, window, rounds = sent + window, 2 * window, rounds + 1
        return rounds

    def stall_s(self, segments: int, *, rtt_s: float, rate_bps: float) -> float:
        """Return the seconds for which slow start leaves the link idle.

        After each window but the last the sender waits for the round trip
        less the time that the window itself takes to send; once a window
        takes longer than a round trip, the link stays full (Kurose & Ross,
        "Computer Networking", latency of slow start).
        """
        check_not_negative("rtt_s", rtt_s)
        check_positive("rate_bps", rate_bps)
        segment_s = 8 * self.mss_bytes / rate_bps
        window, stalled_s = self.initial_window, 0.0
        for _ in range(self.rounds(segments) - 1):
            # The first segment of a window is acknowledged a round trip after it was sent whole.
            stalled_s += max(0.0, segment_s + rtt_s - window * segment_s)
            window *= 2
        return stalled_s

    def timeout_s(self, attempt: int, *, rtt_s: float = 0.0) -> float:
        """Return the time-out after failed attempt 1, 2, ...: doubled each time, capped.

        RFC 6298, 2.2 and 5.5, with the variance of a first measurement:
        RTO = RTT + 4 RTT / 2, but at least ``min_rto_s``.
        """
        check_count("attempt", attempt)
        check_not_negative("rtt_s", rtt_s)
        first_s = max(3 * rtt_s, self.min_rto_s)
        doublings = min(attempt - 1, 64)
        return min(first_s * 2.0**doublings, self.max_rto_s)

    def mean_wait_s(self, loss: float, *, rtt_s: float = 0.0) -> float:
        """Return the mean wait in time-outs of a segment that each attempt loses with ``loss``.

        Given that one of 1 + ``retries`` attempts gets through; infinity where none can.
        """
        check_probability("loss", loss)
        if loss == 1:
            return math.inf
        waited_s = mean_s = 0.0
        for failures in range(1, self.retries + 1):
            waited_s += self.timeout_s(failures, rtt_s=rtt_s)
            mean_s += (1 - loss) * loss**failures * waited_s
        return mean_s / (1 - loss ** (self.retries + 1))
