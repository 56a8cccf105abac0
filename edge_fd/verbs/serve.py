"""``edge-fd serve``: the aggregator of a real deployment."""

from __future__ import annotations

import argparse

from edge_fd.records import RoundRecord
from edge_fd.server import ServerSettings
from edge_fd.server import serve as serve_run
from edge_fd.verbs.terminal import say, scenario_of


def serve(options: argparse.Namespace) -> int:
    """Serve until the rounds are over; then print the table and write the report."""
    settings = ServerSettings(
        folder=options.out,
        url=options.broker,
        port=options.port,
        ca_file=options.ca_file,
        method=options.method,
        bundles=options.bundles,
        command=options.command,
    )
    run = serve_run(scenario_of(options), settings, say=say, on_round=_tell)
    # Plots and pages are what takes long to import; devices that come do not wait for them.
    from edge_fd.report import comparison_table, write_report

    print(comparison_table([run]))  # noqa: T201
    print(f"report: {write_report([run], options.out / 'report.html')}")  # noqa: T201
    return 0


def _tell(record: RoundRecord) -> None:
    accuracy = record.server_accuracy
    server = "" if accuracy is None else f", server's student {100 * accuracy:.1f} %"
    seconds = record.closed_s - record.opened_s
    say(
        f"round {record.round} {record.status} after {seconds:.2f} s:"
        f" {record.accepted} of {record.participants} devices{server}"
    )
