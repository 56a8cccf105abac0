"""Codecs: how the one coded array of a piece of knowledge travels.

    float32   as it is
    float16   IEEE 754 half precision
    uint8     256 levels over the unit interval (probabilities) or over the
              array's own range (logits, weights)

Whole numbers of kind ``symbols`` travel packed, whatever the codec (``symbols``),
and probabilities on the grid of b bits become such numbers (``simplex``).

A name may end in ``+zstd``: each array is then compressed where that makes it
smaller. The frame's array dtype tells the codec, so nothing more is sent but
the range of an affine uint8.
"""

from __future__ import annotations

from edge_fd.codecs.knowledge import CODECS, Codec, codec, from_frame, paper_bits, to_frame

__all__ = ["CODECS", "Codec", "codec", "from_frame", "paper_bits", "to_frame"]
