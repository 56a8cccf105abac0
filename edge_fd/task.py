"""A device's part in a round as a value: what it computes is a pure function of it.

The value can be computed here, request by request, or be sent to another
process and computed there; the outcome has the same bits.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from devices.contents import Array
from devices.student import State
from edge_fd.desk import Desk, Job, Kind, Work
from edge_fd.knowledge import Knowledge
from edge_fd.methods.base import Device, Memory, Method, Round
from edge_fd.streams import stream


@dataclass(frozen=True, eq=False)
class Task:
    """Compute ``round`` from ``knowledge`` and weights ``theta``, with what ``device`` has.

    The optimiser begins at zero in each round, so that the weights are all there is.
    """

    method: Method
    device: Device
    round: Round
    knowledge: Knowledge | None
    theta: Array

    def start(self, desk: Desk) -> Job[Knowledge | None]:
        """Begin to compute; the task itself is left as it is."""
        # Copies: a method may write into its memory, and what was saved must stay as it is.
        memory: Memory = {name: np.array(kept) for name, kept in self.device.memory.items()}
        device = replace(self.device, memory=memory)
        half = self.method.device_round(device, self.round, self.knowledge)
        rng = stream(self.round.seed, "device", device.name, self.round.number, "batches")
        state = State(self.theta, desk.student.initial.opt)
        return Job(half, desk, state, rng, round=self.round.number, memory=memory)

    def compute(self, desk: Desk) -> Computed:
        """Compute all of it."""
        job, asked = self.start(desk), []
        while not job.over:
            asked.append((job.kind, job.work))
            job.answer()
        if job.theta is None:
            raise RuntimeError(f"device {self.device.name!r} has no student")
        return Computed(tuple(asked), job.result, job.theta, job.memory, job.loss)


@dataclass(frozen=True, eq=False)
class Computed:
    """What a task came to, and what was ``asked`` on the way."""

    asked: tuple[tuple[Kind, Work], ...]
    result: Knowledge | None
    theta: Array
    memory: Mapping[str, Any]
    loss: float | None


class Replay:
    """A job that was computed elsewhere: its requests can be gone through in virtual time.

    What it came to is fetched by ``take`` when somebody wants to see it.
    """

    def __init__(
        self, asked: tuple[tuple[Kind, Work], ...], loss: float | None, take: Callable[[], Computed]
    ) -> None:
        self.loss = loss
        self._take = take
        self._asked, self._at = asked, 0

    @cached_property
    def _outcome(self) -> Computed:
        return self._take()

    @property
    def result(self) -> Knowledge | None:
        """What is to be published."""
        return self._outcome.result

    @property
    def theta(self) -> Array:
        """The weights after it."""
        return self._outcome.theta

    @property
    def memory(self) -> Memory:
        """What the device remembers after it."""
        return dict(self._outcome.memory)

    @property
    def over(self) -> bool:
        """Whether all requests were gone through."""
        return self._at == len(self._asked)

    @property
    def kind(self) -> Kind:
        """Kind of the current request."""
        return "" if self.over else self._asked[self._at][0]

    @property
    def work(self) -> Work:
        """Work of the current request."""
        return Work() if self.over else self._asked[self._at][1]

    def answer(self) -> None:
        """Go on to the next request."""
        if self.over:
            raise RuntimeError("this job is over")
        self._at += 1
