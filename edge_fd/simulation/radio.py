"""Messages over the media, with link outages.

An outage is the link's, not the device's: computing goes on, and a transfer
that an outage cuts begins again when the link is back, as over TCP. Where
there is TCP, what the radio loses is sent again after its time-outs. A device
that goes down takes its messages with it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any, Literal

import simpy

from channel_sim import Delivery, Direction, MediumProcess
from edge_fd.simulation.cells import Cells
from edge_fd.simulation.movement import Movement

MAX_RESTARTS = 20
LOST_ON_AIR = ("collision", "retry_limit", "queue")
"""What TCP finds out by silence and mends; a device out of reach stays so."""


@dataclass
class Flight:
    """One message and what its transfers have cost the device so far.

    ``arrives_s`` is None where it was lost, with the ``reason`` of the last
    transfer; ``sent`` is how many times the whole transfer was begun.
    ``idle_j`` is what the radio spent beside sending and receiving, less what
    it would have spent at rest.
    """

    arrives_s: float | None = None
    reason: str = "off"
    air_s: float = 0.0
    attempts: int = 0
    sent: int = 0
    tx_j: float = 0.0
    rx_j: float = 0.0
    idle_j: float = 0.0

    def add(self, delivery: Delivery, rest_w: float) -> None:
        """Count one transfer."""
        self.reason = delivery.reason
        self.air_s += delivery.air_s
        self.attempts += delivery.attempts
        self.tx_j += delivery.tx_j
        self.rx_j += delivery.rx_j
        self.idle_j += delivery.idle_j + delivery.overhead_j - rest_w * delivery.busy_s
        if delivery.delivered:
            self.arrives_s = delivery.finish_s


class Radio:
    """All cells of a scenario under one clock."""

    def __init__(self, env: simpy.Environment, cells: Cells) -> None:
        self.rest_w = cells.rest_w
        """Power of a device's radio at rest; None where the medium has no radio."""
        self._env, self._outages = env, cells.outages
        self._tcp, self._broker = cells.tcp, cells.broker
        processes = {id(medium): MediumProcess(env, medium) for medium in cells.media.values()}
        self._media = {device: processes[id(medium)] for device, medium in cells.media.items()}
        self._lives: dict[str, int] = {}
        self._cuts_s: dict[str, float] = {}
        if cells.movement is not None:
            env.process(self._move(cells.movement, cells.update_s))

    def send(
        self, direction: Direction, device: str, size_bytes: int, done: Callable[[Flight], None]
    ) -> None:
        """Carry one message of ``size_bytes`` on air from now on; ``done`` hears of its end."""
        self._env.process(self._carry(direction, device, size_bytes, done))

    def leave(self, device: str, reason: Literal["off", "battery"] = "off") -> None:
        """End all messages of a device: it is down."""
        self._lives[device] = self._lives.get(device, 0) + 1
        self._media[device].leave(device, reason=reason)

    def _move(self, movement: Movement, update_s: float) -> Generator[simpy.Event, Any, None]:
        while True:
            yield self._env.timeout(update_s)
            losses_db = movement.losses_db(self._env.now).tolist()
            for (device, medium), loss_db in zip(self._media.items(), losses_db, strict=True):
                medium.set_loss(device, loss_db)

    def _carry(
        self, direction: Direction, device: str, size_bytes: int, done: Callable[[Flight], None]
    ) -> Generator[simpy.Event, Any, None]:
        flight, life, silences = Flight(), self._lives.get(device, 0), 0
        while flight.sent < MAX_RESTARTS:
            up_s = self._first_up_s(device)
            if up_s > self._env.now:
                yield self._env.timeout(up_s - self._env.now)
            if self._lives.get(device, 0) != life:
                break
            self._watch(device)
            flight.sent += 1
            flight.add(
                (yield self._media[device].send(device, size_bytes, direction=direction)),
                self.rest_w or 0.0,
            )
            if self._lives.get(device, 0) != life:
                break
            if self._tcp is not None and flight.reason in LOST_ON_AIR:
                silences += 1
                yield self._env.timeout(self._tcp.timeout_s(silences))
            elif flight.reason != "off":
                break
        if direction == "up" and self._broker is not None and flight.arrives_s is not None:
            flight.arrives_s = self._broker.enter(self._env.now, size_bytes)
            if flight.arrives_s is not None:
                yield self._env.timeout(flight.arrives_s - self._env.now)
        done(flight)

    def _first_up_s(self, device: str) -> float:
        outage = self._outages.get(device)
        return self._env.now if outage is None else outage.first_up_s(self._env.now)

    def _watch(self, device: str) -> None:
        """Have the end of this up period cut what is then on air, once per period."""
        outage = self._outages.get(device)
        if outage is None:
            return
        cut_s = outage.next_change_s(self._env.now)
        if math.isinf(cut_s) or self._cuts_s.get(device) == cut_s:
            return
        self._cuts_s[device] = cut_s
        cut = self._env.timeout(cut_s - self._env.now)
        cut.callbacks.append(lambda _event: self._media[device].leave(device))
