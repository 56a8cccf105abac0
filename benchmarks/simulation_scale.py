"""What the simulator itself costs: processor time for each message and round, by size and phase.

    python benchmarks/simulation_scale.py

FD with a linear student of 64 features and ten samples a device, so that nearly all of the
time is the engine's: frames, rounds, fusion, radio, energy, dropout, records. 10 to 10,000
devices; the first and the last round are not counted, nor is what ONNX Runtime takes of the
others. A round ends after a minute at the latest: of thousands of devices one is always so far
away that it would keep the round open for an hour, in which the others restart and say so.
Where the time goes is measured in a run of its own, for the clock is part of it.
"""

from __future__ import annotations

import json
import math
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from matplotlib.figure import Figure

from channel_sim import Calendar
from edge_fd import aggregator, messages, participant
from edge_fd.desk import Desk
from edge_fd.methods.fd import FD
from edge_fd.recorder import Recorder
from edge_fd.scenario import Scenario
from edge_fd.simulation import simulate
from edge_fd.simulation.radio import Radio

COUNTED = {10: 100, 100: 20, 1000: 4, 10_000: 1}
"""How many rounds are counted of each number of devices: a second or more of each."""
PHASED = 1000
"""The number of devices of the run that is split into phases."""
SAMPLES, FEATURES, CLASSES = 10, 64, 10
AIM_MESSAGES_PER_S = 5000


def linear(input_shape: tuple[int, ...], classes: int) -> Any:
    """The smallest student."""
    from torch import nn

    return nn.Sequential(nn.Flatten(), nn.Linear(math.prod(input_shape), classes))


def write_data(devices: int, path: Path) -> None:
    """As many samples as there are places for, of noise: nothing is to be learnt here."""
    rng = np.random.default_rng(devices)
    count = SAMPLES * devices
    x = rng.standard_normal((count, FEATURES), np.float32)
    y = rng.permutation(count) % CLASSES
    np.savez(path, x=x, y=y, test_x=x[:CLASSES], test_y=np.arange(CLASSES))


def scenario(devices: int, data: Path, rounds: int) -> Scenario:
    return Scenario.parse(
        {
            "name": "scale",
            "data": {"name": "npz", "path": str(data), "proxy": 0},
            "split": {"kind": "iid", "min_per_device": 1},
            "training": {"batch": SAMPLES},
            "method": {"name": "fd"},
            "rounds": {"count": rounds, "evaluate_every": 1000, "quorum": 0.9, "deadline_s": 60.0},
            "devices": [{"name": "dev", "count": devices, "student": "simulation_scale:linear"}],
            "channel": {"model": "fdma"},
            "dropout": {
                "link_up_s": 60.0,
                "link_down_s": 1.0,
                "device_up_s": 600.0,
                "device_down_s": 5.0,
            },
        }
    )


class Meter:
    """Counts the messages over the radio and the processor time within ONNX Runtime."""

    def __init__(self) -> None:
        self.messages, self.model_s = 0, 0.0
        self.marks: list[tuple[float, int, float]] = []
        send, run = Radio.send, onnxruntime.InferenceSession.run

        def counted(radio: Radio, *values: Any) -> Any:
            self.messages += 1
            return send(radio, *values)

        def timed(session: Any, *values: Any, **named: Any) -> Any:
            begun_s = time.process_time()
            done = run(session, *values, **named)
            self.model_s += time.process_time() - begun_s
            return done

        Radio.send = counted  # type: ignore[method-assign, assignment]
        onnxruntime.InferenceSession.run = timed

    def mark(self, _record: object) -> None:
        self.marks.append((time.process_time(), self.messages, self.model_s))


def measure(devices: int, meter: Meter, folder: Path) -> dict[str, float]:
    counted = COUNTED[devices]
    data = folder / f"data-{devices}.npz"
    write_data(devices, data)
    meter.marks.clear()
    simulate(
        scenario(devices, data, counted + 2),
        folder / f"run-{devices}",
        bundles=folder / "b",
        on_round=meter.mark,
    )
    first, last = meter.marks[0], meter.marks[counted]
    cpu_s, sent, model_s = (late - early for early, late in zip(first, last, strict=True))
    engine_s = cpu_s - model_s
    return {
        "rounds_counted": counted,
        "messages_per_round": sent / counted,
        "cpu_s_per_round": cpu_s / counted,
        "engine_s_per_round": engine_s / counted,
        "engine_ms_per_message": 1e3 * engine_s / sent,
        "messages_per_engine_s": sent / engine_s,
    }


