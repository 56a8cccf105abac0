"""docs/write-a-method.md runs as it stands: simulated by the command, and over a real broker."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="bundles are made with torch, of the extra 'server'")

from deployment.field import Process, free_port, hashes

from edge_fd import Scenario, cli, load_run, simulate
from edge_fd.desk import Job
from edge_fd.knowledge import Knowledge
from edge_fd.methods import Round, Server

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "write-a-method.md").read_text("utf-8")
ROUNDS = 8
COMMANDS = "\n".join(re.findall(r"```sh\n(.*?)```", PAGE, flags=re.DOTALL)).splitlines()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("own")
    for name, text in re.findall(r"```\w+ file=(\S+)\n(.*?)```", PAGE, flags=re.DOTALL):
        (made / name).write_text(text)
    return made


@pytest.fixture
def module(folder: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(folder))
    return __import__("confidence")


def said(verb: str) -> str:
    return next(line for line in COMMANDS if line.startswith(f"edge-fd {verb} "))


def run(command: str, folder: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.syspath_prepend(str(folder))
        assert cli.main(command.split()[1:]) == 0


def test_the_simulation_compares_it_with_another_method(folder: Path) -> None:
    run(said("run"), folder)
    runs = {path.name.split("-")[1]: load_run(path) for path in (folder / "runs/mine").glob("sim*")}
    assert len(runs) == 2
    for found in runs.values():
        assert found.summary is not None
        assert [record.status for record in found.rounds] == ["closed"] * ROUNDS
        # Chance is 0.1.
        assert (found.summary.accuracy_test or 0) > 0.35


@pytest.mark.broker
@pytest.mark.slow
def test_boards_fuse_the_same_bytes_as_the_simulation(folder: Path, tmp_path: Path) -> None:
    run(said("export"), folder)
    port = free_port()
    words = [part.replace("18830", str(port)) for part in said("serve").split()[1:]]
    commands = [words]
    bundle = next((folder / "kit/bundles").glob("mlp-*.efdb"))
    for name in ("mlp-00", "mlp-01", "mlp-02", "mlp-03"):
        line = said("device").replace("mlp-00", name).replace("18830", str(port))
        commands.append(line.replace("kit/bundles/mlp-*.efdb", str(bundle)).split()[1:])
    processes = [
        Process(["-m", "edge_fd", *command], tmp_path / f"{i}.log", folder, command[0])
        for i, command in enumerate(commands)
    ]
    try:
        statuses = [process.wait(timeout_s=180.0) for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert statuses == [0] * 5, [process.text for process in processes]
    deployed = load_run(folder / "runs/live")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        scenario = Scenario.load(folder / "scenario.toml")
        simulated = simulate(scenario, tmp_path / "again", bundles=folder / "kit/bundles")
    assert hashes(deployed) == hashes(simulated)


def test_a_notebook_gives_the_method_itself(module: Any, folder: Path, tmp_path: Path) -> None:
    scenario = Scenario.load(folder / "scenario.toml")
    by_name = simulate(scenario, tmp_path / "a", bundles=tmp_path / "bundles")
    method = module.Confidence(sharpness=1.0)
    by_value = simulate(scenario, tmp_path / "b", bundles=tmp_path / "bundles", method=method)
    assert hashes(by_value) == hashes(by_name)


NOTEBOOK = """
from edge_fd import Scenario, simulate
scenario = Scenario.load("scenario.toml")
method = Confidence(sharpness=1.0)
for workers in (1, 2):
    simulate(scenario, f"runs/{workers}", bundles="bundles", method=method, workers=workers)
"""


def test_a_method_typed_at_the_prompt_runs(folder: Path, tmp_path: Path) -> None:
    """There is no file to read its source from, and other processes cannot import it."""
    typed = (folder / "confidence.py").read_text().partition("from __future__ import annotations")
    code = typed[2] + NOTEBOOK
    (tmp_path / "scenario.toml").write_text((folder / "scenario.toml").read_text())
    (tmp_path / "confidence.py").write_text((folder / "confidence.py").read_text())
    done = subprocess.run(
        [sys.executable, "-c", f"from __future__ import annotations\n{code}"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    here, there = (load_run(tmp_path / "runs" / workers) for workers in "12")
    assert len(here.rounds) == ROUNDS
    assert hashes(there) == hashes(here)


def test_the_server_half_is_the_weighted_mean(module: Any) -> None:
    rng = np.random.default_rng(4)
    probs = {name: rng.dirichlet(np.ones(3), 5).astype(np.float32) for name in "ab"}
    uploads = {name: Knowledge("probs", value) for name, value in probs.items()}
    half = module.Confidence(sharpness=2.0).fuse(Server(3, None, False), Round(1), uploads)
    job: Job[Any] = Job(half, None, None, rng)
    weights = {name: value.astype(np.float64).max(-1) ** 2 for name, value in probs.items()}
    for row in range(5):
        due = sum(weights[name][row] * probs[name][row].astype(np.float64) for name in "ab")
        due /= sum(weights[name][row] for name in "ab")
        np.testing.assert_allclose(job.result.shared.value[row], due, rtol=0, atol=1e-6)
