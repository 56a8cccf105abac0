"""Random waypoint: straight ways between uniform points, in the steady state from time 0."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from channel_sim.checks import check_count, check_not_negative, check_positive
from channel_sim.places.area import Disc, Positions, Rectangle
from channel_sim.places.draws import Draws
from channel_sim.places.mobility import Clock


class RandomWaypoint:
    """``n`` devices walk to a uniform point, pause, and walk on to the next.

    Speed is uniform in [v_min, v_max] on each way, the pause is constant.
    Time 0 is drawn from the steady state (Navidi and Camp 2004): a device is
    on a way with probability E[way time] / (E[way time] + pause_s); its way is
    drawn in proportion to its length, its place uniformly on it and its speed
    with density proportional to 1 / v, so that the mean over time is (v_max -
    v_min) / ln(v_max / v_min) from the beginning. Without that the mean speed
    of a run decays for a long time, and with v_min = 0 for ever, so that
    v_min must be positive. The density of places is highest in the middle; that is
    the model. Raises ValueError for parameters out of range.
    """

    def __init__(
        self,
        n: int,
        area: Rectangle | Disc,
        rng: np.random.Generator,
        *,
        v_min_m_s: float,
        v_max_m_s: float,
        pause_s: float = 0.0,
    ) -> None:
        check_count("n", n)
        check_positive("v_min_m_s", v_min_m_s)
        check_positive("v_max_m_s", v_max_m_s)
        check_not_negative("pause_s", pause_s)
        if v_min_m_s > v_max_m_s:
            raise ValueError(
                f"v_min_m_s = {v_min_m_s!r} is above v_max_m_s = {v_max_m_s!r}; swap them"
            )
        self._area, self._pause_s = area, pause_s
        self._v_min_m_s, self._v_max_m_s = v_min_m_s, v_max_m_s
        self._draws, self._clock = Draws(rng), Clock()
        self._way = np.zeros(n, np.int64)
        self._start_steady(np.arange(n))

    def positions_m(self, t_s: float) -> Positions:
        """Return places at ``t_s``, shape (n, 2); see :class:`channel_sim.places.Mobility`."""
        self._walk(t_s)
        done = (t_s - self._leave_s) / (self._reach_s - self._leave_s)
        done = np.clip(done, 0.0, 1.0)[:, np.newaxis]
        return np.asarray(self._from_m + done * (self._to_m - self._from_m))

    def speeds_m_s(self, t_s: float) -> npt.NDArray[np.float64]:
        """Return speeds at ``t_s`` in m/s, shape (n,); 0 in a pause."""
        self._walk(t_s)
        length_m = np.linalg.norm(self._to_m - self._from_m, axis=1)
        return np.where(t_s < self._reach_s, length_m / (self._reach_s - self._leave_s), 0.0)

    def _start_steady(self, device: npt.NDArray[np.int64]) -> None:
        uniform = self._draws.uniform
        ratio = self._v_max_m_s / self._v_min_m_s
        slowness_s_m = 1 / self._v_min_m_s
        if ratio > 1:
            slowness_s_m = math.log(ratio) / (self._v_max_m_s - self._v_min_m_s)
        way_s = self._area.mean_distance_m * slowness_s_m
        walks = uniform(device, 0, 0) * (way_s + self._pause_s) < way_s
        first_m, self._to_m = self._draw_long_way(device)
        place = uniform(device, 0, 1)[:, np.newaxis]
        self._from_m = np.where(
            walks[:, np.newaxis], first_m + place * (self._to_m - first_m), self._to_m
        )
        speed_m_s = self._v_min_m_s * ratio ** uniform(device, 0, 2)
        left_s = np.linalg.norm(self._to_m - self._from_m, axis=1) / speed_m_s
        # One that pauses came to a uniform place, a uniform part of the pause ago.
        paused_s = self._pause_s * uniform(device, 0, 3)
        self._to_m[~walks] = self._from_m[~walks] = self._draw_points(device[~walks], 0, 4)
        self._reach_s = np.where(walks, left_s, -paused_s)
        self._leave_s = np.where(walks, 0.0, -self._pause_s - 1.0)

    def _draw_long_way(self, device: npt.NDArray[np.int64]) -> tuple[Positions, Positions]:
        """Draw both ends of a way in proportion to its length, by rejection."""
        from_m, to_m = np.empty((len(device), 2)), np.empty((len(device), 2))
        open_, trial = device, 1
        while len(open_):
            base = 8 * trial
            from_m[open_] = self._draw_points(open_, 0, base)
            to_m[open_] = self._draw_points(open_, 0, base + 2)
            length_m = np.linalg.norm(to_m[open_] - from_m[open_], axis=1)
            keep = self._draws.uniform(open_, 0, base + 4) * self._area.diameter_m < length_m
            open_, trial = open_[~keep], trial + 1
        return from_m, to_m

    def _draw_points(
        self, device: npt.NDArray[np.int64], way: npt.ArrayLike, which: int
    ) -> Positions:
        pair = [self._draws.uniform(device, way, which + axis) for axis in (0, 1)]
        return self._area.spread(np.column_stack(pair))

    def _walk(self, t_s: float) -> None:
        """Begin new ways until each device is on, or pausing after, the way of ``t_s``."""
        self._clock.advance(t_s)
        late = np.flatnonzero(self._reach_s + self._pause_s <= t_s)
        while len(late):
            self._way[late] += 1
            way = self._way[late]
            self._from_m[late] = self._to_m[late]
            self._to_m[late] = self._draw_points(late, way, 0)
            span_m_s = self._v_max_m_s - self._v_min_m_s
            speed_m_s = self._v_min_m_s + span_m_s * self._draws.uniform(late, way, 2)
            length_m = np.linalg.norm(self._to_m[late] - self._from_m[late], axis=1)
            self._leave_s[late] = self._reach_s[late] + self._pause_s
            self._reach_s[late] = self._leave_s[late] + length_m / speed_m_s
            late = late[self._reach_s[late] + self._pause_s <= t_s]
