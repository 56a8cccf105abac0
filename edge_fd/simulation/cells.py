"""From a scenario to its cells: who shares which medium, and when a link is up."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

import channel_sim
from channel_sim.checks import check_known
from channel_sim.replay import family, lossy_family
from channel_sim.transport import Queue, Tcp
from edge_fd.errors import UnknownNameError, UsageError
from edge_fd.scenario import ChannelSection, Scenario

if TYPE_CHECKING:
    from edge_fd.simulation.movement import Movement

Streams: TypeAlias = Callable[..., np.random.Generator]


IP = ("cellular", "ofdma", "shannon", "tdma", "wifi")
"""Kinds of radio that carry IP, and TCP on it, as they are."""


@dataclass(frozen=True)
class Cells:
    """Media and link outages by device; devices of one cell share one medium.

    ``rest_w`` is the power of a device's radio at rest, None without a radio.
    ``tcp`` sends again what the radio loses; ``broker`` is the line before
    the aggregator. ``movement`` tells every ``update_s`` what the links lose.
    """

    media: Mapping[str, channel_sim.Calendar]
    outages: Mapping[str, channel_sim.Availability]
    rest_w: float | None
    tcp: Tcp | None = None
    broker: Queue | None = None
    movement: Movement | None = None
    update_s: float = 1.0


def build_cells(scenario: Scenario, devices: list[str], streams: Streams) -> Cells:
    """Build the cells of a scenario; raises ValueError for parameters that are no channel."""
    channel, dropout = scenario.channel, scenario.dropout
    outages = {}
    if dropout.link_up_s is not None and dropout.link_down_s is not None:
        outages = {
            device: channel_sim.MarkovOnOff(
                dropout.link_up_s, dropout.link_down_s, streams("channel", "outage", device)
            )
            for device in devices
        }
    build = {"ideal": _ideal, "fdma": _fdma, "preset": _preset, "replay": _replay}[channel.model]
    made = build(scenario, devices, streams)
    tcp = channel.tcp if channel.tcp is not None else made.ip
    return Cells(
        made.media,
        outages,
        made.rest_w,
        tcp=Tcp() if tcp else None,
        broker=Queue(per_message_s=channel.broker_s) if channel.broker_s else None,
        movement=made.movement,
        update_s=scenario.mobility.update_s,
    )


@dataclass(frozen=True)
class _Made:
    """Media by device, power at rest, whether they carry IP with TCP, and who moves."""

    media: dict[str, channel_sim.Calendar]
    rest_w: float | None
    ip: bool = False
    movement: Movement | None = None


def _ideal(scenario: Scenario, devices: list[str], _streams: Streams) -> _Made:
    ideal = channel_sim.Ideal(**_settings(scenario.channel, ("delay_s",)))
    return _Made(dict.fromkeys(devices, ideal), None)


def _fdma(scenario: Scenario, devices: list[str], streams: Streams) -> _Made:
    channel = scenario.channel
    known = [item.name for item in fields(channel_sim.FdmaParameters)]
    parameters = channel_sim.FdmaParameters(**_settings(channel, known))
    radio = channel_sim.load_radio(channel.radio)
    distances_m = _distances_m(channel, devices, streams)
    medium = channel_sim.build_fdma(parameters, distances_m, streams=streams, radio=radio)
    return _Made(dict.fromkeys(devices, medium), radio.idle_w)


def _replay(scenario: Scenario, devices: list[str], streams: Streams) -> _Made:
    settings = dict(scenario.channel.model_extra or {})
    name = str(settings.get("format"))
    check_known("format", name, {**family.FORMATS, **lossy_family.FORMATS})
    shares = name in lossy_family.FORMATS
    cls: type[Any] = lossy_family.ReplayLossy if shares else family.Replay
    keys = [item.name for item in fields(cls)]
    for key, value in settings.items():
        if key not in keys:
            raise UnknownNameError("key of [channel], model 'replay',", key, keys)
        settings[key] = tuple(value) if isinstance(value, list) else value
    try:
        links = cls(**settings)
        medium = links.medium(dict.fromkeys(devices, 0.0), rng=streams("channel", "replay"))
    except (OSError, TypeError) as error:
        raise UsageError(f"[channel] of recorded links: {error}") from None
    return _Made(dict.fromkeys(devices, medium), links.rest_w, ip=not shares)


def _preset(scenario: Scenario, devices: list[str], streams: Streams) -> _Made:
    """Cells of ``cell_devices`` in the order of the devices, each with a station of its own."""
    channel = scenario.channel
    preset = channel_sim.load_preset(str(channel.preset), **(channel.model_extra or {}))
    movement = None
    if scenario.mobility.places is not None or scenario.mobility.model != "none":
        # It takes scipy.special with it, which most runs can begin without.
        from edge_fd.simulation.movement import Movement, build_mobility

        mobility = build_mobility(scenario.mobility, devices, max_m=channel.max_m, streams=streams)
        movement = Movement(mobility, preset.propagation, min_m=channel.min_m, streams=streams)
        losses_db = dict(zip(devices, movement.losses_db(0.0).tolist(), strict=True))
    else:
        losses_db = _losses_db(preset, channel, devices, streams)
    size = channel.cell_devices or len(devices)
    media: dict[str, channel_sim.Calendar] = {}
    for first in range(0, len(devices), size):
        members, cell = devices[first : first + size], str(first // size)
        medium = preset.family.medium(
            {device: losses_db[device] for device in members},
            rng=streams("channel", "medium", cell),
            blocks=preset.propagation.blocks(rng=streams("channel", "fading", cell)),
        )
        media |= dict.fromkeys(members, medium)
    return _Made(
        media,
        preset.family.rest_w,
        ip=preset.family.kind in IP,
        movement=movement if scenario.mobility.model != "none" else None,
    )


def _losses_db(
    preset: channel_sim.Preset, channel: ChannelSection, devices: list[str], streams: Streams
) -> dict[str, float]:
    """One draw per device from a stream of its own: one more device changes no other."""
    return {
        device: float(
            preset.propagation.losses(
                np.array([distance_m]), rng=streams("channel", "loss", device)
            ).loss_db[0]
        )
        for device, distance_m in _distances_m(channel, devices, streams).items()
    }


def _distances_m(channel: ChannelSection, devices: list[str], streams: Streams) -> dict[str, float]:
    return channel_sim.draw_distances_m(
        devices, min_m=channel.min_m, max_m=channel.max_m, streams=streams
    )


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
