"""What the lock-step engines share: checked input and cells laid side by side.

A lock-step engine keeps state in arrays of shape (cells, devices). Cells of
different size are padded, and run by size so that padding stays below half.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from channel_sim.checks import check_finite

Ints = npt.NDArray[np.int64]


def check_burst(
    losses_db: npt.NDArray[np.float64], sizes_bytes: Ints, ready_ns: Ints, cells: Ints
) -> None:
    """Raise ValueError unless the arrays can be a burst: one entry per device in each.

    Losses must be finite, sizes 1 or more, times and cells 0 or more.
    """
    shapes = [np.shape(item) for item in (losses_db, sizes_bytes, ready_ns, cells)]
    if len(set(shapes)) != 1 or len(shapes[0]) != 1:
        raise ValueError(f"arrays have shapes {shapes}; give one entry per device in each")
    check_finite("losses_db", losses_db)
    for key, values, least in (
        ("sizes_bytes", sizes_bytes, 1),
        ("ready_ns", ready_ns, 0),
        ("cells", cells, 0),
    ):
        if len(values) and np.min(values) < least:
            raise ValueError(f"{key} = {np.min(values)!r} is below {least}; give {least} or more")


def side_by_side(cells: Ints) -> Iterator[Ints]:
    """Yield tables of the rows of each cell, shape (cells, devices), -1 where a cell has fewer.

    One table for each power of two in size; every row is in one table once.
    """
    per_cell = np.bincount(cells)
    size_class = np.ceil(np.log2(np.maximum(per_cell, 1))).astype(np.int64)
    for each in np.unique(size_class[per_cell > 0]):
        rows = np.flatnonzero(size_class[cells] == each)
        order = np.argsort(cells[rows], kind="stable")
        _, first, counts = np.unique(cells[rows][order], return_index=True, return_counts=True)
        table = np.full((len(counts), counts.max()), -1, dtype=np.int64)
        cell = np.repeat(np.arange(len(counts)), counts)
        table[cell, np.arange(len(rows)) - first[cell]] = rows[order]
        yield table
