"""The task in torch, for the sides that are built on it.

100 clients of 60 images each (benchmarks/yardstick.py), one local epoch in batches of 20 in
random order, SGD 0.05 without momentum, every client in each of 3 rounds, mean weighted by
samples, no evaluation. Two nets: the yardstick's convolutional one (44,426 parameters) and
an MLP 784-128-10 (101,770). One torch thread in each process.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping

import torch
import yardstick
from torch import nn

CLIENTS, IMAGES, BATCH, LR = yardstick.CLIENTS, yardstick.IMAGES, yardstick.BATCH, yardstick.LR
SEED = 0


def mlp() -> nn.Module:
    return nn.Sequential(
        nn.Flatten(), nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, yardstick.CLASSES)
    )


NETS: dict[str, Callable[[], nn.Module]] = {
    "conv": lambda: yardstick.net((1, 28, 28), yardstick.CLASSES),
    "mlp": mlp,
}


def initial(net: str) -> nn.Module:
    """The net with the weights that every side in torch starts from."""
    torch.set_num_threads(1)
    torch.manual_seed(SEED)
    return NETS[net]()


def client_data(client: int) -> tuple[torch.Tensor, torch.Tensor]:
    """(60, 1, 28, 28) float32 and (60,) int64."""
    x, y = yardstick.client_data(client)
    return torch.from_numpy(x), torch.from_numpy(y)


def train(model: nn.Module, x: torch.Tensor, y: torch.Tensor) -> None:
    """One client's epoch, as one would write it by hand."""
    optimiser = torch.optim.SGD(model.parameters(), lr=LR)
    order = torch.randperm(IMAGES)
    for start in range(0, IMAGES, BATCH):
        rows = order[start : start + BATCH]
        optimiser.zero_grad()
        nn.functional.cross_entropy(model(x[rows]), y[rows]).backward()
        optimiser.step()


def loss(net: str, weights: Mapping[str, torch.Tensor]) -> float:
    """Mean cross-entropy over all clients: sides that did the same work agree in it.

    They differ from the fifth digit on, by the order in which samples were drawn.
    """
    model = NETS[net]()
    model.load_state_dict(weights)
    with torch.no_grad():  # client by client: peak memory is to be the training's
        return statistics.fmean(
            nn.functional.cross_entropy(model(x), y).item()
            for x, y in map(client_data, range(CLIENTS))
        )
