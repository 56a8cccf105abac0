"""The UCI optical digits that come with scikit-learn: no download, 8x8, ten classes."""

from __future__ import annotations

import gzip
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from edge_fd.data.dataset import Dataset
from edge_fd.data.sampling import hold_out
from edge_fd.errors import MissingExtraError
from edge_fd.streams import stream

TEST_FRACTION = 0.2
FILE = Path("datasets", "data", "digits.csv.gz")
"""Within scikit-learn: a line for each image, 64 grey levels and the label."""


def load_digits() -> Dataset:
    """Return the 1,797 digits as (n, 8, 8) uint8 with grey levels 0..16.

    The copy in scikit-learn is the published *test* file and has no split of its own.
    Here a fixed fifth (359 samples, each class within one of its share) is the test
    part: the draw takes no seed of the run, so that results on it can be compared.
    Source: Alpaydin and Kaynak, "Optical Recognition of Handwritten Digits", UCI 1998.

    Raises :class:`MissingExtraError` where scikit-learn is not installed.
    """
    # Read from its file: to import sklearn.datasets takes longer than all else before round 1.
    package = find_spec("sklearn")
    if package is None or not package.submodule_search_locations:
        raise MissingExtraError("scikit-learn", "sim")
    with gzip.open(Path(package.submodule_search_locations[0]) / FILE) as file:
        table = np.loadtxt(file, np.uint8, delimiter=",")
    x = table[:, :-1].reshape(-1, 8, 8)
    y = table[:, -1].astype(np.int64)
    kept, held = hold_out(y, TEST_FRACTION, stream(0, "digits", "test part"))
    return Dataset(
        name="digits",
        x=x[kept],
        y=y[kept],
        classes=10,
        test_x=x[held],
        test_y=y[held],
        group=None,
        class_names=tuple("0123456789"),
        scale=1 / 16,
    )
