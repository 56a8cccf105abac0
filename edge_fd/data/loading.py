"""The data sets by name, and where their files are looked for."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from edge_fd.data.digits import load_digits
from edge_fd.data.har import load_har
from edge_fd.data.idx import load_idx
from edge_fd.data.npz import load_npz
from edge_fd.errors import UnknownNameError, UsageError

if TYPE_CHECKING:
    from edge_fd.data.dataset import Dataset

DATASETS = ("digits", "fashion_mnist", "mnist", "npz", "uci_har")


def load(name: str, *, path: str | Path | None = None) -> Dataset:
    """Load a data set.

    ``digits`` comes with scikit-learn and takes no path. For the others ``path`` is

    * ``mnist``, ``fashion_mnist``: the folder of the four idx files;
    * ``uci_har``: ``uci_har.npz`` (layout in ``edge_fd.data.har``) or its folder;
    * ``npz``: the user's own file (layout in ``edge_fd.data.npz``).

    Without a path the first three are looked for in ``$EDGE_FD_DATA/<name>``.

    Raises :class:`UnknownNameError` for a name not in ``DATASETS`` and
    :class:`UsageError` for a missing or broken file, naming it and the remedy.
    """
    if name not in DATASETS:
        raise UnknownNameError("data set", name, DATASETS)
    if name == "digits":
        if path is not None:
            raise UsageError(f"data set 'digits' takes no path, got {str(path)!r}; remove it")
        return load_digits()
    if name == "npz":
        if path is None:
            raise UsageError("data set 'npz' needs a path: the .npz file to load")
        return load_npz(Path(path))
    place = _default(name) if path is None else Path(path)
    if not place.exists():
        raise UsageError(
            f"data set {name!r}: there is no {place};"
            " give its path, or set EDGE_FD_DATA to the folder that holds"
            f" {name}/"
        )
    if name == "uci_har":
        return load_har(place / "uci_har.npz" if place.is_dir() else place)
    return load_idx(name, place)


def _default(name: str) -> Path:
    root = os.environ.get("EDGE_FD_DATA")
    if not root:
        raise UsageError(
            f"data set {name!r} is not part of this package: give its path, or set EDGE_FD_DATA"
            f" to the folder that holds {name}/"
        )
    return Path(root) / name
