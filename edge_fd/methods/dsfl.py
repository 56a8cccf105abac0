"""DS-FL: soft labels of open data travel (Itahara et al., IEEE TMC, arXiv 2008.06180)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from edge_fd.knowledge import Fused, Knowledge
from edge_fd.losses import CROSS_ENTROPY, Loss
from edge_fd.methods.base import (
    Device,
    DeviceHalf,
    Method,
    Round,
    Server,
    ServerHalf,
    mean,
    setting,
    softmax,
)
from edge_fd.methods.local import train_privately
from edge_fd.methods.proxy import chosen, with_indices
from edge_fd.requests import Predict, Train


@dataclass(frozen=True)
class DSFL(Method):
    """Label open data together, sharpen the mean, distil it on devices and server.

    ``temperature`` is that of the entropy reduction averaging, 0.1 in the
    paper's experiments; 0 sends the simple average instead. Note that a
    temperature of 1 is no identity: it flattens.
    """

    name: ClassVar[str] = "dsfl"
    paper: ClassVar[str] = "Itahara et al., arXiv 2008.06180"
    kind: ClassVar[str | None] = "probs"
    losses: ClassVar[Mapping[str, Loss]] = MappingProxyType({"local": CROSS_ENTROPY})
    needs_proxy: ClassVar[bool] = True
    server_learns: ClassVar[bool] = True

    temperature: float = setting(0.1, least=0.0)
    local_epochs: int = setting(1, least=1)
    distil_epochs: int = setting(1, least=1)
    server_epochs: int = setting(1, least=1)

    def device_round(self, device: Device, round: Round, knowledge: Knowledge | None) -> DeviceHalf:
        """Distil the last soft labels, train on private data, publish soft labels."""
        if device.capability == "train":
            if knowledge is not None:
                samples = chosen(device.proxy, knowledge.indices)
                yield Train("local", samples, {"y": knowledge.value}, epochs=self.distil_epochs)
            yield from train_privately(device, self.local_epochs)
        probs = yield Predict(chosen(device.proxy, round.indices), output="probs")
        return Knowledge("probs", probs)

    def fuse(self, server: Server, round: Round, uploads: Mapping[str, Knowledge]) -> ServerHalf:
        """Average, sharpen, and distil the server's student on the result."""
        average = mean([upload.value for upload in uploads.values()])
        soft = average if self.temperature == 0 else sharpen(average, self.temperature)
        labels = soft.astype(np.float32)
        if server.has_student:
            samples = chosen(server.proxy, round.indices)
            yield Train("local", samples, {"y": labels}, epochs=self.server_epochs)
        return Fused(shared=with_indices(Knowledge("probs", labels), round))


def sharpen(probs: npt.NDArray[np.floating], temperature: float) -> npt.NDArray[np.float64]:
    """Entropy reduction averaging: softmax of *probabilities* over the temperature."""
    return softmax(np.asarray(probs, np.float64) / temperature)
