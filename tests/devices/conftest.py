"""Bundles to run: exported once for all tests of the device runtime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="bundles are made with torch, of the extra 'server'")

import torch

from devices.bundle import Bundle
from devices.preprocess import Preprocess
from edge_fd.exporter import export_bundle
from edge_fd.losses import CROSS_ENTROPY, LABEL_DISTILLATION, Loss
from edge_fd.students import build

LOSSES = {"local": CROSS_ENTROPY, "distil": LABEL_DISTILLATION}


ANCHORED = Loss(
    lambda logits, y, anchor, theta: (
        -(y * logits.log_softmax(-1)).sum(-1).mean() + ((theta - anchor) ** 2).sum()
    ),
    rows=("y",),
    vectors=("anchor",),
    theta=True,
    optimizer="sgd",
)


def normed() -> Any:
    """A small net with batch norm.

    A bias before it would have no gradient but rounding, which Adam scales up.
    """
    torch.manual_seed(6)
    return torch.nn.Sequential(
        torch.nn.Flatten(),
        torch.nn.Linear(64, 12, bias=False),
        torch.nn.BatchNorm1d(12),
        torch.nn.ReLU(),
        torch.nn.Linear(12, 10),
    )


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
    settings |= changes
    return export_bundle(path, name, settings.pop("losses", LOSSES), **settings)


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


@pytest.fixture(scope="session")
def adam_bundle_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A student with batch norm, trained by Adam unless the loss says otherwise."""
    path = tmp_path_factory.mktemp("bundles") / "normed.efdb"
    losses = {"local": CROSS_ENTROPY, "anchored": ANCHORED}
    changes = {"lr": 1e-3, "optimizer": "adam", "losses": losses}
    _export(path, "mlp", (8, 8), module=normed(), **changes)
    return path
