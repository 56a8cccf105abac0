"""Arithmetic in ONNX: elementwise operators, comparisons, reductions, products, softmax."""

from __future__ import annotations

from typing import Any

import torch

from edge_fd.exporter.emit import NUMPY_TYPES, Graph, Operator, Table, fake

aten: Any = torch.ops.aten

OPERATORS = Table()


def _unary(kind: str) -> Operator:
    def lower(graph: Graph, _node: Any, x: Any) -> str:
        return graph.op(kind, graph.same(x))

    return lower


OPERATORS.update(
    {
        aten.abs.default: _unary("Abs"),
        aten.ceil.default: _unary("Ceil"),
        aten.erf.default: _unary("Erf"),
        aten.exp.default: _unary("Exp"),
        aten.floor.default: _unary("Floor"),
        aten.isnan.default: _unary("IsNaN"),
        aten.log.default: _unary("Log"),
        aten.logical_not.default: _unary("Not"),
        aten.bitwise_not.default: _unary("Not"),
        aten.neg.default: _unary("Neg"),
        aten.reciprocal.default: _unary("Reciprocal"),
        aten.relu.default: _unary("Relu"),
        aten.sgn.default: _unary("Sign"),
        aten.sigmoid.default: _unary("Sigmoid"),
        aten.sign.default: _unary("Sign"),
        aten.sqrt.default: _unary("Sqrt"),
        aten.tanh.default: _unary("Tanh"),
    }
)


@OPERATORS.of(aten.rsqrt.default)
def _rsqrt(graph: Graph, _node: Any, x: Any) -> str:
    return graph.op("Reciprocal", graph.op("Sqrt", graph.same(x)))


@OPERATORS.of(aten.expm1.default)
def _expm1(graph: Graph, _node: Any, x: Any) -> str:
    return graph.op("Sub", graph.op("Exp", graph.same(x)), graph.constant(1.0))


@OPERATORS.of(aten.log1p.default)
def _log1p(graph: Graph, _node: Any, x: Any) -> str:
    return graph.op("Log", graph.op("Add", graph.same(x), graph.constant(1.0)))


@OPERATORS.of(
    aten.clone.default, aten.alias.default, aten.detach.default, aten.lift_fresh_copy.default
)
def _same(graph: Graph, _node: Any, x: Any, **_options: Any) -> str:
    # Autograd has run: a detach no longer means anything in the traced graph.
    return graph.same(x)


@OPERATORS.of(aten._assert_tensor_metadata.default)  # noqa: SLF001 - an operator's name
def _nothing(_graph: Graph, _node: Any, *_args: Any, **_options: Any) -> None:
    return None


def _binary(kind: str, *, compares: bool = False) -> Operator:
    def lower(graph: Graph, node: Any, a: Any, b: Any, *, alpha: float = 1) -> str:
        if compares:
            dtype = _common_dtype(a, b)
            return graph.op(kind, graph.tensor(a, dtype), graph.tensor(b, dtype))
        first, second = graph.operands(node, a, b)
        if alpha != 1:
            factor = graph.constant(alpha, NUMPY_TYPES[fake(node).dtype])
            second = graph.op("Mul", second, factor)
        return graph.op(kind, first, second)

    return lower


def _common_dtype(a: Any, b: Any) -> Any:
    values = [fake(x) if isinstance(x, torch.fx.Node) else x for x in (a, b)]
    return torch.result_type(*values)


for _kind, _targets in {
    "Add": (aten.add.Tensor, aten.add.Scalar),
    "Sub": (aten.sub.Tensor, aten.sub.Scalar),
    "Mul": (aten.mul.Tensor, aten.mul.Scalar),
    "Div": (aten.div.Tensor, aten.div.Scalar),
    "Max": (aten.maximum.default,),
    "Min": (aten.minimum.default,),
    "Pow": (aten.pow.Tensor_Scalar, aten.pow.Tensor_Tensor),
    "And": (aten.logical_and.default, aten.bitwise_and.Tensor),
    "Or": (aten.logical_or.default, aten.bitwise_or.Tensor),
}.items():
    OPERATORS.update(dict.fromkeys(_targets, _binary(_kind)))
