"""One wake-up at a time for a state machine that says when it next has something to do."""

from __future__ import annotations

import math
from collections.abc import Callable

import simpy


class Timer:
    """Calls ``ring`` at the time last given to :meth:`set`; earlier settings are void."""

    def __init__(self, env: simpy.Environment, ring: Callable[[], None]) -> None:
        self._env, self._ring = env, ring
        self._at_s = math.inf

    def set(self, at_s: float) -> None:
        """Ring at ``at_s`` of the environment's clock; never, if infinite."""
        if at_s == self._at_s:
            return
        self._at_s = at_s
        if math.isinf(at_s):
            return
        wake = self._env.timeout(max(0.0, at_s - self._env.now))
        wake.callbacks.append(lambda _event: self._wake(at_s))

    def _wake(self, at_s: float) -> None:
        if at_s == self._at_s:
            self._at_s = math.inf
            self._ring()
