from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edge_fd.data import load
from edge_fd.errors import UsageError

# The published test subjects (Anguita et al., ESANN 2013; subject_test.txt of the set).
TEST_SUBJECTS = {2, 4, 9, 10, 12, 13, 18, 20, 24}


def arrays() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {
        "X_train": rng.normal(size=(4, 128, 9)).astype(np.float32),
        "y_train": np.array([0, 1, 1, 2], np.uint8),
        "subject_train": np.array([1, 1, 3, 3], np.uint8),
        "X_test": rng.normal(size=(2, 128, 9)).astype(np.float32),
        "y_test": np.array([0, 2], np.uint8),
        "subject_test": np.array([2, 2], np.uint8),
        "class_names": np.array(["WALKING", "SITTING", "LAYING"]),
    }


def test_windows_become_channels_first_and_subjects_become_groups(tmp_path: Path) -> None:
    source = arrays()
    np.savez(tmp_path / "uci_har.npz", **source)
    found = load("uci_har", path=tmp_path)
    assert found.x.shape == (4, 9, 128)
    assert found.x[2, 7, 100] == source["X_train"][2, 100, 7]
    assert found.group is not None
    assert found.group.tolist() == [1, 1, 3, 3]
    assert found.class_names == ("WALKING", "SITTING", "LAYING")


@pytest.mark.parametrize(
    ("key", "value", "complaint"),
    [
        ("subject_test", np.array([2, 3], np.uint8), "subject 3 is in both parts"),
        ("X_test", np.zeros((2, 9, 128), np.float32), r"'X_test' has shape \(2, 9, 128\)"),
        ("y_train", np.array([0, 1, 1, 3]), "'y_train' holds the label 3"),
        ("y_test", np.array([0]), r"'y_test' has shape \(1,\)"),
    ],
)
def test_a_file_of_another_layout_is_refused_by_key(
    tmp_path: Path, key: str, value: np.ndarray, complaint: str
) -> None:
    np.savez(tmp_path / "uci_har.npz", **{**arrays(), key: value})
    with pytest.raises(UsageError, match=complaint):
        load("uci_har", path=tmp_path / "uci_har.npz")


def test_the_published_set(data_root: Path) -> None:
    if not (data_root / "uci_har").is_dir():
        pytest.skip(f"no uci_har in EDGE_FD_DATA, {data_root}")
    found = load("uci_har", path=data_root / "uci_har")
    assert found.group is not None
    assert set(found.group.tolist()) == set(range(1, 31)) - TEST_SUBJECTS
    # Windows per activity: y_train.txt and y_test.txt of the set.
    assert np.bincount(found.y).tolist() == [1226, 1073, 986, 1286, 1374, 1407]
    assert np.bincount(found.test_y).tolist() == [496, 471, 420, 491, 532, 537]
    # Physics: while somebody stands still, total acceleration is gravity (1 g), and body
    # acceleration, gravity removed, is near nothing.
    standing = found.x[found.y == found.class_names.index("STANDING")]
    total = np.linalg.norm(standing[:, 0:3].mean(axis=2), axis=1)
    body = np.linalg.norm(standing[:, 3:6].mean(axis=2), axis=1)
    assert abs(float(np.median(total)) - 1) < 0.05
    assert float(np.median(body)) < 0.05
