"""``edge-fd report``: compare runs that are there."""

from __future__ import annotations

import argparse

from edge_fd.report import comparison_table, write_report
from edge_fd.run_folder import load_run


def report(options: argparse.Namespace) -> int:
    """Print the table and write the HTML file."""
    runs = [load_run(path) for path in options.runs]
    print(comparison_table(runs))  # noqa: T201
    print(f"report: {write_report(runs, options.out)}")  # noqa: T201
    return 0
