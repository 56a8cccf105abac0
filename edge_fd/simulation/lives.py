"""When each device is up: by a law with means, or by the trace of a recorded phone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np

from channel_sim import Availability, Diurnal, MarkovOnOff, WeibullOnOff, load_phones
from edge_fd.errors import UsageError
from edge_fd.scenario import DropoutSection

Streams: TypeAlias = Callable[..., np.random.Generator]


def build_lives(
    dropout: DropoutSection, devices: Sequence[str], streams: Streams
) -> dict[str, Availability]:
    """Return the availability of each device that is ever down; raise UsageError for no trace."""
    if dropout.device_trace is not None:
        return _phones(dropout.device_trace, devices, streams)
    up_s, down_s = dropout.device_up_s, dropout.device_down_s
    if up_s is None or down_s is None:
        return {}
    lives: dict[str, Availability] = {}
    for device in devices:
        rng = streams("device", device, "availability")
        if dropout.device_law == "weibull":
            lives[device] = WeibullOnOff(up_s, down_s, rng, shape=dropout.device_shape)
        elif dropout.device_law == "diurnal":
            lives[device] = Diurnal(up_s, down_s, rng, swing=dropout.device_swing)
        else:
            lives[device] = MarkovOnOff(up_s, down_s, rng)
    return lives


def _phones(path: str, devices: Sequence[str], streams: Streams) -> dict[str, Availability]:
    try:
        traces = load_phones(Path(path)).traces
    except (OSError, ValueError) as error:
        raise UsageError(f"[dropout] device_trace = {path!r}: {error}") from None
    ready = [traces[phone] for phone in sorted(traces) if traces[phone].up_s]
    if not ready:
        raise UsageError(f"[dropout] device_trace = {path!r}: no phone in it is ever ready")
    lives: dict[str, Availability] = {}
    for device in devices:
        rng = streams("device", device, "availability")
        trace = ready[rng.integers(len(ready))]
        lives[device] = trace.shifted(rng.random() * trace.period_s)
    return lives
