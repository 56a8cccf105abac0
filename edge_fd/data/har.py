"""UCI HAR: phone inertial windows of 30 subjects, six activities.

The file is one .npz: ``X_train`` (7352, 128, 9) float32 (the nine inertial signals in
the order total_acc xyz, body_acc xyz, body_gyro xyz), ``y_train`` (7352,) 0..5,
``subject_train`` (7352,), the same three for ``_test``, ``class_names`` (6,) and
``channel_names`` (9,). Source of the data: Anguita et al., "A Public Domain Dataset for
Human Activity Recognition Using Smartphones", ESANN 2013.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from edge_fd.data.arrays import Arrays, labels, read_arrays, samples
from edge_fd.data.dataset import Dataset
from edge_fd.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

    import numpy.typing as npt

WINDOW = (128, 9)


def load_har(path: Path) -> Dataset:
    """Return the windows as (n, 9, 128) float32; ``group`` is the subject.

    The test part is the published one: nine subjects who are in no training window.
    Raises :class:`UsageError` that names file and key.
    """
    parts = [f"{key}_{part}" for part in ("train", "test") for key in ("X", "y", "subject")]
    arrays = read_arrays(path, required=[*parts, "class_names"], optional=["channel_names"])
    names = tuple(str(name) for name in arrays["class_names"])
    group = labels(path, arrays, "subject_train", of="X_train")
    shared = set(group) & set(labels(path, arrays, "subject_test", of="X_test"))
    if shared:
        raise UsageError(
            f"{path}: subject {min(shared)} is in both parts; use the published split by subject"
        )
    return Dataset(
        name="uci_har",
        x=_windows(path, arrays, "X_train"),
        y=labels(path, arrays, "y_train", of="X_train", classes=len(names)),
        classes=len(names),
        test_x=_windows(path, arrays, "X_test"),
        test_y=labels(path, arrays, "y_test", of="X_test", classes=len(names)),
        group=group,
        class_names=names,
        scale=1.0,
    )


def _windows(path: Path, arrays: Arrays, key: str) -> npt.NDArray[np.float32]:
    value = samples(path, arrays, key)
    if value.shape[1:] != WINDOW:
        raise UsageError(f"{path}: key {key!r} has shape {value.shape}; it must be (n, 128, 9)")
    return np.ascontiguousarray(value.transpose(0, 2, 1), dtype=np.float32)
