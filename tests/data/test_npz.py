from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edge_fd.data import load
from edge_fd.errors import UsageError


def arrays() -> dict[str, np.ndarray]:
    rows = np.arange(50, dtype=np.uint8)
    return {
        "x": np.stack([rows, rows], axis=1),
        "y": (rows % 5).astype(np.int32),
        "group": np.array([f"site-{row % 3}" for row in rows]),
        "test_x": np.full((4, 2), 200, np.uint8),
        "test_y": np.arange(4),
        "proxy_x": np.full((6, 2), 250, np.uint8),
        "proxy_y": np.zeros(6, np.int8),
    }


def saved(folder: Path, **change: np.ndarray | None) -> Path:
    path = folder / "pumps.npz"
    kept = {key: value for key, value in {**arrays(), **change}.items() if value is not None}
    np.savez_compressed(path, **kept)
    return path


def test_every_key_of_the_documented_layout_arrives(tmp_path: Path) -> None:
    names = np.array(["a", "b", "c", "d", "e", "unseen"])
    path = saved(tmp_path, class_names=names, scale=np.array(0.5), offset=np.array(-1))
    found = load("npz", path=path)
    assert found.name == "pumps"
    assert found.classes == 6
    assert found.class_names[-1] == "unseen"
    assert (found.scale, found.offset) == (0.5, -1.0)
    assert found.x[:, 0].tolist() == list(range(50))
    assert found.y.dtype == np.int64
    assert found.group is not None
    assert found.group[:4].tolist() == ["site-0", "site-1", "site-2", "site-0"]
    assert found.test_y.tolist() == [0, 1, 2, 3]
    assert found.proxy_x is not None
    assert found.proxy_x.max() == 250
    assert found.proxy_y is not None
    assert len(found.proxy_y) == 6


def test_two_keys_suffice_and_a_stratified_fifth_becomes_the_test_part(tmp_path: Path) -> None:
    source = {"x": arrays()["x"], "y": arrays()["y"], "group": arrays()["group"]}
    np.savez(tmp_path / "two.npz", **source)
    found = load("npz", path=tmp_path / "two.npz")
    assert np.bincount(found.test_y).tolist() == [2] * 5
    assert sorted([*found.x[:, 0].tolist(), *found.test_x[:, 0].tolist()]) == list(range(50))
    # Labels and groups stay with their samples.
    assert all(found.y == found.x[:, 0] % 5)
    assert found.group is not None
    assert found.group.tolist() == [f"site-{row % 3}" for row in found.x[:, 0]]
    assert found.scale == 1 / 255


def test_doubles_become_singles(tmp_path: Path) -> None:
    half = {"x": np.full((50, 2), 0.1), "test_x": None, "test_y": None, "proxy_x": None}
    found = load("npz", path=saved(tmp_path, proxy_y=None, **half))
    assert found.x.dtype == np.float32
    assert found.scale == 1.0


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"x": None}, "key 'x' is missing .found: group, "),
        ({"y": None}, "key 'y' is missing"),
        ({"labels": np.zeros(50)}, "unknown key 'labels'"),
        ({"test-x": np.zeros(50)}, "unknown key 'test-x'; did you mean 'test_x'"),
        ({"test_y": None}, "has 'test_x' but not 'test_y'"),
        ({"test_x": None}, "has 'test_y' but not 'test_x'"),
        ({"proxy_x": None}, "has 'proxy_y' but not 'proxy_x'"),
        ({"x": np.zeros(50)}, r"'x' has shape \(50,\)"),
        ({"x": np.zeros((0, 2), np.uint8), "y": np.zeros(0, int)}, "'x' holds no sample"),
        ({"x": np.zeros((50, 2), bool)}, "'x' has dtype bool"),
        ({"x": np.zeros((50, 2), complex)}, "'x' has dtype complex128"),
        ({"x": np.array([[0.0, 1.0], [np.nan, 1.0]])}, "not finite in row 1"),
        ({"y": np.zeros(50)}, "'y' has dtype float64"),
        ({"y": np.zeros(49, int)}, r"'y' has shape \(49,\), but 'x' has 50"),
        ({"y": np.full(50, -1)}, "'y' holds the label -1"),
        ({"test_y": np.full(4, 5)}, "'test_y' holds the label 5; labels count from 0 to 4"),
        ({"class_names": np.array(["a", "b"])}, "'y' holds the label 2"),
        ({"class_names": np.array([1, 2])}, "'class_names' is int64"),
        ({"test_x": np.zeros((4, 3), np.uint8)}, r"'test_x' holds samples of shape \(3,\)"),
        ({"proxy_x": np.zeros((6, 2), np.float32)}, "'proxy_x' .* float32, but 'x'"),
        ({"group": np.zeros((50, 1), int)}, r"'group' is int64 of shape \(50, 1\)"),
        ({"group": np.zeros(50)}, "'group' is float64"),
        ({"scale": np.array(np.inf)}, "'scale' is float64"),
        ({"offset": np.zeros(2)}, r"'offset' is float64 of shape \(2,\)"),
        ({"x": np.array([{}], object)}, "cannot be read as .npz"),
    ],
)
def test_a_wrong_file_is_refused_with_file_key_and_finding(
    tmp_path: Path, change: dict[str, np.ndarray | None], complaint: str
) -> None:
    path = saved(tmp_path, **change)
    with pytest.raises(UsageError, match=complaint) as caught:
        load("npz", path=path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
