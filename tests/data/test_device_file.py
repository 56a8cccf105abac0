from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_fd.data import DeviceData, read_device_npz, write_device_npz
from edge_fd.errors import UsageError
from edge_fd.requests import Samples


def made(*, proxy_labels: bool = True) -> DeviceData:
    rng = np.random.default_rng(3)

    def part(count: int) -> Samples:
        y = rng.integers(0, 4, count)
        return Samples(rng.integers(0, 255, (count, 3, 3), dtype=np.uint8), y)

    proxy = part(5)
    return DeviceData(part(8), proxy if proxy_labels else Samples(proxy.x), part(6))


@pytest.mark.parametrize("proxy_labels", [True, False])
def test_a_board_reads_what_was_written(tmp_path: Path, proxy_labels: bool) -> None:  # noqa: FBT001
    data = made(proxy_labels=proxy_labels)
    path = tmp_path / "pi-7.npz"
    write_device_npz(path, data)
    found = read_device_npz(path, classes=4)
    for mine, theirs in (
        (found.private, data.private),
        (found.proxy, data.proxy),
        (found.test, data.test),
    ):
        np.testing.assert_array_equal(mine.x, theirs.x, strict=True)
        assert (mine.y is None) == (theirs.y is None)
        if mine.y is not None:
            np.testing.assert_array_equal(mine.y, theirs.y, strict=True)
    assert [entry.name for entry in tmp_path.iterdir()] == ["pi-7.npz"]


def test_the_same_data_gives_the_same_bytes(tmp_path: Path) -> None:
    write_device_npz(tmp_path / "a", made())
    write_device_npz(tmp_path / "b", made())
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_private_samples_suffice(tmp_path: Path) -> None:
    data = made()
    np.savez(tmp_path / "own.npz", x=data.private.x, y=data.private.y)
    found = read_device_npz(tmp_path / "own.npz")
    assert (len(found.private), len(found.proxy), len(found.test)) == (8, 0, 0)
    assert found.test.y is not None
    assert found.proxy.x.shape == (0, 3, 3)


@pytest.mark.parametrize(
    ("drop", "change", "complaint"),
    [
        ("y", {}, "key 'y' is missing"),
        ("test_y", {}, "has 'test_x' but not 'test_y'"),
        ("proxy_x", {}, "has 'proxy_y' but not 'proxy_x'"),
        (None, {"y": np.full(8, 4)}, "'y' holds the label 4; labels count from 0 to 3"),
        (None, {"proxy_x": np.zeros((5, 9), np.uint8)}, "'proxy_x' holds samples of shape"),
        (None, {"theta": np.zeros(3)}, "unknown key 'theta'"),
    ],
)
def test_a_wrong_file_is_refused_with_file_and_key(
    tmp_path: Path, drop: str | None, change: dict[str, np.ndarray], complaint: str
) -> None:
    path = tmp_path / "pi.npz"
    write_device_npz(path, made())
    with np.load(path) as file:
        arrays = {key: file[key] for key in file.files if key != drop}
    np.savez(path, **{**arrays, **change})
    with pytest.raises(UsageError, match=complaint) as caught:
        read_device_npz(path, classes=4)
    assert str(path) in str(caught.value)


@settings(deadline=None, max_examples=200)
@given(where=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7), cut=st.booleans())
def test_a_damaged_file_is_refused_or_gives_the_same_values(
    tmp_path_factory: pytest.TempPathFactory,
    where: float,
    bit: int,
    cut: bool,  # noqa: FBT001
) -> None:
    path = tmp_path_factory.mktemp("damaged") / "pi.npz"
    write_device_npz(path, made())
    raw = bytearray(path.read_bytes())
    position = int(where * len(raw))
    if cut:
        del raw[position:]
    else:
        raw[position] ^= 1 << bit
    path.write_bytes(raw)
    try:
        found = read_device_npz(path, classes=4)
    except UsageError as error:
        assert str(path) in str(error)  # noqa: PT017
        return
    # A zip's checksums cover the arrays, not its directory: damage there can hide an
    # optional array, never change a value.
    for mine, theirs in ((found.private, made().private), (found.test, made().test)):
        if len(mine) > 0:
            np.testing.assert_array_equal(mine.x, theirs.x)
            np.testing.assert_array_equal(mine.y, theirs.y)
    assert len(found.private) == 8


def test_a_pickle_is_never_opened(tmp_path: Path) -> None:
    path = tmp_path / "evil.npz"
    np.savez(path, x=np.array([[object()]], object), y=np.zeros(1, int))
    assert zipfile.is_zipfile(path)
    with pytest.raises(UsageError, match=r"cannot be read .*allow_pickle=False"):
        read_device_npz(path)
