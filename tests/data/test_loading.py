from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edge_fd.data import DATASETS, load
from edge_fd.errors import UnknownNameError, UsageError


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'fashion_mnist'"):
        load("fashion-mnist")


@pytest.mark.parametrize("name", sorted(set(DATASETS) - {"digits", "npz"}))
def test_without_a_place_the_remedy_is_named(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EDGE_FD_DATA", raising=False)
    with pytest.raises(UsageError, match=rf"path, or set EDGE_FD_DATA .* {name}/"):
        load(name)


@pytest.mark.parametrize("name", sorted(set(DATASETS) - {"digits", "npz"}))
def test_a_missing_folder_is_named(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGE_FD_DATA", str(tmp_path))
    with pytest.raises(UsageError, match=f"there is no {tmp_path / name}"):
        load(name)


def test_digits_take_no_path_and_npz_needs_one(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="takes no path"):
        load("digits", path=tmp_path)
    with pytest.raises(UsageError, match="needs a path"):
        load("npz")


@pytest.mark.parametrize("content", [None, b"", b"x,y\n1,2\n", b"PK\x05\x06" + bytes(17)])
def test_a_file_that_is_no_npz_is_refused(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "mine.npz"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UsageError, match=str(path)):
        load("npz", path=path)


def test_a_single_array_is_no_npz(tmp_path: Path) -> None:
    path = tmp_path / "mine.npy"
    np.save(path, np.zeros((3, 2)))
    with pytest.raises(UsageError, match=r"is not an \.npz file"):
        load("npz", path=path)
