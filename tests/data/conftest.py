"""Where the data of the data tests lies."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def data_root() -> Path:
    root = Path(os.environ.get("EDGE_FD_DATA", REPOSITORY.parent / "shared" / "data"))
    if not root.is_dir():
        pytest.skip(f"no data at {root}; set EDGE_FD_DATA")
    return root
