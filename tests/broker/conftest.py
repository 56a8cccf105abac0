"""Real brokers for the tests of this folder, each test once per broker found."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from broker.embedded import BrokerHandle, brokers_found, open_broker


@pytest.fixture(params=brokers_found())
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def running(kind: str, tmp_path: Path) -> Iterator[BrokerHandle]:
    with open_broker(tmp_path / "run", url=kind) as handle:
        yield handle
