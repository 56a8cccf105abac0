"""The report of one or several runs.

summarise          the records of a run in one record
comparison_table   the table for the terminal
write_report       one HTML file with table and plots
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from edge_fd.errors import MissingExtraError

if TYPE_CHECKING:
    from edge_fd.report.page import write_report
    from edge_fd.report.summary import summarise
    from edge_fd.report.table import comparison_table

__all__ = ["comparison_table", "summarise", "write_report"]

_HOMES = {"comparison_table": "table", "summarise": "summary", "write_report": "page"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        home = import_module(f"{__name__}.{_HOMES[name]}")
    except ModuleNotFoundError as error:
        if error.name not in {"jinja2", "matplotlib"}:
            raise
        raise MissingExtraError(error.name, "sim") from error
    return getattr(home, name)


def __dir__() -> list[str]:
    return sorted(__all__)
