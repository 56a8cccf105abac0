"""Answers a method's requests with a student in ONNX Runtime.

Boards, the aggregator and the simulator all use this one desk. An answer is
pure: it returns the new weights and changes nothing, so that work which is
thrown away (a device that drops out) leaves no trace.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np

from devices.student import State, Student
from edge_fd.losses import Loss
from edge_fd.methods.base import softmax
from edge_fd.requests import (
    Array,
    Load,
    Predict,
    Read,
    Request,
    Samples,
    Train,
    Trained,
    check_targets,
)

Result = TypeVar("Result")


@dataclass(frozen=True)
class Work:
    """How much computing a request asks for."""

    trained: int = 0
    steps: int = 0
    predicted: int = 0


@dataclass
class Spent:
    """Seconds that the requests of a round took, by kind; the driver owns the clock."""

    train_s: float = 0.0
    predict_s: float = 0.0

    def add(self, request: Request, seconds: float) -> None:
        """Add what one request took."""
        if isinstance(request, Train):
            self.train_s += seconds
        elif isinstance(request, Predict):
            self.predict_s += seconds

    def notes(self) -> dict[str, float]:
        """Return the seconds by name."""
        return {"train_s": self.train_s, "predict_s": self.predict_s}


class Desk:
    """A student and how to train it by default.

    ``losses`` are those of the method; the learning rate, momentum and batch
    size of a request that names none come from the student's bundle.
    """

    def __init__(self, student: Student, losses: Mapping[str, Loss]) -> None:
        self.student = student
        self.losses = losses
        self.training = student.bundle.training
        self.macs = student.bundle.macs
        self._preprocess = student.bundle.preprocess

    def prepare(self, samples: Samples) -> Array:
        """Samples as the student takes them: (n, *input shape) float32."""
        return self._preprocess.apply(samples.x)

    def work(self, request: Request) -> Work:
        """Tell how much a request asks for, before it is answered."""
        if isinstance(request, Predict):
            return Work(predicted=len(request.samples))
        if not isinstance(request, Train):
            return Work()
        n, batch = len(request.samples), request.batch or self.training.batch
        whole, rest = divmod(n, batch)
        per_pass = whole + bool(rest)
        if request.epochs is not None:
            return Work(trained=request.epochs * n, steps=request.epochs * per_pass)
        passes, left = divmod(request.steps or 0, per_pass)
        return Work(trained=passes * n + left * batch, steps=request.steps or 0)

    def answer(self, request: Request, state: State, rng: np.random.Generator) -> tuple[Any, State]:
        """Return the answer to ``request`` and the state after it."""
        if isinstance(request, Train):
            return self._train(request, state, rng)
        if isinstance(request, Predict):
            logits = self.student.predict(state, self.prepare(request.samples))
            if request.output == "probs":
                return softmax(logits).astype(np.float32), state
            return logits, state
        if isinstance(request, Load):
            return None, State(request.theta, self.student.initial.opt)
        if isinstance(request, Read):
            return state.theta, state
        raise TypeError(f"a method may not yield {request!r}")

    def _train(
        self, request: Train, state: State, rng: np.random.Generator
    ) -> tuple[Trained, State]:
        check_targets(request, self.losses[request.loss])
        result = self.student.train(
            state,
            request.loss,
            self.prepare(request.samples),
            request.inputs,
            epochs=request.epochs,
            steps=request.steps,
            batch=request.batch or self.training.batch,
            lr=request.lr or self.training.lr,
            momentum=self.training.momentum,
            rng=rng,
            keep_momentum=request.keep_momentum,
            outputs=request.outputs,
        )
        return Trained(result.loss, result.steps, result.logits, result.index), result.state


class Job(Generic[Result]):
    """One half of a method at work: its next request, and its result once there is none.

    ``state`` are the weights as the job left them; whoever started the job
    commits them when it is over. Without a desk only a half that asks for
    nothing can run.
    """

    def __init__(
        self,
        half: Generator[Request, Any, Result],
        desk: Desk | None,
        state: State | None,
        rng: np.random.Generator,
    ) -> None:
        self.state = state
        self.loss: float | None = None
        """Mean loss of the last training request."""
        self.request: Request | None = None
        self.result: Result | None = None
        self._half, self._desk, self._rng = half, desk, rng
        self._advance(None)

    @property
    def work(self) -> Work:
        """Work of the current request."""
        return (
            Work() if self.request is None or self._desk is None else self._desk.work(self.request)
        )

    def answer(self) -> None:
        """Compute the current request and go on to the next."""
        if self.request is None:
            raise RuntimeError("this job is over")
        if self._desk is None or self.state is None:
            raise RuntimeError(f"nobody here can answer {type(self.request).__name__}")
        reply, self.state = self._desk.answer(self.request, self.state, self._rng)
        if isinstance(reply, Trained):
            self.loss = reply.loss
        self._advance(reply)

    def run(self) -> None:
        """Answer every request, one after the other."""
        while self.request is not None:
            self.answer()

    def _advance(self, reply: Any) -> None:
        try:
            self.request = self._half.send(reply)
        except StopIteration as stop:
            self.request, self.result = None, stop.value
