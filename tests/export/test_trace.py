"""The adapter to torch: what it refuses."""

from __future__ import annotations

import pytest
import torch

from edge_fd.errors import UsageError
from edge_fd.exporter.step import training_graph
from edge_fd.exporter.trace import require_tested_torch
from edge_fd.losses import Loss
from edge_fd.students import build


@pytest.mark.parametrize("version", ["2.12.1", "2.14.0+cpu", "3.13.0"])
def test_another_torch_is_refused_with_the_remedy(
    monkeypatch: pytest.MonkeyPatch, version: str
) -> None:
    monkeypatch.setattr(torch, "__version__", version)
    with pytest.raises(UsageError, match=r"2\.13.*pip install"):
        require_tested_torch()


@pytest.mark.parametrize("version", ["2.13.0", "2.13.1+cu130"])
def test_patch_and_build_of_the_tested_torch_are_taken(
    monkeypatch: pytest.MonkeyPatch, version: str
) -> None:
    monkeypatch.setattr(torch, "__version__", version)
    require_tested_torch()


def test_a_loss_that_fixes_the_batch_size_is_refused() -> None:
    module = build("mlp", (12,), 5, seed=0)
    loss = Loss(lambda logits, y: (logits * y).sum() / int(logits.shape[0]), rows=("y",))
    with pytest.raises(UsageError, match="batch of 17"):
        training_graph(module, loss, input_shape=(12,), classes=5)


def test_an_unknown_operator_is_named() -> None:
    module = build("mlp", (12,), 5, seed=0)
    loss = Loss(lambda logits, y: (logits.cumsum(-1) * y).sum(), rows=("y",))
    with pytest.raises(UsageError, match="cumsum"):
        training_graph(module, loss, input_shape=(12,), classes=5)
