"""Answers a method's requests with a student in ONNX Runtime.

Boards, the aggregator and the simulator all use this one desk. An answer is
pure: it returns the new weights and changes nothing, so that work which is
thrown away (a device that drops out) leaves no trace.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Generic, Literal, TypeAlias, TypeVar

import numpy as np

from devices.student import State, Student
from edge_fd.losses import Loss
from edge_fd.methods.base import Memory, softmax
from edge_fd.requests import (
    Array,
    Load,
    Predict,
    Read,
    Request,
    Reset,
    Samples,
    Train,
    Trained,
    check_targets,
)

Result = TypeVar("Result")
Kind: TypeAlias = Literal["train", "predict", ""]


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

    def add(self, kind: Kind, seconds: float) -> None:
        """Add what one request took."""
        if kind == "train":
            self.train_s += seconds
        elif kind == "predict":
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
        plan = self.student.batches(n, batch, epochs=request.epochs, steps=request.steps)
        passes, left = divmod(plan.total, plan.per_pass)
        return Work(trained=passes * n + left * batch, steps=plan.total)

    def answer(
        self, request: Request, state: State, rng: np.random.Generator, *, round: int = 1
    ) -> tuple[Any, State]:
        """Return the answer to ``request`` and the state after it.

        ``round`` counts from 1; by it the default learning rate decays.
        """
        if isinstance(request, Train):
            return self._train(request, state, rng, round)
        if isinstance(request, Predict):
            return self._predict(request, state), state
        if isinstance(request, Load):
            return None, State(request.theta, self.student.initial.opt)
        if isinstance(request, Read):
            return state.theta, state
        if isinstance(request, Reset):
            return None, self.student.initial
        raise TypeError(f"a method may not yield {request!r}")

    def _predict(self, request: Predict, state: State) -> Array:
        x = self.prepare(request.samples)
        if request.theta is not None:
            state = State(request.theta, self.student.initial.opt)
        if request.output == "features":
            return self.student.predict(state, x, output="features")
        logits = self.student.predict(state, x)
        return softmax(logits).astype(np.float32) if request.output == "probs" else logits

    def _train(
        self, request: Train, state: State, rng: np.random.Generator, round: int
    ) -> tuple[Trained, State]:
        lr = self.training.lr * self.training.lr_decay ** (round - 1)
        check_targets(request, self.losses[request.loss])
        result = self.student.train(
            state,
            request.loss,
            self.prepare(request.samples),
            request.inputs,
            epochs=request.epochs,
            steps=request.steps,
            batch=request.batch or self.training.batch,
            lr=lr if request.lr is None else request.lr,
            momentum=self.training.momentum if request.momentum is None else request.momentum,
            rng=rng,
            keep_momentum=request.keep_momentum,
            outputs=request.outputs,
        )
        return Trained(result.loss, result.steps, result.logits, result.index), result.state


class Job(Generic[Result]):
    """One half of a method at work: its next request, and its result once there is none.

    ``state`` and ``memory`` are the weights and what the half remembers as the
    job left them; whoever started the job commits them when it is over.
    ``others`` are further students of a server, by name, and ``states`` holds
    theirs. Without a desk only a half that asks for nothing can run.
    """

    def __init__(
        self,
        half: Generator[Request, Any, Result],
        desk: Desk | None,
        state: State | None,
        rng: np.random.Generator,
        *,
        round: int = 1,
        memory: Memory | None = None,
        others: Mapping[str, tuple[Desk, State]] = MappingProxyType({}),
    ) -> None:
        self.memory: Memory = {} if memory is None else memory
        self.loss: float | None = None
        """Mean loss of the last training request."""
        self.request: Request | None = None
        self.result: Result | None = None
        self._half, self._rng, self._round = half, rng, round
        self._desks = {name: other for name, (other, _) in others.items()}
        self._states = {name: start for name, (_, start) in others.items()}
        if desk is not None and state is not None:
            self._desks[""], self._states[""] = desk, state
        self._advance(None)

    @property
    def over(self) -> bool:
        """Whether there is nothing left to answer."""
        return self.request is None

    @property
    def kind(self) -> Kind:
        """Whether the current request trains, predicts, or costs nothing."""
        if isinstance(self.request, Train):
            return "train"
        return "predict" if isinstance(self.request, Predict) else ""

    @property
    def state(self) -> State | None:
        """Weights of the student, None without one."""
        return self._states.get("")

    @property
    def theta(self) -> Array | None:
        """Weights alone."""
        return None if self.state is None else self.state.theta

    @property
    def states(self) -> dict[str, State]:
        """Weights of the further students."""
        return {name: state for name, state in self._states.items() if name}

    @property
    def work(self) -> Work:
        """Work of the current request."""
        request = self.request
        desk = None if request is None else self._desks.get(request.student)
        return Work() if request is None or desk is None else desk.work(request)

    def answer(self) -> None:
        """Compute the current request and go on to the next."""
        request = self.request
        if request is None:
            raise RuntimeError("this job is over")
        desk = self._desks.get(request.student)
        if desk is None:
            whom = f" for student {request.student!r}" if request.student else ""
            raise RuntimeError(f"nobody here can answer {type(request).__name__}{whom}")
        reply, state = desk.answer(
            request, self._states[request.student], self._rng, round=self._round
        )
        self._states[request.student] = state
        if isinstance(reply, Trained):
            self.loss = reply.loss
        self._advance(reply)

    def run(self) -> None:
        """Answer every request, one after the other."""
        while not self.over:
            self.answer()

    def _advance(self, reply: Any) -> None:
        try:
            self.request = self._half.send(reply)
        except StopIteration as stop:
            self.request, self.result = None, stop.value
