"""``edge-fd device``: runs on a board, with the base install."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from edge_fd.node import NodeSettings, run_node


def device(options: argparse.Namespace) -> int:
    """Take part in a run until it is over."""
    settings = NodeSettings(
        name=options.name,
        bundle=options.bundle,
        data=options.data,
        url=options.broker,
        state=options.state or Path("state") / options.name,
        run=options.run,
        ca_file=options.ca_file,
    )
    run_node(settings, say=_say)
    return 0


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)  # noqa: T201
