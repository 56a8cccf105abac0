"""FD: label-wise mean outputs travel (Jeong et al. 2018, arXiv 1811.11479, algorithm 1)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar, TypeAlias

import numpy as np
import numpy.typing as npt

from edge_fd.knowledge import Exact, Fused, Knowledge, smallest_unsigned
from edge_fd.losses import LABEL_DISTILLATION, Loss
from edge_fd.methods.base import (
    Device,
    DeviceHalf,
    Method,
    Round,
    Server,
    ServerHalf,
    setting,
    softmax,
)
from edge_fd.requests import Predict, Train, one_hot

Table: TypeAlias = npt.NDArray[np.float64]


@dataclass(frozen=True)
class FD(Method):
    """Each device publishes its mean softmax output of each label.

    The teacher of a device is the mean over the *other* devices that hold the
    label, each device counting once, as in the paper; counts travel beside.
    ``gamma`` weighs the teacher term; the paper does not state its value.
    ``local_steps`` counts mini-batches (250 in the paper); 0 uses
    ``local_epochs`` passes over the private data instead.

    A device that can only infer publishes its table and learns nothing.
    """

    name: ClassVar[str] = "fd"
    paper: ClassVar[str] = "Jeong et al. 2018, arXiv 1811.11479"
    kind: ClassVar[str | None] = "label_table"
    losses: ClassVar[Mapping[str, Loss]] = MappingProxyType({"distil": LABEL_DISTILLATION})
    least_devices: ClassVar[int] = 2

    gamma: float = setting(1.0, least=0.0)
    local_epochs: int = setting(1, least=1)
    local_steps: int = setting(0, least=0)

    def device_round(self, device: Device, round: Round, knowledge: Knowledge | None) -> DeviceHalf:  # noqa: ARG002
        """Train with labels and teacher; publish the mean of the outputs seen on the way."""
        y = device.private.labels
        if device.capability == "infer":
            probs = yield Predict(device.private, output="probs")
            return Knowledge("label_table", *_label_means(probs, y, device.classes))
        blank = np.zeros((device.classes, device.classes), np.float32)
        seen = yield Train(
            "distil",
            device.private,
            {
                "y": one_hot(y, device.classes),
                "table": blank if knowledge is None else knowledge.value,
                "gamma": self.gamma,
            },
            epochs=None if self.local_steps else self.local_epochs,
            steps=self.local_steps or None,
            outputs=True,
        )
        probs = softmax(seen.logits)
        return Knowledge("label_table", *_label_means(probs, y[seen.index], device.classes))

    def fuse(self, server: Server, round: Round, uploads: Mapping[str, Knowledge]) -> ServerHalf:  # noqa: ARG002
        """Leave-one-out mean of each label over the devices that hold it.

        A sole holder gets no teacher for its label, and a label that nobody
        holds has none: those rows are zero. A device that does not hold a
        label, or took no part in the round, is sent the mean of those that do.
        """
        tables = {name: upload.value.astype(np.float64) for name, upload in uploads.items()}
        holds = {name: upload.exact["counts"] > 0 for name, upload in uploads.items()}
        total: Table = np.zeros((server.classes, server.classes), np.float64)
        holders = np.zeros(server.classes, np.int64)
        for name in uploads:
            total += np.where(holds[name][:, None], tables[name], 0.0)
            holders += holds[name]
        each = {
            name: Knowledge("label_table", _others(total, holders, tables[name], holds[name]))
            for name in uploads
        }
        nobody = np.zeros(server.classes, np.bool_)
        mean = Knowledge("label_table", _others(total, holders, total, nobody))
        return Fused(shared=mean, each=each)
        yield


def _others(
    total: Table, holders: npt.NDArray[np.int64], own: Table, held: npt.NDArray[np.bool_]
) -> npt.NDArray[np.float32]:
    count = holders - held
    rest = total - np.where(held[:, None], own, 0.0)
    taught = count > 0
    return np.where(taught[:, None], rest / np.maximum(count, 1)[:, None], 0.0).astype(np.float32)


def _label_means(
    probs: npt.NDArray[np.floating], y: npt.NDArray[np.int64], classes: int
) -> tuple[npt.NDArray[np.float32], dict[str, Exact]]:
    sums = np.zeros((classes, classes), np.float64)
    np.add.at(sums, y, probs)
    counts = np.bincount(y, minlength=classes)
    table = (sums / np.maximum(counts, 1)[:, None]).astype(np.float32)
    return table, {"counts": smallest_unsigned(counts)}