class Phases:
    """Seconds by phase; a phase within another one is not counted twice."""

    def __init__(self) -> None:
        self.seconds: Counter[str] = Counter()
        self._phase, self._since_s = "rest", time.perf_counter()

    def enter(self, phase: str) -> str:
        """Count for ``phase`` from now on; return which one it was until now."""
        before, now_s = self._phase, time.perf_counter()
        self.seconds[before] += now_s - self._since_s
        self._phase, self._since_s = phase, now_s
        return before

    def watch(self, phase: str, owner: Any, *names: str) -> None:
        """Count what these functions of a class or module take."""
        for name in names:
            setattr(owner, name, self._watched(phase, getattr(owner, name)))

    def _watched(self, phase: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def watched(*values: Any, **named: Any) -> Any:
            before = self.enter(phase)
            try:
                return function(*values, **named)
            finally:
                self.enter(before)

        return watched


def shares(folder: Path) -> dict[str, float]:
    """Share of a round's time by phase, ONNX Runtime included; "rest" is rounds and events."""
    phases = Phases()
    fuse = FD.fuse

    def fusing(method: FD, *values: Any) -> Generator[Any, Any, Any]:
        before = phases.enter("fusion")  # FD's asks for nothing, so it runs in one go
        try:
            return (yield from fuse(method, *values))
        finally:
            phases.enter(before)

    FD.fuse = fusing  # type: ignore[method-assign, assignment]
    phases.watch("model", onnxruntime.InferenceSession, "run")
    phases.watch("compute", Desk, "answer")
    phases.watch("channel", Calendar, "submit", "admit", "advance", "leave")
    phases.watch("channel", Radio, "wait_s")
    phases.watch("frames", messages, "encode_sized", "as_read", "decode", "message_bytes")
    phases.watch("frames", messages, "to_frame", "from_frame")
    phases.watch("frames", aggregator, "decode")
    phases.watch("frames", participant, "decode")
    phases.watch("records", Recorder, "charge", "note", "lost", "answered", "closed", "fused")
    marks: list[Counter[str]] = []

    def mark(_record: object) -> None:
        phases.enter("rest")
        marks.append(Counter(phases.seconds))

    counted = COUNTED[PHASED]
    simulate(
        scenario(PHASED, folder / f"data-{PHASED}.npz", counted + 2),
        folder / "run-phases",
        bundles=folder / "b",
        on_round=mark,
    )
    spent_s = {phase: marks[counted][phase] - marks[0][phase] for phase in marks[counted]}
    return {phase: s / sum(spent_s.values()) for phase, s in sorted(spent_s.items())}


def draw(figures: dict[int, dict[str, float]], path: Path) -> None:
    """Cost of a round against the number of devices; parallel to the line is proportional."""
    devices = np.array(list(figures))
    seconds = np.array([row["engine_s_per_round"] for row in figures.values()])
    sent = np.array([row["messages_per_round"] for row in figures.values()])
    figure = Figure(figsize=(5.2, 3.6), layout="constrained")
    axis = figure.subplots()
    axis.loglog(devices, seconds, "o-", label="a round of FD, without ONNX Runtime")
    label = f"{AIM_MESSAGES_PER_S:,} messages a second"
    axis.loglog(devices, sent / AIM_MESSAGES_PER_S, "k:", label=label)
    axis.set(xlabel="devices", ylabel="CPU seconds of a round")
    axis.grid(visible=True, which="both", alpha=0.3)
    axis.legend(frameon=False)
    figure.savefig(path)


def main() -> None:
    meter = Meter()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        figures = {size: measure(size, meter, folder) for size in COUNTED}
        phases = shares(folder)
    draw(figures, Path(__file__).parent / "results" / "simulation_scale.svg")
    print(json.dumps({"devices": figures, "phases_of_1000_devices": phases}, indent=2))


if __name__ == "__main__":
    main()
