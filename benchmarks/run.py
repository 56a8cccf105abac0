"""Runs the benchmarks one after the other and writes ``results/NAME.json`` for each.

    python benchmarks/run.py [NAME ...]

Each benchmark is a program of its own that prints its figures as JSON. Here they get
what makes them comparable: command, commit, machine, load, versions, and the aims, met or
missed. An aim that is missed is told and is no error; a benchmark that fails is one.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path
from typing import Any, TypeAlias

HERE = Path(__file__).parent
RESULTS = HERE / "results"
MADE = ("benchmarks/results", "validation/results", "docs/channel/*.svg", "docs/published")
"""What the runs themselves write: it does not make a checkout dirty."""
PACKAGES = ("numpy", "onnxruntime", "torch", "paho-mqtt", "cbor2", "simpy", "scipy")

Figures: TypeAlias = dict[str, Any]


@dataclass(frozen=True)
class Aim:
    """A figure that is to be at most ``most``."""

    figure: str
    most: float
    of: Callable[[Figures], float]


def _socket_bytes(message: str) -> Callable[[Figures], float]:
    def of(figures: Figures) -> float:
        return next(
            row["socket_bytes"]
            for row in figures["messages"]
            if row["message"] == message and not row["zstd"]
        )

    return of


def _ratio(case: str) -> Callable[[Figures], float]:
    return lambda figures: float(figures[case]["ratio_median"])


def _engine_ms(devices: int) -> Callable[[Figures], float]:
    return lambda figures: float(figures["devices"][str(devices)]["engine_ms_per_message"])


def _rival_to_ours(*sides: str) -> Callable[[Figures], float]:
    """Updates a second of the best round, convolutional net, the fastest of these sides."""

    def of(figures: Figures) -> float:
        ratios = figures["nets"]["conv"]["ratios"]
        return 1 / min(float(ratios[side]["updates_per_s_best"]) for side in sides)

    return of


# Those without an aim are for information.
BENCHMARKS: dict[str, list[Aim]] = {
    "install_size": [
        Aim("installed size of the device role, MB", 160, lambda f: f["installed_bytes"] / 1e6)
    ],
    "device_process": [
        Aim("resident memory idle, MB", 90, lambda f: f["idle_rss_mb"]),
        Aim("peak memory while training LeNet, MB", 90, lambda f: f["training_peak_mb"]),
        Aim("start to first training step, s", 0.8, lambda f: f["start_to_first_step_s"]),
    ],
    "round_trip": [
        Aim("round of 400 B with its fsync, median, ms", 50, lambda f: f["round_ms"]["median"]),
        Aim(
            "device CPU per round beyond the model, ms", 10, lambda f: f["device_cpu_ms_per_round"]
        ),
    ],
    "wire": [
        Aim("100 values float32, B", 520, _socket_bytes("knowledge float32, counts u8")),
        Aim("100 values float16, B", 320, _socket_bytes("knowledge float16, counts u8")),
        Aim("100 values uint8, B", 220, _socket_bytes("knowledge uint8, counts u8")),
    ],
    "training_step": [],
    "yardstick": [
        Aim("FedAvg, conv / plain torch loop, CPU", 0.9, _ratio("conv fedavg")),
        Aim("FedAvg, MLP / plain torch loop, CPU", 0.6, _ratio("mlp fedavg")),
        Aim("FD, conv / plain torch loop, CPU", 1.0, _ratio("conv fd")),
    ],
    "start_time": [Aim("start to first training step, s", 2, lambda f: f["start_to_first_step_s"])],
    "memory": [
        Aim("100 devices, FedAvg, conv, PSS, MB", 400, lambda f: f["yardstick"]["pss_mb"]),
        Aim("10,000 devices, FD, PSS, MB", 1000, lambda f: f["fd"]["pss_mb"]),
        Aim("10,000 devices, FedAvg, PSS, MB", 1000, lambda f: f["fedavg"]["pss_mb"]),
    ],
    "simulation_scale": [
        Aim(f"engine per message, {devices:,} devices, ms", 0.2, _engine_ms(devices))
        for devices in (10, 100, 1000, 10_000)
    ],
    "fleets": [],
    "radio_speed": [
        Aim("100,000 devices x 5 Wi-Fi frames, CPU s", 2, lambda f: f["wifi_100k"]["cpu_s"]),
        Aim("1,000,000 devices x 5 Wi-Fi frames, CPU s", 10, lambda f: f["wifi_1m"]["cpu_s"]),
        Aim("1,000,000 LoRa messages, CPU s", 1.5, lambda f: f["lora_1m"]["cpu_s"]),
        Aim("10,000 SimPy devices, CPU s", 2, lambda f: f["process_per_device"]["cpu_s"]),
        Aim("memory per device, B", 1000, lambda f: f["bytes_per_device"]),
    ],
    "demo_time": [Aim("demo, installed, s", 120, lambda f: f["wall_s"])],
    "rivals": [
        Aim("Flower / ours, conv, updates/s", 0.2, _rival_to_ours("flower")),
        Aim("pfl / ours, conv, updates/s", 0.667, _rival_to_ours("pfl", "pfl_2")),
    ],
}
ON_REQUEST = ("rivals",)
"""Not run unless named: they install an environment of their own and take long."""


def run(name: str) -> Figures:
    """Run one benchmark; its messages go to the terminal, its figures are returned."""
    command = [sys.executable, str(HERE / f"{name}.py")]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    figures: Figures = json.loads(done.stdout)
    return figures


def git(*arguments: str) -> str | None:
    """What git says of this checkout; None where there is none."""
    command = ["git", "-C", str(HERE), *arguments]
    try:
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def cpu_model() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def facts() -> dict[str, Any]:
    """Where and with what the figures were taken."""
    made = (f":(top,exclude){where}" for where in MADE)
    changed = git("status", "--porcelain", "--", ":/", *made)
    return {
        "when": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "commit": git("rev-parse", "HEAD"),
        "dirty": None if changed is None else bool(changed),
        "cpu": cpu_model(),
        "cores": os.cpu_count(),
        "system": platform.platform(),
        "load_before": os.getloadavg(),
        "versions": {"python": platform.python_version()}
        | {package: metadata.version(package) for package in PACKAGES},
    }


def report(name: str) -> bool:
    """Run a benchmark, write and print its result; return whether all aims are met."""
    about, begun_s = facts(), time.monotonic()
    figures = run(name)
    aims = [
        {"figure": aim.figure, "at_most": aim.most, "found": aim.of(figures)}
        for aim in BENCHMARKS[name]
    ]
    aims = [{**aim, "met": aim["found"] <= aim["at_most"]} for aim in aims]
    result = {
        "benchmark": name,
        "command": f"python benchmarks/run.py {name}",
        "aims": aims,
        "figures": figures,
        **about,
        "load_after": os.getloadavg(),
        "took_s": round(time.monotonic() - begun_s, 1),
    }
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.json").write_text(json.dumps(result, indent=2) + "\n")
    for aim in aims:
        verdict = "met" if aim["met"] else "MISSED"
        print(f"{name:17} {aim['figure']:45} {aim['found']:9.3g}  {aim['at_most']:>5} {verdict}")
    return all(aim["met"] for aim in aims)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("name", nargs="*", metavar="NAME", help=", ".join(BENCHMARKS))
    names = parser.parse_args().name or [name for name in BENCHMARKS if name not in ON_REQUEST]
    unknown = [name for name in names if name not in BENCHMARKS]
    if unknown:
        parser.error(f"no benchmark {unknown[0]!r}; there are: {', '.join(BENCHMARKS)}")
    missed = [name for name in names if not report(name)]
    print(f"written to {RESULTS}; aims missed in: {', '.join(missed) or 'none'}")


if __name__ == "__main__":
    main()
