"""Simulated rounds against a plain torch loop: CPU time for each client update.

    python benchmarks/yardstick.py [--passes 10] [--net conv mlp] [--method fedavg fd]

100 clients of 60 images 1x28x28 (standard normal, from ``default_rng(1000 + i)``), one local
epoch in batches of 20 (3 steps), SGD 0.05 without momentum, every client in every round, no
evaluation. Two nets: ``conv``, a convolutional net of 44,426 parameters given as a user's own
torch module, and ``mlp``, 784-128-10 with 101,770. Two methods: ``fedavg``, the mean of weights
by samples, and ``fd`` (Jeong et al. 2018), where the plain side keeps each client's own net,
adds the teacher's term and takes the mean outputs of each label. Our side runs with channel,
dropout and energy on, and all its frames. Each pass is a fresh process of each side, one thread
each, in turn; a process tells the CPU time of the best of rounds 2 and 3 divided by the 100
updates. One more run of our side tells where its time goes.
"""

from __future__ import annotations

import argparse
import json
import math
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections import OrderedDict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from edge_fd.records import RoundRecord
    from edge_fd.scenario import Scenario

CLIENTS, IMAGES, CLASSES = 100, 60, 10
BATCH, LR = 20, 0.05
MEASURED = (2, 3)
SIDES = ("plain", "simulated")
CASES = (("conv", "fedavg"), ("mlp", "fedavg"), ("conv", "fd"))
GAMMA = 1.0
"""Weight of FD's teacher."""


def net(_input_shape: tuple[int, ...], _classes: int) -> Any:
    """The yardstick's student."""
    from torch import nn

    return nn.Sequential(
        OrderedDict(
            conv1=nn.Conv2d(1, 6, 5),
            relu1=nn.ReLU(),
            pool1=nn.MaxPool2d(2),
            conv2=nn.Conv2d(6, 16, 5),
            relu2=nn.ReLU(),
            pool2=nn.MaxPool2d(2),
            flat=nn.Flatten(),
            fc1=nn.Linear(256, 120),
            relu3=nn.ReLU(),
            fc2=nn.Linear(120, 84),
            relu4=nn.ReLU(),
            fc3=nn.Linear(84, CLASSES),
        )
    )


def mlp(_input_shape: tuple[int, ...], classes: int) -> Any:
    """The student called ``mlp``, for the plain side."""
    from torch import nn

    return nn.Sequential(nn.Flatten(), nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, classes))


NETS = {"conv": net, "mlp": mlp}
STUDENTS = {"conv": "yardstick:net", "mlp": "mlp"}


def client_data(client: int) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    rng = np.random.default_rng(1000 + client)
    x = rng.standard_normal((IMAGES, 1, 28, 28)).astype(np.float32)
    return x, rng.integers(0, CLASSES, IMAGES)


def scenario(folder: Path, net: str = "conv", method: str = "fedavg") -> Scenario:
    """The yardstick as a scenario: channel, dropout and energy on, evaluation at the end only."""
    from edge_fd.scenario import Scenario

    return Scenario.parse(
        {
            "name": "yardstick",
            "data": {"name": "npz", "path": str(folder / "data.npz"), "proxy": 0},
            "split": {"kind": "group"},
            "training": {"lr": LR, "momentum": 0.0, "batch": BATCH},
            "method": {"name": method, method: {"local_epochs": 1}},
            "rounds": {"count": 4, "evaluate_every": 1000, "deadline_s": 3600.0},
            "devices": [
                {"name": "dev", "count": CLIENTS, "student": STUDENTS[net], "profile": "pi4"}
            ],
            "channel": {"model": "fdma"},
            "dropout": {
                "link_up_s": 60.0,
                "link_down_s": 2.0,
                "device_up_s": 600.0,
                "device_down_s": 5.0,
            },
        }
    )


def write_data(folder: Path) -> None:
    """All clients in one file; the test part is one batch, for the evaluation of the last round."""
    parts = [client_data(client) for client in range(CLIENTS)]
    x, y = (np.concatenate(column) for column in zip(*parts, strict=True))
    group = np.repeat(np.arange(CLIENTS), IMAGES)
    np.savez(folder / "data.npz", x=x, y=y, group=group, test_x=x[:IMAGES], test_y=y[:IMAGES])


