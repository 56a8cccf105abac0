"""FedProto: label-wise mean features travel (Tan et al., AAAI 2022, arXiv 2105.00243)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar, Literal

import numpy as np
import numpy.typing as npt

from edge_fd.knowledge import Array, Fused, Knowledge, smallest_unsigned
from edge_fd.losses import Loss, Tensor
from edge_fd.methods.base import (
    Device,
    DeviceHalf,
    Memory,
    Method,
    Round,
    Server,
    ServerHalf,
    setting,
)
from edge_fd.requests import Predict, Train, one_hot

_PROTOTYPES, _KNOWN = "prototypes", "known"


def prototype_alignment(
    logits: Tensor, features: Tensor, y: Tensor, taught: Tensor, prototypes: Tensor, weight: Tensor
) -> Tensor:
    """CE + weight * MSE(features, prototype of the label); Tan et al. 2022, equation 7.

    The distance is that of the authors' ``lib/update.py``, ``nn.MSELoss``: a
    mean over all numbers of the batch's features. ``taught`` (batch, classes)
    is ``y`` with zero rows for samples whose class has no prototype; they add
    nothing, yet count in the mean, as there.
    """
    fit = -(y * logits.log_softmax(-1)).sum(-1).mean()
    gap = taught.sum(-1, keepdim=True) * features - taught @ prototypes
    return fit + weight * (gap * gap).mean()


@dataclass(frozen=True)
class FedProto(Method):
    """Pull the features of a class to their mean over all devices; answer by the nearest mean.

    ``prototype_weight`` is lambda, 1 in the paper for MNIST and FEMNIST, and
    ``local_epochs`` is 1, as in the authors' code. ``weighted`` weighs a
    device's prototype by its samples of the class, as the paper's equation 6
    does; the authors' code gives each device one vote instead. The factor
    one over the number of devices that equation 6 has besides is left out: it
    would shrink equal prototypes to less than each of them.

    A device answers with the class of the nearest prototype (equation 4). Its
    prototypes are the common ones that it received last and, for classes that
    nobody contributed to those, its own of its last round. All these classes
    may win: the authors' evaluation lets a device choose among its own private
    classes only, which is an easier task. Before its first round a device has
    no prototypes and answers class 0.

    A device that can only infer publishes its prototypes and learns nothing.
    """

    name: ClassVar[str] = "fedproto"
    paper: ClassVar[str] = "Tan et al., AAAI 2022, arXiv 2105.00243"
    kind: ClassVar[str | None] = "prototypes"
    losses: ClassVar[Mapping[str, Loss]] = MappingProxyType(
        {
            "align": Loss(
                prototype_alignment,
                rows=("y", "taught"),
                feature_tables=("prototypes",),
                scalars=("weight",),
                distributions=("y",),
                features=True,
            )
        }
    )
    same_features: ClassVar[bool] = True
    judges: ClassVar[Literal["logits", "features"]] = "features"

    prototype_weight: float = setting(1.0, least=0.0)
    weighted: bool = setting(default=True)
    local_epochs: int = setting(1, least=1)

    def device_round(self, device: Device, round: Round, knowledge: Knowledge | None) -> DeviceHalf:  # noqa: ARG002
        """Train with labels and common prototypes; publish the mean features of each class."""
        y = device.private.labels
        common = np.zeros((device.classes, device.features), np.float32)
        known = np.zeros(device.classes, np.bool_)
        if knowledge is not None:
            common, known = knowledge.value, knowledge.exact["counts"] > 0
        if device.capability == "train":
            labels = one_hot(y, device.classes)
            yield Train(
                "align",
                device.private,
                {
                    "y": labels,
                    "taught": labels * known,
                    "prototypes": common,
                    "weight": self.prototype_weight,
                },
                epochs=self.local_epochs,
            )
        features = yield Predict(device.private, output="features")
        own, counts = _class_means(features, y, device.classes)
        device.memory[_PROTOTYPES] = np.where(known[:, None], common, own)
        device.memory[_KNOWN] = known | (counts > 0)
        return Knowledge("prototypes", own, {"counts": smallest_unsigned(counts)})

    def fuse(self, server: Server, round: Round, uploads: Mapping[str, Knowledge]) -> ServerHalf:  # noqa: ARG002
        """Mean prototype of each class over the devices that hold it.

        ``counts`` of the outcome are how many devices that is. A class that
        nobody holds has a zero row and count 0: it has no prototype.
        """
        first = next(iter(uploads.values()))
        total = np.zeros(first.value.shape, np.float64)
        weight = np.zeros((server.classes, 1), np.float64)
        holders = np.zeros(server.classes, np.int64)
        for upload in uploads.values():
            counts = upload.exact["counts"]
            held = counts > 0
            share = (counts if self.weighted else held).astype(np.float64)[:, None]
            total += share * upload.value.astype(np.float64)
            weight += share
            holders += held
        common = np.where(weight > 0, total / np.maximum(weight, 1.0), 0.0).astype(np.float32)
        counts = smallest_unsigned(holders)
        return Fused(shared=Knowledge("prototypes", common, {"counts": counts}))
        yield

    def judge(self, memory: Memory, outputs: Array) -> Array:
        """Negative squared distance of features (n, width) to each prototype, (n, classes).

        A class without a prototype has minus infinity. Without a memory there
        is one column of zeros.
        """
        if _PROTOTYPES not in memory:
            return np.zeros((len(outputs), 1), np.float32)
        scores = np.full((len(outputs), len(memory[_KNOWN])), -np.inf, np.float32)
        for label in np.flatnonzero(memory[_KNOWN]):
            gap = outputs.astype(np.float64) - memory[_PROTOTYPES][label]
            scores[:, label] = -(gap * gap).sum(-1)
        return scores


def _class_means(
    features: Array, y: npt.NDArray[np.int64], classes: int
) -> tuple[Array, npt.NDArray[np.int64]]:
    """Mean features (classes, width) and number of samples (classes,) of each class."""
    sums = np.zeros((classes, features.shape[1]), np.float64)
    np.add.at(sums, y, features)
    counts = np.bincount(y, minlength=classes)
    return (sums / np.maximum(counts, 1)[:, None]).astype(np.float32), counts
