"""What a side of benchmarks/rivals.py is told, and the clocks that it is read with.

No torch here: a side imports what it needs and nothing else.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import pss

CLIENTS, ROUNDS = 100, 3
NETS = ("conv", "mlp")


@dataclass(frozen=True)
class Options:
    """Which net, how many processes that compute, and where a side may keep files."""

    net: str
    workers: int
    folder: Path


class Marks:
    """Wall time and CPU time of this process and its children, read as rounds end.

    Made at the call into the framework: what comes before is imports and data.
    """

    def __init__(self) -> None:
        self._start_s = time.monotonic() - pss.age_s(os.getpid())
        self._wall_s, self._cpu_s = [time.monotonic()], [self._tree_s()]

    @staticmethod
    def _tree_s() -> float:
        return pss.cpu_s(pss.tree(os.getpid()))

    def round_ended(self, *, updates: int) -> None:
        """Raises RuntimeError where not all clients took part."""
        if updates != CLIENTS:
            raise RuntimeError(f"round {len(self._wall_s)} has {updates} of {CLIENTS} updates")
        self._wall_s.append(time.monotonic())
        self._cpu_s.append(self._tree_s())

    def figures(self) -> dict[str, float]:
        """What is compared; rounds beyond the task's are left out."""
        if len(self._wall_s) <= ROUNDS:
            raise RuntimeError(f"{len(self._wall_s) - 1} of {ROUNDS} rounds ended")
        wall_s, cpu_s = (
            [late - early for early, late in pairwise(marks)][:ROUNDS]
            for marks in (self._wall_s, self._cpu_s)
        )
        return {
            "start_to_round_1_s": self._wall_s[1] - self._start_s,
            "updates_per_s_best": CLIENTS / min(wall_s),
            "updates_per_s_all": ROUNDS * CLIENTS / sum(wall_s),
            # The first round is left out: libraries load what they need in it.
            "cpu_ms_per_update": 1e3 * min(cpu_s[1:]) / CLIENTS,
        }


def run(side: Callable[[Options], dict[str, Any]], description: str) -> None:
    """Command line of a side; prints its figures as one line of JSON, the last."""
    parser = argparse.ArgumentParser(description=description.partition("\n")[0])
    parser.add_argument("--net", choices=NETS, required=True)
    parser.add_argument("--workers", type=int, required=True, help="processes that compute")
    parser.add_argument("--folder", type=Path, required=True, help="kept between runs")
    print(json.dumps(side(Options(**vars(parser.parse_args())))))
