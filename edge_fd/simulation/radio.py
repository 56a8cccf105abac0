"""Messages over the media, with link outages.

An outage is the link's, not the device's: computing goes on, and a transfer
that an outage cuts begins again when the link is back, as over TCP.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal, TypeAlias

import numpy as np

import channel_sim
from edge_fd.errors import UnknownNameError, UsageError
from edge_fd.scenario import ChannelSection, DropoutSection

Direction: TypeAlias = Literal["up", "down"]
Streams: TypeAlias = Callable[..., np.random.Generator]

MAX_RESTARTS = 20
RADIOS = {"wifi_nic": "WIFI_NIC", "esp32": "ESP32"}


@dataclass(frozen=True)
class Flight:
    """One message on its way.

    ``arrives_s`` is None where it was lost, ``air_s`` the time on air and
    ``sent`` how many times the whole transfer was begun.
    """

    arrives_s: float | None
    air_s: float
    attempts: int
    sent: int
    tx_j: float
    rx_j: float


class Radio:
    """Both directions of one cell; ``radio_w`` are the powers of a device's radio."""

    def __init__(
        self,
        media: Mapping[Direction, channel_sim.Medium],
        outages: Mapping[str, channel_sim.MarkovOnOff],
        idle_w: float | None,
    ) -> None:
        self.idle_w = idle_w
        """Power of a device's idle radio; None where the medium has no radio."""
        self._media, self._outages = media, outages
        self._up: dict[str, tuple[float, float]] = {}

    def send(self, direction: Direction, device: str, size_bytes: int, now_s: float) -> Flight:
        """Carry one message of ``size_bytes`` on air, offered at ``now_s``."""
        air_s = tx_j = rx_j = 0.0
        attempts = sent = 0
        ready_s = now_s
        while sent < MAX_RESTARTS:
            ready_s, _ = self._up_period(device, ready_s)
            (delivery,) = self._media[direction].offer([device], [size_bytes], [ready_s])
            sent += 1
            air_s += delivery.air_s
            attempts += delivery.attempts
            tx_j += delivery.tx_j
            rx_j += delivery.rx_j
            cut_s = self._first_cut_s(device, delivery.start_s, delivery.finish_s)
            if cut_s is None:
                arrives_s = delivery.finish_s if delivery.delivered else None
                return Flight(arrives_s, air_s, attempts, sent, tx_j, rx_j)
            ready_s = max(cut_s, ready_s)
        return Flight(None, air_s, attempts, sent, tx_j, rx_j)

    def _first_cut_s(self, device: str, start_s: float, finish_s: float) -> float | None:
        """When the link comes down while a transfer is on air; None if it does not."""
        up_s, until_s = self._up_period(device, start_s)
        end_s = until_s if up_s == start_s else start_s
        return end_s if end_s < finish_s else None

    def _up_period(self, device: str, t_s: float) -> tuple[float, float]:
        """First time from ``t_s`` on at which the link is up, and when it then comes down.

        The last answer is kept, since most messages fall into the same period.
        """
        outage = self._outages.get(device)
        if outage is None:
            return t_s, math.inf
        since_s, until_s = self._up.get(device, (math.inf, math.inf))
        if not since_s <= t_s < until_s:
            since_s = outage.first_up_s(t_s)
            until_s = outage.next_change_s(since_s)
            self._up[device] = since_s, until_s
        return max(t_s, since_s), until_s


def build_radio(
    channel: ChannelSection, dropout: DropoutSection, devices: list[str], streams: Streams
) -> Radio:
    """Build the radio of a scenario; raises ValueError for parameters that are no channel."""
    outages = {}
    if dropout.link_up_s is not None and dropout.link_down_s is not None:
        outages = {
            device: channel_sim.MarkovOnOff(
                dropout.link_up_s, dropout.link_down_s, streams("channel", "outage", device)
            )
            for device in devices
        }
    if channel.model == "ideal":
        ideal = channel_sim.Ideal(**_settings(channel, ("delay_s",)))
        return Radio({"up": ideal, "down": ideal}, outages, None)
    known = [item.name for item in fields(channel_sim.FdmaParameters)]
    parameters = channel_sim.FdmaParameters(**_settings(channel, known))
    radio = getattr(channel_sim, RADIOS[channel.radio])
    distances_m = channel_sim.draw_distances_m(
        devices, min_m=channel.min_m, max_m=channel.max_m, streams=streams
    )
    up, down = channel_sim.build_fdma(parameters, distances_m, streams=streams, radio=radio)
    return Radio({"up": up, "down": down}, outages, radio.idle_w)


def _settings(channel: ChannelSection, known: Iterable[str]) -> dict[str, Any]:
    """The keys that belong to the model; raises for one that it does not know."""
    names = [*ChannelSection.model_fields, *known]
    settings = channel.model_extra or {}
    for key, value in settings.items():
        if key not in names:
            raise UnknownNameError(f"key of [channel], model {channel.model!r},", key, names)
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not number and key != "fading":
            raise UsageError(f"[channel] {key} = {value!r} must be a number")
    return settings
