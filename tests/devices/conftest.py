"""Bundles to run: exported once for all tests of the device runtime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="bundles are made with torch, of the extra 'server'")

from devices.bundle import Bundle
from devices.preprocess import Preprocess
from edge_fd.export import export_bundle
from edge_fd.losses import CROSS_ENTROPY, LABEL_DISTILLATION
from edge_fd.students import build

LOSSES = {"local": CROSS_ENTROPY, "distil": LABEL_DISTILLATION}


def _export(path: Path, name: str, shape: tuple[int, ...], **changes: Any) -> Bundle:
    settings: dict[str, Any] = {
        "module": build(name, shape, 10, seed=4),
        "input_shape": shape,
        "classes": 10,
        "preprocess": Preprocess(1 / 16, 0, shape),
        "method": {"name": "fd", "settings": {}, "source_sha256": "0" * 64},
        "lr": 0.05,
        "momentum": 0.9,
        "batch": 32,
    }
    return export_bundle(path, name, LOSSES, **{**settings, **changes})


@pytest.fixture(scope="session")
def bundle_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of a bundle of an MLP on 8x8 images."""
    path = tmp_path_factory.mktemp("bundles") / "mlp.efdb"
    _export(path, "mlp", (8, 8))
    return path


@pytest.fixture(scope="session")
def lenet_bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return _export(tmp_path_factory.mktemp("bundles") / "lenet5.efdb", "lenet5", (1, 28, 28))


@pytest.fixture(scope="session")
def infer_bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    path = tmp_path_factory.mktemp("bundles") / "infer.efdb"
    return _export(path, "mlp", (8, 8), capability="infer")
