"""What the simulator itself costs: processor time for each message and round.

    python benchmarks/simulation_scale.py

FD with a linear student on 8x8 digits, so that nearly all of the time is the engine's:
frames, rounds, radio, energy, dropout, records. 10, 100 and 1000 devices, four rounds;
rounds 2 and 3 are counted, without what ONNX Runtime takes of them.
"""

from __future__ import annotations

import json
import math
import tempfile
import time
from pathlib import Path
from typing import Any

import onnxruntime

from edge_fd.scenario import Scenario
from edge_fd.simulation import simulate
from edge_fd.simulation.radio import Radio

SIZES = (10, 100, 1000)
ROUNDS = 4


def linear(input_shape: tuple[int, ...], classes: int) -> Any:
    """The smallest student."""
    from torch import nn

    return nn.Sequential(nn.Flatten(), nn.Linear(math.prod(input_shape), classes))


def scenario(devices: int) -> Scenario:
    return Scenario.parse(
        {
            "name": "scale",
            "data": {"name": "digits", "proxy": 0, "test": 10},
            "split": {"kind": "iid", "min_per_device": 1, "max_per_device": 10},
            "training": {"batch": 10},
            "method": {"name": "fd"},
            "rounds": {"count": ROUNDS, "evaluate_every": 1000, "deadline_s": 3600.0},
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


class Counter:
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


def measure(devices: int, counter: Counter, folder: Path) -> dict[str, float]:
    counter.marks.clear()
    simulate(
        scenario(devices), folder / f"run-{devices}", bundles=folder / "b", on_round=counter.mark
    )
    first, last = counter.marks[0], counter.marks[ROUNDS - 2]
    cpu_s, messages, model_s = (late - early for early, late in zip(first, last, strict=True))
    engine_s = cpu_s - model_s
    counted = ROUNDS - 2
    return {
        "messages_per_round": messages / counted,
        "cpu_s_per_round": cpu_s / counted,
        "engine_s_per_round": engine_s / counted,
        "engine_ms_per_message": 1e3 * engine_s / messages,
        "messages_per_engine_s": messages / engine_s,
    }


def main() -> None:
    counter = Counter()
    with tempfile.TemporaryDirectory() as name:
        figures = {str(size): measure(size, counter, Path(name)) for size in SIZES}
    print(json.dumps({"devices": figures}, indent=2))


if __name__ == "__main__":
    main()
