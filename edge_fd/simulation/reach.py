"""Whether a radio can carry a method's uploads at all, and what would help where it cannot."""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType

import channel_sim
from edge_fd import methods
from edge_fd.codecs import CODECS, Codec
from edge_fd.errors import UsageError
from edge_fd.forecast import upload_cost
from edge_fd.kit import Kit
from edge_fd.methods.base import Method

CHOICES = 3
"""How many methods and codecs that would fit are named."""

REMEDIES: Mapping[str, str] = MappingProxyType(
    {
        "below_sensitivity": "is too weak to be heard: give a smaller channel.max_m or more power",
        "collision": "was hit by others' messages: give fewer devices to a station"
        " (channel.cell_devices)",
        "retry_limit": "had every attempt fail: give a smaller channel.max_m, more power or fewer"
        " devices to a station (channel.cell_devices)",
        "duty_cycle": "is more airtime than the law allows: give another method or codec, or"
        " another radio",
        "queue": "came when all of a station's buffers were full: give fewer devices to a station"
        " (channel.cell_devices)",
        "battery": "is of a device whose battery was empty: give larger batteries in [dropout]",
        "under way": "is a message not through yet: give a longer rounds.join_s or a faster radio",
        "off": "is a transfer cut by an outage or a device that went down: give a faster radio or"
        " longer up times in [dropout]",
    }
)
"""By the reason for which most messages were lost."""


def found_nobody(waited_s: float, fates: Mapping[str, int]) -> str:
    """Say why no device was found in ``waited_s``.

    ``fates`` counts the messages that did not arrive, by reason of
    :data:`channel_sim.medium.REASONS`, and those still ``under way``.
    """
    told = f"the simulation found no device within {waited_s:g} s"
    if not fates:
        return (
            f"{told}: none came up, none had a link, or their batteries were empty at once;"
            " give longer up times or larger batteries in [dropout]"
        )
    counts = sorted(fates.items(), key=lambda one: -one[1])
    why = ", ".join(f"{count} {fate}" for fate, count in counts)
    most = counts[0][0]
    return f"{told}; messages: {why}; {most!r} {REMEDIES[most]}"


def check_reach(kit: Kit) -> None:
    """Raise UsageError where not even the nearest device, alone, can answer in time.

    Only what is certain is refused: contention, shadows and distance come on
    top and are what the simulation is for.
    """
    channel = kit.scenario.channel
    if channel.preset is None:
        return
    preset = channel_sim.load_preset(channel.preset, **(channel.model_extra or {}))
    name = next(iter(kit.devices))
    try:
        size_bytes = upload_cost(kit, name, method=kit.method, codec=kit.codec).on_air
    except UsageError:  # a method that works with real answers only: the run will tell
        return
    deadline_s = kit.scenario.rounds.deadline_s
    told = f"an upload of {kit.method.name} in {kit.codec.name} is {size_bytes:,} B on air"
    try:
        needed_s = _seconds(preset, channel.min_m, size_bytes)
    except ValueError as error:
        raise UsageError(f"{told}: {error}{_choices(kit, preset, name)}") from None
    if math.isinf(needed_s):
        raise UsageError(
            f"preset {preset.name!r} is out of reach at {channel.min_m:g} m already;"
            " give a smaller channel.min_m or more power"
        )
    if needed_s > deadline_s:
        raise UsageError(
            f"{told}; {preset.name} takes {needed_s:.3g} s for it, alone at {channel.min_m:g} m,"
            f" {needed_s / deadline_s:.3g} times rounds.deadline_s = {deadline_s:g}"
            f"{_choices(kit, preset, name)}"
        )


def _seconds(preset: channel_sim.Preset, distance_m: float, size_bytes: int) -> float:
    loss_db = preset.propagation.mean_loss_db([distance_m])
    return float(preset.family.plan(loss_db, size_bytes).latency_s[0])


def _choices(kit: Kit, preset: channel_sim.Preset, name: str) -> str:
    """What else could answer in time, the largest first: it says the most."""
    fitting = []
    for method, codec in _others(kit):
        try:
            size_bytes = upload_cost(kit, name, method=method, codec=codec).on_air
            needed_s = _seconds(preset, kit.scenario.channel.min_m, size_bytes)
        except (UsageError, ValueError):
            continue
        if needed_s <= kit.scenario.rounds.deadline_s:
            fitting.append((size_bytes, f"{method.name} in {codec.name} ({size_bytes:,} B)"))
    if not fitting:
        return "; no method here would fit: raise rounds.deadline_s or take another radio"
    best = [text for _, text in sorted(fitting, reverse=True)[:CHOICES]]
    return f"; what would fit: {', '.join(best)}"


def _others(kit: Kit) -> list[tuple[Method, Codec]]:
    found = []
    for method_name in methods.METHODS:
        method = methods.create(method_name, kit.scenario.method.settings(method_name))
        if method.kind is None or (method.needs_proxy and kit.proxy is None):
            continue
        if method.needs_proxy_labels and kit.proxy is not None and kit.proxy.y is None:
            continue
        found += [(method, codec) for codec in CODECS.values() if not codec.compress]
    return found
