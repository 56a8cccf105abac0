"""FedAvg: weights travel (McMahan et al., AISTATS 2017, algorithm 1)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar

import numpy as np

from edge_fd.knowledge import Fused, Knowledge, smallest_unsigned
from edge_fd.losses import CROSS_ENTROPY, Loss
from edge_fd.methods.base import Device, DeviceHalf, Method, Round, Server, ServerHalf, setting
from edge_fd.methods.local import train_privately
from edge_fd.requests import Load, Read


@dataclass(frozen=True)
class FedAvg(Method):
    """Train from the common weights, send the weights, average them by sample count."""

    name: ClassVar[str] = "fedavg"
    paper: ClassVar[str] = "McMahan et al., AISTATS 2017"
    kind: ClassVar[str | None] = "weights"
    losses: ClassVar[Mapping[str, Loss]] = MappingProxyType({"local": CROSS_ENTROPY})
    needs_training: ClassVar[bool] = True
    same_student: ClassVar[bool] = True
    server_learns: ClassVar[bool] = True

    local_epochs: int = setting(1, least=1)

    def device_round(self, device: Device, round: Round, knowledge: Knowledge | None) -> DeviceHalf:  # noqa: ARG002
        """Load the mean, train, hand out the weights and the number of samples."""
        if knowledge is not None:
            yield Load(knowledge.value)
        yield from train_privately(device, self.local_epochs)
        theta = yield Read()
        return Knowledge("weights", theta, {"samples": smallest_unsigned([len(device.private)])})

    def fuse(self, server: Server, round: Round, uploads: Mapping[str, Knowledge]) -> ServerHalf:  # noqa: ARG002
        """Mean of the weights, each device counting as many times as it has samples."""
        total = np.zeros(next(iter(uploads.values())).value.shape, np.float64)
        samples = 0
        for upload in uploads.values():
            n = int(upload.exact["samples"][0])
            total += n * upload.value.astype(np.float64)
            samples += n
        theta = (total / samples).astype(np.float32)
        if server.has_student:
            yield Load(theta)
        return Fused(shared=Knowledge("weights", theta))
