"""The nets of the papers, as students of one's own.

A scenario names them ``validation.published.students:NAME``.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from typing import Any

from torch import nn

Module = Any


def fedgen_cnn(input_shape: tuple[int, ...], classes: int) -> Module:
    """FedGen's net for MNIST and EMNIST: 26,434 parameters at 10 classes.

    Two 3x3 convolutions of stride 2 (6 and 16 maps) with batch norm and ReLU,
    then linear to 32 and to the classes with nothing between (Zhu et al., ICML
    2021, and the authors' ``models.py``). ``input_shape`` (1, 28, 28).
    """
    channels, height, width = input_shape
    features = 16 * math.ceil(height / 4) * math.ceil(width / 4)
    return nn.Sequential(
        OrderedDict(
            conv1=nn.Conv2d(channels, 6, 3, stride=2, padding=1),
            norm1=nn.BatchNorm2d(6),
            relu1=nn.ReLU(),
            conv2=nn.Conv2d(6, 16, 3, stride=2, padding=1),
            norm2=nn.BatchNorm2d(16),
            relu2=nn.ReLU(),
            flatten=nn.Flatten(),
            latent=nn.Linear(features, 32),
            head=nn.Linear(32, classes),
        )
    )


def jeong_cnn(input_shape: tuple[int, ...], classes: int) -> Module:
    """Jeong et al.'s net, read from its 1,199,648 weights: 1,199,882 with biases.

    3x3 convolutions of 32 and 64 maps without padding, 2x2 max pooling, 128
    ReLU, classes (arXiv 1811.11479, section 4). ``input_shape`` (1, 28, 28).
    """
    channels, height, width = input_shape
    features = 64 * ((height - 4) // 2) * ((width - 4) // 2)
    return nn.Sequential(
        nn.Conv2d(channels, 32, 3),
        nn.ReLU(),
        nn.Conv2d(32, 64, 3),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(features, 128),
        nn.ReLU(),
        nn.Linear(128, classes),
    )
