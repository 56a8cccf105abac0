"""How long ``edge-fd demo`` takes: the installed package, a new folder.

    python benchmarks/demo_time.py

Installation is not counted. CPU time is that of the command and of all its children.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        command = [sys.executable, "-m", "edge_fd", "demo", "--out", str(Path(name) / "demo")]
        begun_s = time.monotonic()
        subprocess.run(command, check=True, stdout=sys.stderr)
        wall_s = time.monotonic() - begun_s
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(json.dumps({"wall_s": wall_s, "cpu_s": usage.ru_utime + usage.ru_stime}, indent=2))


if __name__ == "__main__":
    main()
