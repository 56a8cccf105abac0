"""The simulated deployment: SimPy's clock, channel_sim's radio, the same sessions and rounds.

Time is virtual; arithmetic is real. A device's computing takes the seconds of
its profile, a message what the medium says of its bytes; what is in the
messages, and what the students learn, is what boards would send and learn.

    world     the run as a whole: simulate
    node      one device: its computing, its ups and downs, its energy
    workers   processes that compute for the devices
    shelf     samples on disk, for those processes
    lives     when each device is up
    radio     messages over the media, with link outages
    cells     from a scenario to its media
    movement  devices on a map
    reach     whether a radio can carry a method's uploads at all
    timer     one wake-up at a time for a state machine
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edge_fd.simulation.world import simulate

__all__ = ["simulate"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module("edge_fd.simulation.world"), name)
