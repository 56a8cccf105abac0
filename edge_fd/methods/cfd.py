"""CFD: soft labels in a few bits (Sattler et al., IEEE Trans. Netw. Sci. Eng. 9, 2022).

"CFD: Communication-efficient federated distillation via soft-label quantization
and delta coding", algorithm 1. The arithmetic of the labels is in
:mod:`edge_fd.codecs.simplex`; this file says who sends which.

A device sends its labels whole (``base`` 0) or, of one bit, as changes to those
that it sent in round ``base``. Both sides keep its last labels and their round.
It sends changes only where the server is known to have those labels, that is, if

    its last upload was accepted, in round r say, and
    all rounds from r to the one before this were fused,

of which the broadcast tells the second by ``fused``: the first and the last of
the unbroken row of fused rounds that ends with it. After anything lost (upload,
receipt, round, device) the next upload is whole. Should the server lack a base
all the same, it refuses, and then too the next upload is whole.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, ClassVar, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from edge_fd.codecs import simplex
from edge_fd.errors import UsageError
from edge_fd.knowledge import Array, Exact, Fused, Knowledge, smallest_unsigned
from edge_fd.losses import CROSS_ENTROPY, Loss
from edge_fd.methods.base import (
    Device,
    DeviceHalf,
    Memory,
    Method,
    Round,
    Server,
    ServerHalf,
    mean,
    setting,
)
from edge_fd.methods.local import train_privately
from edge_fd.methods.proxy import chosen
from edge_fd.requests import Predict, Reset, Samples, Train

Integers: TypeAlias = npt.NDArray[Any]

BITS_MOST: Final = 8
FLOAT_BITS: Final = 32


@dataclass(frozen=True)
class CFD(Method):
    """Label a fixed proxy set in ``up_bits`` a probability, distil on the server, begin anew.

    The paper's CFD-1-32 is the default; CFD-1-1 has ``down_bits`` 1. ``delta``
    codes labels of one bit as changes (eq. 13), the paper's subscript; with 4
    classes or fewer it cost more there. One epoch each is the paper's for its
    language models; for images it tells Adam at 0.001 and no epochs.

    The server's student goes on from round to round ("dual distillation", eq. 15)
    and its labels go back; without a student their average does, plain
    federated distillation. Participants start each round from the bundle's
    weights, equal for all as the paper's common seed makes them, since those of
    earlier rounds are stale. That costs a distillation a round.

    The broadcast is never coded as changes, as it is in the paper's figure 8: who
    took no part in a round lacks the labels before.

    A device that can only infer labels, and learns nothing.
    """

    name: ClassVar[str] = "cfd"
    paper: ClassVar[str] = "Sattler et al. 2022, IEEE Trans. Netw. Sci. Eng. 9(4), arXiv 2012.00632"
    kind: ClassVar[str | None] = "symbols"
    losses: ClassVar[Mapping[str, Loss]] = MappingProxyType({"local": CROSS_ENTROPY})
    needs_proxy: ClassVar[bool] = True
    proxy_whole: ClassVar[bool] = True
    server_learns: ClassVar[bool] = True

    up_bits: int = setting(1, least=1, most=BITS_MOST)
    down_bits: int = setting(FLOAT_BITS, least=1, most=FLOAT_BITS)
    delta: bool = setting(default=True)
    distil_epochs: int = setting(1, least=1)
    local_epochs: int = setting(1, least=1)
    server_epochs: int = setting(1, least=1)

    def __post_init__(self) -> None:
        if BITS_MOST < self.down_bits < FLOAT_BITS:
            raise UsageError(
                f"method.cfd.down_bits = {self.down_bits} is out of range; allowed: 1 to"
                f" {BITS_MOST}, and {FLOAT_BITS} for probabilities as they are"
            )

    def device_round(self, device: Device, round: Round, knowledge: Knowledge | None) -> DeviceHalf:
        """Begin anew, distil the server's labels, train on private data, publish labels."""
        proxy = _whole(device.proxy, round)
        if device.capability == "train":
            if round.repeat == 0:
                yield Reset()
            if knowledge is not None and round.repeat == 0:
                y = {"y": self._soft(knowledge, device.classes)}
                yield Train("local", proxy, y, epochs=self.distil_epochs)
            yield from train_privately(device, self.local_epochs)
        probs = yield Predict(proxy, output="probs")
        symbols, alphabet = simplex.encode(simplex.quantise(probs, self.up_bits), self.up_bits)
        if not self._changes:
            return _packed(symbols, alphabet)
        base, base_round = _base(device.memory, symbols, round, knowledge)
        if base is None:
            return _packed(symbols, alphabet, {"base": [0]})
        changes = simplex.delta(symbols, base)
        return _packed(changes, device.classes + 1, {"base": [base_round]})

    def fuse(self, server: Server, round: Round, uploads: Mapping[str, Knowledge]) -> ServerHalf:
        """Average, distil the server's student on the result, and let it label."""
        proxy = _whole(server.proxy, round)
        soft: list[Array] = []
        for name, upload in uploads.items():
            levels = self._levels(upload, name, server.classes, server.memory)
            soft.append(simplex.dequantise(levels, self.up_bits))
            if self._changes:
                asked = round.number - round.staleness.get(name, 0)
                server.memory[f"labels/{name}"] = levels.argmax(1).astype(np.uint16)
                server.memory[f"round/{name}"] = np.array([asked], np.int64)
        labels = mean(soft).astype(np.float32)
        if server.has_student:
            yield Train("local", proxy, {"y": labels}, epochs=self.server_epochs)
            labels = yield Predict(proxy, output="probs")
        exact = {"fused": _unbroken(server.memory, round)} if self._changes else {}
        return Fused(shared=self._broadcast(labels, exact))

    def objection(self, knowledge: Knowledge, *, device: str, classes: int, memory: Memory) -> str:
        """Refuse another alphabet, a base that the server has not, and what is no labels."""
        try:
            self._levels(knowledge, device, classes, memory)
        except ValueError as error:
            return str(error)
        return ""

    def symbols(self, classes: int) -> int:
        """One for each proxy sample, unless there are too many rows of levels to number."""
        return simplex.coding(classes, self.up_bits).symbols_per_row

    @property
    def _changes(self) -> bool:
        return self.delta and self.up_bits == 1

    def _levels(self, upload: Knowledge, name: str, classes: int, memory: Memory) -> Integers:
        """Levels (samples, classes) of a device's upload; raise ValueError for what has none."""
        symbols, alphabet = upload.value.astype(np.int64), int(upload.exact["alphabet"][0])
        base = upload.exact.get("base", np.zeros(1, np.int64))
        if base.shape != (1,):
            raise ValueError(f"'base' must have shape (1,), got {base.shape}")
        if not base[0]:
            return simplex.decode(symbols, alphabet, classes=classes, bits=self.up_bits)
        kept = int(memory[f"round/{name}"][0]) if f"round/{name}" in memory else 0
        if base[0] != kept:
            raise ValueError(
                f"changes to the labels of round {base[0]}, kept are those of round {kept} (0:"
                " none); send the labels whole"
            )
        if alphabet != classes + 1:
            raise ValueError(f"changes of {classes} classes have {classes + 1} symbols: {alphabet}")
        labels = simplex.undelta(symbols, memory[f"labels/{name}"])
        return simplex.decode(labels, classes, classes=classes, bits=1)

    def _broadcast(self, labels: Array, exact: Mapping[str, Exact]) -> Knowledge:
        if self.down_bits == FLOAT_BITS:
            return Knowledge("probs", labels, exact)
        levels = simplex.quantise(labels, self.down_bits)
        return _packed(*simplex.encode(levels, self.down_bits), exact)

    def _soft(self, knowledge: Knowledge, classes: int) -> Array:
        """The server's labels (samples, classes), as :meth:`_broadcast` sent them."""
        if self.down_bits == FLOAT_BITS:
            return knowledge.value
        symbols, alphabet = knowledge.value.astype(np.int64), int(knowledge.exact["alphabet"][0])
        levels = simplex.decode(symbols, alphabet, classes=classes, bits=self.down_bits)
        return simplex.dequantise(levels, self.down_bits)


