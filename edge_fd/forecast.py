"""How large a method's messages will be, before anything is computed.

Both halves of the method are run with made-up answers of the right shape and
the outcome framed as ever, so that sizes are exact to the byte but for what
depends on the numbers themselves: compression and packed symbols see random
ones, and so hardly shrink them.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from typing import Any, TypeVar

import numpy as np

from broker import topics
from edge_fd import messages
from edge_fd.codecs import Codec
from edge_fd.errors import EdgeFDError, UsageError
from edge_fd.kit import Kit, device_of
from edge_fd.knowledge import Exact, Fused, Knowledge, smallest_unsigned
from edge_fd.methods.base import Method, Round, Server
from edge_fd.records import Bytes
from edge_fd.requests import Predict, Read, Request, Train, Trained

Result = TypeVar("Result")


def upload_cost(kit: Kit, name: str, *, method: Method, codec: Codec) -> Bytes:
    """Return what the first upload of device ``name`` costs, under any method and codec.

    Raises UsageError for a method whose device half cannot work with made-up answers,
    and what it raises itself about the scenario.
    """
    knowledge = _upload(kit, name, method, _round(kit, method))
    return _cost(kit, knowledge, topics.up(kit.scenario.name, name, "knowledge"), method, codec)


def download_cost(kit: Kit, name: str, *, method: Method, codec: Codec) -> Bytes:
    """Return what the knowledge fused from all first uploads costs on the link of ``name``.

    The announcement and the receipt of a round come on top. Raises UsageError
    for a method one of whose halves cannot work with made-up answers.
    """
    run = kit.scenario.name
    fused = _fused(kit, method)
    own = bool(fused.each)
    topic = topics.down(run, name, "knowledge") if own else topics.bcast(run, "knowledge")
    return _cost(kit, fused.of(name), topic, method, codec)


def _cost(kit: Kit, knowledge: Knowledge | None, topic: str, method: Method, codec: Codec) -> Bytes:
    device = topics.parse(topic).device
    frame, bits = messages.piece(
        knowledge, codec, run=kit.scenario.name, round=1, device=device, method=method.name
    )
    made = messages.out(topic, frame, compress=codec.compress, paper_bits=bits)
    return made.cost or Bytes()


def _upload(kit: Kit, name: str, method: Method, round: Round) -> Knowledge | None:
    me = kit.devices[name]
    half = method.device_round(device_of(kit, me), round, None)
    answers = _Answers(me.bundle.classes, me.bundle.features, {"": me.bundle.parameters})
    return _finish(half, answers, f"the device half of method {method.name!r}")


def _fused(kit: Kit, method: Method) -> Fused:
    round = _round(kit, method)
    made = {name: _upload(kit, name, method, round) for name in kit.devices}
    uploads = {name: upload for name, upload in made.items() if upload is not None}
    students = {name: bundle.parameters for name, bundle in kit.others.items()}
    if kit.server is not None:
        students[""] = kit.server.parameters
    groups = {
        name: device.group.student if device.group.student in kit.others else ""
        for name, device in kit.devices.items()
    }
    server = Server(
        kit.dataset.classes,
        kit.proxy,
        kit.server is not None,
        validation=kit.validation,
        groups=groups if method.kind == "weights" else {},
    )
    width = next(iter(kit.devices.values())).bundle.features
    answers = _Answers(kit.dataset.classes, width, students)
    half = method.fuse(server, round, uploads)
    return _finish(half, answers, f"the server half of method {method.name!r}")


def _finish(half: Generator[Request, Any, Result], answers: _Answers, what: str) -> Result:
    """Run a half to its end; whatever it stumbles over is told as one UsageError."""
    reply: Any = None
    try:
        while True:
            reply = answers.to(half.send(reply))
    except StopIteration as stop:
        result: Result = stop.value
        return result
    except EdgeFDError:
        raise  # the method itself says what is wrong
    except Exception as error:
        raise UsageError(
            f"{what} cannot be forecast: with made-up answers it ends in"
            f" {type(error).__name__}: {error}"
        ) from error


def _round(kit: Kit, method: Method) -> Round:
    return Round(1, _indices(kit, method), kit.scenario.seed)


def _indices(kit: Kit, method: Method) -> Exact | None:
    """As many proxy samples as a round asks about; the last ones, whose numbers are largest."""
    count = kit.scenario.data.proxy_per_round
    total = 0 if kit.proxy is None else len(kit.proxy)
    asked = method.needs_proxy and not method.proxy_at_server
    if not asked or count is None or count >= total:
        return None
    return smallest_unsigned(np.arange(total - count, total))


class _Answers:
    """Random answers of the right shape; ``parameters`` of each student by its name."""

    def __init__(self, classes: int, features: int, parameters: Mapping[str, int]) -> None:
        self._classes, self._features, self._parameters = classes, features, parameters
        self._rng = np.random.default_rng(0)

    def to(self, request: Request) -> Any:
        """Answer one request."""
        if isinstance(request, Train):
            count = len(request.samples)
            index = np.arange(count, dtype=np.int64)
            return Trained(1.0, 1, self._normal(count, self._classes), index)
        if isinstance(request, Predict):
            return self._predicted(request)
        if isinstance(request, Read):
            return self._normal(self._parameters[request.student])
        return None

    def _predicted(self, request: Predict) -> Any:
        count = len(request.samples)
        if request.output == "features":
            return self._normal(count, self._features)
        rows = self._rng.dirichlet(np.ones(self._classes), count).astype(np.float32)
        return rows if request.output == "probs" else np.log(np.maximum(rows, 1e-6))

    def _normal(self, *shape: int) -> Any:
        return self._rng.normal(size=shape).astype(np.float32)
