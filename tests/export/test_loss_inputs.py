"""What a loss may ask for: features, weights, vectors, clipping, an optimiser."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
import torch
from torch import nn

from devices.preprocess import Preprocess
from devices.student import Student
from edge_fd.errors import UnknownNameError, UsageError
from edge_fd.exporter import export_bundle
from edge_fd.exporter.flat import feature_width, flatten, load
from edge_fd.exporter.step import training_graph
from edge_fd.losses import CROSS_ENTROPY, Loss, cross_entropy

CLASSES, WIDTH, BATCH = 3, 5, 9


def net() -> Any:
    """Batch norm, so that vectors are longer than what is trained."""
    torch.manual_seed(2)
    return nn.Sequential(
        nn.Linear(4, WIDTH), nn.BatchNorm1d(WIDTH), nn.Tanh(), nn.Linear(WIDTH, CLASSES)
    )


def numbers(*shape: int, seed: int = 0) -> np.ndarray[Any, Any]:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def gradient(module: Any, loss: Loss, inputs: dict[str, Any]) -> tuple[np.ndarray[Any, Any], float]:
    """The gradient that the exported step gives to its optimiser (momentum from zero)."""
    graph = training_graph(module, loss, input_shape=(4,), classes=CLASSES)
    trained = sum(p.numel() for p in module.parameters())
    feed = {
        "theta": flatten(module).numpy(),
        "opt": np.zeros(trained, np.float32),
        "x": numbers(BATCH, 4),
        "lr": 0.0,
        "momentum": 0.0,
        **inputs,
    }
    session = ort.InferenceSession(graph, providers=["CPUExecutionProvider"])
    arrays = {name: np.asarray(value, np.float32) for name, value in feed.items()}
    opt, value = session.run(["new_opt", "loss"], arrays)
    return opt, float(value)


def autograd(module: Any, value: Any) -> np.ndarray[Any, Any]:
    parts = torch.autograd.grad(value, list(module.parameters()), materialize_grads=True)
    return torch.cat([part.reshape(-1) for part in parts]).numpy()


def test_a_proximal_term_of_weights_and_a_vector() -> None:
    # Li et al. 2020 (FedProx), equation 2, and a linear term as SCAFFOLD's control variates.
    module = net()
    loss = Loss(
        lambda logits, y, mu, anchor, control, theta: (
            cross_entropy(logits, y)
            + mu / 2 * ((theta - anchor) ** 2).sum()
            + (theta * control).sum()
        ),
        rows=("y",),
        scalars=("mu",),
        vectors=("anchor", "control"),
        theta=True,
    )
    y = np.eye(CLASSES, dtype=np.float32)[np.arange(BATCH) % CLASSES]
    size = flatten(module).numel()
    anchor, control = numbers(size, seed=1), numbers(size, seed=2)
    found, value = gradient(module, loss, {"y": y, "mu": 0.7, "anchor": anchor, "control": control})
    labels = torch.arange(BATCH) % CLASSES
    weights = torch.cat([p.reshape(-1) for p in module.parameters()])
    cut = weights.numel()
    assert cut == size - 2 * WIDTH
    due = nn.functional.cross_entropy(module(torch.from_numpy(numbers(BATCH, 4))), labels)
    due = due + 0.35 * (weights - torch.from_numpy(anchor[:cut])).square().sum()
    due = due + weights @ torch.from_numpy(control[:cut])
    assert value == pytest.approx(due.item(), rel=1e-5)
    np.testing.assert_allclose(found, autograd(module, due), atol=2e-6)


def test_features_are_differentiated_through_with_rows_and_tables_of_their_width() -> None:
    module = net()
    loss = Loss(
        lambda logits, y, other, means, features: (
            (features - other).square().mean() + (features - y @ means).abs().mean() + logits.mean()
        ),
        rows=("y",),
        feature_rows=("other",),
        feature_tables=("means",),
        features=True,
    )
    y = np.eye(CLASSES, dtype=np.float32)[np.arange(BATCH) % CLASSES]
    other, means = numbers(BATCH, WIDTH, seed=3), numbers(CLASSES, WIDTH, seed=4)
    found, value = gradient(module, loss, {"y": y, "other": other, "means": means})
    seen: list[Any] = []
    module[3].register_forward_pre_hook(lambda _layer, inputs: seen.append(inputs[0]))
    logits = module(torch.from_numpy(numbers(BATCH, 4)))
    due = (seen[0] - torch.from_numpy(other)).square().mean() + logits.mean()
    due = due + (seen[0] - torch.from_numpy(means)[torch.arange(BATCH) % CLASSES]).abs().mean()
    assert value == pytest.approx(due.item(), rel=1e-5)
    np.testing.assert_allclose(found, autograd(module, due), atol=2e-6)


@pytest.mark.parametrize("limit", [0.05, 100.0])
def test_clipping_is_torchs(limit: float) -> None:
    module = net()
    y = np.eye(CLASSES, dtype=np.float32)[np.arange(BATCH) % CLASSES]
    loss = Loss(lambda logits, y: 3 * cross_entropy(logits, y), rows=("y",), clip_norm=limit)
    found, _ = gradient(module, loss, {"y": y})
    logits = module(torch.from_numpy(numbers(BATCH, 4)))
    (3 * nn.functional.cross_entropy(logits, torch.arange(BATCH) % CLASSES)).backward()
    norm = torch.nn.utils.clip_grad_norm_(module.parameters(), limit).item()
    assert 0.05 < norm < 100  # the one limit cuts, the other does not
    due = torch.cat([p.grad.reshape(-1) for p in module.parameters()]).numpy()
    np.testing.assert_allclose(found, due, atol=1e-6)


class Scaled(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, CLASSES)

    def forward(self, x: Any) -> Any:
        return 2 * self.layer(x)


class Flat(nn.Module):
    """Gives its convolution's places away, so that the head's output is the logits."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(4, 6)
        self.head = nn.Sequential(nn.Unflatten(1, (2, 3)), nn.Conv1d(2, CLASSES, 3), nn.Flatten())

    def forward(self, x: Any) -> Any:
        return self.head(self.first(x).tanh())


