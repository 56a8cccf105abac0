"""Made-up runs that look like real ones; the report is developed and tested on them.

    python tests/report/fake_runs.py FOLDER

writes the folders of 5 methods x 2 seeds simulated and 1 deployed run, and the
report over all of them, into FOLDER.
"""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edge_fd.records import Bytes, DeviceRecord, Mode, RoundRecord
from edge_fd.report.summary import summarise
from edge_fd.run_folder import Run, RunFolder, load_run

if TYPE_CHECKING:
    from collections.abc import Iterator

ROUNDS = 15


@dataclass(frozen=True)
class Shape:
    """What makes one method look like itself: its plateau and its payloads in bytes."""

    method: str
    plateau: float
    up: int
    down: int
    server: bool = False
    proxy: int = 0


SHAPES = (
    Shape("local", 0.52, 0, 0),
    Shape("fedavg", 0.91, 176_000, 176_000, server=True),
    Shape("fd", 0.63, 430, 410),
    Shape("fedmd", 0.82, 8_000, 8_000, proxy=51_200),
    Shape("dsfl", 0.86, 2_600, 2_500, server=True, proxy=51_200),
)


def write_run(
    folder: Path,
    shape: Shape,
    seed: int,
    *,
    mode: Mode = "simulated",
    devices: int = 12,
    rounds: int = ROUNDS,
    finish: bool = True,
    prefix: str = "device",
) -> Run:
    """Write one run and return it as read back."""
    random = np.random.default_rng([seed, devices, *shape.method.encode()])
    shape = replace(shape, plateau=shape.plateau + random.normal(0, 0.03))
    names = [f"{prefix}-{index:02d}" for index in range(devices)]
    clock_s = 0.0
    with RunFolder(folder) as target:
        target.start(
            f"seed = {seed}\n[method]\nname = '{shape.method}'\n", _facts(shape, seed, mode)
        )
        for number in range(1, rounds + 1):
            records = list(_round(shape, names, number, random, mode))
            for record in records:
                target.device(record)
            opened_s, clock_s = clock_s, clock_s + _duration(records)
            target.round(_closed(shape, number, opened_s, clock_s, records))
        run = load_run(folder)
        summary = summarise(
            run.name,
            run.rounds,
            run.devices,
            mode=mode,
            method=shape.method,
            seed=seed,
            one_time_proxy_bytes=shape.proxy,
            one_time_bundle_bytes=214_000,
        )
        if finish:
            target.finish(summary)
    return load_run(folder)


def write_all(folder: Path) -> list[Run]:
    """Write 5 methods x 2 seeds simulated and DS-FL deployed."""
    runs = [
        write_run(folder / f"{shape.method}-{seed}", shape, seed)
        for shape in SHAPES
        for seed in (1, 2)
    ]
    return [*runs, write_run(folder / "dsfl-deployed", SHAPES[4], 1, mode="deployed", devices=4)]


def _facts(shape: Shape, seed: int, mode: Mode) -> dict[str, object]:
    verb = "run" if mode == "simulated" else "serve"
    return {
        "mode": mode,
        "method": shape.method,
        "seed": seed,
        "scenario": "digits" if shape.method != "fedavg" else "digits-one-student",
        "data": "UCI optical digits, Dirichlet 0.3, 200 proxy, 360 test",
        "command": f"edge-fd {verb} digits.toml --method {shape.method} --seed {seed}",
    }


def _round(
    shape: Shape, names: list[str], number: int, random: np.random.Generator, mode: Mode
) -> Iterator[DeviceRecord]:
    progress = 1 - math.exp(-number / 4)
    for index, name in enumerate(names):
        fate = random.random()
        outcome = "accepted"
        if fate > 0.9:
            outcome = "absent" if fate > 0.97 else "lost" if fate > 0.94 else "late"
        there = outcome != "absent"
        own = shape.plateau * progress + 0.12 + random.normal(0, 0.01)
        evaluated = number % 3 == 0 or number == 1
        simulated = mode == "simulated"
        infer = index == len(names) - 1
        slow = (0.9 if index % 2 else 2.6) if simulated else 0.07
        compute_s = slow * (0.2 if infer else 1) * random.uniform(0.9, 1.1)
        airtime_s = (shape.up + 600) / (2e4 if simulated else 2e7)
        yield DeviceRecord(
            round=number,
            device=name,
            student="cnn" if index % 2 else "mlp",
            capability="infer" if infer else "train",
            profile=("pi5" if index % 2 else "pi4") if simulated else None,
            outcome=outcome,
            accuracy_test=0.1 + (shape.plateau - 0.1) * progress + random.normal(0, 0.012)
            if evaluated
            else None,
            accuracy_own=min(own, 1.0) if evaluated else None,
            loss=2.3 * math.exp(-number / 6) if there and not infer else None,
            up=_bytes(shape.up, acknowledgements=1) if there else Bytes(),
            down=_bytes(shape.down, acknowledgements=2) if there else Bytes(),
            down_s=airtime_s * 0.8 * random.uniform(1, 1.5) if there else None,
            compute_s=compute_s if there else None,
            up_s=airtime_s * random.uniform(1, 2) if there else None,
            compute_j=compute_s * 3.1 if there and simulated else None,
            tx_j=airtime_s * 1.1 if there and simulated else None,
            rx_j=airtime_s * 0.7 if there and simulated else None,
            idle_j=0.4 * slow if there and simulated else None,
            attempts=int(random.integers(1, 3)) if there else 0,
            private_samples=40 + 7 * index,
        )


def _bytes(payload: int, *, acknowledgements: int) -> Bytes:
    packets = 1 + payload // 1400
    return Bytes(
        payload=payload,
        envelope=150 if payload else 90,
        mqtt=60 + 4 * acknowledgements,
        tcp_ip=40 * (packets + acknowledgements),
        paper_bits=8 * payload,
    )


def _duration(records: list[DeviceRecord]) -> float:
    times = [
        r.down_s + r.compute_s + r.up_s for r in records if r.compute_s and r.down_s and r.up_s
    ]
    return max(times, default=1.0)


def _closed(
    shape: Shape, number: int, opened_s: float, closed_s: float, records: list[DeviceRecord]
) -> RoundRecord:
    count = {name: sum(r.outcome == name for r in records) for name in ("accepted", "late")}
    tested = [r.accuracy_test for r in records if r.accuracy_test is not None]
    return RoundRecord(
        round=number,
        status="closed",
        opened_s=opened_s,
        closed_s=closed_s,
        participants=len(records),
        accepted=count["accepted"],
        late=count["late"],
        refused=0,
        fused_sha256=f"{number:064x}",
        server_accuracy=float(np.mean(tested)) + 0.02 if shape.server and tested else None,
    )


if __name__ == "__main__":
    from edge_fd.report import comparison_table, write_report

    everything = write_all(Path(sys.argv[1]))
    sys.stdout.write(comparison_table(everything) + "\n")
    sys.stdout.write(f"{write_report(everything, Path(sys.argv[1]) / 'report.html')}\n")
