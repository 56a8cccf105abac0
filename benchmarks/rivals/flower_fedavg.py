"""The task in Flower's simulation: message API, strategy FedAvg, a Ray actor for each CPU.

Alone: python benchmarks/rivals.py --only flower --net conv

Written as Flower's own template is: a client keeps nothing, and builds net and data (under
1 ms) for each message. One CPU for each client, so as many actors as workers; the shipped
default of 2 CPUs for a client makes one actor of 2 CPUs and is slower.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import clocks
import task
import torch
from flwr.app import ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg
from flwr.simulation import run_simulation

client_app = ClientApp()


@client_app.train()
def train(message: Message, context: Context) -> Message:
    torch.set_num_threads(1)
    model = task.NETS[message.content["config"]["net"]]()
    model.load_state_dict(message.content["arrays"].to_torch_state_dict())
    x, y = task.client_data(context.node_config["partition-id"])
    task.train(model, x, y)
    answer = {
        "arrays": ArrayRecord(model.state_dict()),
        "metrics": MetricRecord({"num-examples": len(y)}),
    }
    return Message(content=RecordDict(answer), reply_to=message)


class MarkedFedAvg(FedAvg):
    """FedAvg that tells when a round is aggregated."""

    def __init__(self, marks: clocks.Marks) -> None:
        super().__init__(fraction_evaluate=0.0, min_available_nodes=task.CLIENTS)
        self._marks = marks

    def aggregate_train(self, server_round: int, replies: Iterable[Message]) -> Any:
        replies = list(replies)
        done = super().aggregate_train(server_round, replies)
        self._marks.round_ended(updates=sum(not reply.has_error() for reply in replies))
        return done


def flower(options: clocks.Options) -> dict[str, Any]:
    server_app = ServerApp()
    figures: dict[str, Any] = {}

    @server_app.main()
    def main(grid: Grid, _context: Context) -> None:
        result = MarkedFedAvg(marks).start(
            grid=grid,
            initial_arrays=ArrayRecord(task.initial(options.net).state_dict()),
            num_rounds=clocks.ROUNDS,
            train_config=ConfigRecord({"net": options.net}),
        )
        weights = result.arrays.to_torch_state_dict()
        figures.update(marks.figures(), loss=task.loss(options.net, weights))

    marks = clocks.Marks()
    run_simulation(
        server_app=server_app,
        client_app=client_app,
        num_supernodes=task.CLIENTS,
        backend_config={
            "init_args": {"num_cpus": options.workers},
            "client_resources": {"num_cpus": 1, "num_gpus": 0.0},
        },
    )
    return figures


if __name__ == "__main__":
    clocks.run(flower, __doc__)
