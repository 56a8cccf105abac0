"""The command ``edge-fd``: one verb for each thing that a user does.

Only argparse is imported here; each verb imports what it needs, so that a
board runs ``edge-fd device`` with the base install. Every error that is the
user's to mend is one line, with exit status 2.
"""

from __future__ import annotations

import argparse
import shlex
import signal
import sys
from collections.abc import Callable, Sequence
from typing import TypeAlias

from edge_fd import __version__
from edge_fd.errors import EdgeFDError, MissingExtraError
from edge_fd.verbs.parsers import add_verbs

USAGE_STATUS = 2
INTERRUPT_STATUS = 130

Verb: TypeAlias = Callable[[argparse.Namespace], int]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    options = _parser().parse_args(arguments)
    options.command = shlex.join(["edge-fd", *arguments])
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        return _verb(options.verb)(options)
    except KeyboardInterrupt:
        print("edge-fd: interrupted; what was written is kept", file=sys.stderr)  # noqa: T201
        return INTERRUPT_STATUS
    except Exception as error:
        if not _is_told(error):
            raise
        text = " ".join(str(error).split())
        print(f"edge-fd: error: {text}", file=sys.stderr)  # noqa: T201
        return USAGE_STATUS


def _is_told(error: Exception) -> bool:
    """Whether an error is one that we raise on purpose, with a message for the user."""
    from broker.errors import BrokerError, FrameError, TopicError
    from devices.bundle import BundleError
    from devices.student import TrainingDiverged

    ours = (EdgeFDError, BrokerError, FrameError, TopicError, BundleError, TrainingDiverged)
    return isinstance(error, ours)


def _verb(name: str) -> Verb:
    if name == "device":
        from edge_fd.verbs.device import device

        return device
    try:
        from edge_fd import verbs

        return verbs.find(name)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.startswith("edge_fd"):
            raise
        raise MissingExtraError(error.name, "all") from None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="edge-fd",
        description="Federated distillation at the wireless edge: simulate it, run it, measure it.",
    )
    parser.add_argument("--version", action="version", version=f"edge-fd {__version__}")
    add_verbs(parser.add_subparsers(dest="verb", required=True, metavar="VERB"))
    return parser
