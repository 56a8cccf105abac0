"""FedAvg: weights travel (McMahan et al., AISTATS 2017, algorithm 1)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar

from edge_fd.knowledge import Fused, Knowledge
from edge_fd.losses import CROSS_ENTROPY, Loss
from edge_fd.methods import weights
from edge_fd.methods.base import Device, DeviceHalf, Method, Round, Server, ServerHalf, setting
from edge_fd.methods.local import train_privately


@dataclass(frozen=True)
class FedAvg(Method):
    """Train from the common weights, send the weights, average them by sample count.

    ``local_steps`` counts mini-batches; 0 uses ``local_epochs`` passes over the
    private data. ``batch_norm``: running statistics are averaged along, or stay
    each device's own ("local").
    """

    name: ClassVar[str] = "fedavg"
    paper: ClassVar[str] = "McMahan et al., AISTATS 2017"
    kind: ClassVar[str | None] = "weights"
    losses: ClassVar[Mapping[str, Loss]] = MappingProxyType({"local": CROSS_ENTROPY})
    needs_training: ClassVar[bool] = True
    same_student: ClassVar[bool] = True
    server_learns: ClassVar[bool] = True

    local_epochs: int = setting(1, least=1)
    local_steps: int = setting(0, least=0)
    batch_norm: str = setting("average", choices=weights.BATCH_NORM)

    def device_round(self, device: Device, round: Round, knowledge: Knowledge | None) -> DeviceHalf:
        """Load the mean, train, hand out the weights and the number of samples."""
        yield from weights.take_over(device, round, knowledge, batch_norm=self.batch_norm)
        yield from train_privately(device, self.local_epochs, steps=self.local_steps)
        return (yield from weights.hand_out(device, round))

    def fuse(self, server: Server, round: Round, uploads: Mapping[str, Knowledge]) -> ServerHalf:
        """Mean of the weights, each device counting as many times as it has samples."""
        theta = yield from weights.fuse(server, round, uploads)
        return Fused(shared=Knowledge("weights", theta))
