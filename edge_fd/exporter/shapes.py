"""Shapes in ONNX: constants, views, joins, and the arithmetic of sizes that follow the batch."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from edge_fd.errors import UsageError
from edge_fd.exporter.emit import NUMPY_TYPES, Graph, Operator, Table, fake

aten: Any = torch.ops.aten

OPERATORS = Table()

_SLICE_DEFAULTS: list[Any] = [0, None, None, 1]
_END = 2**62  # torch writes "to the end" as a huge number


@OPERATORS.of(aten.scalar_tensor.default)
def _scalar(graph: Graph, node: Any, value: Any, **_options: Any) -> str:
    return graph.tensor(value, fake(node).dtype)


@OPERATORS.of(aten.full.default)
def _full(graph: Graph, node: Any, sizes: Sequence[Any], value: Any, **_options: Any) -> str:
    number = graph.tensor(value, fake(node).dtype)
    return graph.op("Expand", number, graph.shape(sizes, infer=False))


@OPERATORS.of(aten.empty_permuted.default, aten.empty.memory_format)
def _empty(graph: Graph, node: Any, sizes: Sequence[Any], *_order: Any, **_options: Any) -> str:
    number = graph.tensor(0, fake(node).dtype)
    return graph.op("Expand", number, graph.shape(sizes, infer=False))


@OPERATORS.of(aten.full_like.default)
def _full_like(graph: Graph, node: Any, x: Any, value: Any, **_options: Any) -> str:
    shape = graph.op("Shape", graph.same(x))
    return graph.op("Expand", graph.tensor(value, fake(node).dtype), shape)


@OPERATORS.of(aten.arange.start_step)
def _arange(graph: Graph, node: Any, start: Any, end: Any, step: Any = 1, **_options: Any) -> str:
    if any(isinstance(value, torch.fx.Node) for value in (start, end, step)):
        raise UsageError("arange over the batch cannot be exported; use one-hot rows instead")
    return graph.constant(np.arange(start, end, step), NUMPY_TYPES[fake(node).dtype])


@OPERATORS.of(aten.view.default, aten._unsafe_view.default)  # noqa: SLF001 - an operator's name
def _view(graph: Graph, node: Any, x: Any, sizes: Sequence[Any]) -> str:
    before, after = fake(x).shape, fake(node).shape
    if len(before) == len(after) and all(map(_alike, before, after)):
        return graph.same(x)
    return graph.op("Reshape", graph.same(x), graph.shape(sizes))


def _alike(size: Any, other: Any) -> bool:
    return isinstance(size, int) and isinstance(other, int) and size == other


@OPERATORS.of(aten.permute.default)
def _permute(graph: Graph, _node: Any, x: Any, axes: Sequence[int]) -> str:
    return graph.op("Transpose", graph.same(x), perm=[axis % len(axes) for axis in axes])


@OPERATORS.of(aten.expand.default)
def _expand(graph: Graph, _node: Any, x: Any, sizes: Sequence[Any]) -> str:
    # A size of 1 in ONNX's Expand keeps the axis as it is, as -1 does in torch.
    kept = [1 if not isinstance(size, torch.fx.Node) and size == -1 else size for size in sizes]
    return graph.op("Expand", graph.same(x), graph.shape(kept, infer=False))


@OPERATORS.of(aten.unsqueeze.default)
def _unsqueeze(graph: Graph, _node: Any, x: Any, axis: int) -> str:
    return graph.op("Unsqueeze", graph.same(x), graph.ints(axis))


@OPERATORS.of(aten.squeeze.dims, aten.squeeze.dim)
def _squeeze(graph: Graph, _node: Any, x: Any, axes: Any) -> str:
    wanted = [axes] if isinstance(axes, int) else axes
    single = [axis for axis in wanted if fake(x).shape[axis] == 1]
    return graph.op("Squeeze", graph.same(x), graph.ints(*single)) if single else graph.same(x)


@OPERATORS.of(aten.slice.Tensor)
def _slice(graph: Graph, _node: Any, x: Any, *settings: Any) -> str:
    axis, start, end, step = [*settings, *_SLICE_DEFAULTS[len(settings) :]]
    first = graph.vector(0 if start is None else start)
    last = graph.vector(_END if end is None else end)
    return graph.op("Slice", graph.same(x), first, last, graph.ints(axis), graph.ints(step))


@OPERATORS.of(aten.select.int)
def _select(graph: Graph, _node: Any, x: Any, axis: int, index: int) -> str:
    return graph.op("Gather", graph.same(x), graph.constant(index, np.int64), axis=axis)


@OPERATORS.of(aten.cat.default)
def _cat(graph: Graph, node: Any, parts: Sequence[Any], axis: int = 0) -> str:
    dtype = fake(node).dtype
    return graph.op("Concat", *[graph.tensor(part, dtype) for part in parts], axis=axis)


@OPERATORS.of(aten.split_with_sizes.default)
def _split(graph: Graph, _node: Any, x: Any, sizes: Sequence[int], axis: int = 0) -> list[str]:
    names = graph.ops("Split", graph.same(x), graph.ints(*sizes), outputs=len(sizes), axis=axis)
    return list(names)


@OPERATORS.of(operator.getitem)
def _getitem(graph: Graph, _node: Any, values: Any, index: int) -> str:
    name: str = graph.env[values][index]
    return name


@OPERATORS.of(aten.sym_size.int)
def _size(graph: Graph, _node: Any, x: Any, axis: int) -> str:
    start = axis % fake(x).dim()
    size = graph.op("Shape", graph.same(x), start=start, end=start + 1)
    return graph.op("Squeeze", size, graph.ints(0))


@OPERATORS.of(aten.sym_numel.default)
def _numel(graph: Graph, _node: Any, x: Any) -> str:
    return graph.op("Size", graph.same(x))


def _python(kind: str) -> Operator:
    """Arithmetic on sizes: whole numbers, or floats once divided."""

    def lower(graph: Graph, node: Any, a: Any, b: Any) -> str:
        is_float = isinstance(fake(node), (torch.SymFloat, float))
        dtype = torch.float32 if is_float else torch.int64
        return graph.op(kind, graph.tensor(a, dtype), graph.tensor(b, dtype))

    return lower


for _kind, _target in {
    "Add": operator.add,
    "Sub": operator.sub,
    "Mul": operator.mul,
    "Div": operator.truediv,
}.items():
    OPERATORS[_target] = _python(_kind)
OPERATORS[operator.floordiv] = _python("Div")  # sizes are not negative, where the two agree


@OPERATORS.of(torch.sym_float)
def _sym_float(graph: Graph, _node: Any, value: Any) -> str:
    return graph.tensor(value, torch.float32)