def plain_fedavg(name: str) -> list[float]:
    """CPU seconds of each round of the loop that one would write by hand."""
    import torch

    model = NETS[name]((1, 28, 28), CLASSES)
    clients = [tuple(map(torch.from_numpy, client_data(client))) for client in range(CLIENTS)]
    weights = {key: value.clone() for key, value in model.state_dict().items()}
    spent_s = []
    for _ in range(max(MEASURED)):
        begun_s = time.process_time()
        total = {key: torch.zeros_like(value) for key, value in weights.items()}
        for x, y in clients:
            model.load_state_dict(weights)
            optimiser = torch.optim.SGD(model.parameters(), lr=LR)
            order = torch.randperm(IMAGES)
            for start in range(0, IMAGES, BATCH):
                rows = order[start : start + BATCH]
                optimiser.zero_grad()
                torch.nn.functional.cross_entropy(model(x[rows]), y[rows]).backward()
                optimiser.step()
            for key, value in model.state_dict().items():
                total[key] += value * (IMAGES / (CLIENTS * IMAGES))
        weights = total
        spent_s.append(time.process_time() - begun_s)
    return spent_s


def plain_fd(name: str) -> list[float]:
    """CPU seconds of each round: the local steps with a teacher, the means of each label."""
    import torch

    cross_entropy = torch.nn.functional.cross_entropy
    clients = [tuple(map(torch.from_numpy, client_data(client))) for client in range(CLIENTS)]
    models = [NETS[name]((1, 28, 28), CLASSES) for _ in clients]
    teachers = torch.zeros(CLIENTS, CLASSES, CLASSES)
    spent_s = []
    for _ in range(max(MEASURED)):
        begun_s = time.process_time()
        tables, counts = torch.zeros_like(teachers), torch.zeros(CLIENTS, CLASSES)
        for client, (x, y) in enumerate(clients):
            model = models[client]
            optimiser = torch.optim.SGD(model.parameters(), lr=LR)
            order = torch.randperm(IMAGES)
            for start in range(0, IMAGES, BATCH):
                rows = order[start : start + BATCH]
                labels = y[rows]
                optimiser.zero_grad()
                logits = model(x[rows])
                taught = cross_entropy(logits, teachers[client][labels])
                (cross_entropy(logits, labels) + GAMMA * taught).backward()
                optimiser.step()
                tables[client].index_add_(0, labels, logits.detach().softmax(-1))
                counts[client].index_add_(0, labels, torch.ones(len(labels)))
        held = (counts > 0).float()
        tables /= counts.clamp(min=1)[:, :, None]
        others = (held.sum(0) - held).clamp(min=1)
        teachers = (tables.sum(0) - tables) / others[:, :, None]
        spent_s.append(time.process_time() - begun_s)
    return spent_s


def plain(_folder: Path, name: str, method: str) -> list[float]:
    import torch

    torch.set_num_threads(1)
    torch.manual_seed(0)
    return {"fedavg": plain_fedavg, "fd": plain_fd}[method](name)


def simulated(folder: Path, name: str, method: str) -> list[float]:
    """CPU seconds of each round of our simulator, from one fusion to the next.

    A device that drops out comes back within the round and computes it anew; what was
    thrown away is our cost and no update.
    """
    from edge_fd.simulation import simulate

    marks_s: list[float] = []

    def mark(record: RoundRecord) -> None:
        if record.accepted != CLIENTS:
            raise RuntimeError(f"round {record.round} has {record.accepted} updates")
        marks_s.append(time.process_time())

    with tempfile.TemporaryDirectory() as run:
        simulate(
            scenario(folder, name, method),
            Path(run) / "run",
            bundles=folder / "bundles",
            on_round=mark,
        )
    return [math.inf, *np.diff(marks_s).tolist()]


