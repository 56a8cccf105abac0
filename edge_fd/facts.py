"""What a run folder says of a run as a whole, simulated or deployed."""

from __future__ import annotations

from typing import Any

from edge_fd.kit import Kit
from edge_fd.recorder import Member


def run_facts(kit: Kit, mode: str, command: str) -> dict[str, Any]:
    """What a run folder says of the run as a whole."""
    scenario = kit.scenario
    return {
        "mode": mode,
        "method": kit.method.name,
        "paper": kit.method.paper,
        "settings": kit.method.settings(),
        "seed": scenario.seed,
        "scenario": scenario.name,
        "command": command,
        "data": describe_data(kit),
        "devices": len(kit.devices),
        "rounds": scenario.rounds.count,
    }


def describe_data(kit: Kit) -> str:
    """One line about the data and who holds it."""
    section, how = kit.scenario.data, kit.scenario.split
    sizes = [len(device.private) for device in kit.devices.values()]
    alpha = f" (alpha {how.alpha:g})" if how.kind == "dirichlet" else ""
    proxy = f", {section.proxy} proxy" if kit.proxy is not None else ""
    return (
        f"{section.name}, {how.kind}{alpha}, {min(sizes)} to {max(sizes)} private samples a device"
        f"{proxy}, {len(kit.test)} test"
    )


def members(kit: Kit, *, boards: bool) -> dict[str, Member]:
    """What the records say of each device in every round.

    ``boards``: the profile of the scenario is that of the device; a deployment
    does not know on what its devices run.
    """
    return {
        name: Member(
            device.bundle.student,
            device.group.capability,
            device.group.profile if boards else None,
            len(device.private),
        )
        for name, device in kit.devices.items()
    }
