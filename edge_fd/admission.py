"""What an upload must look like before it may count."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from broker.errors import FrameError
from broker.frame import Frame
from edge_fd.knowledge import VALUE_OF_KIND, Exact, Knowledge
from edge_fd.messages import read_piece


@dataclass(frozen=True)
class Expected:
    """What the uploads of a round must hold.

    ``kind`` None: no knowledge. ``samples`` proxy samples are asked about;
    ``parameters`` is the length of the device's weights, None where the
    aggregator does not know it; ``features`` is the width of the students'
    features; ``symbols`` are how many are sent for a sample.
    """

    kind: str | None
    classes: int
    samples: int = 0
    parameters: int | None = None
    features: int = 0
    symbols: int = 0

    @property
    def shape(self) -> tuple[int, ...] | None:
        """Shape of the value; None where it is not known."""
        if self.kind == "label_table":
            return (self.classes, self.classes)
        if self.kind == "weights":
            return None if self.parameters is None else (self.parameters,)
        if self.kind == "prototypes":
            return (self.classes, self.features)
        if self.kind == "symbols":
            return (self.samples * self.symbols,)
        return (self.samples, self.classes)


def admit(frame: Frame, expected: Expected) -> Knowledge | None:
    """Return the knowledge of an upload; raise FrameError with the reason to refuse it."""
    wanted = expected.kind or "done"
    if frame.kind != wanted:
        raise FrameError("kind", f"a frame of kind {frame.kind!r}; this round wants {wanted!r}")
    knowledge = read_piece(frame)
    if knowledge is None:
        return None
    shape = expected.shape
    if shape is not None and knowledge.value.shape != shape:
        name = VALUE_OF_KIND[knowledge.kind]
        raise FrameError(
            "shape", f"{name!r} has shape {knowledge.value.shape}; this round wants {shape}"
        )
    if knowledge.kind in ("label_table", "prototypes"):
        _check_counts(knowledge, expected.classes)
    if knowledge.kind == "weights":
        samples = _row(knowledge, "samples", 1)
        if samples[0] < 1:
            raise FrameError("range", f"samples = {int(samples[0])}; a device needs at least 1")
    return knowledge


def _check_counts(knowledge: Knowledge, classes: int) -> None:
    counts = _row(knowledge, "counts", classes)
    if (counts < 0).any():
        raise FrameError("range", f"counts hold {int(counts.min())}")
    held, shown = counts > 0, (knowledge.value != 0).any(-1)
    # A mean of features may be zero, a mean of distributions may not.
    differ = held != shown if knowledge.kind == "label_table" else shown & ~held
    if differ.any():
        label = int(np.argmax(differ))
        raise FrameError(
            "range", f"class {label} has count {int(counts[label])} but its row says otherwise"
        )


def _row(knowledge: Knowledge, name: str, length: int) -> Exact:
    array = knowledge.exact.get(name)
    if array is None or array.shape != (length,):
        found = "nothing" if array is None else f"shape {array.shape}"
        raise FrameError("shape", f"{name!r} must have shape ({length},), found {found}")
    return array
