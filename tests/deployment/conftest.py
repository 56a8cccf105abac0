"""Real brokers, and the simulations that the deployments of this folder must be equal to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="kits are made with torch, of the extra 'server'")

from field import Unbroken, tree, unbroken

from broker import brokers_found


@pytest.fixture(params=brokers_found(), scope="module")
def broker(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="session")
def plans(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Unbroken]:
    """Four rounds of a method that sends each device its own, and of one with a server student."""
    rounds: dict[str, Any] = {"count": 4, "deadline_s": 300.0, "remind_s": 2.0, "resend_s": 1.0}
    made: Path = tmp_path_factory.mktemp("plans")
    return {
        method: unbroken(tree(method, rounds=rounds), made / method) for method in ("fd", "dsfl")
    }
