"""Each backward lowering alone, run by ONNX Runtime, against torch.autograd."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
import torch
from torch.nn import functional

from edge_fd.errors import UsageError
from edge_fd.exporter.emit import emit
from edge_fd.exporter.lowerings import decompositions
from edge_fd.exporter.operators import OPERATORS
from edge_fd.exporter.trace import EXAMPLE_BATCH, trace


def gradients_agree(forward: Callable[..., Any], *inputs: Any) -> None:
    """Compare d(sum(forward * cotangent)) for all inputs, at the traced batch and at another."""

    shape = forward(*inputs).shape[1:]
    # A cotangent that differs in every entry shows misplaced gradients.
    cotangent = torch.arange(shape.numel()).reshape(shape).float().sin()

    def objective(*values: Any) -> Any:
        return (forward(*values) * cotangent).sum()

    def both(*values: Any) -> tuple[Any, ...]:
        return tuple(torch.func.grad(objective, tuple(range(len(values))))(*values))

    names = [f"in{i}" for i in range(len(inputs))]
    example = dict(zip(names, inputs, strict=True))
    example["in0"] = torch.zeros(EXAMPLE_BATCH, *inputs[0].shape[1:])
    traced = trace(both, example, batched=frozenset({"in0"}), decompositions=decompositions())
    outputs = [f"out{i}" for i in range(len(inputs))]
    graph = emit(traced, outputs, OPERATORS)
    session = ort.InferenceSession(graph, providers=["CPUExecutionProvider"])
    found = session.run(outputs, {n: v.numpy() for n, v in zip(names, inputs, strict=True)})
    leaves = [v.clone().requires_grad_() for v in inputs]
    due = torch.autograd.grad(objective(*leaves), leaves)
    for f, d in zip(found, due, strict=True):
        np.testing.assert_allclose(f, d.numpy(), rtol=1e-4, atol=2e-5)


@pytest.mark.parametrize(
    ("kernel", "stride", "padding", "dilation"),
    [
        ((5, 5), 1, 2, 1),
        ((3, 3), 1, 0, 1),
        ((3, 2), 2, 1, 1),
        ((3, 3), 3, 0, 1),
        ((2, 3), (2, 1), (0, 2), 1),
        ((3, 3), 1, 1, 2),
        ((3, 3), 2, 2, 2),
        ((1, 1), 1, 0, 1),
        ((1, 1), 2, 0, 1),
        ((4, 4), 2, 1, 1),
    ],
)
def test_convolution_2d(kernel: Any, stride: Any, padding: Any, dilation: Any) -> None:
    torch.manual_seed(0)
    gradients_agree(
        lambda x, w, b: functional.conv2d(x, w, b, stride, padding, dilation),
        torch.randn(3, 2, 11, 10),
        torch.randn(4, 2, *kernel),
        torch.randn(4),
    )


@pytest.mark.parametrize(
    ("kernel", "stride", "padding", "dilation"),
    [(5, 1, 2, 1), (4, 2, 1, 1), (3, 3, 0, 2), (1, 1, 0, 1)],
)
def test_convolution_1d(kernel: int, stride: int, padding: int, dilation: int) -> None:
    torch.manual_seed(0)
    gradients_agree(
        lambda x, w, b: functional.conv1d(x, w, b, stride, padding, dilation),
        torch.randn(3, 3, 20),
        torch.randn(4, 3, kernel),
        torch.randn(4),
    )


@pytest.mark.parametrize(
    ("kernel", "stride", "padding"), [(2, 2, 0), (3, 2, 0), (3, 1, 1), ((2, 3), (2, 1), (1, 0))]
)
def test_max_pooling_gives_ties_to_the_same_entry(kernel: Any, stride: Any, padding: Any) -> None:
    torch.manual_seed(0)
    x = torch.randint(-2, 3, (3, 2, 8, 9)).float()  # few values: many ties in each window
    gradients_agree(lambda x: functional.max_pool2d(x, kernel, stride, padding), x)


@pytest.mark.parametrize(("kernel", "stride", "padding"), [(2, 2, 0), (3, 2, 1), (3, 1, 0)])
def test_relu_before_max_pooling(kernel: int, stride: int, padding: int) -> None:
    torch.manual_seed(0)
    x = torch.randint(
        -3, 2, (3, 2, 8, 9)
    ).float()  # windows of negatives and zeros alone among them

    def pooled(x: Any) -> Any:
        return functional.max_pool2d(x, kernel, stride, padding)

    gradients_agree(lambda x: pooled(functional.relu(x)), x)
    gradients_agree(lambda x: pooled(functional.relu(x - 1) - 1), x)
    gradients_agree(lambda x: pooled(functional.relu(x)).sum() * functional.relu(x), x)
    gradients_agree(lambda x: pooled(functional.threshold(x, 0.0, -2.0)), x)
    gradients_agree(lambda x: pooled(functional.threshold(x, -1.0, 0.0)), x)


def test_max_pooling_1d() -> None:
    torch.manual_seed(0)
    gradients_agree(lambda x: functional.max_pool1d(x, 2), torch.randint(0, 3, (3, 2, 9)).float())


def test_slices_and_selected_entries() -> None:
    torch.manual_seed(0)
    gradients_agree(lambda x: x[:, 2:-1] * x[:, -3:] + x[:, :3] * x[:, 4:5], torch.randn(4, 6))
    gradients_agree(lambda x: x[:, -2] * x[:, 1], torch.randn(4, 6, 3))


def test_variance_with_and_without_correction() -> None:
    torch.manual_seed(0)
    gradients_agree(
        lambda x: x.var(-1, keepdim=True) * x + x.var((1, 2), correction=0, keepdim=True),
        torch.randn(4, 3, 5),
    )


@pytest.mark.parametrize(
    ("kernel", "stride", "padding", "dilation", "multiplier"),
    [
        ((3, 3), 1, 1, 1, 1),
        ((3, 3), 2, 1, 1, 1),
        ((3, 2), (2, 1), (0, 2), 1, 2),
        ((2, 3), 1, 0, 2, 3),
        ((1, 1), 2, 0, 1, 2),
        ((4, 4), 3, 2, 1, 1),
    ],
)
def test_depthwise_convolution_2d(
    kernel: Any, stride: Any, padding: Any, dilation: Any, multiplier: int
) -> None:
    torch.manual_seed(0)
    gradients_agree(
        lambda x, w, b: functional.conv2d(x, w, b, stride, padding, dilation, groups=4),
        torch.randn(3, 4, 11, 10),
        torch.randn(4 * multiplier, 1, *kernel),
        torch.randn(4 * multiplier),
    )


@pytest.mark.parametrize(("stride", "multiplier"), [(1, 1), (2, 2)])
def test_depthwise_convolution_1d(stride: int, multiplier: int) -> None:
    torch.manual_seed(0)
    gradients_agree(
        lambda x, w, b: functional.conv1d(x, w, b, stride, 2, groups=3),
        torch.randn(3, 3, 20),
        torch.randn(3 * multiplier, 1, 5),
        torch.randn(3 * multiplier),
    )


@pytest.mark.parametrize("shape", [(4, 3), (4, 3, 6), (4, 3, 5, 6)])
@pytest.mark.parametrize("affine", [True, False])
def test_batch_norm_in_training_mode(shape: tuple[int, ...], *, affine: bool) -> None:
    torch.manual_seed(0)
    scales = (torch.randn(3), torch.randn(3)) if affine else ()
    gradients_agree(
        lambda x, *scales: functional.batch_norm(
            x, torch.zeros(3), torch.ones(3), *scales, training=True, eps=1e-3
        ),
        torch.randn(*shape),
        *scales,
    )


def test_grouped_convolution_is_refused_with_the_remedy() -> None:
    x, w = torch.randn(2, 4, 6, 6), torch.randn(4, 2, 3, 3)
    with pytest.raises(UsageError, match="groups=1"):
        gradients_agree(lambda x, w: functional.conv2d(x, w, groups=2), x, w)
