"""Sizes told beforehand are those of the messages that a run then sends."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="bundles are made with torch, of the extra 'server'")

from edge_fd import methods, simulate
from edge_fd.codecs import CODECS
from edge_fd.forecast import upload_cost
from edge_fd.kit import prepare
from edge_fd.scenario import Scenario


def scenario(method: str, codec: str) -> Scenario:
    tree: dict[str, Any] = {
        "name": "sizes",
        "data": {"name": "digits", "proxy": 30, "proxy_per_round": 12, "test": 20},
        "split": {"kind": "dirichlet", "alpha": 0.3, "max_per_device": 20},
        "training": {"batch": 10},
        "method": {"name": method},
        "rounds": {"count": 1},
        "transport": {"codec": codec},
        "devices": [{"name": "d", "count": 2, "student": "mlp"}],
        "channel": {"model": "ideal"},
    }
    return Scenario.parse(tree)


@pytest.mark.parametrize("method", [name for name in methods.METHODS if name != "local"])
@pytest.mark.parametrize("codec", ["float32", "float16", "uint8"])
def test_a_forecast_is_the_size_of_the_upload_that_follows(
    method: str, codec: str, tmp_path: Path
) -> None:
    chosen = scenario(method, codec)
    kit = prepare(chosen, tmp_path / "bundles")
    run = simulate(chosen, tmp_path / "run", bundles=tmp_path / "bundles")
    for record in run.devices:
        cost = upload_cost(kit, record.device, method=kit.method, codec=CODECS[codec])
        # A device also sends its birth in round 1; the payload is the knowledge's alone.
        assert cost.payload == record.up.payload > 0
        assert cost.on_air < record.up.on_air < cost.on_air + 500
