"""A tiny student twice: in ONNX Runtime behind a desk, and as plain torch in double precision.

The torch side knows nothing of the project but the documented order of batches:
each pass visits a fresh permutation in mini-batches, the last one partial, and
momentum starts from zero with each request.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

pytest.importorskip("torch", reason="the oracle is torch, of the extra 'server'")

import torch

from devices.preprocess import Preprocess
from devices.student import State, Student
from edge_fd import students
from edge_fd.desk import Desk, Job
from edge_fd.exporter import export_bundle
from edge_fd.methods import METHODS, Device
from edge_fd.requests import Samples

CLASSES, FEATURES, HIDDEN, BATCH, LR, MOMENTUM = 4, 3, 128, 4, 0.1, 0.9
FloatArray = npt.NDArray[Any]
LossOf = Callable[[Any, npt.NDArray[np.int64]], Any]


class Plain:
    """Two linear layers and textbook SGD with momentum (Polyak), by hand."""

    def __init__(self, theta: FloatArray) -> None:
        sizes = [HIDDEN * FEATURES, HIDDEN, CLASSES * HIDDEN, CLASSES]
        shapes = [(HIDDEN, FEATURES), (HIDDEN,), (CLASSES, HIDDEN), (CLASSES,)]
        parts = np.split(np.asarray(theta, np.float64), np.cumsum(sizes)[:-1])
        self.parts = [
            torch.tensor(part.reshape(shape), requires_grad=True)
            for part, shape in zip(parts, shapes, strict=True)
        ]

    @property
    def theta(self) -> FloatArray:
        flat: FloatArray = torch.cat([part.detach().reshape(-1) for part in self.parts]).numpy()
        return flat

    def logits(self, x: FloatArray) -> Any:
        first, first_bias, second, second_bias = self.parts
        hidden = (torch.tensor(x, dtype=torch.float64) @ first.T + first_bias).clamp(min=0)
        return hidden @ second.T + second_bias

    def probs(self, x: FloatArray) -> FloatArray:
        shares: FloatArray = torch.softmax(self.logits(x), -1).detach().numpy()
        return shares

    def train(
        self, x: FloatArray, loss: LossOf, rng: np.random.Generator, epochs: int
    ) -> Iterator[tuple[npt.NDArray[np.int64], FloatArray]]:
        """Train; yields what each step visits and the logits before its update."""
        velocity = [torch.zeros_like(part) for part in self.parts]
        for _ in range(epochs):
            order = rng.permutation(len(x))
            for start in range(0, len(x), BATCH):
                index = order[start : start + BATCH]
                logits = self.logits(x[index])
                slopes = torch.autograd.grad(loss(logits, index), self.parts)
                with torch.no_grad():
                    for part, speed, slope in zip(self.parts, velocity, slopes, strict=True):
                        speed.mul_(MOMENTUM).add_(slope)
                        part.sub_(LR * speed)
                yield index, logits.detach().numpy()

    def learn(
        self, x: FloatArray, loss: LossOf, rng: np.random.Generator, epochs: int
    ) -> list[tuple[npt.NDArray[np.int64], FloatArray]]:
        return list(self.train(x, loss, rng, epochs))


class Bench:
    """Desks, data and jobs for the tests of the methods."""

    classes = CLASSES
    plain = Plain

    def __init__(self, folder: Path) -> None:
        rng = np.random.default_rng(11)
        self._folder = folder
        self._desks: dict[str, Desk] = {}
        # 10 samples: three batches, the last one partial. Class 3 is nobody's in device a.
        self.private = {
            "a": Samples(_numbers(rng, 10), np.array([0, 1, 2, 0, 1, 2, 0, 0, 1, 0])),
            "b": Samples(_numbers(rng, 7), np.array([3, 1, 3, 1, 0, 3, 1])),
        }
        self.proxy = Samples(_numbers(rng, 9), np.array([0, 1, 2, 3, 0, 1, 2, 3, 0]))

    def desk(self, method: str) -> Desk:
        if method not in self._desks:
            losses = METHODS[method].losses
            bundle = export_bundle(
                self._folder / f"{method}.efdb",
                "mlp",
                losses,
                module=students.build("mlp", (FEATURES,), CLASSES, seed=5),
                input_shape=(FEATURES,),
                classes=CLASSES,
                preprocess=Preprocess(1.0, 0.0, (FEATURES,)),
                method={},
                lr=LR,
                momentum=MOMENTUM,
                batch=BATCH,
            )
            self._desks[method] = Desk(Student(bundle), losses)
        return self._desks[method]

    def device(self, name: str, capability: Any = "train", **memory: Any) -> Device:
        return Device(name, CLASSES, capability, self.private[name], self.proxy, memory)

    def start(self, method: str) -> State:
        return self.desk(method).student.initial

    def run(self, half: Any, method: str, *, state: State | None = None, seed: int = 3) -> Job[Any]:
        """Let the desk answer all that a half asks for."""
        rng = np.random.default_rng(seed)
        job: Job[Any] = Job(half, self.desk(method), state or self.start(method), rng)
        job.run()
        return job


def _numbers(rng: np.random.Generator, count: int) -> npt.NDArray[np.float32]:
    return rng.standard_normal((count, FEATURES)).astype(np.float32)


@pytest.fixture(scope="session")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    torch.set_num_threads(1)
    return Bench(tmp_path_factory.mktemp("methods"))


@pytest.fixture
def by_label() -> Callable[[Samples], LossOf]:
    """Cross-entropy with integer labels, torch's own."""

    def make(samples: Samples) -> LossOf:
        y = torch.tensor(samples.labels)
        return lambda logits, index: torch.nn.functional.cross_entropy(logits, y[index])

    return make
