"""The loop that one would write by hand, one process: what the rivals are set against.

Alone: python benchmarks/rivals.py --only plain --net conv
"""

from __future__ import annotations

from typing import Any

import clocks
import task
import torch


def plain(options: clocks.Options) -> dict[str, Any]:
    model = task.initial(options.net)
    clients = [task.client_data(client) for client in range(task.CLIENTS)]
    weights = {name: value.clone() for name, value in model.state_dict().items()}
    marks = clocks.Marks()
    for _ in range(clocks.ROUNDS):
        total = {name: torch.zeros_like(value) for name, value in weights.items()}
        for x, y in clients:
            model.load_state_dict(weights)
            task.train(model, x, y)
            for name, value in model.state_dict().items():
                total[name] += value * (task.IMAGES / (task.CLIENTS * task.IMAGES))
        weights = total
        marks.round_ended(updates=len(clients))
    return marks.figures() | {"loss": task.loss(options.net, weights)}


if __name__ == "__main__":
    clocks.run(plain, __doc__)
