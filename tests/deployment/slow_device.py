"""``edge-fd device`` with a gate: a real device process that waits at a chosen point.

    python slow_device.py GATE compute|saved ARGUMENTS OF edge-fd ...

GATE is a file that holds the number of the last round that may pass. ``compute``
waits before a round is computed, ``saved`` after its outcome is on disk and before
it is published. At the end the modules that the process loaded are printed.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

from edge_fd import cli, node
from edge_fd.store import DeviceStore, Saved

gate, point = Path(sys.argv[1]), sys.argv[2]


def wait(number: int) -> None:
    while number > int(gate.read_text()):
        time.sleep(0.01)


def compute(self: Any, plain: Any = node._Node._compute) -> None:
    wait(self._participant.job_round)
    plain(self)


def save(self: DeviceStore, saved: Saved, plain: Any = DeviceStore.save) -> None:
    plain(self, saved)
    wait(saved.done)


if point == "compute":
    node._Node._compute = compute  # type: ignore[method-assign]
else:
    DeviceStore.save = save  # type: ignore[method-assign]
status = cli.main(sys.argv[3:])
sys.stdout.write("modules: " + " ".join(sorted({name.split(".")[0] for name in sys.modules})))
sys.exit(status)
