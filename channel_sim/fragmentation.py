"""How a message is cut into frames: plain MTU, 6LoWPAN fragments, L2CAP segments.

Every function returns the bytes of each piece with the headers that the
cutting adds, in order: ``len`` is the number of frames, ``sum`` the bytes
handed to the layer below. IP and transport headers are part of the message
already, or are not there at all.
"""

from __future__ import annotations

from channel_sim.checks import check_count

LOWPAN_MTU_BYTES = 1280
"""Smallest MTU of IPv6, and that of a 6LoWPAN link (RFC 4944, 4; RFC 8200, 5)."""
FRAG1_BYTES = 4
"""Header of a datagram's first fragment: dispatch, size, tag (RFC 4944, 5.3)."""
FRAGN_BYTES = 5
"""Header of the others: the same and the offset (RFC 4944, 5.3)."""
LOWPAN_UNIT_BYTES = 8
"""Offsets count units of 8 bytes, so all fragments but the last carry whole units."""

L2CAP_HEADER_BYTES = 4
"""Length and channel of each L2CAP packet (Core specification, vol. 3 part A, 3.1; remembered)."""
ATT_HEADER_BYTES = 3
"""Opcode and handle of a notification or a write command (volume 3 part F, 3.4; remembered)."""


def split(size_bytes: int, mtu_bytes: int) -> tuple[int, ...]:
    """Cut into packets of at most ``mtu_bytes``; no header is added.

    Raises ValueError for a size or an MTU below 1 byte.
    """
    check_count("size_bytes", size_bytes)
    check_count("mtu_bytes", mtu_bytes)
    full, rest = divmod(size_bytes, mtu_bytes)
    return (mtu_bytes,) * full + ((rest,) if rest else ())


def split_6lowpan(
    size_bytes: int, frame_bytes: int, *, mtu_bytes: int = LOWPAN_MTU_BYTES
) -> tuple[int, ...]:
    """Cut into what 6LoWPAN puts into frames that hold ``frame_bytes`` each (RFC 4944, 5.3).

    A message above ``mtu_bytes`` is several datagrams. A datagram that fits a
    frame goes without fragment header; else FRAG1 (4 bytes) and FRAGN
    (5 bytes) come on top. Header compression is not modelled: the message is
    what is sent. Raises ValueError for a size below 1 byte, a frame below
    13 bytes (a FRAGN header and one unit) and an MTU above the 2047 bytes
    that the header can tell.
    """
    check_count("size_bytes", size_bytes)
    check_count("frame_bytes", frame_bytes)
    check_count("mtu_bytes", mtu_bytes)
    if frame_bytes < FRAGN_BYTES + LOWPAN_UNIT_BYTES:
        raise ValueError(
            f"frame_bytes = {frame_bytes!r} holds no fragment; give"
            f" {FRAGN_BYTES + LOWPAN_UNIT_BYTES} or more (header and one unit of 8)"
        )
    if mtu_bytes >= 2**11:
        raise ValueError(
            f"mtu_bytes = {mtu_bytes!r} is above the 11 bits of datagram_size; give 2047 or less"
        )
    full, rest = divmod(size_bytes, mtu_bytes)
    return _datagram(mtu_bytes, frame_bytes) * full + (_datagram(rest, frame_bytes) if rest else ())


def split_l2cap(
    size_bytes: int, link_bytes: int = 251, *, att_mtu_bytes: int = 247
) -> tuple[int, ...]:
    """Cut into data PDU payloads of at most ``link_bytes``, as notifications of ATT.

    Each notification carries ``att_mtu_bytes`` - 3 bytes of the message and
    becomes one L2CAP packet with 4 bytes of header, which is cut over as many
    data PDUs as it needs (251 bytes with data length extension, 27 without).
    Raises ValueError for a size or a link below 1 byte and an MTU below 23,
    the smallest that ATT allows.
    """
    check_count("size_bytes", size_bytes)
    check_count("link_bytes", link_bytes)
    if att_mtu_bytes < 23:  # noqa: PLR2004 - ATT_MTU's default, told in the message
        raise ValueError(f"att_mtu_bytes = {att_mtu_bytes!r} is below ATT's least; give 23 or more")
    value_bytes = att_mtu_bytes - ATT_HEADER_BYTES
    header_bytes = L2CAP_HEADER_BYTES + ATT_HEADER_BYTES
    full, rest = divmod(size_bytes, value_bytes)
    pieces = split(value_bytes + header_bytes, link_bytes) * full
    return pieces + (split(rest + header_bytes, link_bytes) if rest else ())


def _datagram(size_bytes: int, frame_bytes: int) -> tuple[int, ...]:
    """Fragments of one datagram."""
    if size_bytes <= frame_bytes:
        return (size_bytes,)
    first = _whole_units(frame_bytes - FRAG1_BYTES)
    other = _whole_units(frame_bytes - FRAGN_BYTES)
    left = size_bytes - first
    # The last fragment may fill its frame beyond whole units.
    whole = max(0, -(-(left - (frame_bytes - FRAGN_BYTES)) // other))
    last = left - whole * other
    return (first + FRAG1_BYTES, *(other + FRAGN_BYTES,) * whole, last + FRAGN_BYTES)


def _whole_units(size_bytes: int) -> int:
    return size_bytes - size_bytes % LOWPAN_UNIT_BYTES
