"""Export a student: weights, inference graph and training-step graphs in one bundle.

bundle      export_bundle: the whole way, with parity checked against torch
step        the training step as a function of flat vectors
trace       the one adapter to torch's tracing
lowerings   backward operators that torch does not decompose
operators   the table from aten to ONNX
emit        the walk from traced graph to ONNX model
golden      what torch makes of fixed batches, for parity and self-test
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edge_fd.exporter.bundle import export_bundle
    from edge_fd.exporter.golden import ExportError
    from edge_fd.exporter.step import inference_graph, training_graph

__all__ = ["ExportError", "export_bundle", "inference_graph", "training_graph"]

_MODULES = {
    "ExportError": "golden",
    "export_bundle": "bundle",
    "inference_graph": "step",
    "training_graph": "step",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
