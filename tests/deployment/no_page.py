"""Imported by an aggregator's process whose page nobody looks at: drawing it is half its work."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import edge_fd.report
from edge_fd.run_folder import Run


def write_nothing(_runs: Sequence[Run], path: Path) -> Path:
    return path


edge_fd.report.write_report = write_nothing
