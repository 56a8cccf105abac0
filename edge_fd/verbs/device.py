"""``edge-fd device``: runs on a board, with the base install."""

from __future__ import annotations

import argparse
import ctypes
import sys
from pathlib import Path

from edge_fd.node import NodeSettings, run_node

M_MMAP_THRESHOLD = -3  # malloc.h
MAPPED_BYTES = 128 * 1024


def device(options: argparse.Namespace) -> int:
    """Take part in a run until it is over."""
    _spare_memory()
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


def _spare_memory() -> None:
    """Have glibc give freed arrays back to the system: the fixed threshold saves some 15 MB."""
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):
        libc.mallopt(M_MMAP_THRESHOLD, MAPPED_BYTES)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)  # noqa: T201
