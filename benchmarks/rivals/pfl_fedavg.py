"""The task in pfl-research: FederatedAveraging on a SimulatedBackend.

Alone: python benchmarks/rivals.py --only pfl --net conv

One process as shipped; with more workers, processes that share the cohort and add up over
torch.distributed (gloo), pfl's own way to use more cores. pfl cannot leave out the
evaluation at iteration 0: the first round has one, those that follow have none.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from typing import Any

import clocks
import numpy as np
import task
import torch
from pfl.aggregate.base import get_num_devices_weight_name
from pfl.aggregate.simulate import SimulatedBackend
from pfl.aggregate.weighting import WeightByDatapoints
from pfl.algorithm.base import NNAlgorithmParams
from pfl.algorithm.federated_averaging import FederatedAveraging
from pfl.callback.base import TrainingProcessCallback
from pfl.common_types import Population
from pfl.data.federated_dataset import FederatedDataset
from pfl.data.sampling import get_user_sampler
from pfl.hyperparam import NNEvalHyperParams, NNTrainHyperParams
from pfl.metrics import Metrics, Weighted
from torch import nn

ADDRESSES, RANK = "PFL_WORKER_ADDRESSES", "PFL_WORKER_RANK"


def start_others(workers: int) -> None:
    """Start the workers beside this one, which is the first and sees their CPU time."""
    if workers == 1 or RANK in os.environ:
        return
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        # pfl takes the number of addresses for that of workers and calls only the first.
        address = f"127.0.0.1:{free.getsockname()[1]}"
    os.environ |= {ADDRESSES: ",".join([address] * workers), RANK: "0"}
    for rank in range(1, workers):
        env = os.environ | {RANK: str(rank)}
        subprocess.Popen([sys.executable, *sys.argv], env=env, stdout=subprocess.DEVNULL)


class User(nn.Module):
    """A net with the two functions that pfl asks for."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def loss(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return nn.functional.cross_entropy(self.net(x), y)

    @torch.no_grad()
    def metrics(self, x: torch.Tensor, y: torch.Tensor) -> dict[str, Weighted]:
        return {"loss": Weighted(self.loss(x, y).item() * len(y), len(y))}


class RoundEnds(TrainingProcessCallback):
    def __init__(self, marks: clocks.Marks) -> None:
        self._marks = marks

    def after_central_iteration(
        self, aggregate_metrics: Metrics, model: Any, *, central_iteration: int
    ) -> tuple[bool, Metrics]:
        counted = aggregate_metrics[get_num_devices_weight_name(Population.TRAIN)]
        self._marks.round_ended(updates=counted)
        return super().after_central_iteration(
            aggregate_metrics, model, central_iteration=central_iteration
        )


def pfl(options: clocks.Options) -> dict[str, Any]:
    start_others(options.workers)
    # Their import joins the workers, so it comes when they have been started.
    from pfl.data.pytorch import PyTorchTensorDataset
    from pfl.model.pytorch import PyTorchModel

    np.random.seed(task.SEED)  # noqa: NPY002 - pfl draws the cohort from it, the same everywhere
    clients = [task.client_data(client) for client in range(task.CLIENTS)]

    def dataset(client: int) -> PyTorchTensorDataset:
        x, y = clients[client]
        order = torch.randperm(task.IMAGES)  # pfl itself keeps the order of the data
        return PyTorchTensorDataset((x[order], y[order]), user_id=str(client))

    user = User(task.initial(options.net))
    model = PyTorchModel(user, torch.optim.SGD, torch.optim.SGD(user.parameters(), lr=1.0))
    users = FederatedDataset(dataset, get_user_sampler("minimize_reuse", range(task.CLIENTS)))
    marks = clocks.Marks()
    FederatedAveraging().run(
        NNAlgorithmParams(
            central_num_iterations=clocks.ROUNDS,
            evaluation_frequency=1000,
            train_cohort_size=task.CLIENTS,
            val_cohort_size=0,
        ),
        SimulatedBackend(users, users, postprocessors=[WeightByDatapoints()]),
        model,
        NNTrainHyperParams(
            local_batch_size=task.BATCH, local_num_epochs=1, local_learning_rate=task.LR
        ),
        NNEvalHyperParams(local_batch_size=None),
        callbacks=[RoundEnds(marks)],
        send_metrics_to_platform=False,
    )
    return marks.figures() | {"loss": task.loss(options.net, user.net.state_dict())}


if __name__ == "__main__":
    clocks.run(pfl, __doc__)
