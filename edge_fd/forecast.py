"""How large a method's upload will be, before anything is computed.

The device half of the method is run with made-up answers of the right shape
and its knowledge framed as ever, so that the size is exact to the byte but
for compression, which sees random numbers and so hardly compresses.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from broker import topics
from edge_fd import messages
from edge_fd.codecs import Codec
from edge_fd.kit import Kit
from edge_fd.methods.base import Device, Method, Round
from edge_fd.records import Bytes
from edge_fd.requests import Predict, Read, Request, Train, Trained


def upload_cost(kit: Kit, name: str, *, method: Method, codec: Codec) -> Bytes:
    """Return what the first upload of device ``name`` costs, under any method and codec."""
    me = kit.devices[name]
    rng = np.random.default_rng(0)
    device = Device(name, me.bundle.classes, me.group.capability, me.private, kit.proxy)
    half = method.device_round(device, Round(1, _indices(kit, method)), None)
    reply: Any = None
    while True:
        try:
            request = half.send(reply)
        except StopIteration as stop:
            knowledge = stop.value
            break
        reply = _made_up(request, me.bundle.classes, me.bundle.parameters, rng)
    run = kit.scenario.name
    frame, _ = messages.piece(knowledge, codec, run=run, round=1, device=name, method=method.name)
    made = messages.out(topics.up(run, name, "knowledge"), frame, compress=codec.compress)
    return made.cost or Bytes()


def _indices(kit: Kit, method: Method) -> Any:
    count = kit.scenario.data.proxy_per_round
    if kit.proxy is None or count is None or not method.needs_proxy:
        return None
    return np.arange(min(count, len(kit.proxy)), dtype=np.int64)


def _made_up(request: Request, classes: int, parameters: int, rng: np.random.Generator) -> Any:
    if isinstance(request, Train):
        count = len(request.samples)
        logits = rng.normal(size=(count, classes)).astype(np.float32)
        return Trained(1.0, 1, logits, np.arange(count, dtype=np.int64))
    if isinstance(request, Predict):
        rows = rng.dirichlet(np.ones(classes), len(request.samples)).astype(np.float32)
        return rows if request.output == "probs" else np.log(np.maximum(rows, 1e-6))
    if isinstance(request, Read):
        return rng.normal(size=parameters).astype(np.float32)
    return None
