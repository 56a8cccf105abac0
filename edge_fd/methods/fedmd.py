"""FedMD: logits on public data travel (Li & Wang 2019, arXiv 1910.03581, algorithm 1)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar

import numpy as np

from edge_fd.knowledge import Fused, Knowledge
from edge_fd.losses import CROSS_ENTROPY, MEAN_ABSOLUTE_ERROR, Loss
from edge_fd.methods.base import (
    Device,
    DeviceHalf,
    Method,
    Round,
    Server,
    ServerHalf,
    mean,
    setting,
)
from edge_fd.methods.local import train_privately
from edge_fd.methods.proxy import chosen, with_indices
from edge_fd.requests import Predict, Samples, Train, one_hot


@dataclass(frozen=True)
class FedMD(Method):
    """Agree on the logits of public samples, digest the consensus, revisit private data.

    Logits are raw (before softmax) and the digest loss is their mean absolute
    error, as in the authors' code. In its first round, whichever that is, a
    device learns the labelled public set for ``transfer_epochs``; 0 leaves that
    out, and then the public set needs no labels and FedMD sees no more of them
    than DS-FL.
    """

    name: ClassVar[str] = "fedmd"
    paper: ClassVar[str] = "Li & Wang 2019, arXiv 1910.03581"
    kind: ClassVar[str | None] = "logits"
    losses: ClassVar[Mapping[str, Loss]] = MappingProxyType(
        {"local": CROSS_ENTROPY, "digest": MEAN_ABSOLUTE_ERROR}
    )
    needs_proxy: ClassVar[bool] = True

    transfer_epochs: int = setting(5, least=0)
    digest_epochs: int = setting(1, least=1)
    local_epochs: int = setting(1, least=1)

    @property
    def needs_proxy_labels(self) -> bool:
        """The transfer phase learns the labels of the public set."""
        return self.transfer_epochs > 0

    def device_round(self, device: Device, round: Round, knowledge: Knowledge | None) -> DeviceHalf:
        """Transfer at first, digest the last consensus, revisit, publish logits."""
        if device.capability == "train":
            if self.transfer_epochs and "transferred" not in device.memory:
                public = chosen(device.proxy, None)
                y = {"y": one_hot(public.labels, device.classes)}
                yield Train("local", public, y, epochs=self.transfer_epochs)
                device.memory["transferred"] = np.ones(1, np.uint8)
            if knowledge is not None:
                samples = self.public(device, round, knowledge)
                target = {"target": knowledge.value}
                yield Train("digest", samples, target, epochs=self.digest_epochs)
            yield from train_privately(device, self.local_epochs)
        logits = yield Predict(self.public(device, round), output="logits")
        return Knowledge("logits", logits)

    def fuse(self, server: Server, round: Round, uploads: Mapping[str, Knowledge]) -> ServerHalf:  # noqa: ARG002
        """Plain mean of the logits over the devices."""
        consensus = mean([upload.value for upload in uploads.values()]).astype(np.float32)
        return Fused(shared=with_indices(Knowledge("logits", consensus), round))
        yield

    def public(self, device: Device, round: Round, knowledge: Knowledge | None = None) -> Samples:
        """Public samples that ``knowledge`` is about, or, without it, that the round asks about."""
        return chosen(device.proxy, round.indices if knowledge is None else knowledge.indices)
