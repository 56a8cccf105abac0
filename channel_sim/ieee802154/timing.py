"""802.15.4 at 2.4 GHz in numbers: times in integer nanoseconds, sizes in bytes.

IEEE 802.15.4-2006, O-QPSK PHY: 62.5 k symbols of 4 bits a second. Clauses
as remembered; the values are those of ns-3's lr-wpan and were confirmed by
its runs (validation/ieee802154.py).
"""

from __future__ import annotations

SYMBOL_NS = 16_000
"""62.5 ksymbol/s (6.5.1)."""
BYTE_NS = 2 * SYMBOL_NS
"""4 bits a symbol: 250 kbit/s."""
BIT_NS = SYMBOL_NS // 4
RATE_BPS = 250_000

UNIT_BACKOFF_NS = 20 * SYMBOL_NS
"""aUnitBackoffPeriod (table 85)."""
CCA_NS = 8 * SYMBOL_NS
"""Clear channel assessment (6.9.9)."""
TURNAROUND_NS = 12 * SYMBOL_NS
"""aTurnaroundTime, from receiving to sending and back (table 22)."""
ACK_WAIT_NS = 54 * SYMBOL_NS
"""macAckWaitDuration: 20 + 12 + 10 + 6 x 2 symbols (7.4.2, for this PHY)."""
LIFS_NS, SIFS_NS = 40 * SYMBOL_NS, 12 * SYMBOL_NS
"""macMinLIFSPeriod and macMinSIFSPeriod (table 86)."""
MAX_SIFS_BYTES = 18
"""aMaxSIFSFrameSize: an MPDU above it is followed by LIFS (table 85)."""

PHY_BYTES = 6
"""Preamble 4, start of frame 1, length 1 (6.3)."""
FCS_BYTES = 2
"""Checksum (7.2.1.9)."""
MAX_PSDU_BYTES = 127
"""aMaxPHYPacketSize (table 22)."""
ACK_BYTES = 5
"""MPDU of an acknowledgement: control 2, number 1, checksum 2 (7.2.2.3)."""


def frame_ns(psdu_bytes: int) -> int:
    """Return the time on air of a frame whose MPDU has ``psdu_bytes``, PHY header included."""
    return (PHY_BYTES + psdu_bytes) * BYTE_NS


def ifs_ns(psdu_bytes: int) -> int:
    """Return the pause that the sender keeps after a frame of ``psdu_bytes`` (7.5.1.3)."""
    return LIFS_NS if psdu_bytes > MAX_SIFS_BYTES else SIFS_NS


ACK_NS = frame_ns(ACK_BYTES)
"""352 microseconds."""
