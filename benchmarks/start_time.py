"""How long ``edge-fd run`` takes to its first training step when its bundle is ready.

    python benchmarks/start_time.py [--starts 7]

From the exec of the interpreter to the moment at which a student is first asked to train: one
small net on ten parts of the digits, FD. A first run, not counted, makes the bundle; each
start then finds it beside a new run folder. Neither torch nor onnx may be loaded. The
CPU time until then is told beside, since the machine may be busy.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

SCENARIO = """
name = "start"
[data]
name = "digits"
proxy = 0
[method]
name = "fd"
[rounds]
count = 1
[[devices]]
name = "dev"
count = 10
student = "mlp"
profile = "pi4"
"""
HEAVY = ("torch", "onnx", "matplotlib", "sklearn", "pyarrow", "jinja2", "scipy", "joblib")
"""Of these the report tells which were loaded; the first two are a failure."""


def traced(arguments: list[str]) -> int:
    """The command itself, but for one line when the first training begins."""
    import time

    import pss

    from devices.student import Student
    from edge_fd.cli import main as edge_fd

    train = Student.train

    def first(self: Student, *values: Any, **named: Any) -> Any:
        figures = {
            "wall_s": pss.age_s(os.getpid()),
            "cpu_s": time.process_time(),
            "loaded": [name for name in HEAVY if name in sys.modules],
        }
        print(json.dumps(figures), file=sys.stderr)
        Student.train = train  # type: ignore[method-assign]
        return train(self, *values, **named)

    Student.train = first  # type: ignore[method-assign]
    return edge_fd(arguments)


def start(scenario: Path, out: Path, bundles: Path) -> dict[str, Any]:
    """Start once with ready bundles; the last line before the run's own is the figures."""
    shutil.copytree(bundles, out / "start" / "bundles")
    command = [sys.executable, __file__, "run", str(scenario), "--out", str(out)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    lines = [line for line in done.stderr.splitlines() if line.startswith('{"wall_s"')]
    figures: dict[str, Any] = json.loads(lines[0])
    if {"torch", "onnx"} & set(figures["loaded"]):
        raise RuntimeError(f"loaded before the first step: {figures['loaded']}")
    return figures


def measure(starts: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        scenario = folder / "scenario.toml"
        scenario.write_text(SCENARIO)
        command = [sys.executable, "-m", "edge_fd", "run", str(scenario), "--out"]
        subprocess.run([*command, str(folder / "made")], check=True, stdout=sys.stderr)
        bundles = folder / "made" / "start" / "bundles"
        found = [start(scenario, folder / f"out-{i}", bundles) for i in range(starts)]
    return {
        "start_to_first_step_s": statistics.median(one["wall_s"] for one in found),
        "start_to_first_step_cpu_s": statistics.median(one["cpu_s"] for one in found),
        "shortest_s": min(one["wall_s"] for one in found),
        "loaded": found[0]["loaded"],
        "starts": found,
    }


def main() -> None:
    if sys.argv[1:2] == ["run"]:
        sys.exit(traced(sys.argv[1:]))
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--starts", type=int, default=7)
    print(json.dumps(measure(parser.parse_args().starts), indent=2))


if __name__ == "__main__":
    main()
