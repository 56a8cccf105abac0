"""Availability: when a link or a device is up, as a process in time.

The same process serves a link (computing goes on, nothing is sent) and a
device (what it was doing is lost); what a down time means is told by the user.

    periods  the four questions every process answers; periods drawn in turn
    markov   exponential up and down times
    weibull  heavy-tailed up times
    diurnal  more devices come up at one hour than at another
    trace    a recorded trace, repeated
    phones   files of recorded traces
"""

from channel_sim.availability.diurnal import Diurnal
from channel_sim.availability.markov import MarkovOnOff
from channel_sim.availability.periods import Availability
from channel_sim.availability.phones import Phones, load_phones
from channel_sim.availability.trace import TraceOnOff
from channel_sim.availability.weibull import WeibullOnOff

__all__ = [
    "Availability",
    "Diurnal",
    "MarkovOnOff",
    "Phones",
    "TraceOnOff",
    "WeibullOnOff",
    "load_phones",
]
