"""A walk over the bytes of a frame before any decoder builds an object from them.

It accepts the part of CBOR (RFC 8949) that frames use, in Core Deterministic
Encoding (clause 4.2.1) except that floats may have any width: definite lengths,
shortest heads, map keys ascending and thus unique. Nothing is allocated but one
key at a time, so a hostile length costs nothing.
"""

from __future__ import annotations

from collections.abc import Container
from typing import Final

from broker.errors import FrameError
from broker.limits import Limits

UNSIGNED: Final = 0
BYTES: Final = 2
TEXT: Final = 3
ARRAY: Final = 4
MAP: Final = 5
TAG: Final = 6
SIMPLE: Final = 7

# RFC 8949 table 3: additional information 24 to 27 announces 1, 2, 4, 8 bytes.
_HEAD_BYTES: Final = {24: 1, 25: 2, 26: 4, 27: 8}
_LONG: Final = min(_HEAD_BYTES)
_FALSE, _TRUE, _HALF, _SINGLE, _DOUBLE = 20, 21, 25, 26, 27


def head_of(major: int, argument: int) -> bytes:
    """Return the shortest head of an item (RFC 8949, clause 3)."""
    if argument < _LONG:
        return bytes((major << 5 | argument,))
    info, width = next(pair for pair in _HEAD_BYTES.items() if not argument >> 8 * pair[1])
    return bytes((major << 5 | info,)) + argument.to_bytes(width, "big")


def check_structure(data: bytes, *, limits: Limits, tags: Container[int]) -> None:
    """Raise :class:`FrameError` unless ``data`` is one strict CBOR map.

    ``tags`` are the tag numbers allowed. Text is valid UTF-8, keys are text or
    unsigned, simple values are false, true and floats.
    """
    if not data or data[0] >> 5 != MAP:
        raise FrameError("syntax", "a frame is one CBOR map; the bytes do not begin with one")
    end = _Walk(data, limits, tags).item(0, 1)
    if end != len(data):
        raise FrameError("trailing", f"{len(data) - end} bytes follow the end of the frame")


class _Walk:
    """Offsets go in, offsets behind what was read come out.

    Every message of a simulated run passes here, several times per device and
    round: the short heads, nearly all there are, are read in place.
    """

    __slots__ = ("data", "depth", "items", "most", "size", "tags")

    def __init__(self, data: bytes, limits: Limits, tags: Container[int]) -> None:
        self.data = data
        self.size = len(data)
        self.most, self.depth = limits.items, limits.depth
        self.tags = tags
        self.items = 0

    def long_head(self, at: int, major: int, info: int) -> tuple[int, int]:
        """Return the argument of a head that has more than one byte, and the offset behind it."""
        if info not in _HEAD_BYTES:
            raise FrameError("syntax", f"indefinite length or reserved head at byte {at}")
        width = _HEAD_BYTES[info]
        self.need(at + 1, width)
        argument = int.from_bytes(self.data[at + 1 : at + 1 + width], "big")
        shorter = 24 if width == 1 else 1 << (4 * width)
        if major != SIMPLE and argument < shorter:
            raise FrameError("syntax", f"head at byte {at} is not in its shortest form")
        return argument, at + 1 + width

    def need(self, at: int, count: int) -> None:
        if count > self.size - at:
            raise FrameError(
                "truncated", f"{count} bytes declared at byte {at}, {self.size - at} are there"
            )

    def item(self, at: int, depth: int) -> int:
        """Walk one data item; return the offset behind it."""
        self.items += 1
        if self.items > self.most:
            raise FrameError("size", f"more than {self.most} data items; use arrays")
        if depth > self.depth:
            raise FrameError("depth", f"nested deeper than {self.depth} at byte {at}")
        if at >= self.size:
            self.need(at, 1)
        major, info = self.data[at] >> 5, self.data[at] & 31
        argument, end = (info, at + 1) if info < _LONG else self.long_head(at, major, info)
        if major < BYTES:
            return end
        if major <= TEXT:
            self.need(end, argument)
            if major == TEXT:
                self.check_text(end, argument)
            return end + argument
        return self.nested(at, end, depth, (major, info, argument))

    def nested(self, at: int, end: int, depth: int, head: tuple[int, int, int]) -> int:
        """Walk what holds other items, and refuse simple values that frames do not use."""
        major, info, argument = head
        if major == ARRAY:
            for _ in range(argument):
                end = self.item(end, depth + 1)
        elif major == MAP:
            end = self.pairs(end, argument, depth)
        elif major == TAG:
            if argument not in self.tags:
                raise FrameError("tag", f"tag {argument} at byte {at} is not used in frames")
            end = self.item(end, depth + 1)
        elif info not in (_FALSE, _TRUE, _HALF, _SINGLE, _DOUBLE):
            raise FrameError("type", f"simple value {argument} at byte {at} is not used")
        return end

    def pairs(self, at: int, count: int, depth: int) -> int:
        previous = b""
        for _ in range(count):
            key_at = at
            if at < self.size and self.data[at] >> 5 not in (UNSIGNED, TEXT):
                raise FrameError("key", f"the map key at byte {at} is neither text nor unsigned")
            at = self.item(at, depth + 1)
            key = self.data[key_at:at]
            if key <= previous:
                raise FrameError("key", f"map key at byte {key_at} is duplicate or out of order")
            previous = key
            at = self.item(at, depth + 1)
        return at

    def check_text(self, at: int, length: int) -> None:
        try:
            self.data[at : at + length].decode()
        except UnicodeDecodeError as error:
            raise FrameError("syntax", f"the text at byte {at} is not UTF-8") from error
