"""Local training only: the baseline without any exchange."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar

from edge_fd.knowledge import Fused, Knowledge
from edge_fd.losses import CROSS_ENTROPY, Loss
from edge_fd.methods.base import Device, DeviceHalf, Method, Round, Server, ServerHalf, setting
from edge_fd.requests import Train, one_hot


@dataclass(frozen=True)
class Local(Method):
    """Each device trains alone; nothing but the end of a round is told."""

    name: ClassVar[str] = "local"
    paper: ClassVar[str] = "no exchange"
    kind: ClassVar[str | None] = None
    losses: ClassVar[Mapping[str, Loss]] = MappingProxyType({"local": CROSS_ENTROPY})

    local_epochs: int = setting(1, least=1)

    def device_round(self, device: Device, round: Round, knowledge: Knowledge | None) -> DeviceHalf:  # noqa: ARG002
        """Train on private data; publish nothing."""
        if device.capability == "train":
            yield from train_privately(device, self.local_epochs)
        return None

    def fuse(self, server: Server, round: Round, uploads: Mapping[str, Knowledge]) -> ServerHalf:  # noqa: ARG002
        """Nothing comes in, nothing goes back."""
        return Fused()
        yield


def train_privately(device: Device, epochs: int, *, steps: int = 0) -> DeviceHalf:
    """Cross-entropy on the private samples: the local phase of most methods.

    ``steps`` mini-batches, or ``epochs`` passes where it is 0.
    """
    y = one_hot(device.private.labels, device.classes)
    passes = None if steps else epochs
    yield Train("local", device.private, {"y": y}, epochs=passes, steps=steps or None)
    return None
