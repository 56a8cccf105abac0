"""Waits between attempts: exponential, capped, with full jitter."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from channel_sim.checks import check_count, check_positive


@dataclass(frozen=True, kw_only=True)
class Backoff:
    """Wait U(0, min(cap, base 2^(k-1))) seconds after failed attempt k = 1, 2, ...

    Full jitter, as of M. Brooker, "Exponential backoff and jitter" (2015, as
    remembered): clients that failed together do not come back together.
    Raises ValueError for waits that are not positive and a cap below the base.
    """

    base_s: float = 1.0
    cap_s: float = 60.0

    def __post_init__(self) -> None:
        check_positive("base_s", self.base_s)
        check_positive("cap_s", self.cap_s)
        if self.cap_s < self.base_s:
            raise ValueError(f"cap_s = {self.cap_s!r} is below base_s = {self.base_s!r}; raise it")

    def most_s(self, attempt: int) -> float:
        """Return the longest wait after failed attempt ``attempt``."""
        check_count("attempt", attempt)
        return min(self.cap_s, self.base_s * 2.0 ** min(attempt - 1, 1000))

    def wait_s(self, attempt: int, rng: np.random.Generator) -> float:
        """Draw the wait after failed attempt ``attempt``; its mean is half of the longest."""
        return self.most_s(attempt) * rng.random()
