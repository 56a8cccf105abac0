"""FedGen's FedAvg again, as a plain torch loop that shares no code with the methods.

    python -m validation.published.plain_fedgen --alpha 0.1 --seed 0 --batch-norm local

Where the experiment ``fedgen`` and Table 1 differ, this tells whether the
difference is ours. ``local`` keeps each user's running statistics and tests
each user with them on its own share of the test images, as the authors' code
does; ``average`` is what the experiment does.
"""

from __future__ import annotations

import argparse
import json
import statistics
from typing import Any

import numpy as np
import torch

from edge_fd.data import load
from validation.published.fedgen import ROUNDS, STEPS
from validation.published.partition import fedgen_partition
from validation.published.students import fedgen_cnn

USERS, ASKED, BATCH, LR, DECAY = 20, 10, 32, 0.01, 0.99
LAST, BEST, EVALUATED = 3, 5, 10
Part = tuple[Any, Any]


def parts(alpha: float) -> tuple[list[Part], list[Part]]:
    """Training and test images and labels of each user."""
    mnist = load("mnist")
    division = fedgen_partition(mnist.y, mnist.test_y, alpha=alpha)
    train, test = [], []
    for user in range(USERS):
        rows = division.train[division.user == user]
        train.append(_tensors(mnist.x[rows], mnist.y[rows]))
        shares = []
        for label in np.unique(mnist.y[rows]):
            images = np.flatnonzero(mnist.test_y == label)
            size = len(images) // USERS
            shares.append(images[user * size : (user + 1) * size])
        held = np.concatenate(shares)
        test.append(_tensors(mnist.test_x[held], mnist.test_y[held]))
    return train, test


def _tensors(x: np.ndarray[Any, Any], y: np.ndarray[Any, Any]) -> Part:
    return torch.from_numpy((x.astype(np.float32) * 2 / 255 - 1)[:, None]), torch.from_numpy(y)


def is_statistic(name: str) -> bool:
    """Whether a value is batch norm's own, and not trained."""
    return "running" in name or "tracked" in name


def train(net: Any, part: Part, lr: float) -> None:
    """Twenty mini-batches by plain SGD; each pass over the images in a fresh order."""
    x, y = part
    optimiser = torch.optim.SGD(net.parameters(), lr=lr)
    batches: list[Any] = []
    for _ in range(STEPS):
        batches = batches or [b for b in torch.randperm(len(x)).split(BATCH) if len(b) > 1]
        rows = batches.pop(0)
        optimiser.zero_grad()
        torch.nn.functional.cross_entropy(net(x[rows]), y[rows]).backward()
        optimiser.step()


def run(alpha: float, seed: int, *, local: bool) -> list[float]:
    """Accuracy in per cent of the last rounds, pooled over the users' test images."""
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    net = fedgen_cnn((1, 28, 28), 10)
    training, testing = parts(alpha)
    common = {key: value.clone() for key, value in net.state_dict().items()}
    own = [dict(common) for _ in range(USERS)]

    def enter(user: int) -> None:
        kept = {k: v for k, v in own[user].items() if local and is_statistic(k)}
        net.load_state_dict(common | kept)

    scores = []
    for number in range(ROUNDS):
        asked = rng.choice(USERS, ASKED, replace=False)
        total = sum(len(training[user][0]) for user in asked)
        mean = {key: torch.zeros_like(value, dtype=torch.float64) for key, value in common.items()}
        for user in asked:
            enter(user)
            net.train()
            train(net, training[user], LR * DECAY**number)
            own[user] = {key: value.clone() for key, value in net.state_dict().items()}
            for key, value in own[user].items():
                mean[key] += value.double() * (len(training[user][0]) / total)
        common = {key: mean[key].to(value.dtype) for key, value in common.items()}
        if number >= ROUNDS - EVALUATED:
            right = images = 0
            net.eval()
            for user, (x, y) in enumerate(testing):
                enter(user)
                with torch.no_grad():
                    right += int((net(x).argmax(1) == y).sum())
                images += len(y)
            scores.append(100 * right / images)
    return scores


def main() -> None:
    """Run it once and print the accuracies as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--alpha", type=float, default=0.1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--batch-norm", choices=("average", "local"), default="average")
    options = parser.parse_args()
    scores = run(options.alpha, options.seed, local=options.batch_norm == "local")
    figures = {
        f"mean_of_last_{LAST}": statistics.fmean(scores[-LAST:]),
        f"best_{BEST}_of_last_{EVALUATED}": statistics.fmean(sorted(scores)[-BEST:]),
    }
    print(json.dumps({**vars(options), **figures}))


if __name__ == "__main__":
    main()
