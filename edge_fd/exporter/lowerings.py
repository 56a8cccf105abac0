"""Backward operators written with forward ones, where torch's own table has none.

The rest of the calculus is torch's autograd and its core decompositions.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from functools import cache
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


@cache
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
    table[aten._native_batch_norm_legit_functional.default] = batch_norm  # noqa: SLF001
    table[aten.native_batch_norm_backward.default] = batch_norm_backward
    table[aten.var.correction] = variance
    table[aten.slice_backward.default] = slice_backward
    table[aten.select_backward.default] = select_backward
    return table


def convolution_backward(
    grad: Tensor, x: Tensor, weight: Tensor, _bias_sizes: Any, *settings: Any
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    """Gradients of input, weight and bias of a plain or depthwise 1-D or 2-D convolution.

    ``settings`` in torch's order: stride, padding, dilation, transposed,
    output padding, groups, which gradients are wanted. Depthwise: as many
    groups as input channels, any number of output channels to each.

    Dumoulin & Visin 2016, section 4: the input's gradient is a transposed
    convolution; the weight's is a convolution of the input by the gradient
    with batch and channels exchanged, stride and dilation exchanged.
    """
    stride, padding, dilation, transposed, _, groups, wanted = settings
    if transposed or groups not in (1, x.shape[1]):
        raise UsageError(
            "transposed and grouped convolutions cannot be trained on a device yet; use"
            " convolutions with groups=1 or depthwise ones (as many groups as channels), or export"
            " with capability 'infer'"
        )
    axes = weight.dim() - 2
    geometry = _each(stride, axes), _each(padding, axes), _each(dilation, axes)
    grad_x = grad_weight = grad_bias = None
    if wanted[0]:
        step, pad, spread = geometry
        # What a stride left over at the far edge must be given back as zeros.
        reach = [
            (grad.shape[2 + i] - 1) * step[i] - 2 * pad[i] + spread[i] * (weight.shape[2 + i] - 1)
            for i in range(axes)
        ]
        rest = [x.shape[2 + i] - reach[i] - 1 for i in range(axes)]
        grad_x = aten.convolution.default(grad, weight, None, step, pad, spread, True, rest, groups)
    if wanted[1]:
        lower = _depthwise_weight_gradient if groups > 1 else _weight_gradient
        grad_weight = lower(grad, x, weight, *geometry)
    if wanted[2]:
        grad_bias = grad.sum([0, *range(2, 2 + axes)])
    return grad_x, grad_weight, grad_bias


def _weight_gradient(
    grad: Tensor, x: Tensor, weight: Tensor, step: list[int], pad: list[int], spread: list[int]
) -> Tensor:
    axes, taps = weight.dim() - 2, list(weight.shape[2:])
    if axes == 1:
        return _weight_gradient_1d(grad, x, taps[0], step[0], pad[0], spread[0])
    if set(taps) == {1} and set(step) == {1} and not any(pad):
        # A tenth of the time of the swapped convolution.
        return _weight_gradient_1d(grad.flatten(2), x.flatten(2), 1, 1, 0, 1)[..., None]
    swapped = aten.convolution.default(
        x.transpose(0, 1), grad.transpose(0, 1), None, spread, pad, step, False, [0] * axes, 1
    )
    for i in range(axes):
        if swapped.shape[2 + i] != taps[i]:
            swapped = aten.slice.Tensor(swapped, 2 + i, 0, taps[i])
    return swapped.transpose(0, 1)


def _weight_gradient_1d(grad: Tensor, x: Tensor, taps: int, *geometry: int) -> Tensor:
    """One product per tap; in ONNX Runtime a third of the time of the swapped convolution."""
    step, pad, spread = geometry
    padded = aten.constant_pad_nd.default(x, [pad, pad]) if pad else x
    reach = (grad.shape[2] - 1) * step + 1
    shifted = [padded[:, :, t * spread : t * spread + reach : step] for t in range(taps)]
    columns = torch.cat(shifted, 1).transpose(1, 2)
    products = torch.bmm(grad, columns).sum(0)
    return products.view(grad.shape[1], taps, x.shape[1]).transpose(1, 2)


def _depthwise_weight_gradient(
    grad: Tensor, x: Tensor, weight: Tensor, step: list[int], pad: list[int], spread: list[int]
) -> Tensor:
    """Sum over batch and places of the gradient times the input shifted to each tap.

    Places come first and channels last, so that a shift moves whole blocks of
    memory: a quarter of the time of slices along the last axes.
    """
    axes, multiplier = weight.dim() - 2, grad.shape[1] // x.shape[1]
    if multiplier > 1:
        x = x.unsqueeze(2).expand(-1, -1, multiplier, *x.shape[2:]).flatten(1, 2)
    places_first = [*range(2, 2 + axes), 0, 1]
    grad, shifted = grad.permute(places_first), x.permute(places_first)
    if any(pad):
        edges = [0, 0, 0, 0, *[width for width in reversed(pad) for _ in range(2)]]
        shifted = aten.constant_pad_nd.default(shifted, edges)
    sums = []
    for tap in itertools.product(*[range(size) for size in weight.shape[2:]]):
        part = shifted
        for i in range(axes):
            first = tap[i] * spread[i]
            last = first + (grad.shape[i] - 1) * step[i] + 1
            part = aten.slice.Tensor(part, i, first, last, step[i])
        sums.append((grad * part).sum(list(range(axes + 1))))
    return torch.stack(sums, -1).view(weight.shape)


def batch_norm(
    x: Tensor, weight: Tensor | None, bias: Tensor | None, *settings: Any
) -> tuple[Tensor, ...]:
    """Ioffe & Szegedy 2015, algorithm 1, in training mode; axis 1 holds the channels.

    ``settings`` in torch's order: running mean, running variance, training,
    momentum, eps. Returns the output, the batch's mean and inverse deviation,
    and the new running values, the variance unbiased as in torch.
    """
    mean_before, variance_before, _training, momentum, eps = settings
    axes, place = _channels(x)
    count = x.numel() // x.shape[1]
    mean = x.mean(axes)
    centred = x - mean.view(place)
    spread = (centred * centred).mean(axes)
    inverse = (spread + eps).rsqrt()
    result = centred * (inverse if weight is None else inverse * weight).view(place)
    if bias is not None:
        result = result + bias.view(place)
    unbiased = spread * (count / (count - 1))
    return (
        result,
        mean,
        inverse,
        (1 - momentum) * mean_before + momentum * mean,
        (1 - momentum) * variance_before + momentum * unbiased,
    )


def batch_norm_backward(
    grad: Tensor, x: Tensor, weight: Tensor | None, *saved: Any
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    """Gradients of input, weight and bias of batch norm in training mode.

    ``saved`` in torch's order: running mean and variance, the batch's mean and
    inverse deviation, training, eps, which gradients are wanted.
    """
    _, _, mean, inverse, _, _, wanted = saved
    axes, place = _channels(x)
    count = x.numel() // x.shape[1]
    normal = (x - mean.view(place)) * inverse.view(place)
    grad_bias = grad.sum(axes)
    grad_weight = (grad * normal).sum(axes)
    grad_x = None
    if wanted[0]:
        scale = inverse if weight is None else inverse * weight
        shared = grad_bias.view(place) + normal * grad_weight.view(place)
        grad_x = scale.view(place) * (grad - shared / count)
    return grad_x, grad_weight if wanted[1] else None, grad_bias if wanted[2] else None


def _channels(x: Tensor) -> tuple[list[int], list[int]]:
    """Axes other than the channels', and the shape that spreads a value of each channel."""
    return [0, *range(2, x.dim())], [1, -1, *[1] * (x.dim() - 2)]


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
