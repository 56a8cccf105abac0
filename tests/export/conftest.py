"""Eager torch as the oracle of exported steps."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
import torch

from edge_fd.exporter.flat import flatten
from edge_fd.exporter.step import training_graph
from edge_fd.losses import CROSS_ENTROPY, LABEL_DISTILLATION, MEAN_ABSOLUTE_ERROR, Loss
from edge_fd.students import build, nets

LR, MOMENTUM = 0.05, 0.9
ADAM_LR = 1e-3
SHAPES: dict[str, tuple[tuple[int, ...], int]] = {
    "mlp": ((784,), 10),
    "lenet5": ((1, 28, 28), 10),
    "har_cnn": ((9, 128), 6),
    "dscnn": ((2, 12, 15), 5),
    "gru": ((3, 17), 4),
}
GRU_STEPS = 5
"""So 4 blocks of 4 and one value left over; 32 would take long to trace, here for each loss."""
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
    """A module trained by torch.optim, its state as flat vectors."""

    module: Any
    loss: Loss
    kind: str = "sgd"

    def __post_init__(self) -> None:
        weights = self.module.parameters()
        if self.kind == "sgd":
            self.optimiser = torch.optim.SGD(weights, lr=LR, momentum=MOMENTUM)
        else:
            self.optimiser = torch.optim.Adam(weights, lr=ADAM_LR, betas=(MOMENTUM, 0.999))

    @property
    def trained(self) -> int:
        return sum(p.numel() for p in self.module.parameters())

    @property
    def theta(self) -> np.ndarray[Any, Any]:
        return flatten(self.module).numpy().copy()

    @property
    def opt(self) -> np.ndarray[Any, Any]:
        state = self.optimiser.state
        keys = ("momentum_buffer",) if self.kind == "sgd" else ("exp_avg", "exp_avg_sq")
        parts = [
            state[p][key] if p in state else torch.zeros_like(p)
            for key in keys
            for p in self.module.parameters()
        ]
        if self.kind == "adam":
            parts.append(torch.tensor(float(next(iter(state.values()))["step"] if state else 0)))
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
        if not layers or list(self.module.buffers()):  # with batch norm a sample has no own kink
            return np.ones(len(x), bool)
        hooks = [layer.register_forward_hook(watch) for layer in layers]
        with torch.no_grad():
            self.module(torch.from_numpy(x))
        for hook in hooks:
            hook.remove()
        return (torch.stack(nearest).amin(0) > 2e-6).numpy()


class Session:
    """An exported step as a plain function of state and batch."""

    def __init__(self, graph: bytes, kind: str = "sgd") -> None:
        self.kind = kind
        options = ort.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self.session = ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])

    def __call__(self, theta: Any, opt: Any, x: Any, inputs: dict[str, Any]) -> list[Any]:
        feed = {"theta": theta, "opt": opt, "x": x, "lr": LR, "momentum": MOMENTUM, **inputs}
        if self.kind == "adam":  # Kingma & Ba 2015, the last lines of section 2
            steps = opt[-1].astype(np.float64) + 1
            feed["lr"] = ADAM_LR / (1 - MOMENTUM**steps)
            feed["correction"] = np.sqrt(1 - 0.999**steps)
        arrays = {name: np.asarray(value, np.float32) for name, value in feed.items()}
        outputs: list[Any] = self.session.run(["new_theta", "new_opt", "loss", "logits"], arrays)
        return outputs


class Lab:
    """Students at hand twice: in eager torch, and as exported graphs that are traced once."""

    shapes = SHAPES

    def __init__(self) -> None:
        self._graphs: dict[tuple[str, str, str], bytes] = {}
        self._sessions: dict[tuple[str, str, str], Session] = {}

    def module(self, student: str) -> Any:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(nets, "GRU_STEPS", GRU_STEPS)
            return build(student, *SHAPES[student], seed=3)

    def graph(self, student: str, loss: str, kind: str = "sgd") -> bytes:
        if (student, loss, kind) not in self._graphs:
            shape, classes = SHAPES[student]
            self._graphs[student, loss, kind] = training_graph(
                self.module(student),
                LOSSES[loss],
                input_shape=shape,
                classes=classes,
                optimizer=kind,
            )
        return self._graphs[student, loss, kind]

    def session(self, student: str, loss: str, kind: str = "sgd") -> Session:
        key = (student, loss, kind)
        if key not in self._sessions:
            self._sessions[key] = Session(self.graph(*key), kind)
        return self._sessions[key]

    def eager(self, student: str, loss: str, kind: str = "sgd") -> Eager:
        torch.set_num_threads(1)
        return Eager(self.module(student), LOSSES[loss], kind)


@pytest.fixture(scope="session")
def lab() -> Lab:
    return Lab()


@pytest.fixture
def session() -> type[Session]:
    return Session