def _whole(proxy: Samples | None, round: Round) -> Samples:
    if round.indices is not None:
        raise UsageError(
            f"cfd labels the whole proxy set in each round, and this one asks about"
            f" {len(round.indices)} samples; leave data.proxy_per_round out"
        )
    return chosen(proxy, None)


def _packed(
    symbols: Integers, alphabet: int, exact: Mapping[str, npt.ArrayLike] = MappingProxyType({})
) -> Knowledge:
    rows = {"alphabet": [alphabet], **exact}
    integers = {name: smallest_unsigned(row) for name, row in rows.items()}
    return Knowledge("symbols", symbols.astype(np.float32), integers)


def _base(
    memory: Memory, labels: Integers, round: Round, knowledge: Knowledge | None
) -> tuple[Integers | None, int]:
    """Keep ``labels``; return those that the server is known to have and their round, or None.

    A round may be computed more than once (ALU), each time against the same base.
    """
    if "sent" in memory and memory["sent_round"][0] != round.number:
        memory["base"], memory["base_round"] = memory["sent"], memory["sent_round"]
    memory["sent"], memory["sent_round"] = labels, np.array([round.number], np.int64)
    if "base" not in memory or knowledge is None:
        return None, 0
    base_round = int(memory["base_round"][0])
    first, last = knowledge.exact["fused"].tolist()
    fused = first <= base_round and last >= round.number - 1
    sure = base_round == round.acknowledged and fused
    return (memory["base"], base_round) if sure else (None, 0)


def _unbroken(memory: Memory, round: Round) -> Exact:
    """First and last of the row of fused rounds that ends with this one."""
    first, last = memory.get("fused", np.array([round.number, round.number - 1])).tolist()
    if last != round.number - 1:
        first = round.number
    memory["fused"] = np.array([first, round.number], np.int64)
    return smallest_unsigned(memory["fused"])
