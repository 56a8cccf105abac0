"""Devices on a map: where they are at a time, and what their links then lose."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from channel_sim import Propagation
from channel_sim.places import (
    Disc,
    GaussMarkov,
    Mobility,
    RandomWaypoint,
    Rectangle,
    Static,
    load_mobility,
    load_places,
)
from edge_fd.errors import UsageError
from edge_fd.scenario import MobilitySection

Streams: TypeAlias = Callable[..., np.random.Generator]
GAUSS_MARKOV_STEP_S = 1.0


class Movement:
    """The losses of all devices around one station at 0, 0, as they move.

    The shadows are a field in the plane that stays; the same place always has
    the same shadow (see :meth:`channel_sim.Propagation.losses`). A device is
    never taken nearer than ``min_m``.
    """

    def __init__(
        self, mobility: Mobility, propagation: Propagation, *, min_m: float, streams: Streams
    ) -> None:
        self._mobility, self._propagation, self._min_m = mobility, propagation, min_m
        self._streams = streams

    def losses_db(self, t_s: float) -> npt.NDArray[np.float64]:
        """Return the loss of each device in dB at ``t_s``; ask in increasing order."""
        positions_m = self._mobility.positions_m(t_s)
        distances_m = np.maximum(np.hypot(*positions_m.T), self._min_m)
        # The same generator each time: the drop stays, only the places change.
        return self._propagation.losses(
            distances_m, rng=self._streams("channel", "field"), positions_m=positions_m
        ).loss_db


def build_mobility(
    section: MobilitySection, devices: Sequence[str], *, max_m: float, streams: Streams
) -> Mobility:
    """Build the mobility of a scenario; raise UsageError for files without all devices."""
    rng = streams("channel", "mobility")
    try:
        if section.places is not None:
            return _static(section.places, devices)
        if section.trace is not None:
            return load_mobility(section.trace, devices)
        if section.model == "random_waypoint":
            return RandomWaypoint(
                len(devices),
                Disc(max_m),
                rng,
                v_min_m_s=section.min_speed_m_s,
                v_max_m_s=section.max_speed_m_s,
                pause_s=section.pause_s,
            )
        side_m = max_m * math.sqrt(2)  # the square within the disc
        return GaussMarkov(
            len(devices),
            Rectangle(side_m, side_m),
            rng,
            mean_speed_m_s=(section.min_speed_m_s + section.max_speed_m_s) / 2,
            sigma_m_s=(section.max_speed_m_s - section.min_speed_m_s) / 2,
            alpha=section.memory,
            step_s=GAUSS_MARKOV_STEP_S,
        )
    except (OSError, ValueError) as error:
        raise UsageError(f"[mobility]: {error}") from None


def _static(path: str, devices: Sequence[str]) -> Static:
    places = load_places(path)
    row_of = {name: row for row, name in enumerate(places.names)}
    missing = [device for device in devices if device not in row_of]
    if missing:
        raise ValueError(f"{path} has no place for device {missing[0]!r}; add a line for it")
    return Static(places.positions_m[[row_of[device] for device in devices]])
