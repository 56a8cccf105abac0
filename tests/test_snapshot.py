"""Snapshots: old or new, never half; damage is seen."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import cbor2
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from edge_fd import snapshot
from edge_fd.errors import UsageError

dtypes = (
    hnp.floating_dtypes() | hnp.integer_dtypes() | hnp.unsigned_integer_dtypes()
    | hnp.boolean_dtypes()
)  # fmt: skip
arrays = hnp.arrays(dtypes, hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4))
plain = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
OLD = {"w": np.arange(4, dtype=np.float32)}
NEW = {"w": np.arange(9, dtype=np.float64)}


def same(a: npt.NDArray[Any], b: npt.NDArray[Any]) -> bool:
    return (a.dtype, a.shape, a.tobytes()) == (b.dtype, b.shape, b.tobytes())


@given(st.dictionaries(st.text(), arrays, max_size=4), st.dictionaries(st.text(), plain))
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_what_is_saved_is_loaded_bit_for_bit(
    tmp_path: Path, kept: dict[str, npt.NDArray[Any]], values: dict[str, Any]
) -> None:
    path = tmp_path / "state"
    snapshot.save(path, kept, values)
    found = snapshot.load(path)
    assert found is not None
    assert list(found[0]) == list(kept)
    assert all(same(found[0][name], array) for name, array in kept.items())
    assert found[1] == values
    assert sorted(p.name for p in tmp_path.iterdir()) == ["state"]


def test_an_array_that_is_not_contiguous_keeps_its_order(tmp_path: Path) -> None:
    array = np.arange(12).reshape(3, 4).T[::-1]
    snapshot.save(tmp_path / "state", {"a": array}, {})
    found = snapshot.load(tmp_path / "state")
    assert found is not None
    np.testing.assert_array_equal(found[0]["a"], array)


def test_no_file_is_no_state(tmp_path: Path) -> None:
    assert snapshot.load(tmp_path / "state") is None


@pytest.mark.parametrize("step", ["write", "fsync", "replace"])
def test_a_crash_at_any_step_leaves_the_old_state(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    path = tmp_path / "state"
    snapshot.save(path, OLD, {"n": 1})

    def crash(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        if step == "write":
            patched.setattr(cbor2, "dumps", crash)
        elif step == "fsync":
            patched.setattr(os, "fsync", crash)
        else:
            patched.setattr(Path, "replace", crash)
        with pytest.raises(KeyboardInterrupt):
            snapshot.save(path, NEW, {"n": 2})
    found = snapshot.load(path)
    assert found is not None
    assert same(found[0]["w"], OLD["w"])
    assert found[1] == {"n": 1}
    snapshot.save(path, NEW, {"n": 2})
    again = snapshot.load(path)
    assert again is not None
    assert same(again[0]["w"], NEW["w"])


def test_the_new_file_is_on_disk_before_it_takes_the_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    sync, replace = os.fsync, Path.replace

    def note_sync(handle: int) -> None:
        done.append("folder" if Path(f"/proc/self/fd/{handle}").resolve().is_dir() else "file")
        sync(handle)

    def note_replace(self: Path, target: Path) -> Path:
        done.append("rename")
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", note_sync)
    monkeypatch.setattr(Path, "replace", note_replace)
    snapshot.save(tmp_path / "state", OLD, {})
    assert done == ["file", "rename", "folder"]


def test_every_cut_and_every_flipped_byte_is_told_with_the_remedy(tmp_path: Path) -> None:
    path = tmp_path / "state"
    snapshot.save(path, OLD, {"n": 1})
    whole = path.read_bytes()
    damaged = [whole[:cut] for cut in range(len(whole))]
    damaged += [
        whole[:at] + bytes([whole[at] ^ 0x40]) + whole[at + 1 :] for at in range(len(whole))
    ]
    for data in damaged:
        path.write_bytes(data)
        with pytest.raises(UsageError, match=r"state is damaged.*remove it"):
            snapshot.load(path)


def test_another_format_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshot, "_FORMAT", 2)
    snapshot.save(tmp_path / "state", OLD, {})
    monkeypatch.undo()
    with pytest.raises(UsageError, match="has format 2, this version reads 1"):
        snapshot.load(tmp_path / "state")
