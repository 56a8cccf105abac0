"""The verbs of the command line, one file each, and how to find one."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from importlib import import_module

__all__ = ["find"]


def find(name: str) -> Callable[[argparse.Namespace], int]:
    """Return the function of a verb."""
    verb: Callable[[argparse.Namespace], int] = getattr(
        import_module(f"edge_fd.verbs.{name}"), name
    )
    return verb
