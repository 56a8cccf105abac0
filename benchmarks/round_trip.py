"""Seconds of a round on loopback: 400 B of knowledge up and down, one device, no training.

    python benchmarks/round_trip.py [--rounds 200]

A real ``edge-fd device`` process, a real broker and the real aggregator with their files:
in each round the device syncs its state and the aggregator its journal and outcome. The
method computes nothing. A round lasts from one opening to the next. The processor time of
the device process in a round is the protocol's cost beyond the model.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import deployment
import numpy as np

from broker.embedded import open_broker
from edge_fd.kit import export
from edge_fd.records import RoundRecord
from edge_fd.scenario import Scenario
from edge_fd.server import ServerSettings, serve

WARM_UP = 10
SYNCS = 100


def scenario(rounds: int) -> Scenario:
    return Scenario.parse(
        deployment.tree(
            method={"name": "echo"},
            rounds={"count": rounds, "evaluate_every": 10**6},
            devices=[{"name": "dev", "count": 1, "student": "mlp"}],
        )
    )


def fsync_ms(folder: Path) -> float:
    """Median time of one small append and fsync, to tell a slow disk from slow code."""
    taken = []
    with (folder / "sync").open("ab") as file:
        for _ in range(SYNCS):
            begun_s = time.perf_counter()
            file.write(bytes(500))
            file.flush()
            os.fsync(file.fileno())
            taken.append(1e3 * (time.perf_counter() - begun_s))
    return statistics.median(taken)


def measure(rounds: int, kind: str) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        plan = scenario(rounds)
        kit = export(plan, folder / "kit")
        (device,) = kit.devices.values()
        with open_broker(folder / "broker", url=kind) as broker:
            arguments = deployment.arguments(
                folder / "kit", device.bundle_path, broker.url, folder / "state", device.name
            )
            with deployment.DeviceProcess(arguments, folder / "log", __file__) as process:
                marks: dict[int, tuple[float, float]] = {}

                def mark(record: RoundRecord) -> None:
                    if record.round in (WARM_UP, rounds - 1):
                        marks[record.round] = process.cpu_s(), time.process_time()

                settings = ServerSettings(
                    folder / "run", url=broker.url, bundles=folder / "kit" / "bundles"
                )
                run = serve(plan, settings, on_round=mark)
        opened_s = [record.opened_s for record in run.rounds[WARM_UP:]]
        periods_ms = (1e3 * np.diff(opened_s)).tolist()
        closing_ms = [1e3 * (r.closed_s - r.opened_s) for r in run.rounds[WARM_UP:]]
        counted = rounds - 1 - WARM_UP
        device_ms, server_ms = (
            1e3 * (late - early) / counted
            for early, late in zip(marks[WARM_UP], marks[rounds - 1], strict=True)
        )
        return {
            "broker": kind,
            "rounds": counted,
            "round_ms": {"median": statistics.median(periods_ms), "p95": p95(periods_ms)},
            "open_to_closed_ms": {"median": statistics.median(closing_ms), "p95": p95(closing_ms)},
            "device_cpu_ms_per_round": device_ms,
            "aggregator_cpu_ms_per_round": server_ms,
            "one_fsync_ms": fsync_ms(folder),
        }


def p95(values: list[float]) -> float:
    return statistics.quantiles(values, n=20)[-1]


def main() -> None:
    deployment.register_echo()
    if sys.argv[1:2] == ["device"]:
        from edge_fd.cli import main as edge_fd

        sys.exit(edge_fd(sys.argv[1:]))
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--broker", default="mosquitto", choices=("mosquitto", "amqtt"))
    options = parser.parse_args()
    print(json.dumps(measure(options.rounds, options.broker), indent=2))


if __name__ == "__main__":
    main()
