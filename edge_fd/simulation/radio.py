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
        self.tcp, self.broker = cells.tcp, cells.broker
        self.env, self._outages = env, cells.outages
        processes = {id(medium): MediumProcess(env, medium) for medium in cells.media.values()}
        self.media = {device: processes[id(medium)] for device, medium in cells.media.items()}
        self.under_way = 0
        """Messages that have not ended yet."""
        self._lives: dict[str, int] = {}
        self._cuts_s: dict[str, float] = {}
        if cells.movement is not None:
            env.process(self._move(cells.movement, cells.update_s))

    def send(
        self, direction: Direction, device: str, size_bytes: int, done: Callable[[Flight], None]
    ) -> None:
        """Carry one message of ``size_bytes`` on air from now on; ``done`` hears of its end."""
        self.under_way += 1
        _Trip(self, direction, device, size_bytes, done).begin()

    def leave(self, device: str, reason: Literal["off", "battery"] = "off") -> None:
        """End all messages of a device: it is down."""
        self._lives[device] = self.life(device) + 1
        self.media[device].leave(device, reason=reason)

    def life(self, device: str) -> int:
        """How often the device has been down."""
        return self._lives.get(device, 0)

    def _move(self, movement: Movement, update_s: float) -> Generator[simpy.Event, Any, None]:
        while True:
            yield self.env.timeout(update_s)
            losses_db = movement.losses_db(self.env.now).tolist()
            for (device, medium), loss_db in zip(self.media.items(), losses_db, strict=True):
                medium.set_loss(device, loss_db)

    def wait_s(self, device: str) -> float:
        """Return how long the device's link is still down; 0 where it is up.

        The end of this up period then cuts what is on air, once per period.
        """
        outage, now_s = self._outages.get(device), float(self.env.now)
        if outage is None:
            return 0.0
        cut_s = outage.up_until_s(now_s)
        if cut_s == now_s:
            return outage.first_up_s(now_s) - now_s
        if not math.isinf(cut_s) and self._cuts_s.get(device) != cut_s:
            self._cuts_s[device] = cut_s
            cut = self.env.timeout(cut_s - now_s)
            cut.callbacks.append(lambda _event: self.media[device].leave(device))
        return 0.0


class _Trip:
    """One message from being sent to its end, over as many transfers as it takes."""

    __slots__ = (
        "_device",
        "_direction",
        "_done",
        "_flight",
        "_life",
        "_radio",
        "_silences",
        "_size",
    )

    def __init__(
        self,
        radio: Radio,
        direction: Direction,
        device: str,
        size_bytes: int,
        done: Callable[[Flight], None],
    ) -> None:
        self._radio, self._direction, self._device = radio, direction, device
        self._size, self._done = size_bytes, done
        self._flight, self._life, self._silences = Flight(), radio.life(device), 0

    def begin(self) -> None:
        """Send it as soon as the link is up, unless the device is down or it was too often."""
        radio, device, flight = self._radio, self._device, self._flight
        if radio.life(device) != self._life or flight.sent == MAX_RESTARTS:
            self._end()
            return
        wait_s = radio.wait_s(device)
        if wait_s > 0:
            self._later(wait_s, self.begin)
            return
        flight.sent += 1
        radio.media[device].carry(device, self._size, self._ended, direction=self._direction)

    def _ended(self, delivery: Delivery) -> None:
        radio, flight = self._radio, self._flight
        flight.add(delivery, radio.rest_w or 0.0)
        if flight.reason == "off" and radio.life(self._device) == self._life:
            self.begin()  # the link was cut, not the device
        elif flight.reason in LOST_ON_AIR and radio.tcp is not None:
            self._silences += 1
            self._later(radio.tcp.timeout_s(self._silences), self.begin)
        else:
            self._end()

    def _end(self) -> None:
        radio, flight = self._radio, self._flight
        if flight.arrives_s is not None and radio.broker is not None and self._direction == "up":
            flight.arrives_s = radio.broker.enter(radio.env.now, self._size)
            if flight.arrives_s is not None:
                self._later(flight.arrives_s - radio.env.now, self._tell)
                return
        self._tell()

    def _tell(self) -> None:
        self._radio.under_way -= 1
        self._done(self._flight)

    def _later(self, wait_s: float, what: Callable[[], None]) -> None:
        wake = self._radio.env.timeout(wait_s)
        wake.callbacks.append(lambda _event: what())
