"""The bundle file: the same bytes for the same contents, and no damage that passes."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from devices import bundle as bundle_module
from devices.bundle import Bundle, BundleError, read_bundle, write_bundle


def members(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def pack(path: Path, contents: dict[str, bytes], *, compression: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, data in contents.items():
            archive.writestr(name, data)
    return path


def resigned(contents: dict[str, bytes], **facts: Any) -> dict[str, bytes]:
    """Members with a manifest that fits them, as one who knows the format would forge it."""
    manifest = json.loads(contents["manifest.json"])
    rest = {name: data for name, data in contents.items() if name != "manifest.json"}
    manifest |= {"members": {k: hashlib.sha256(v).hexdigest() for k, v in rest.items()}, **facts}
    return {"manifest.json": json.dumps(manifest, sort_keys=True, indent=1).encode(), **rest}


def npy(array: Any) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def test_reading_and_writing_again_gives_the_same_bytes(bundle_path: Path, tmp_path: Path) -> None:
    again = write_bundle(tmp_path / "again.efdb", read_bundle(bundle_path))
    assert again.read_bytes() == bundle_path.read_bytes()
    assert [p.name for p in tmp_path.iterdir()] == ["again.efdb"]


def test_the_id_is_the_hash_of_the_manifest(bundle_path: Path) -> None:
    manifest = members(bundle_path)["manifest.json"]
    assert read_bundle(bundle_path).id == hashlib.sha256(manifest).hexdigest()


def test_the_manifest_is_plain_json_with_the_hash_of_every_member(bundle_path: Path) -> None:
    contents = members(bundle_path)
    manifest = json.loads(contents.pop("manifest.json"))
    assert manifest["members"] == {k: hashlib.sha256(v).hexdigest() for k, v in contents.items()}
    assert manifest["parameters"] == 64 * 128 + 128 + 128 * 10 + 10
    assert manifest["losses"]["distil"]["tables"] == ["table"]
    assert set(manifest["versions"]) == {"torch", "onnx", "onnxruntime", "numpy"}


def test_losses_with_equal_graphs_share_a_member(bundle_path: Path, tmp_path: Path) -> None:
    one = read_bundle(bundle_path)
    graph = one.train_graphs["local"]
    twice = dataclasses.replace(
        one,
        losses={**one.losses, "warmup": one.losses["local"]},
        train_graphs={**one.train_graphs, "warmup": graph},
        golden=(),
    )
    path = write_bundle(tmp_path / "b.efdb", twice)
    assert sum(name.startswith("train-") for name in members(path)) == len(one.losses)
    assert read_bundle(path).train_graphs["warmup"] == graph


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(where=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_a_flipped_bit_is_never_accepted_with_other_contents(
    bundle_path: Path, tmp_path: Path, where: float, bit: int
) -> None:
    data = bytearray(bundle_path.read_bytes())
    data[int(where * len(data))] ^= 1 << bit
    path = tmp_path / "flipped.efdb"
    path.write_bytes(data)
    try:
        found = read_bundle(path)
    except BundleError:
        return
    assert found.id == read_bundle(bundle_path).id  # the bit lay in the zip's time stamps or flags


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(share=st.floats(0, 1, exclude_max=True))
def test_a_truncated_file_is_refused(bundle_path: Path, tmp_path: Path, share: float) -> None:
    data = bundle_path.read_bytes()
    path = tmp_path / "short.efdb"
    path.write_bytes(data[: int(share * len(data))])
    with pytest.raises(BundleError, match=r"short\.efdb"):
        read_bundle(path)


def test_every_member_is_covered_by_a_hash(bundle_path: Path, tmp_path: Path) -> None:
    contents = members(bundle_path)
    for name, data in contents.items():
        changed = data[:-1] + bytes([data[-1] ^ 1])
        path = pack(tmp_path / "changed.efdb", {**contents, name: changed})
        words = "malformed" if name == "manifest.json" else f"the hash of '{name}'"
        with pytest.raises(BundleError, match=words):
            read_bundle(path)


def test_renamed_missing_and_added_members_are_refused(bundle_path: Path, tmp_path: Path) -> None:
    contents = members(bundle_path)
    rest = {name: data for name, data in contents.items() if name != "theta.npy"}
    for wrong in (
        rest,
        {**rest, "theta2.npy": contents["theta.npy"]},
        {**contents, "code.py": b""},
    ):
        with pytest.raises(BundleError, match="differ in"):
            read_bundle(pack(tmp_path / "wrong.efdb", wrong))


def test_a_member_nobody_reads_is_refused_even_when_it_is_signed(
    bundle_path: Path, tmp_path: Path
) -> None:
    contents = resigned({**members(bundle_path), "code.py": b"print()"})
    with pytest.raises(BundleError, match="more or other facts"):
        read_bundle(pack(tmp_path / "extra.efdb", contents))


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({"format": 1}, "format 1, known is 2"),
        ({"input_shape": [64]}, "preprocess gives"),
        ({"classes": 9}, "golden"),
        ({"capability": "fly"}, "neither train nor infer"),
        ({"losses": {"local": 3}}, "malformed"),
        ({"parameters": 7}, "more or other facts"),
        ({"note": "hello"}, "more or other facts"),
        ({"golden": [64]}, "malformed"),
    ],
)
def test_facts_that_do_not_fit_the_members_are_refused(
    bundle_path: Path, tmp_path: Path, facts: dict[str, Any], words: str
) -> None:
    contents = resigned(members(bundle_path), **facts)
    with pytest.raises(BundleError, match=words):
        read_bundle(pack(tmp_path / "forged.efdb", contents))


@pytest.mark.parametrize(
    "array",
    [
        np.array([{"a": 1}], object),  # a pickle
        np.zeros(9610, np.float64),
        np.full(9610, np.nan, np.float32),
        np.zeros((961, 10), np.float32),
    ],
)
def test_arrays_of_another_kind_are_refused(bundle_path: Path, tmp_path: Path, array: Any) -> None:
    contents = resigned({**members(bundle_path), "theta.npy": npy(array)})
    with pytest.raises(BundleError):
        read_bundle(pack(tmp_path / "array.efdb", contents))


def test_an_array_that_claims_more_than_it_holds_is_refused(
    bundle_path: Path, tmp_path: Path
) -> None:
    header = npy(np.zeros(9, np.float32)).replace(b"(9,), }", b"(9e9,)}").replace(b"9e9", b"999")
    contents = resigned({**members(bundle_path), "theta.npy": header})
    with pytest.raises(BundleError, match="malformed"):
        read_bundle(pack(tmp_path / "claim.efdb", contents))


def test_compressed_members_are_refused_before_they_are_read(
    bundle_path: Path, tmp_path: Path
) -> None:
    bomb = {**members(bundle_path), "zeros": bytes(10**6)}
    with pytest.raises(BundleError, match="is compressed or encrypted"):
        read_bundle(pack(tmp_path / "bomb.efdb", bomb, compression=zipfile.ZIP_DEFLATED))


def test_too_long_files_are_refused(bundle_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundle_module, "MAX_BUNDLE_BYTES", 1000)
    with pytest.raises(BundleError, match="longer than 1000 bytes"):
        read_bundle(bundle_path)


def test_a_missing_file_and_a_text_file_are_refused(tmp_path: Path) -> None:
    (tmp_path / "text.efdb").write_text("hello")
    for name in ("missing.efdb", "text.efdb"):
        with pytest.raises(BundleError, match=f"{name}: cannot be read"):
            read_bundle(tmp_path / name)


def test_arrays_of_a_bundle_cannot_be_changed(bundle_path: Path) -> None:
    one: Bundle = read_bundle(bundle_path)
    with pytest.raises(ValueError, match="read-only"):
        one.theta[0] = 1
