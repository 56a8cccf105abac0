"""``edge-fd export``: bundles and data files for boards."""

from __future__ import annotations

import argparse

from edge_fd import kit
from edge_fd.verbs.terminal import scenario_of


def export(options: argparse.Namespace) -> int:
    """Write the kit and say how to start its devices."""
    made = kit.export(scenario_of(options), options.out, method=options.method)
    print(f"kit for {len(made.devices)} devices of run {made.scenario.name!r} in {options.out}")  # noqa: T201
    for name, one in made.devices.items():
        print(  # noqa: T201
            f"edge-fd device --name {name} --bundle {one.bundle_path}"
            f" --data {options.out / 'data' / name}.npz --broker mqtt://BROKER:1883"
        )
    return 0
