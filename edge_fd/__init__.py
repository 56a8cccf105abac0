"""edge-fd: federated distillation at the wireless edge.

What a notebook needs; each name is imported when it is first used::

    from edge_fd import Scenario, simulate, load_run
    run = simulate(Scenario.load("digits.toml"), "runs/digits")

    Scenario      one file that says everything about a run
    simulate      run it under a simulated clock and radio
    export        write the bundles and data files that boards need
    methods       the methods, and the way from a name to one
    load_run      read a run folder back
    write_report  one HTML file about some runs
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edge_fd import methods
    from edge_fd.kit import export
    from edge_fd.report import write_report
    from edge_fd.run_folder import load_run
    from edge_fd.scenario import Scenario
    from edge_fd.simulation import simulate

__version__ = "0.1.0"

__all__ = ["Scenario", "__version__", "export", "load_run", "methods", "simulate", "write_report"]

_HOMES = {
    "Scenario": "scenario",
    "export": "kit",
    "load_run": "run_folder",
    "simulate": "simulation",
    "write_report": "report",
}


def __getattr__(name: str) -> Any:
    if name == "methods":
        return import_module("edge_fd.methods")
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"edge_fd.{_HOMES[name]}"), name)
