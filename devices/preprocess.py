"""From samples as the data set holds them to the input of a student: scale, offset, resize."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[np.float32]

IMAGE_RANK = 3  # (channels, height, width)


@dataclass(frozen=True)
class Preprocess:
    """``x * scale + offset`` in float32, brought to ``shape`` (without the batch axis).

    A sample may already have ``shape``, may differ from it by leading axes of
    length one, or may be flattened (``shape`` of one axis). An image (height, width)
    or (channels, height, width) of another size than an image ``shape``
    (channels, height, width) is resized by nearest neighbour: output row i
    shows input row floor(i * source / target), columns alike.
    """

    scale: float
    offset: float
    shape: tuple[int, ...]

    def __post_init__(self) -> None:
        if not self.shape or any(size < 1 for size in self.shape):
            raise ValueError(f"input shape {self.shape} needs at least one axis, all above zero")
        if not (math.isfinite(self.scale) and math.isfinite(self.offset)):
            raise ValueError(f"scale {self.scale} and offset {self.offset} must be finite")

    def apply(self, x: npt.NDArray[Any]) -> Array:
        """Return (n, *shape) float32 from ``x`` (n, ...) of any number type.

        Raises ValueError where the samples cannot be brought to ``shape``.
        """
        fitted = self._fit(np.asarray(x))
        return (
            fitted.astype(np.float32) * np.float32(self.scale) + np.float32(self.offset)
        ).astype(np.float32, copy=False)

    def _fit(self, x: npt.NDArray[Any]) -> npt.NDArray[Any]:
        sample = x.shape[1:]
        flat = len(self.shape) == 1 and math.prod(sample) == self.shape[0]
        if x.ndim and (flat or _plain(sample) == _plain(self.shape)):
            return x.reshape(len(x), *self.shape)
        if len(self.shape) == IMAGE_RANK and x.ndim in (IMAGE_RANK, IMAGE_RANK + 1):
            image = x[:, None] if x.ndim == IMAGE_RANK else x
            if image.shape[1] == self.shape[0] and 0 not in image.shape[2:]:
                return _resized(image, self.shape[1], self.shape[2])
        raise ValueError(
            f"samples of shape {sample} do not fit the student's input {self.shape}: only images"
            " (height, width) or (channels, height, width) are resized; transpose or reshape"
            " the data first, or export the student for this shape"
        )

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        shape = [int(size) for size in self.shape]
        return {"offset": float(self.offset), "scale": float(self.scale), "shape": shape}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Preprocess:
        """Build from what :meth:`to_dict` gave; raises KeyError, TypeError or ValueError."""
        return cls(
            scale=float(values["scale"]),
            offset=float(values["offset"]),
            shape=tuple(int(size) for size in values["shape"]),
        )


def _plain(shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape without its leading ones; those within are kept, lest axes change places."""
    first = next((i for i, size in enumerate(shape) if size != 1), len(shape))
    return shape[first:]


def _resized(image: npt.NDArray[Any], height: int, width: int) -> npt.NDArray[Any]:
    rows = np.arange(height) * image.shape[2] // height
    columns = np.arange(width) * image.shape[3] // width
    return image[:, :, rows[:, None], columns]
