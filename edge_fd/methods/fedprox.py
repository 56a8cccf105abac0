"""FedProx: FedAvg whose devices are held near the common weights (Li et al., MLSys 2020)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar

from edge_fd.knowledge import Knowledge
from edge_fd.losses import Loss, Tensor
from edge_fd.methods import weights
from edge_fd.methods.base import Device, DeviceHalf, Round, setting
from edge_fd.methods.fedavg import FedAvg
from edge_fd.requests import Read, Train, one_hot


def proximal(
    logits: Tensor, y: Tensor, mu: Tensor, weight_decay: Tensor, anchor: Tensor, theta: Tensor
) -> Tensor:
    """CE + mu/2 ||theta - anchor||^2 + weight_decay/2 ||theta||^2; Li et al. 2020, algorithm 2.

    ``theta`` and ``anchor`` (trained,) are the weights as they become and as
    the round began, without running statistics of batch norm. With the halves
    the gradient gains mu (theta - anchor) + weight_decay theta.
    """
    fit = -(y * logits.log_softmax(-1)).sum(-1).mean()
    away = theta - anchor
    return fit + (mu * (away * away).sum() + weight_decay * (theta * theta).sum()) / 2


@dataclass(frozen=True)
class FedProx(FedAvg):
    """Train from the common weights without leaving them far behind, then as FedAvg.

    ``mu`` weighs the squared distance from the weights that the round began
    with. The authors have no value for all tasks and tune it over 0.001, 0.01,
    0.1, 0.5 and 1; their optimiser's own default is 0.01. ``weight_decay`` is
    not the paper's: published comparisons after Zhu et al. (ICML 2021) train
    what they call FedProx with mu = 1 and a decay of 0.001, without momentum.

    The paper's stragglers send what they got done in time. Here a device does
    all of its local work; one that misses a round's deadline is left out of it,
    as with FedAvg, or counts in a later one where rounds are buffered.
    """

    name: ClassVar[str] = "fedprox"
    paper: ClassVar[str] = "Li et al., MLSys 2020"
    losses: ClassVar[Mapping[str, Loss]] = MappingProxyType(
        {
            "proximal": Loss(
                proximal,
                rows=("y",),
                scalars=("mu", "weight_decay"),
                vectors=("anchor",),
                distributions=("y",),
                theta=True,
            )
        }
    )

    mu: float = setting(0.01, least=0.0)
    weight_decay: float = setting(0.0, least=0.0)

    def device_round(self, device: Device, round: Round, knowledge: Knowledge | None) -> DeviceHalf:
        """Load the mean, train near it, hand out the weights and the number of samples."""
        anchor = yield from weights.take_over(device, round, knowledge, batch_norm=self.batch_norm)
        if anchor is None:  # the first weights are common too: those of the bundle
            anchor = yield Read()
        yield Train(
            "proximal",
            device.private,
            {
                "y": one_hot(device.private.labels, device.classes),
                "mu": self.mu,
                "weight_decay": self.weight_decay,
                "anchor": anchor,
            },
            epochs=None if self.local_steps else self.local_epochs,
            steps=self.local_steps or None,
        )
        return (yield from weights.hand_out(device, round))
