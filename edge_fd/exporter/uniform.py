"""Tensors that hold one number everywhere: the graph keeps the number instead.

The gradient of a mean begins as such a tensor and passes through a handful of
reshapes and divisions. For a small student each of those small operators costs
as much as its arithmetic; an elementwise operator spreads the number by itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from edge_fd.exporter.emit import Graph

aten: Any = torch.ops.aten

_FILLED = (aten.full.default, aten.full_like.default)
_MOVED = (
    aten.expand.default,
    aten.view.default,
    aten._unsafe_view.default,  # noqa: SLF001 - an operator's name
    aten.unsqueeze.default,
    aten.squeeze.dims,
    aten.squeeze.dim,
    aten.permute.default,
    aten.clone.default,
    aten.alias.default,
    aten.detach.default,
)
_BINARY = {
    aten.mul.Tensor: "Mul",
    aten.mul.Scalar: "Mul",
    aten.div.Tensor: "Div",
    aten.div.Scalar: "Div",
}


def number_of(graph: Graph, node: Any) -> str | None:
    """Return the name of the number () that ``node`` holds everywhere; None where it may not."""
    if node.target in _FILLED:
        return graph.tensor(node.args[1], node.meta["val"].dtype)
    if node.target in _MOVED:
        source = node.args[0]
        if source in graph.numbers:
            return graph.numbers[source]
        return graph.same(source) if source.meta["val"].dim() == 0 else None
    if node.target is aten.neg.default and node.args[0] in graph.numbers:
        return graph.op("Neg", graph.numbers[node.args[0]])
    if node.target in _BINARY:
        known = [graph.is_number(value) for value in node.args]
        if all(known) and any(_is_tensor(v) and v in graph.numbers for v in node.args):
            dtype = node.meta["val"].dtype
            return graph.op(
                _BINARY[node.target], *[graph.number(value, dtype) for value in node.args]
            )
    return None


def fills(value: Any, shape: Any) -> bool:
    """Whether a tensor that spreads to ``shape`` has that shape already."""
    sizes = value.meta["val"].shape
    return len(sizes) == len(shape) and not any(
        _is_one(size) and not _is_one(due) for size, due in zip(sizes, shape, strict=True)
    )


def _is_one(size: Any) -> bool:
    return isinstance(size, int) and size == 1


def _is_tensor(value: Any) -> bool:
    return isinstance(value, torch.fx.Node) and isinstance(value.meta["val"], torch.Tensor)
