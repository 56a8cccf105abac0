"""Eager torch as the oracle of exported steps."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
import torch

from edge_fd.export.step import flatten, training_graph
from edge_fd.losses import CROSS_ENTROPY, LABEL_DISTILLATION, MEAN_ABSOLUTE_ERROR, Loss
from edge_fd.students import build

LR, MOMENTUM = 0.05, 0.9
SHAPES: dict[str, tuple[tuple[int, ...], int]] = {
    "mlp": ((784,), 10),
    "lenet5": ((1, 28, 28), 10),
    "har_cnn": ((9, 128), 6),
}
LOSSES = {
    "cross_entropy": CROSS_ENTROPY,
    "label_distillation": LABEL_DISTILLATION,
    "mean_absolute_error": MEAN_ABSOLUTE_ERROR,
}


def numbers(rng: np.random.Generator, *shape: int) -> np.ndarray[Any, Any]:
    return rng.standard_normal(shape).astype(np.float32)


def distribution(rng: np.random.Generator, *shape: int) -> np.ndarray[Any, Any]:
    weights = np.exp(rng.standard_normal(shape))
    return (weights / weights.sum(-1, keepdims=True)).astype(np.float32)


@dataclass
class Eager:
    """A module trained by torch.optim.SGD, its state as flat vectors."""

    module: Any
    loss: Loss

    def __post_init__(self) -> None:
        self.optimiser = torch.optim.SGD(self.module.parameters(), lr=LR, momentum=MOMENTUM)

    @property
    def theta(self) -> np.ndarray[Any, Any]:
        return flatten(self.module).numpy().copy()

    @property
    def opt(self) -> np.ndarray[Any, Any]:
        state = self.optimiser.state
        parts = [
            state[p]["momentum_buffer"] if p in state else torch.zeros_like(p)
            for p in self.module.parameters()
        ]
        return torch.cat([part.reshape(-1) for part in parts]).numpy().copy()

    def step(self, x: np.ndarray[Any, Any], inputs: dict[str, Any]) -> tuple[float, Any]:
        self.optimiser.zero_grad()
        logits = self.module(torch.from_numpy(x))
        tensors = {name: torch.as_tensor(value) for name, value in inputs.items()}
        value = self.loss.function(logits, **tensors)
        value.backward()
        self.optimiser.step()
        return value.item(), logits.detach().numpy()

    def batches(
        self, shape: tuple[int, ...], classes: int, *, batch: int, steps: int
    ) -> Iterator[tuple[np.ndarray[Any, Any], dict[str, Any]]]:
        rng = np.random.default_rng(7)
        for _ in range(steps):
            inputs: dict[str, Any] = {}
            for name in self.loss.rows:
                draw = distribution if name in self.loss.distributions else numbers
                inputs[name] = draw(rng, batch, classes)
            inputs |= {name: distribution(rng, classes, classes) for name in self.loss.tables}
            inputs |= {name: np.float32(rng.uniform(0.5, 2)) for name in self.loss.scalars}
            candidates = numbers(rng, 2 * batch, *shape)
            yield candidates[self._off_the_kink(candidates)][:batch], inputs

    def _off_the_kink(self, x: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """Samples whose ReLU inputs are all farther from zero than rounding reaches.

        On the kink the last bit decides the gradient, and any two libraries may differ.
        """
        nearest: list[Any] = []

        def watch(_layer: Any, inputs: tuple[Any, ...], _output: Any) -> None:
            nearest.append(inputs[0].detach().abs().flatten(1).amin(1))

        layers = [layer for layer in self.module.modules() if isinstance(layer, torch.nn.ReLU)]
        hooks = [layer.register_forward_hook(watch) for layer in layers]
        with torch.no_grad():
            self.module(torch.from_numpy(x))
        for hook in hooks:
            hook.remove()
        return (torch.stack(nearest).amin(0) > 2e-6).numpy()


class Session:
    """An exported step as a plain function of state and batch."""

    def __init__(self, graph: bytes) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self.session = ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])

    def __call__(self, theta: Any, opt: Any, x: Any, inputs: dict[str, Any]) -> list[Any]:
        feed = {"theta": theta, "opt": opt, "x": x, "lr": LR, "momentum": MOMENTUM, **inputs}
        arrays = {name: np.asarray(value, np.float32) for name, value in feed.items()}
        outputs: list[Any] = self.session.run(["new_theta", "new_opt", "loss", "logits"], arrays)
        return outputs


class Lab:
    """Students at hand twice: in eager torch, and as exported graphs that are traced once."""

    shapes = SHAPES

    def __init__(self) -> None:
        self._graphs: dict[tuple[str, str], bytes] = {}

    def graph(self, student: str, loss: str) -> bytes:
        if (student, loss) not in self._graphs:
            shape, classes = SHAPES[student]
            module = build(student, shape, classes, seed=3)
            self._graphs[student, loss] = training_graph(
                module, LOSSES[loss], input_shape=shape, classes=classes
            )
        return self._graphs[student, loss]

    def session(self, student: str, loss: str) -> Session:
        return Session(self.graph(student, loss))

    def eager(self, student: str, loss: str) -> Eager:
        torch.set_num_threads(1)
        shape, classes = SHAPES[student]
        return Eager(build(student, shape, classes, seed=3), LOSSES[loss])


@pytest.fixture(scope="session")
def lab() -> Lab:
    return Lab()


@pytest.fixture
def session() -> type[Session]:
    return Session
