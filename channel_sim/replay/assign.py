"""Which device replays which recording, and from where in it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from channel_sim.checks import check_known

Assign: TypeAlias = Literal["draw", "round_robin"]


def check_assign(assign: str) -> None:
    """Raise ValueError for a way of assigning that is not known."""
    check_known("assign", assign, ("draw", "round_robin"))


def assign_tracks(
    n: int,
    periods_ns: Sequence[int],
    rng: np.random.Generator,
    *,
    assign: Assign,
    random_offsets: bool,
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return number of the recording and offset in it (ns) of ``n`` devices, shapes (n,).

    "draw" takes any recording alike, "round_robin" one after the other. With
    random offsets two devices on one recording are not in step.
    """
    periods = np.asarray(periods_ns, np.int64)
    if assign == "draw":
        number = rng.integers(len(periods), size=n)
    else:
        number = np.arange(n, dtype=np.int64) % len(periods)
    if not random_offsets:
        return number, np.zeros(n, np.int64)
    return number, rng.integers(periods[number])
