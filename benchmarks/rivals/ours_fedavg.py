"""The task in edge-fd's simulator, with channel, dropout and energy on.

Alone: python benchmarks/rivals.py --only ours --net conv

The scenario of benchmarks/yardstick.py, whose fourth round, the one with the evaluation at the
end, is not counted. The bundle is made by the first run and found by the others.
"""

from __future__ import annotations

import inspect
import tempfile
from pathlib import Path
from typing import Any

import clocks
import yardstick

from edge_fd.scenario import Scenario
from edge_fd.simulation import simulate

STUDENTS = {"conv": "yardstick:net", "mlp": "mlp"}


def scenario(options: clocks.Options) -> Scenario:
    made = yardstick.scenario(options.folder)
    (group,) = made.devices
    group = group.model_copy(update={"student": STUDENTS[options.net]})
    return made.model_copy(update={"devices": (group,)})


def ours(options: clocks.Options) -> dict[str, Any]:
    yardstick.write_data(options.folder)
    settings: dict[str, Any] = {"workers": options.workers}
    if "workers" not in inspect.signature(simulate).parameters:
        settings = {}
    marks = clocks.Marks()
    with tempfile.TemporaryDirectory() as run:
        simulate(
            scenario(options),
            Path(run) / "run",
            bundles=options.folder / "bundles",
            on_round=lambda record: marks.round_ended(updates=record.accepted),
            **settings,
        )
    return marks.figures() | {"workers": settings.get("workers", 1)}


if __name__ == "__main__":
    clocks.run(ours, __doc__)
