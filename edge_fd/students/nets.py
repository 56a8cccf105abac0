"""The built-in students as torch modules: an MLP, three CNNs, a GRU."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn

from edge_fd.errors import UsageError

Module = Any

IMAGE_RANK = 3
SERIES_RANK = 2
SMALLEST_IMAGE = 12
SMALLEST_DSCNN_IMAGE = 8
SMALLEST_SERIES = 4
GRU_HIDDEN = 24
GRU_STEPS = 32


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


def dscnn(input_shape: tuple[int, ...], classes: int) -> Module:
    """Depthwise-separable CNN with batch norm, as MobileNet (Howard et al. 2017, section 3).

    A 3x3 convolution of 32 maps and stride 2, then three blocks of a depthwise
    3x3 and a pointwise convolution (32, 32 with stride 2, 64 maps), the mean over
    the places, one linear layer. Zhang et al. 2017 ("Hello Edge", section 4)
    spot keywords with such a net of more blocks and a first kernel of 10x4.

    ``input_shape`` (channels, height, width), height and width at least 8.
    """
    if len(input_shape) != IMAGE_RANK or min(input_shape[1:]) < SMALLEST_DSCNN_IMAGE:
        raise UsageError(
            f"student 'dscnn' takes (channels, height, width) of at least {SMALLEST_DSCNN_IMAGE}x"
            f"{SMALLEST_DSCNN_IMAGE}, got {input_shape}; give a larger input_shape, samples are"
            " resized"
        )
    return nn.Sequential(
        *_normed(nn.Conv2d(input_shape[0], 32, 3, stride=2, padding=1, bias=False)),
        *_separable(32, 32),
        *_separable(32, 32, stride=2),
        *_separable(32, 64),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(64, classes),
    )


def _separable(channels: int, maps: int, stride: int = 1) -> list[Module]:
    depthwise = nn.Conv2d(
        channels, channels, 3, stride=stride, padding=1, groups=channels, bias=False
    )
    return [*_normed(depthwise), *_normed(nn.Conv2d(channels, maps, 1, bias=False))]


def _normed(convolution: Module) -> list[Module]:
    # Batch norm subtracts the mean, so that a bias would change nothing.
    return [convolution, nn.BatchNorm2d(convolution.out_channels), nn.ReLU()]


def gru(input_shape: tuple[int, ...], classes: int) -> Module:
    """GRU of 24 units over a sensor window (Cho et al. 2014, with torch's reset after the product).

    ``input_shape`` (channels, length) as ``har_cnn`` takes it, length at least
    4; (9, 128) for UCI HAR. A training graph holds every step of the recurrence,
    so the window is first averaged over blocks of equal length to at most 32
    steps; what is left over at its start is dropped. The last state goes to one
    linear layer.
    """
    if len(input_shape) != SERIES_RANK or input_shape[1] < SMALLEST_SERIES:
        raise UsageError(
            f"student 'gru' takes (channels, length) with length at least {SMALLEST_SERIES},"
            f" got {input_shape}; bring the data to channels first"
        )
    channels, length = input_shape
    return _Gru(channels, -(-length // GRU_STEPS), classes)


class _Gru(nn.Module):  # type: ignore[misc]  # torch is not seen by the type checker
    def __init__(self, channels: int, block: int, classes: int) -> None:
        super().__init__()
        self.block = block
        self.gru = nn.GRU(channels, GRU_HIDDEN, batch_first=True)
        self.head = nn.Linear(GRU_HIDDEN, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        start = x.shape[2] % self.block
        blocks = x[:, :, start:].unflatten(2, (-1, self.block)).mean(3)
        states, _ = self.gru(blocks.transpose(1, 2))
        return self.head(states[:, -1])
