"""Backward operators written with forward ones, where torch's own table has none.

The rest of the calculus is torch's autograd and its core decompositions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from edge_fd.errors import UsageError

Tensor = Any
aten: Any = torch.ops.aten

# Core operators of torch that are compositions of plainer ones.
_COMPOSED = (
    aten.elu,
    aten.gelu,
    aten.hardtanh,
    aten.leaky_relu,
    aten.linalg_vector_norm,
    aten.silu,
    aten.silu_backward,
)


def decompositions() -> dict[Any, Callable[..., Any]]:
    """Return the decomposition table of the trace.

    The backward of max pooling stays whole: the emitter writes it with ONNX's
    own indices, which count over the whole tensor and not over one plane.
    """
    from torch._decomp import core_aten_decompositions, get_decompositions

    table: dict[Any, Callable[..., Any]] = dict(core_aten_decompositions())
    table.update(get_decompositions(_COMPOSED))
    table.pop(aten.max_pool2d_with_indices_backward.default, None)
    table[aten.convolution_backward.default] = convolution_backward
    table[aten.var.correction] = variance
    table[aten.slice_backward.default] = slice_backward
    table[aten.select_backward.default] = select_backward
    return table


def convolution_backward(
    grad: Tensor, x: Tensor, weight: Tensor, _bias_sizes: Any, *settings: Any
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    """Gradients of input, weight and bias of an ungrouped 1-D or 2-D convolution.

    ``settings`` in torch's order: stride, padding, dilation, transposed,
    output padding, groups, which gradients are wanted.

    Dumoulin & Visin 2016, section 4: the input's gradient is a transposed
    convolution; the weight's is a convolution of the input by the gradient
    with batch and channels exchanged, stride and dilation exchanged.
    """
    stride, padding, dilation, transposed, _, groups, wanted = settings
    if transposed or groups != 1:
        raise UsageError(
            "transposed and grouped convolutions cannot be trained on a device yet; use"
            " convolutions with groups=1, or export with capability 'infer'"
        )
    axes = weight.dim() - 2
    step, pad, spread = _each(stride, axes), _each(padding, axes), _each(dilation, axes)
    taps = list(weight.shape[2:])
    grad_x = grad_weight = grad_bias = None
    if wanted[0]:
        # What a stride left over at the far edge must be given back as zeros.
        reach = [
            (grad.shape[2 + i] - 1) * step[i] - 2 * pad[i] + spread[i] * (taps[i] - 1) + 1
            for i in range(axes)
        ]
        rest = [x.shape[2 + i] - reach[i] for i in range(axes)]
        grad_x = aten.convolution.default(grad, weight, None, step, pad, spread, True, rest, 1)
    if wanted[1] and axes == 1:
        grad_weight = _weight_gradient_1d(grad, x, taps[0], step[0], pad[0], spread[0])
    elif wanted[1]:
        swapped = aten.convolution.default(
            x.transpose(0, 1), grad.transpose(0, 1), None, spread, pad, step, False, [0] * axes, 1
        )
        for i in range(axes):
            if swapped.shape[2 + i] != taps[i]:
                swapped = aten.slice.Tensor(swapped, 2 + i, 0, taps[i])
        grad_weight = swapped.transpose(0, 1)
    if wanted[2]:
        grad_bias = grad.sum([0, *range(2, 2 + axes)])
    return grad_x, grad_weight, grad_bias


def _weight_gradient_1d(grad: Tensor, x: Tensor, taps: int, *geometry: int) -> Tensor:
    """One product per tap; in ONNX Runtime a third of the time of the swapped convolution."""
    step, pad, spread = geometry
    padded = aten.constant_pad_nd.default(x, [pad, pad]) if pad else x
    reach = (grad.shape[2] - 1) * step + 1
    shifted = [padded[:, :, t * spread : t * spread + reach : step] for t in range(taps)]
    columns = torch.cat(shifted, 1).transpose(1, 2)
    products = torch.bmm(grad, columns).sum(0)
    return products.view(grad.shape[1], taps, x.shape[1]).transpose(1, 2)


def slice_backward(grad: Tensor, sizes: Sequence[int], dim: int, *span: int) -> Tensor:
    """Zeros around the gradient of a slice; ``span`` is start, end, step."""
    start, end, step = span
    if step != 1:
        raise UsageError(f"a slice with step {step} cannot be trained through; use step 1")
    rank, size = len(sizes), sizes[dim]
    first = start + size if start < 0 else start
    last = min(end + size if end < 0 else end, size)
    pad = [0] * (2 * (rank - dim % rank))
    pad[-2:] = [first, size - last]
    return aten.constant_pad_nd.default(grad, pad)


def select_backward(grad: Tensor, sizes: Sequence[int], dim: int, index: int) -> Tensor:
    """Zeros around the gradient of one selected entry."""
    axis, size = dim % len(sizes), sizes[dim]
    first = index + size if index < 0 else index
    return slice_backward(grad.unsqueeze(axis), sizes, axis, first, first + 1, 1)


def variance(
    x: Tensor,
    dim: Sequence[int] | None = None,
    *,
    correction: float | None = None,
    keepdim: bool = False,
) -> Tensor:
    """Mean square distance from the mean over ``dim``, times n / (n - correction)."""
    dims = list(dim or range(x.dim()))
    size = 1
    for axis in dims:
        size = size * x.shape[axis]
    centred = x - x.mean(dims, keepdim=True)
    total = (centred * centred).sum(dims, keepdim=keepdim)
    return total / (size - (1 if correction is None else correction))


def _each(values: Sequence[int], axes: int) -> list[int]:
    return list(values) * axes if len(values) == 1 else list(values)
