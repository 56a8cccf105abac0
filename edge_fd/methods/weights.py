"""Weights that travel: what FedAvg and its relatives have in common.

Generators to be used with ``yield from``; they ask and return.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from typing import Any

import numpy as np

from edge_fd.knowledge import Array, Knowledge, smallest_unsigned
from edge_fd.methods.base import Device, Memory, Round, Server
from edge_fd.requests import Load, Read, Request

BATCH_NORM = ("average", "local")
"""Whether running statistics are those of the mean, or each device keeps its own."""
_VERSION = "version/"


def take_over(
    device: Device, round: Round, knowledge: Knowledge | None, *, batch_norm: str
) -> Generator[Request, Any, Array | None]:
    """Load the common weights and return them as loaded; None before there are any.

    Where the round is repeated they are returned alone: training goes on.
    """
    if knowledge is None:
        return None
    theta = knowledge.value
    if batch_norm == "local" and device.buffers:
        own = yield Read()
        theta = np.concatenate([theta[: -device.buffers], own[-device.buffers :]])
    if round.repeat == 0:
        yield Load(theta)
    return theta


def hand_out(device: Device, round: Round) -> Generator[Request, Any, Knowledge]:
    """Read the weights and say how many samples stand behind them.

    In buffered rounds also say from which outcome the training began: what
    counts there is the change.
    """
    theta = yield Read()
    exact = {"samples": smallest_unsigned([len(device.private)])}
    if round.buffered:
        exact["after"] = smallest_unsigned([round.after])
    return Knowledge("weights", theta, exact)


def fuse(
    server: Server, round: Round, uploads: Mapping[str, Knowledge], *, student: str = ""
) -> Generator[Request, Any, Array]:
    """Mean of the weights, each device counting as many times as it has samples.

    McMahan et al., AISTATS 2017, algorithm 1. In a buffered round devices began
    from different weights: there the mean of their *changes* is added to the
    current weights (Nguyen et al., AISTATS 2022, algorithm 1, server rate 1),
    which needs a server with a student. The server's student takes the result.
    """
    samples = {name: int(upload.exact["samples"][0]) for name, upload in uploads.items()}
    current: Any = 0.0
    versions: Mapping[int, Array] = {}
    if round.buffered and server.has_student:
        current = yield Read(student)
        versions = _versions(server.memory, round, current, student)
    total = np.zeros(next(iter(uploads.values())).value.shape, np.float64)
    change = np.empty_like(total)  # one for all: new memory costs more than the arithmetic
    for name, upload in uploads.items():
        np.copyto(change, upload.value)
        if versions:
            after = upload.exact.get("after", np.zeros(1, np.int64))
            change -= _version(versions, int(after[0]), current)
        change *= samples[name]
        total += change
    theta: Array = (total / sum(samples.values()) + current).astype(np.float32)
    if server.has_student:
        yield Load(theta, student)
    return theta


def _version(versions: Mapping[int, Array], after: int, current: Array) -> Array:
    """The weights after a round; those that no later upload changed stand at the next version."""
    return next((versions[number] for number in sorted(versions) if number >= after), current)


def _versions(memory: Memory, round: Round, current: Array, student: str) -> Mapping[int, Array]:
    """Outcomes by round from which a contribution may have begun; remembers the current one.

    Whoever was asked ``max_staleness`` rounds ago began from the last outcome
    before that.
    """
    prefix = f"{_VERSION}{student}/"
    memory[f"{prefix}{round.after}"] = current
    known = sorted(int(key.removeprefix(prefix)) for key in memory if key.startswith(prefix))
    oldest = max((v for v in known if v < round.number - round.max_staleness), default=0)
    for version in known:
        if version < oldest:
            del memory[f"{prefix}{version}"]
    return {version: memory[f"{prefix}{version}"] for version in known if version >= oldest}
