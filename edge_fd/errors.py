"""The errors of edge_fd, one tree; each is named for what the reader should do.

    EdgeFDError                 anything this package says in one line
    ├── UsageError              mend the input: a key, a value, a file (exit status 2)
    │   ├── UnknownNameError    a name that is not known; carries the nearest that is
    │   └── MissingExtraError   install an extra of this package
    ├── TargetError             a method built targets that are no distributions
    └── RefusedError            the other side refused us and says why

The leaves raise their own: ``broker.BrokerError``, ``broker.FrameError``,
``devices.BundleError``. The command line prints every one of them as one line.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class EdgeFDError(Exception):
    """Base of all errors that edge_fd raises on purpose."""


class UsageError(EdgeFDError):
    """Input that cannot be used; the message names key, value and remedy."""


class UnknownNameError(UsageError):
    """A name that is not among the known ones."""

    def __init__(self, what: str, name: str, known: Iterable[str]) -> None:
        self.name = name
        self.known = sorted(known)
        super().__init__(f"unknown {what} {name!r}{nearest(name, self.known)}")


class MissingExtraError(UsageError):
    """A package that this verb needs is not installed."""

    def __init__(self, package: str, extra: str) -> None:
        self.package = package
        super().__init__(
            f"the package {package!r} is not installed; run: pip install 'edge-fd[{extra}]'"
        )


class TargetError(EdgeFDError, ValueError):
    """Soft targets whose rows do not sum to one."""


class RefusedError(EdgeFDError):
    """The aggregator refused this device; carries its reason."""


def nearest(name: str, known: Iterable[str]) -> str:
    """Return the tail of a message: the nearest known name, or all of them."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    if close:
        return f"; did you mean {close[0]!r}?"
    return f"; known: {', '.join(names)}"