@pytest.mark.parametrize(
    ("module", "width"),
    [
        (net(), WIDTH),
        (nn.Linear(4, CLASSES), 4),
        (Flat(), 6),
        (Scaled(), 0),  # the last Linear does not give the logits
        (nn.Sequential(nn.Unflatten(1, (2, 2)), nn.Conv1d(2, CLASSES, 2), nn.Flatten()), 0),
    ],
)
def test_the_head_is_the_layer_called_so_or_the_last_linear(module: Any, width: int) -> None:
    assert feature_width(module, (4,)) == width


def export(path: Path, module: Any, losses: Any, **changes: Any) -> Student:
    settings: dict[str, Any] = {"lr": 0.05, "momentum": 0.9, "batch": 8, **changes}
    bundle = export_bundle(
        path / "a.efdb",
        "own",
        losses,
        module=module,
        input_shape=(4,),
        classes=CLASSES,
        preprocess=Preprocess(1, 0, (4,)),
        method={},
        **settings,
    )
    return Student(bundle)


WIDE = Loss(lambda logits, f: logits.mean() * f.mean(), feature_rows=("f",))


@pytest.mark.parametrize("module", [net(), Flat()])
def test_predicted_features_are_those_of_a_hook(tmp_path: Path, module: Any) -> None:
    module.eval()
    student = export(tmp_path, module, {"local": CROSS_ENTROPY, "wide": WIDE}, optimizer="adam")
    theta = student.bundle.theta + 0.1 * np.abs(numbers(student.bundle.parameters, seed=8))
    load(module, torch.from_numpy(theta))
    seen: list[Any] = []
    last = module.head if hasattr(module, "head") else module[3]
    last.register_forward_pre_hook(lambda _layer, inputs: seen.append(inputs[0]))
    x = numbers(BATCH, 4)
    with torch.no_grad():
        logits = module(torch.from_numpy(x)).numpy()
    state = type(student.initial)(theta, student.initial.opt)
    features = student.predict(state, x, output="features", batch=4)
    assert features.shape == (BATCH, student.bundle.features)
    np.testing.assert_allclose(features, seen[0].numpy(), atol=1e-6)
    np.testing.assert_allclose(student.predict(state, x), logits, atol=1e-5)


def test_a_student_without_features_says_what_to_do(tmp_path: Path) -> None:
    student = export(tmp_path, Scaled(), {"local": CROSS_ENTROPY})
    assert student.bundle.features == 0
    with pytest.raises(ValueError, match="'head'"):
        student.predict(student.initial, numbers(2, 4), output="features")
    with pytest.raises(UsageError, match=r"loss 'wide'.*'head'"):
        export(tmp_path, Scaled(), {"wide": WIDE})


def test_every_loss_keeps_its_own_optimiser(tmp_path: Path) -> None:
    losses = {
        "local": CROSS_ENTROPY,
        "calm": Loss(cross_entropy, rows=("y",), distributions=("y",), optimizer="sgd"),
    }
    student = export(tmp_path, net(), losses, optimizer="adam")
    trained, total = student.bundle.trained, student.bundle.parameters
    assert (trained, student.bundle.buffers) == (total - 2 * WIDTH, 2 * WIDTH)
    kinds = {name: takes.optimizer for name, takes in student.bundle.losses.items()}
    assert kinds == {"local": "adam", "calm": "sgd"}
    assert student.blank_opt("local").shape == student.initial.opt.shape == (2 * trained + 1,)
    assert student.blank_opt("calm").shape == (trained,)


def test_unknown_optimisers_and_limits_of_nothing_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="adam"):
        export(tmp_path, net(), {}, optimizer="adams")
    odd: Any = "adagrad"
    for change, words in (({"optimizer": odd}, "adagrad"), ({"clip_norm": 0.0}, "clip_norm 0.0")):
        loss = Loss(cross_entropy, rows=("y",), **change)
        with pytest.raises(UsageError, match=words):
            export(tmp_path, net(), {"local": loss})


def test_batch_norm_of_a_given_theta_predicts_with_its_statistics(tmp_path: Path) -> None:
    module = net().eval()
    size = flatten(module).numel()
    theta = np.abs(numbers(size, seed=5)) + 0.5
    student = export(tmp_path, module, {"local": CROSS_ENTROPY}, theta=theta)
    np.testing.assert_array_equal(student.bundle.theta, theta)
    x = numbers(BATCH, 4)
    first = student.predict(student.initial, x)
    load(module, torch.from_numpy(theta))
    with torch.no_grad():
        np.testing.assert_allclose(first, module(torch.from_numpy(x)).numpy(), atol=1e-5)
    moved = theta.copy()
    moved[-1] *= 4  # the last running variance
    state = type(student.initial)(moved, student.initial.opt)
    assert np.abs(student.predict(state, x) - first).max() > 1e-3
