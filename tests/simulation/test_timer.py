"""The timer rings once, at the time last given."""

from __future__ import annotations

import math

import pytest
import simpy
from hypothesis import given
from hypothesis import strategies as st

from edge_fd.simulation.timer import Timer


def rings(settings: list[tuple[float, float]], until_s: float = 1000.0) -> list[float]:
    """Times at which a timer rings that is set at each ``(when, to what)``."""
    env = simpy.Environment()
    rung: list[float] = []
    timer = Timer(env, lambda: rung.append(env.now))
    for when_s, at_s in settings:
        env.timeout(when_s).callbacks.append(lambda _event, at_s=at_s: timer.set(at_s))
    env.run(until=until_s)
    return rung


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ([(0.0, 5.0)], [5.0]),
        ([(0.0, 5.0), (1.0, 3.0)], [3.0]),
        ([(0.0, 5.0), (1.0, 8.0)], [8.0]),
        ([(0.0, 5.0), (1.0, math.inf)], []),
        ([(0.0, 5.0), (1.0, math.inf), (2.0, 5.0)], [5.0]),
        ([(0.0, 5.0), (1.0, 5.0)], [5.0]),
        ([(0.0, 5.0), (6.0, 7.0)], [5.0, 7.0]),
        ([(4.0, 1.0)], [4.0]),
        ([], []),
    ],
)
def test_it_rings_at_the_time_last_given(
    settings: list[tuple[float, float]], expected: list[float]
) -> None:
    assert rings(settings) == expected


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 60)), max_size=8))
def test_only_the_last_setting_before_it_rings_counts(steps: list[tuple[int, int]]) -> None:
    """Against a table of seconds: what is pending at each whole second."""
    steps = sorted(dict(steps).items())
    expected, pending = [], math.inf
    given_at = dict(steps)
    for second in range(200):
        if pending == second and second not in given_at:
            expected.append(float(second))
            pending = math.inf
        elif second in given_at:
            if pending == second and given_at[second] != second:
                return  # both at one instant: either order is right
            pending = max(given_at[second], second)
            if pending == second:
                expected.append(float(second))
                pending = math.inf
    assert rings([(float(when), float(at)) for when, at in steps]) == expected


def test_it_can_be_set_again_while_it_rings() -> None:
    env = simpy.Environment()
    rung: list[float] = []

    def ring() -> None:
        rung.append(env.now)
        timer.set(env.now + 2.0 if len(rung) < 3 else math.inf)

    timer = Timer(env, ring)
    timer.set(1.0)
    env.run(until=100)
    assert rung == [1.0, 3.0, 5.0]
