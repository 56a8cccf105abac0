"""Students trained at the factory: each as if it were the only one."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_fd.kit import prepare
from edge_fd.scenario import Scenario

pytest.importorskip("torch", reason="bundles are made with torch")


def scenario() -> Scenario:
    group = {"student": "mlp", "capability": "infer", "factory_epochs": 2}
    return Scenario.parse(
        {
            "name": "factory",
            "data": {"name": "digits", "proxy": 0},
            "method": {"name": "fd"},
            "devices": [
                {"name": "eye", "count": 2, **group},
                {"name": "dev", "count": 1, "student": "mlp"},
            ],
        }
    )


def test_a_student_from_the_factory_does_not_depend_on_who_was_trained_before(
    tmp_path: Path,
) -> None:
    both = prepare(scenario(), tmp_path).devices
    first, second = (device for name, device in both.items() if name.startswith("eye"))
    made = second.bundle_path.read_bytes()
    assert made != first.bundle_path.read_bytes()
    # With the first one's bundle there already, the second is the first to be trained.
    second.bundle_path.unlink()
    alone = prepare(scenario(), tmp_path).devices[second.name]
    assert alone.bundle_path.read_bytes() == made
