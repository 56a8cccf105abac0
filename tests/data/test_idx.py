"""The idx files here are written by hand from the published description of the format."""

from __future__ import annotations

import gzip
import hashlib
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from edge_fd.data import load
from edge_fd.data.idx import read_idx
from edge_fd.errors import UsageError


def idx_bytes(array: np.ndarray) -> bytes:
    head = struct.pack(">BBBB", 0, 0, 8, array.ndim)
    return head + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def write_four(folder: Path, images: np.ndarray, labels: np.ndarray) -> None:
    for part in ("train", "t10k"):
        (folder / f"{part}-images-idx3-ubyte").write_bytes(idx_bytes(images))
        (folder / f"{part}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx_bytes(labels)))


@given(hnp.arrays(np.uint8, hnp.array_shapes(min_dims=3, max_dims=3, max_side=5)), st.booleans())
def test_reads_back_what_the_format_says(
    tmp_path_factory: pytest.TempPathFactory,
    array: np.ndarray,
    zipped: bool,  # noqa: FBT001
) -> None:
    path = tmp_path_factory.mktemp("idx") / "file"
    raw = idx_bytes(array)
    path.write_bytes(gzip.compress(raw) if zipped else raw)
    found = read_idx(path, 3)
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, array)


def test_a_file_cut_anywhere_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "file"
    whole = idx_bytes(np.arange(12, dtype=np.uint8).reshape(3, 2, 2))
    for raw in (whole, gzip.compress(whole)):
        for end in range(len(raw)):
            path.write_bytes(raw[:end])
            with pytest.raises(UsageError, match=str(path)):
                read_idx(path, 3)


@pytest.mark.parametrize(
    ("raw", "complaint"),
    [
        (idx_bytes(np.zeros((2, 2), np.uint8)), "starts with 00000802"),
        (b"\x00\x00\x0d\x03" + bytes(20), "starts with 00000d03"),
        (b"<html>404", "starts with 3c68746d"),
        (idx_bytes(np.zeros((1, 2, 2), np.uint8)) + b"x", "there are more"),
        (idx_bytes(np.zeros((1, 1024, 1024), np.uint8)) + b"x", "there are more"),
        (struct.pack(">BBBB3I", 0, 0, 8, 3, 2**32 - 1, 2**32 - 1, 9) + b"abc", "only 3"),
    ],
)
def test_other_content_is_refused_with_what_was_found(
    tmp_path: Path, raw: bytes, complaint: str
) -> None:
    path = tmp_path / "file"
    path.write_bytes(raw)
    with pytest.raises(UsageError, match=complaint):
        read_idx(path, 3)


def test_a_damaged_gzip_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "file"
    raw = bytearray(gzip.compress(idx_bytes(np.arange(100, dtype=np.uint8).reshape(4, 5, 5))))
    raw[-6] ^= 1  # a bit of the checksum of RFC 1952
    path.write_bytes(raw)
    with pytest.raises(UsageError, match="cannot be read"):
        read_idx(path, 3)


def test_gzipped_and_plain_files_may_stand_side_by_side(tmp_path: Path) -> None:
    images = np.arange(3 * 28 * 28, dtype=np.int64).reshape(3, 28, 28).astype(np.uint8)
    write_four(tmp_path, images, np.array([5, 0, 4], np.uint8))
    found = load("mnist", path=tmp_path)
    np.testing.assert_array_equal(found.test_x, images)
    assert found.y.tolist() == [5, 0, 4]
    assert found.y.dtype == np.int64


@pytest.mark.parametrize(
    ("labels", "complaint"), [([1, 2], "2 labels for 3 images"), ([1, 2, 10], "label 10")]
)
def test_labels_that_do_not_fit_are_refused(
    tmp_path: Path, labels: list[int], complaint: str
) -> None:
    write_four(tmp_path, np.zeros((3, 2, 2), np.uint8), np.array(labels, np.uint8))
    with pytest.raises(UsageError, match=complaint):
        load("mnist", path=tmp_path)


def test_a_missing_file_is_named_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"train-images-idx3-ubyte.*EDGE_FD_DATA"):
        load("fashion_mnist", path=tmp_path)


# Counts per class and the MD5 of the uncompressed test images as published; the training
# images of MNIST begin with a 5, those of Fashion-MNIST with an ankle boot (label 9).
def test_mnist_as_published(data_root: Path) -> None:
    if not (data_root / "mnist").is_dir():
        pytest.skip(f"no mnist in EDGE_FD_DATA, {data_root}")
    found = load("mnist", path=data_root / "mnist")
    assert found.x.shape == (60000, 28, 28)
    assert found.y[0] == 5
    train = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    test = [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert np.bincount(found.y).tolist() == train
    assert np.bincount(found.test_y).tolist() == test
    digest = hashlib.md5(idx_bytes(found.test_x), usedforsecurity=False).hexdigest()
    assert digest == "2646ac647ad5339dbf082846283269ea"


def test_fashion_mnist_as_published(data_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not (data_root / "fashion_mnist").is_dir():
        pytest.skip(f"no fashion_mnist in EDGE_FD_DATA, {data_root}")
    monkeypatch.setenv("EDGE_FD_DATA", str(data_root))
    found = load("fashion_mnist")
    assert found.y[0] == 9
    assert np.bincount(found.y).tolist() == [6000] * 10
    assert np.bincount(found.test_y).tolist() == [1000] * 10
