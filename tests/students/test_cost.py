"""Parameters and multiply-accumulates against counts by hand."""

from __future__ import annotations

import pytest
from torch import nn

from edge_fd.students import build, count


@pytest.mark.parametrize(
    ("name", "shape", "classes", "parameters", "macs"),
    [
        # 784*128 + 128*10 products; the biases add 138 parameters.
        ("mlp", (784,), 10, 101_770, 784 * 128 + 128 * 10),
        # Parameters of the design note onnx_training.md, section 1. Products: 28x28 places of
        # 8 maps with 25 taps, 10x10 places of 16 maps with 8*25 taps, then 400-64-10.
        ("lenet5", (1, 28, 28), 10, 29_738, 784 * 8 * 25 + 100 * 16 * 200 + 400 * 64 + 640),
        # 128 places of 16 maps with 9*5 taps, 64 places of 32 maps with 16*5 taps, 1024-32-6.
        ("har_cnn", (9, 128), 6, 36_326, 128 * 16 * 45 + 64 * 32 * 80 + 1024 * 32 + 32 * 6),
        # 3x3 taps, scale and shift after each convolution, blocks of depthwise and pointwise:
        # 288+64, twice 288+64+1024+64, 288+64+2048+128, 650. Places 14x14, 14x14, 7x7, 7x7.
        (
            "dscnn",
            (1, 28, 28),
            10,
            352 + 2 * 1440 + 2528 + 650,
            196 * 288 + 196 * (288 + 1024) + 49 * (288 + 1024) + 49 * (288 + 2048) + 640,
        ),
        # Parameters of the note as well. 32 steps of three gates of 24 units.
        ("gru", (9, 128), 6, 2_670, 32 * 3 * 24 * (9 + 24) + 24 * 6),
    ],
)
def test_built_in_students(
    name: str, shape: tuple[int, ...], classes: int, parameters: int, macs: int
) -> None:
    counts = count(build(name, shape, classes, seed=0), shape)
    assert (counts.parameters, counts.macs) == (parameters, macs)


def test_groups_and_stride_are_counted() -> None:
    layer = nn.Conv2d(4, 8, 3, stride=2, groups=2)  # 3x3 places from 8x8
    assert count(layer, (4, 8, 8)).macs == 3 * 3 * 8 * (4 // 2) * 9


def test_counting_leaves_no_trace_on_the_module() -> None:
    module = build("mlp", (4,), 2, seed=0)
    count(module, (4,))
    assert module.training
    assert not any(layer._forward_hooks for layer in module.modules())
