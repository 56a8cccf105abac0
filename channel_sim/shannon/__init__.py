"""Shannon links of papers on federated learning: every device has a channel of its own.

family        Shannon: parameters, the plan by formula
law           one message: how many units it takes, how often one fails
calendar      events: one queue per device and direction
over_the_air  the mean of many values in one shot, with noise, outside the packet path
"""

from __future__ import annotations

from channel_sim.shannon.family import Shannon
from channel_sim.shannon.over_the_air import over_the_air_mean

__all__ = ["Shannon", "over_the_air_mean"]
