"""The simulator is the deployment: same scenario, same seed, same fused bytes in each round."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from field import Field, Unbroken, deployed, hashes, tree, unbroken

from broker import brokers_found, open_broker
from edge_fd import load_run
from edge_fd.keeper import load_outcome
from edge_fd.outcome import MemoryKeeper, Outcome

pytestmark = [pytest.mark.broker, pytest.mark.slow]

AT_ONCE = 4
"""Deployments that share the broker and the processor at a time."""
FORBIDDEN = {
    *("torch", "onnx", "simpy", "pandas", "matplotlib", "pydantic", "scipy", "sklearn", "rich"),
    *("pyarrow", "jinja2", "amqtt", "channel_sim"),
}
PER_ROUND = {"name": "digits", "proxy": 60, "test": 100, "proxy_per_round": 23}
TWO_STUDENTS = [
    {"name": "mlp", "count": 2, "student": "mlp"},
    {"name": "cnn", "count": 1, "student": "lenet5"},
]
SAME_WIDTH = [{"name": "cnn", "count": 2, "student": "lenet5"}]
FEW_STEPS = {"name": "feddf", "feddf": {"server_steps": 20}}
TWO_BITS = {"up_bits": 2, "down_bits": 2, "delta": False}
EVERYWHERE = ("fd", "fedmd-uint8-zstd-indices", "fedavg", "cfd", "alu-fd")
"""Cells that are run over every broker, the others over the first: a broker sees bytes alone."""
CELL_WITH_PAGE = "fedmd"
BATCH_NORM = [{"name": "dscnn", "count": 2, "student": "dscnn"}]
ADAM = {"optimizer": "adam", "lr": 0.001, "batch": 8, "lr_decay": 0.9}
CELLS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "local": ("local", "float32", {}),
    "fd": ("fd", "float32", {}),
    "fedmd": ("fedmd", "float32", {}),
    "dsfl": ("dsfl", "float32", {}),
    "fedavg": ("fedavg", "float32", {}),
    "fd-uint8-zstd": ("fd", "uint8+zstd", {}),
    "fedmd-uint8-zstd-indices": ("fedmd", "uint8+zstd", {"data": PER_ROUND}),
    "dsfl-float16-indices": ("dsfl", "float16", {"data": PER_ROUND}),
    "fedavg-uint8-zstd": ("fedavg", "uint8+zstd", {}),
    "fedprox": ("fedprox", "float32", {}),
    "fedntd": ("fedntd", "float32", {}),
    "fedgkd": ("fedgkd", "float32", {}),
    "feddf": ("feddf", "float32", {"devices": TWO_STUDENTS, "method": FEW_STEPS}),
    "fedproto": ("fedproto", "float32", {"devices": SAME_WIDTH}),
    "fedakd": ("fedakd", "float32", {}),
    "cfd": ("cfd", "float32", {}),
    "cfd-two-bits": ("cfd", "float32", {"method": {"name": "cfd", "cfd": TWO_BITS}}),
    "alu-fd": ("alu+fd", "float32", {"method": {"name": "alu+fd", "alu": {"knowledge": "mean"}}}),
    "adam-batch-norm": ("fedavg", "float32", {"devices": BATCH_NORM, "training": ADAM}),
}
PAIRS = [
    (broker, cell)
    for number, broker in enumerate(brokers_found())
    for cell in (EVERYWHERE if number else CELLS)
]


@dataclass
class Deployment:
    hashes: dict[int, str | None]
    accepted: list[tuple[int, str]]
    outcome: Outcome | None
    modules: dict[str, set[str]]
    page: str | None


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Unbroken]]:
    folder = tmp_path_factory.mktemp("simulated")
    last: list[Outcome] = []
    made: dict[str, Unbroken] = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(MemoryKeeper, "keep", lambda _self, outcome: last.append(outcome))
        for cell, (method, codec, changes) in CELLS.items():
            settings = tree(method, transport={"codec": codec}) | changes | {"name": cell}
            made[cell] = unbroken(settings, folder / cell)
            OUTCOMES[cell] = last[-1]
        yield made


OUTCOMES: dict[str, Outcome] = {}


@pytest.fixture(scope="module")
def deployments(
    simulated: dict[str, Unbroken], tmp_path_factory: pytest.TempPathFactory
) -> dict[tuple[str, str], Deployment]:
    """Every cell and broker as real processes, a few cells at a time."""
    done = {}
    for broker in brokers_found():
        folder = tmp_path_factory.mktemp(f"deployed-{broker}")
        cells = [cell for on, cell in PAIRS if on == broker]
        found = _deployed(simulated, cells, folder, broker)
        done |= {(broker, cell): deployment for cell, deployment in found.items()}
    return done


def _deployed(
    simulated: dict[str, Unbroken], cells: list[str], folder: Path, broker: str
) -> dict[str, Deployment]:
    done: dict[str, Deployment] = {}
    with open_broker(folder / "broker", url=broker) as handle:
        for begin in range(0, len(cells), AT_ONCE):
            with ExitStack() as stack:
                some = {
                    cell: stack.enter_context(deployed(simulated[cell], folder / cell, handle.url))
                    for cell in cells[begin : begin + AT_ONCE]
                }
                for field in some.values():
                    _start(field)
                done |= {cell: _collect(field) for cell, field in some.items()}
    return done


def _start(field: Field) -> None:
    field.open_gate()
    field.serve(page=field.plan.kit.scenario.name == CELL_WITH_PAGE)
    for name in field.plan.kit.devices:
        field.device(name, slow="compute")


def _collect(field: Field) -> Deployment:
    statuses = [process.wait() for process in field.processes]
    assert statuses == [0] * len(statuses), field.tell()
    modules = {
        one.log.stem: set(one.text.split("modules: ")[-1].split()) for one in field.processes
    }
    return Deployment(
        hashes(load_run(field.run)),
        [(number, name) for what, number, name, _ in field.journal if what == "accept"],
        load_outcome(field.run),
        {label: names for label, names in modules.items() if "serve" not in label},
        page.read_text() if (page := field.run / "report.html").exists() else None,
    )


@pytest.mark.parametrize(("broker", "cell"), PAIRS)
def test_a_deployment_fuses_the_same_bytes_as_the_simulation(
    broker: str,
    cell: str,
    simulated: dict[str, Unbroken],
    deployments: dict[tuple[str, str], Deployment],
) -> None:
    expected = hashes(simulated[cell].run)
    assert list(expected) == [1, 2, 3]
    deployment = deployments[broker, cell]
    assert deployment.hashes == expected
    everyone = {(number, name) for number in expected for name in simulated[cell].kit.devices}
    assert sorted(deployment.accepted) == sorted(everyone)


@pytest.mark.parametrize(("broker", "cell"), [pair for pair in PAIRS if pair[1] != "local"])
def test_the_recorded_hash_is_that_of_the_canonical_bytes(
    broker: str, cell: str, deployments: dict[tuple[str, str], Deployment]
) -> None:
    outcome = deployments[broker, cell].outcome
    assert outcome is not None
    assert outcome.fused.canonical() == OUTCOMES[cell].fused.canonical()
    digest = hashlib.sha256(outcome.fused.canonical()).hexdigest()
    assert deployments[broker, cell].hashes[outcome.round] == digest


@pytest.mark.parametrize("cell", [cell for cell in CELLS if cell != "local"])
def test_the_compared_knowledge_is_alive(cell: str, simulated: dict[str, Unbroken]) -> None:
    """Equality of constants would prove nothing: rounds differ, and so do rows and codecs."""
    run = simulated[cell].run
    assert len(set(hashes(run).values())) == len(run.rounds)
    plain = CELLS[cell][0]
    if cell != plain and plain in CELLS:
        assert set(hashes(run).values()).isdisjoint(hashes(simulated[plain].run).values())
    fused = OUTCOMES[cell].fused
    pieces = [piece for piece in (fused.shared, *fused.each.values()) if piece is not None]
    assert all(np.ptp(piece.value) > 0 for piece in pieces)


@pytest.mark.parametrize("cell", ["fedmd-uint8-zstd-indices", "dsfl-float16-indices"])
def test_sample_ids_are_part_of_the_compared_bytes(
    cell: str, deployments: dict[tuple[str, str], Deployment]
) -> None:
    outcome = deployments[PAIRS[0][0], cell].outcome
    assert outcome is not None
    piece = outcome.fused.shared
    assert piece is not None
    assert piece.indices is not None
    assert piece.value.shape == (PER_ROUND["proxy_per_round"], 10)
    assert len(set(piece.indices.tolist())) == PER_ROUND["proxy_per_round"]
    moved = Outcome(0, type(outcome.fused)(type(piece)(piece.kind, piece.value)), None, {})
    assert moved.fused.sha256 != outcome.fused.sha256


def test_device_processes_load_nothing_of_the_host(
    deployments: dict[tuple[str, str], Deployment],
) -> None:
    for cell, deployment in deployments.items():
        for device, names in deployment.modules.items():
            assert {"onnxruntime", "paho", "numpy"} <= names, (cell, device)
            assert not names & FORBIDDEN, (cell, device)


def test_the_aggregator_ends_with_a_page(
    deployments: dict[tuple[str, str], Deployment],
) -> None:
    pages = {cell: deployment.page for (_, cell), deployment in deployments.items()}
    page = pages.pop(CELL_WITH_PAGE)
    assert page is not None
    assert page.count("<svg") >= 3
    assert set(pages.values()) == {None}
