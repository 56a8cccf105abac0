"""Layers in ONNX: convolution, max pooling, padding, batch norm of inference."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from edge_fd.errors import UsageError
from edge_fd.exporter.arithmetic import plain_where
from edge_fd.exporter.emit import Graph, Table, fake

aten: Any = torch.ops.aten

OPERATORS = Table()

_POOL_DEFAULTS: list[Any] = [[], [0, 0], [1, 1], False]


@OPERATORS.of(aten.convolution.default)
def _convolution(graph: Graph, _node: Any, *arguments: Any) -> str:
    x, weight, bias, stride, padding, dilation, transposed, output_padding, groups = arguments
    inputs = [graph.same(value) for value in (x, weight, bias) if value is not None]
    attributes = {
        "strides": list(stride),
        "pads": list(padding) * 2,
        "dilations": list(dilation),
        "group": groups,
    }
    if transposed:
        return graph.op("ConvTranspose", *inputs, output_padding=list(output_padding), **attributes)
    return graph.op("Conv", *inputs, **attributes)


@OPERATORS.of(aten._native_batch_norm_legit_no_training.default)  # noqa: SLF001 - its name
def _batch_norm(graph: Graph, _node: Any, x: Any, *arguments: Any) -> list[str]:
    """One node, which ONNX Runtime folds into the convolution before it."""
    weight, bias, mean, variance, _momentum, eps = arguments
    channels = int(fake(x).shape[1])
    scale = graph.constant(np.ones(channels)) if weight is None else graph.same(weight)
    shift = graph.constant(np.zeros(channels)) if bias is None else graph.same(bias)
    inputs = (graph.same(x), scale, shift, graph.same(mean), graph.same(variance))
    return [graph.op("BatchNormalization", *inputs, epsilon=eps)]


@OPERATORS.of(aten.max_pool2d_with_indices.default)
def _max_pool(graph: Graph, node: Any, x: Any, kernel: Any, *settings: Any) -> list[str]:
    backward = aten.max_pool2d_with_indices_backward.default
    for item in node.users:
        if item.args[1] == 1 and any(user.target is not backward for user in item.users):
            # ONNX counts them over the whole tensor, torch over one plane.
            raise UsageError("the indices of max pooling cannot be exported; use its values only")
    stride, padding, dilation, ceil_mode = [*settings, *_POOL_DEFAULTS[len(settings) :]]
    names = graph.ops(
        "MaxPool",
        graph.same(x),
        outputs=2,
        kernel_shape=_pair(kernel),
        strides=_pair(stride or kernel),
        pads=_pair(padding) * 2,
        dilations=_pair(dilation),
        ceil_mode=int(ceil_mode),
    )
    return list(names)


def _pair(values: Sequence[int]) -> list[int]:
    return list(values) * 2 if len(values) == 1 else list(values)


@OPERATORS.of(aten.max_pool2d_with_indices_backward.default)
def _max_pool_backward(graph: Graph, _node: Any, grad: Any, x: Any, *arguments: Any) -> str:
    """Give each gradient to the entry that won; where windows overlap, to the sum there."""
    return _unpool(graph, graph.same(grad), x, *arguments)


def _unpool(graph: Graph, grad: str, x: Any, *arguments: Any) -> str:
    kernel, stride, padding, dilation = (_pair(values) for values in arguments[:4])
    strides = stride or kernel
    apart = all(step >= size for step, size in zip(strides, kernel, strict=True))
    if apart and not any(padding) and set(dilation) == {1}:
        # Twice as fast as adding by ScatterElements, and the same bits.
        shape = graph.op("Shape", graph.same(x))
        won = graph.same(arguments[-1])
        sizes = {"kernel_shape": kernel, "strides": strides}
        return graph.op("MaxUnpool", grad, won, shape, **sizes)
    indices = graph.op("Reshape", graph.same(arguments[-1]), graph.ints(-1))
    size = graph.op("Reshape", graph.op("Size", graph.same(x)), graph.ints(1))
    zeros = graph.op("Expand", graph.constant(0.0), size)
    flat = graph.op("Reshape", grad, graph.ints(-1))
    spread = graph.op("ScatterElements", zeros, indices, flat, axis=0, reduction="add")
    return graph.op("Reshape", spread, graph.op("Shape", graph.same(x)))


@OPERATORS.of(aten.where.self)
def _where(graph: Graph, node: Any, condition: Any, a: Any, b: Any) -> str:
    """ReLU's gradient after max pooling's: what to drop is seen before it is spread, a quarter.

    The winner of a window is its maximum, and all other entries get nothing
    anyway: the same bits, 4 % of a LeNet step saved.
    """
    pooled = getattr(b, "target", None) is aten.max_pool2d_with_indices_backward.default
    zero = getattr(a, "target", None) is aten.scalar_tensor.default and a.args[0] == 0
    relu = condition.target is aten.le.Scalar and condition.args[1] == 0
    if not (pooled and zero and relu and condition.args[0] is b.args[1]):
        plain: str = plain_where(graph, node, condition, a, b)
        return plain
    grad, x, *settings = b.args
    maximum = graph.env[settings[-1].args[0]][0]
    dropped = graph.op("LessOrEqual", maximum, graph.constant(0.0))
    kept = graph.op("Where", dropped, graph.constant(0.0), graph.same(grad))
    return _unpool(graph, kept, x, *settings)


@OPERATORS.of(aten.constant_pad_nd.default)
def _pad(graph: Graph, node: Any, x: Any, pad: Sequence[int], value: float = 0.0) -> str:
    rank = fake(x).dim()
    before, after = [0] * rank, [0] * rank
    for i in range(len(pad) // 2):
        before[rank - 1 - i], after[rank - 1 - i] = pad[2 * i], pad[2 * i + 1]
    fill = graph.tensor(value, fake(node).dtype)
    return graph.op("Pad", graph.same(x), graph.ints(*before, *after), fill)
