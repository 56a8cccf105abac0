"""Tiny simulated worlds: digits, small networks, a few devices and rounds, bundles made once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="bundles are made with torch, of the extra 'server'")

from edge_fd import simulate
from edge_fd.facts import run_facts
from edge_fd.kit import prepare
from edge_fd.records import RoundRecord
from edge_fd.run_folder import Run, RunFolder, load_run
from edge_fd.scenario import Scenario
from edge_fd.simulation.world import World, cells_of, profiles_of


@dataclass
class Tiny:
    """Scenarios of three devices; ``changes`` are merged into the sections."""

    folder: Path
    counter: Iterator[int] = field(default_factory=lambda: iter(range(10**6)))

    def scenario(self, **changes: Any) -> Scenario:
        tree: dict[str, Any] = {
            "name": "tiny",
            "seed": 3,
            "data": {"name": "digits", "proxy": 20, "test": 40},
            "split": {"kind": "iid", "max_per_device": 30},
            "training": {"batch": 10},
            "method": {"name": "fd"},
            "rounds": {"count": 3, "quorum": 0.5, "deadline_s": 100.0},
            "devices": {"count": 3, "student": "mlp", "name": "d", "profile": "pi4"},
            "channel": {"model": "ideal"},
        }
        for key, value in changes.items():
            tree[key] = {**tree.get(key, {}), **value} if isinstance(value, dict) else value
        tree["devices"] = [tree["devices"]]
        return Scenario.parse(tree)

    def path(self) -> Path:
        return self.folder / f"run{next(self.counter)}"

    def simulate(self, **changes: Any) -> Run:
        bundles = self.folder / "bundles"
        return simulate(self.scenario(**changes), self.path(), bundles=bundles)

    @contextmanager
    def world(
        self, *, on_round: Callable[[RoundRecord], None] = lambda _: None, **changes: Any
    ) -> Iterator[World]:
        scenario = self.scenario(**changes)
        kit = prepare(scenario, self.folder / "bundles")
        with RunFolder(self.path()) as run_folder:
            run_folder.start(scenario.to_toml(), run_facts(kit, "simulated", ""))
            world = World(kit, cells_of(kit), profiles_of(kit), run_folder, on_round=on_round)
            yield world

    def records(self, world: World) -> Run:
        """The records of a world that has run."""
        return load_run(world.recorder._folder.path)


@dataclass(frozen=True)
class Downs:
    """An availability that is down from each ``(from, until)`` and up otherwise."""

    downs: tuple[tuple[float, float], ...]

    def is_up(self, t_s: float) -> bool:
        return not any(begin <= t_s < end for begin, end in self.downs)

    def next_change_s(self, t_s: float) -> float:
        changes = [when for down in self.downs for when in down if when > t_s]
        return min(changes, default=1e9)

    def up_until_s(self, t_s: float) -> float:
        return self.next_change_s(t_s) if self.is_up(t_s) else t_s

    def first_up_s(self, t_s: float) -> float:
        return t_s if self.is_up(t_s) else self.next_change_s(t_s)


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    return Tiny(tmp_path_factory.mktemp("tiny"))


@pytest.fixture
def downs() -> type[Downs]:
    return Downs
