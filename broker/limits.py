"""How large a frame may be; checked before anything is allocated."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """Bounds on one frame.

    ``frame_bytes`` the encoded frame, ``array_bytes`` all its arrays together once
    decompressed, ``arrays`` their number, ``dims`` dimensions of one array, ``items``
    CBOR data items of the frame (each costs memory as a Python object), ``depth``
    nesting of maps, arrays and tags.
    """

    frame_bytes: int = 1_000_000
    array_bytes: int = 4_000_000
    arrays: int = 32
    dims: int = 4
    items: int = 10_000
    depth: int = 10


LIMITS = Limits()
