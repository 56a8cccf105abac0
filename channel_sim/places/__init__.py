"""Where devices are: placed once, or moving.

area          a rectangle or a disc
placement     uniform, in a grid, in clusters, from a file
stations      which station is nearest
mobility      the question every mobility answers; standing still
waypoint      random waypoint, in its steady state from the beginning
gauss_markov  velocity with memory
trace         recorded positions
draws         random numbers that do not depend on who asked before
"""

from channel_sim.places.area import Disc, Rectangle
from channel_sim.places.gauss_markov import GaussMarkov
from channel_sim.places.mobility import Mobility, Static
from channel_sim.places.placement import (
    Places,
    load_places,
    place_clusters,
    place_grid,
    place_ring,
    place_uniform,
)
from channel_sim.places.stations import nearest_station
from channel_sim.places.trace import TraceMobility, load_mobility
from channel_sim.places.waypoint import RandomWaypoint

__all__ = [
    "Disc",
    "GaussMarkov",
    "Mobility",
    "Places",
    "RandomWaypoint",
    "Rectangle",
    "Static",
    "TraceMobility",
    "load_mobility",
    "load_places",
    "nearest_station",
    "place_clusters",
    "place_grid",
    "place_ring",
    "place_uniform",
]
