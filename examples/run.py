"""Runs the examples: three seeds of each scenario and method; what is complete is kept.

    python examples/run.py [--only fashion|har] [--out runs/examples]

Data are looked for in EDGE_FD_DATA. A summary of each comparison is written to
examples/results/ with the command, the commit and the machine that made it.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
MIXED = "local,fd,fedmd,dsfl"
SEEDS = 3


def jobs() -> list[tuple[str, str, str, list[str]]]:
    """Return run name, scenario file, methods and overrides of each job."""
    har = [
        ("har-mixed", "uci_har.toml", MIXED, []),
        ("har-cnn", "uci_har_one_student.toml", "fedavg", []),
    ]
    fashion = []
    for alpha in (0.1, 0.5):
        for name, file, methods in (
            (f"fashion-mixed-a{alpha}", "fashion_mnist.toml", MIXED),
            (f"fashion-lenet5-a{alpha}", "fashion_mnist_one_student.toml", "fedavg"),
        ):
            fashion.append((name, file, methods, [f"split.alpha={alpha}", f"name={name}"]))
    return har + fashion


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--only", choices=("fashion", "har"), help="one of the two examples")
    parser.add_argument("--out", type=Path, default=Path("runs/examples"))
    options = parser.parse_args()
    for name, file, methods, overrides in jobs():
        if options.only and not name.startswith(options.only):
            continue
        command = ["run", f"examples/{file}", "--method", methods, "--seeds", str(SEEDS)]
        command += [word for item in overrides for word in ("--set", item)]
        command += ["--out", str(options.out)]
        print(f"edge-fd {' '.join(command)}", flush=True)
        subprocess.run([sys.executable, "-m", "edge_fd", *command], cwd=HERE.parent, check=True)
        write_result(name, command, options.out)
    return 0


def write_result(name: str, command: list[str], out: Path) -> None:
    """Write the summaries of one comparison as JSON."""
    folder = HERE.parent / out / name
    found = [json.loads(path.read_text()) for path in sorted(folder.glob("*/summary.json"))]
    facts = [json.loads(path.read_text()) for path in sorted(folder.glob("*/run.json"))]
    result = {
        "command": f"edge-fd {' '.join(command)}",
        "commit": _git("rev-parse", "HEAD"),
        "machine": {
            "platform": platform.platform(),
            "cpus": os.cpu_count(),
            "python": platform.python_version(),
        },
        "versions": facts[0]["versions"] if facts else {},
        "summaries": found,
    }
    target = HERE / "results" / f"{name}.json"
    target.parent.mkdir(exist_ok=True)
    target.write_text(json.dumps(result, indent=1) + "\n")


def _git(*arguments: str) -> str:
    done = subprocess.run(
        ["git", *arguments], cwd=HERE, capture_output=True, text=True, check=False
    )
    return done.stdout.strip()


if __name__ == "__main__":
    sys.exit(main())
