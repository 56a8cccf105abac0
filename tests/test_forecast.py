"""Sizes told beforehand are those of the messages that a run then sends."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="bundles are made with torch, of the extra 'server'")

from edge_fd import methods, simulate
from edge_fd.codecs import CODECS
from edge_fd.errors import UsageError
from edge_fd.forecast import download_cost, upload_cost
from edge_fd.kit import prepare
from edge_fd.requests import Read
from edge_fd.scenario import Scenario

# The size of packed symbols depends on the symbols.
EXACT = [name for name in methods.METHODS if methods.create(name).kind != "symbols"]


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


@pytest.mark.parametrize("method", [name for name in EXACT if name != "local"])
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


@pytest.mark.parametrize("method", EXACT)
@pytest.mark.parametrize("codec", ["float32", "uint8"])
def test_a_forecast_is_the_size_of_the_download_that_follows(
    method: str, codec: str, tmp_path: Path
) -> None:
    chosen = scenario(method, codec)
    kit = prepare(chosen, tmp_path / "bundles")
    run = simulate(chosen, tmp_path / "run", bundles=tmp_path / "bundles")
    # The announcement names the 12 proxy samples of the round, a byte each: there are 30.
    announced = 12 if kit.method.needs_proxy and not kit.method.proxy_at_server else 0
    for record in run.devices:
        cost = download_cost(kit, record.device, method=kit.method, codec=CODECS[codec])
        assert cost.payload == record.down.payload - announced
        # Beside it an announcement, a receipt and the aggregator's state.
        assert cost.on_air < record.down.on_air < cost.on_air + 1500


@dataclass(frozen=True)
class Curious(methods.FD):
    """Asks what a made-up answer does not tell."""

    def device_round(self, device: Any, round: Any, knowledge: Any) -> Any:  # noqa: ARG002
        answer = yield Read()
        return answer.nothing_of_this_name


def test_what_a_method_says_of_the_scenario_is_told_as_it_is(tmp_path: Path) -> None:
    kit = prepare(scenario("dsfl", "float32"), tmp_path / "bundles")
    with pytest.raises(UsageError, match=r"^cfd labels the whole proxy set"):
        upload_cost(kit, next(iter(kit.devices)), method=methods.CFD(), codec=CODECS["float32"])


def test_a_half_that_cannot_be_forecast_says_so(tmp_path: Path) -> None:
    kit = prepare(scenario("fd", "float32"), tmp_path / "bundles")
    told = r"device half of method 'fd' cannot be forecast: .* AttributeError"
    with pytest.raises(UsageError, match=told):
        upload_cost(kit, next(iter(kit.devices)), method=Curious(), codec=CODECS["float32"])
    with pytest.raises(UsageError, match=told):
        download_cost(kit, next(iter(kit.devices)), method=Curious(), codec=CODECS["float32"])
