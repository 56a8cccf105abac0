"""FedGKD: FedAvg with the common models of late as teacher (Yao et al. 2021, arXiv 2107.00051)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar

import numpy as np

from edge_fd.knowledge import Array, Knowledge
from edge_fd.losses import Loss, Tensor
from edge_fd.methods import weights
from edge_fd.methods.base import Device, DeviceHalf, Memory, Round, mean, setting
from edge_fd.methods.fedavg import FedAvg
from edge_fd.requests import Predict, Train, one_hot

_RECEIVED = "received"


def global_distillation(logits: Tensor, y: Tensor, teacher: Tensor, gamma: Tensor) -> Tensor:
    """CE + gamma/2 KL(teacher || student); Yao et al. 2021, authors' ``worker_fedgkd.py``.

    ``teacher`` (batch, classes) are logits: a probability that underflows has
    no logarithm.
    """
    ours, theirs = logits.log_softmax(-1), teacher.log_softmax(-1)
    fit = -(y * ours).sum(-1).mean()
    return fit + gamma / 2 * (theirs.exp() * (theirs - ours)).sum(-1).mean()


@dataclass(frozen=True)
class FedGKD(FedAvg):
    """Train on the labels and on what the common model says of the private samples.

    ``gamma`` weighs the teacher, by half of it: 0.2 in the paper, which is
    distillation_coefficient 0.1 in the authors' code. ``models`` says of how
    many received models the weights are averaged to the teacher's: 1 is the
    default of the authors' code, 5 what they run it with.

    A device averages the models that *it* received, each once, and keeps them
    itself, ``models`` times its weights. The authors' server averages all of
    its last models and sends the mean beside the weights, twice FedAvg's
    download; with full participation the teacher is the same.

    In the first round, before common weights arrived, there is no teacher, as
    in the authors' code.
    """

    name: ClassVar[str] = "fedgkd"
    paper: ClassVar[str] = "Yao et al. 2021, arXiv 2107.00051"
    losses: ClassVar[Mapping[str, Loss]] = MappingProxyType(
        {
            "distil": Loss(
                global_distillation,
                rows=("y", "teacher"),
                scalars=("gamma",),
                distributions=("y",),
            )
        }
    )

    gamma: float = setting(0.2, least=0.0)
    models: int = setting(1, least=1)

    def device_round(self, device: Device, round: Round, knowledge: Knowledge | None) -> DeviceHalf:
        """Load the mean, ask the teacher, train, hand out weights and number of samples."""
        teacher = np.zeros((len(device.private), device.classes), np.float32)
        theta = yield from weights.take_over(device, round, knowledge, batch_norm=self.batch_norm)
        if theta is not None and knowledge is not None:
            average = _average(device.memory, knowledge.value, self.models)
            if self.batch_norm == "local" and device.buffers:
                average[-device.buffers :] = theta[-device.buffers :]
            teacher = yield Predict(device.private, theta=average)
        yield Train(
            "distil",
            device.private,
            {
                "y": one_hot(device.private.labels, device.classes),
                "teacher": teacher,
                "gamma": 0.0 if theta is None else self.gamma,
            },
            epochs=None if self.local_steps else self.local_epochs,
            steps=self.local_steps or None,
        )
        return (yield from weights.hand_out(device, round))


def _average(memory: Memory, received: Array, models: int) -> Array:
    """Mean of the last ``models`` different weights received; ``memory`` keeps them, if many."""
    if models == 1:
        return received.copy()
    kept = list(memory.get(_RECEIVED, ()))
    if not kept or not np.array_equal(kept[-1], received):
        kept = [*kept, received][-models:]
        memory[_RECEIVED] = np.stack(kept)
    return mean(kept).astype(np.float32)
