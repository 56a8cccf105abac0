"""The built-in students as torch modules: an MLP, a LeNet-5, a 1-D CNN."""

from __future__ import annotations

import math
from typing import Any

from torch import nn

from edge_fd.errors import UsageError

Module = Any

IMAGE_RANK = 3
SERIES_RANK = 2
SMALLEST_IMAGE = 12
SMALLEST_SERIES = 4


def mlp(input_shape: tuple[int, ...], classes: int) -> Module:
    """Flatten - 128 ReLU - classes; any input shape."""
    return nn.Sequential(
        nn.Flatten(), nn.Linear(math.prod(input_shape), 128), nn.ReLU(), nn.Linear(128, classes)
    )


def lenet5(input_shape: tuple[int, ...], classes: int) -> Module:
    """LeNet-5's layout (LeCun et al. 1998, section II.B), modernised and narrower.

    Two 5x5 convolutions, the first padded by 2, each followed by 2x2 pooling,
    then fully connected layers. It differs from the paper in: 8 and 16 feature
    maps instead of 6 and 16, all maps connected, ReLU instead of scaled tanh,
    max pooling instead of trained averaging, one hidden layer of 64 instead of
    120 and 84, a linear output instead of radial basis functions.

    ``input_shape`` (1 or 3, height, width), height and width at least 12.
    """
    if (
        len(input_shape) != IMAGE_RANK
        or input_shape[0] not in (1, 3)
        or min(input_shape[1:]) < SMALLEST_IMAGE
    ):
        raise UsageError(
            f"student 'lenet5' takes (1 or 3, height, width) of at least {SMALLEST_IMAGE}x"
            f"{SMALLEST_IMAGE}, got {input_shape}; give a larger input_shape, samples are resized"
        )
    channels, height, width = input_shape
    features = 16 * ((height // 2 - 4) // 2) * ((width // 2 - 4) // 2)
    return nn.Sequential(
        nn.Conv2d(channels, 8, 5, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(8, 16, 5),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(features, 64),
        nn.ReLU(),
        nn.Linear(64, classes),
    )


def har_cnn(input_shape: tuple[int, ...], classes: int) -> Module:
    """1-D CNN for sensor windows: two 5-tap convolutions (16, 32 maps), each pooled by 2, 32 ReLU.

    ``input_shape`` (channels, length), length at least 4; (9, 128) for UCI HAR.
    """
    if len(input_shape) != SERIES_RANK or input_shape[1] < SMALLEST_SERIES:
        raise UsageError(
            f"student 'har_cnn' takes (channels, length) with length at least {SMALLEST_SERIES},"
            f" got {input_shape}; bring the data to channels first"
        )
    channels, length = input_shape
    return nn.Sequential(
        nn.Conv1d(channels, 16, 5, padding=2),
        nn.ReLU(),
        nn.MaxPool1d(2),
        nn.Conv1d(16, 32, 5, padding=2),
        nn.ReLU(),
        nn.MaxPool1d(2),
        nn.Flatten(),
        nn.Linear(32 * (length // 2 // 2), 32),
        nn.ReLU(),
        nn.Linear(32, classes),
    )
