"""Learning rates that fall from round to round, around any method.

Published comparisons train with them (FedGen: 0.01 * 0.99**round); a scenario
has one rate for all rounds.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from edge_fd.knowledge import Knowledge
from edge_fd.methods import Device, Round
from edge_fd.methods.base import DeviceHalf, setting
from edge_fd.methods.wrapper import Wrapper
from edge_fd.requests import Request, Train


@dataclass(frozen=True)
class Decay(Wrapper):
    """Devices train at ``lr`` * ``factor`` ** (round - 1) where the method says no rate."""

    name: ClassVar[str] = "decay"
    paper: ClassVar[str] = "schedule of Zhu et al., ICML 2021"

    lr: float = setting(0.01, least=0.0)
    factor: float = setting(0.99, least=0.0, most=1.0)

    def device_round(self, device: Device, round: Round, knowledge: Knowledge | None) -> DeviceHalf:
        """The method's round, its training at the rate of this round."""
        rate = self.lr * self.factor ** (round.number - 1)
        half = self.method.device_round(device, round, knowledge)
        return (yield from _at(rate, half))


def _at(rate: float, half: DeviceHalf) -> Generator[Request, Any, Knowledge | None]:
    reply = None
    while True:
        try:
            request = half.send(reply)
        except StopIteration as stop:
            result: Knowledge | None = stop.value
            return result
        if isinstance(request, Train) and request.lr is None:
            request = replace(request, lr=rate)
        reply = yield request