def shares(folder: Path, name: str, method: str) -> dict[str, float]:
    """Share of each phase in rounds 2 and 3 of our side."""
    import onnxruntime
    from simulation_scale import Phases

    from channel_sim.calendar import Calendar
    from edge_fd import messages
    from edge_fd.aggregator import Aggregator
    from edge_fd.desk import Desk
    from edge_fd.knowledge import Fused
    from edge_fd.simulation import simulate

    phases = Phases()
    phases.watch("step in ONNX Runtime", onnxruntime.InferenceSession, "run")
    phases.watch("around the step", Desk, "answer")
    phases.watch("channel", Calendar, "submit", "admit", "advance", "leave")
    phases.watch("frames", messages, "encode_sized", "as_read", "decode", "message_bytes")
    phases.watch("frames", messages, "to_frame", "from_frame")
    phases.watch("fusion", Aggregator, "_job")
    phases.watch("fusion", Fused, "canonical")
    marks: list[dict[str, float]] = []

    def mark(_record: RoundRecord) -> None:
        phases.enter("rest")
        marks.append(dict(phases.seconds))

    with tempfile.TemporaryDirectory() as run:
        simulate(
            scenario(folder, name, method),
            Path(run) / "run",
            bundles=folder / "bundles",
            on_round=mark,
        )
    first, last = marks[MEASURED[0] - 2], marks[MEASURED[-1] - 1]
    spent_s = {phase: last[phase] - first.get(phase, 0.0) for phase in last}
    return {phase: s / sum(spent_s.values()) for phase, s in sorted(spent_s.items())}


def one_side(side: str, folder: Path, name: str, method: str) -> dict[str, float]:
    if side == "shares":
        return shares(folder, name, method)
    spent_s = {"plain": plain, "simulated": simulated}[side](folder, name, method)
    best_s = min(spent_s[number - 1] for number in MEASURED)
    peak_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"ms_per_update": 1e3 * best_s / CLIENTS, "peak_rss_mb": peak_kb * 1024 / 1e6}


def run_side(side: str, folder: Path, name: str, method: str) -> dict[str, float]:
    command = [sys.executable, __file__, "--side", side, "--folder", str(folder)]
    command += ["--net", name, "--method", method]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    facts: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return facts


def compare(name: str, method: str, passes: int) -> dict[str, Any]:
    """Both sides in turn, after one run that makes the bundle."""
    taken: dict[str, list[dict[str, float]]] = {side: [] for side in SIDES}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write_data(folder)
        run_side("simulated", folder, name, method)
        for number in range(passes):
            # Whoever goes first changes, so that a drift of the machine hurts both.
            for side in SIDES if number % 2 else SIDES[::-1]:
                taken[side].append(run_side(side, folder, name, method))
        spread = run_side("shares", folder, name, method)
    times = {side: [facts["ms_per_update"] for facts in taken[side]] for side in SIDES}
    ratios = [
        ours / theirs for theirs, ours in zip(times["plain"], times["simulated"], strict=True)
    ]
    ours_ms = statistics.median(times["simulated"])
    return {
        "passes": passes,
        "cpu_ms_per_update": {side: statistics.median(times[side]) for side in SIDES},
        "ratio_median": statistics.median(ratios),
        "ratio_lowest": min(ratios),
        "ratio_highest": max(ratios),
        "ours_ms_per_update_by_phase": {phase: share * ours_ms for phase, share in spread.items()},
        "peak_rss_mb": {side: max(facts["peak_rss_mb"] for facts in taken[side]) for side in SIDES},
        "cpu_ms_per_update_by_pass": times,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--passes", type=int, default=10)
    parser.add_argument("--net", choices=NETS, nargs="+", default=list(NETS))
    parser.add_argument("--method", choices=("fedavg", "fd"), nargs="+", default=["fedavg", "fd"])
    parser.add_argument("--side", choices=(*SIDES, "shares"), help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side:
        (name,), (method,) = options.net, options.method
        print(json.dumps(one_side(options.side, options.folder, name, method)))
        return
    figures = {
        f"{name} {method}": compare(name, method, options.passes)
        for name, method in CASES
        if name in options.net and method in options.method
    }
    print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