for _kind, _targets in {
    "Equal": (aten.eq.Tensor, aten.eq.Scalar),
    "Greater": (aten.gt.Tensor, aten.gt.Scalar),
    "GreaterOrEqual": (aten.ge.Tensor, aten.ge.Scalar),
    "Less": (aten.lt.Tensor, aten.lt.Scalar),
    "LessOrEqual": (aten.le.Tensor, aten.le.Scalar),
}.items():
    OPERATORS.update(dict.fromkeys(_targets, _binary(_kind, compares=True)))


@OPERATORS.of(aten.ne.Tensor, aten.ne.Scalar)
def _ne(graph: Graph, _node: Any, a: Any, b: Any) -> str:
    dtype = _common_dtype(a, b)
    return graph.op("Not", graph.op("Equal", graph.tensor(a, dtype), graph.tensor(b, dtype)))


@OPERATORS.of(aten.clamp.default, aten.clamp.Tensor)
def _clamp(graph: Graph, node: Any, x: Any, low: Any = None, high: Any = None) -> str:
    result, dtype = graph.same(x), fake(node).dtype
    if low is not None:
        result = graph.op("Max", result, graph.tensor(low, dtype))
    return result if high is None else graph.op("Min", result, graph.tensor(high, dtype))


@OPERATORS.of(aten.where.self)
def plain_where(graph: Graph, node: Any, condition: Any, a: Any, b: Any) -> str:
    """Also called by ``layers`` for what follows no pooling."""
    dtype = fake(node).dtype
    return graph.op("Where", graph.same(condition), graph.tensor(a, dtype), graph.tensor(b, dtype))


@OPERATORS.of(aten._to_copy.default)  # noqa: SLF001 - an operator's name
def _to(graph: Graph, _node: Any, x: Any, *, dtype: Any = None, **_options: Any) -> str:
    return graph.same(x) if dtype is None else graph.tensor(x, dtype)


def _reduce(kind: str) -> Operator:
    def lower(
        graph: Graph,
        node: Any,
        x: Any,
        axes: Any = None,
        *keep: bool,
        keepdim: bool = False,
        **_dtype: Any,
    ) -> str:
        rank = fake(x).dim()
        value = graph.tensor(x, fake(node).dtype)
        if not rank:
            return value
        wanted = [axes] if isinstance(axes, int) else list(axes or range(rank))
        names = graph.ints(*[axis % rank for axis in wanted])
        return graph.op(kind, value, names, keepdims=int(any((keepdim, *keep))))

    return lower


for _kind, _targets in {
    "ReduceSum": (aten.sum.dim_IntList, aten.sum.default),
    "ReduceMean": (aten.mean.dim, aten.mean.default),
    "ReduceMax": (aten.amax.default,),
    "ReduceMin": (aten.amin.default,),
}.items():
    OPERATORS.update(dict.fromkeys(_targets, _reduce(_kind)))


@OPERATORS.of(aten.mm.default, aten.bmm.default)
def _matmul(graph: Graph, _node: Any, a: Any, b: Any) -> str:
    return graph.op("MatMul", graph.same(a), graph.same(b))


@OPERATORS.of(aten.addmm.default)
def _addmm(
    graph: Graph, _node: Any, c: Any, a: Any, b: Any, *, beta: float = 1, alpha: float = 1
) -> str:
    return graph.op(
        "Gemm", graph.same(a), graph.same(b), graph.same(c), alpha=float(alpha), beta=float(beta)
    )


def _softmax(kind: str) -> Operator:
    def lower(graph: Graph, _node: Any, x: Any, axis: int, _half_to_float: Any) -> str:
        return graph.op(kind, graph.same(x), axis=axis)

    return lower


OPERATORS[aten._log_softmax.default] = _softmax("LogSoftmax")  # noqa: SLF001 - an operator's name
OPERATORS[aten._softmax.default] = _softmax("Softmax")  # noqa: SLF001 - an operator's name
