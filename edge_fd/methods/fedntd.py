"""FedNTD: FedAvg that keeps what the common weights say of wrong classes (Lee et al. 2022)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar

import numpy as np

from edge_fd.knowledge import Knowledge
from edge_fd.losses import Loss, Tensor
from edge_fd.methods import weights
from edge_fd.methods.base import Device, DeviceHalf, Round, setting
from edge_fd.methods.fedavg import FedAvg
from edge_fd.requests import Predict, Train, one_hot


def not_true_distillation(
    logits: Tensor, y: Tensor, teacher: Tensor, tau: Tensor, beta: Tensor
) -> Tensor:
    """CE + beta tau^2 KL(teacher || student) over the classes - 1 that are not the true one.

    Lee et al. 2022, algorithm 1; authors' ``criterion.py``. ``y`` are one-hot labels,
    ``teacher`` (batch, classes) logits of the common weights.
    """
    wrong = 1 - y

    def log_probs(z: Tensor) -> Tensor:
        """Log-softmax over the wrong classes; at the true one a number without meaning.

        One minus the true class's probability would cancel where a student is
        sure. So the true logit steps aside for the lowest one: then a wrong
        class has the largest, and the sum of the wrong ones is at least one.
        """
        z = wrong * z + y * z.detach().amin(-1, keepdim=True)
        z = z - z.detach().amax(-1, keepdim=True)
        return z - (wrong * z.exp()).sum(-1, keepdim=True).log()

    fit = -(y * logits.log_softmax(-1)).sum(-1).mean()
    ours, theirs = log_probs(logits / tau), log_probs(teacher / tau)
    divergence = (wrong * theirs.exp() * (theirs - ours)).sum(-1).mean()
    return fit + beta * tau * tau * divergence


@dataclass(frozen=True)
class FedNTD(FedAvg):
    """Train on the labels, but keep how the common weights share out the wrong classes.

    The teacher is the received model, asked once a round for the logits of the
    private samples; nothing travels beside FedAvg's weights. ``tau`` is the
    temperature and ``beta`` the weight of the distilled term. Both are 1 as in
    the authors' configuration; their loss alone defaults to tau = 3, and their
    configuration's learning rate is 0.01 where the paper's text is read as 0.1.
    With two classes a single wrong one is left and the term is zero.

    In the first round, before common weights arrived, there is no teacher.
    """

    name: ClassVar[str] = "fedntd"
    paper: ClassVar[str] = "Lee et al., NeurIPS 2022, arXiv 2106.03097"
    losses: ClassVar[Mapping[str, Loss]] = MappingProxyType(
        {
            "distil": Loss(
                not_true_distillation,
                rows=("y", "teacher"),
                scalars=("tau", "beta"),
                distributions=("y",),
            )
        }
    )

    tau: float = setting(1.0, least=0.1)
    beta: float = setting(1.0, least=0.0)

    def device_round(self, device: Device, round: Round, knowledge: Knowledge | None) -> DeviceHalf:
        """Load the mean, ask it, train, hand out the weights and the number of samples."""
        teacher = np.zeros((len(device.private), device.classes), np.float32)
        theta = yield from weights.take_over(device, round, knowledge, batch_norm=self.batch_norm)
        if theta is not None:
            teacher = yield Predict(device.private, theta=theta)
        yield Train(
            "distil",
            device.private,
            {
                "y": one_hot(device.private.labels, device.classes),
                "teacher": teacher,
                "tau": self.tau,
                "beta": 0.0 if theta is None else self.beta,
            },
            epochs=None if self.local_steps else self.local_epochs,
            steps=self.local_steps or None,
        )
        return (yield from weights.hand_out(device, round))
