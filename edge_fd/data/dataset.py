"""What a data set is, once loaded; every loader returns one of these."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[np.generic]
Labels: TypeAlias = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Dataset:
    """A labelled data set with its test part.

    ``x`` (n, ...) and ``test_x`` (m, ...) in the set's own small dtype (uint8
    for images); ``y`` (n,) and ``test_y`` (m,) int64 in 0..classes-1.
    ``group`` (n,) names who a training sample came from (a subject, a speaker),
    or is None. ``x * scale + offset`` is the input that a student expects.

    ``proxy_x`` (p, ...) is public data that came with the set, ``proxy_y`` its
    labels where it has any; without it a split holds samples of ``x`` out.
    """

    name: str
    x: Array
    y: Labels
    classes: int
    test_x: Array
    test_y: Labels
    group: Array | None
    class_names: tuple[str, ...]
    scale: float
    offset: float = 0.0
    proxy_x: Array | None = None
    proxy_y: Labels | None = None
