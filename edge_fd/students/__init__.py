"""Students: small nets in torch, on the host only; boards run their exported graphs.

build                 a named net or a user's own, with seeded weights
count                 parameters and multiply-accumulates
default_input_shape   the input a student takes for a data set's samples
STUDENTS              names of the built-in ones
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edge_fd.students.cost import Counts, count
    from edge_fd.students.factory import STUDENTS, build, default_input_shape

__all__ = ["STUDENTS", "Counts", "build", "count", "default_input_shape"]

_MODULES = {
    "STUDENTS": "factory",
    "Counts": "cost",
    "build": "factory",
    "count": "cost",
    "default_input_shape": "factory",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
