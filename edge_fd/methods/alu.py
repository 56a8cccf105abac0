"""ALU: exchange after some local rounds only (Wu et al. 2023, arXiv 2312.04166).

A schedule around any method. Between two exchanges a device repeats the
method's round against the same global knowledge; one piece of knowledge then
stands for all of these rounds, so that bytes and radio energy for each local
round fall as one over their number while the computing stays.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from edge_fd.errors import UsageError
from edge_fd.knowledge import Knowledge, smallest_unsigned
from edge_fd.methods.base import Device, DeviceHalf, Round, mean, setting
from edge_fd.methods.wrapper import Wrapper


@dataclass(frozen=True)
class ALU(Wrapper):
    """``rounds`` local rounds of a method for each exchange.

    ``knowledge`` is what is sent: that of the ``last`` local round, as its
    final model gives it, or the ``mean`` over the local rounds. Of the paper
    no more than its abstract and introduction was at hand, hence both.
    """

    name: ClassVar[str] = "alu"
    paper: ClassVar[str] = "Wu et al. 2023, arXiv 2312.04166"

    rounds: int = setting(5, least=1)
    knowledge: str = setting("last", choices=("last", "mean"))

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.knowledge == "mean" and self.kind == "symbols":
            raise UsageError(
                f"method.alu.knowledge = 'mean' and method {self.method.name!r}, which sends"
                " labels and no numbers, do not go together; choose 'last'"
            )

    def device_round(self, device: Device, round: Round, knowledge: Knowledge | None) -> DeviceHalf:
        """Repeat the method's round; return the last knowledge or the mean."""
        pieces: list[Knowledge] = []
        for repeat in range(self.rounds):
            again = replace(round, repeat=repeat)
            piece = yield from self.method.device_round(device, again, knowledge)
            if piece is None:
                continue
            pieces = [*pieces, piece] if self.knowledge == "mean" else [piece]
        return mean_of(pieces) if pieces else None


def mean_of(pieces: Sequence[Knowledge]) -> Knowledge:
    """Mean of one device's knowledge; where samples were counted, each counts as one."""
    first, last = pieces[0], pieces[-1]
    if "counts" not in first.exact:
        value = mean([piece.value for piece in pieces]).astype(np.float32)
        return Knowledge(last.kind, value, last.exact)
    counts = [piece.exact["counts"].astype(np.int64) for piece in pieces]
    total = np.sum(counts, axis=0)
    sums = np.zeros(first.value.shape, np.float64)
    for piece, count in zip(pieces, counts, strict=True):
        sums += count[:, None] * piece.value.astype(np.float64)
    value = (sums / np.maximum(total, 1)[:, None]).astype(np.float32)
    return Knowledge(last.kind, value, {**last.exact, "counts": smallest_unsigned(total)})
