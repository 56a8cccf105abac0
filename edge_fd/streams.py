"""Random streams: one per component, all from one seed.

A stream is keyed by a stable hash of its names, so that adding a device, a
round or a layer leaves the draws of all others as they were.
"""

from __future__ import annotations

import hashlib

import numpy as np


def stream(seed: int, *names: str | int) -> np.random.Generator:
    """Return the generator of one component.

    The key is SHA-256 over the seed and the names, each with its type and
    length, so that ``("a", "bc")`` and ``("ab", "c")`` are different streams
    and the result is the same on every machine and Python. Integers of NumPy
    and of Python name the same stream.
    """
    digest = hashlib.sha256()
    for name in (seed, *names):
        text = str(name).encode()
        kind = "str" if isinstance(name, str) else "int"
        digest.update(f"{kind}:{len(text)}:".encode() + text)
    return np.random.Generator(np.random.PCG64(int.from_bytes(digest.digest()[:16], "little")))
