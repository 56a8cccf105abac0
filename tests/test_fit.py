"""What does not go together is refused before anything runs, by the command and with the remedy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="bundles are made with torch, of the extra 'server'")

from edge_fd.cli import main

SCENARIO = """
name = "bad"
data = { name = "npz", path = "PATH", proxy = 20 }
rounds = { count = 1 }
method = { name = "dsfl" }
devices = [{ count = 2, student = "mlp" }]
"""
OWN = """
from torch import nn

def five(shape, classes):
    return nn.Sequential(nn.Flatten(), nn.Linear(6, 5))

def narrow(shape, classes):
    return nn.Sequential(nn.Flatten(), nn.Linear(6, 32), nn.ReLU(), nn.Linear(32, classes))

def bilinear(shape, classes):
    class Squared(nn.Module):
        def __init__(self):
            super().__init__()
            self.line = nn.Linear(6, classes)
        def forward(self, x):
            return self.line(x) ** 2
    return Squared()
"""
TWO = 'devices=[{{count=1,student="mlp"}},{{count=1,student="{}"}}]'


def arrays(**changes: Any) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    made = {
        "x": rng.normal(size=(200, 6)).astype(np.float32),
        "y": rng.integers(0, 4, 200),
        "proxy_x": rng.normal(size=(50, 6)).astype(np.float32),
        "test_x": rng.normal(size=(40, 6)).astype(np.float32),
        "test_y": rng.integers(0, 4, 40),
    }
    return made | {name: change(made) for name, change in changes.items()}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "ownstudents.py").write_text(OWN)
    return tmp_path


def refusal(folder: Path, capsys: Any, *options: str, **changes: Any) -> str:
    np.savez(folder / "data.npz", **arrays(**changes))
    (folder / "s.toml").write_text(SCENARIO.replace("PATH", "data.npz"))
    assert main(["run", "s.toml", "--out", "runs", *options]) == 2
    assert not list(folder.glob("runs/bad/simulated*")), "something has run"
    told = capsys.readouterr().err
    assert told.startswith("edge-fd: error: ")
    assert told.count("\n") == 1
    return str(told)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--set", "data.proxy=0"], "'dsfl' needs proxy data and data.proxy = 0; set data.proxy"),
        (
            ["--method", "fd,fedavg", "--set", TWO.format("ownstudents:narrow")],
            "'fedavg' averages weights and needs one architecture, the scenario has mlp, ownstu",
        ),
        (
            ["--method", "fedprox", "--set", "devices.0.capability=infer"],
            "'fedprox' needs devices that train, group 'mlp' has capability 'infer'; leave",
        ),
        (
            ["--set", "devices.0.capability=infer"],
            "factory_epochs = 0 leaves it untrained; give it factory_epochs of 1 or more",
        ),
        (["--set", "devices.0.student=ownstudents:five"], "gives (2, 5) for a batch of two, not"),
        (
            ["--method", "fedproto", "--set", TWO.format("ownstudents:narrow")],
            "needs one width of them, the students have mlp: 128, ownstudents:narrow: 32; choose",
        ),
        (
            ["--method", "fedproto", "--set", "devices.0.student=ownstudents:bilinear"],
            "call the last layer 'head'",
        ),
        (["--method", "fd", "--set", "devices.0.count=1"], "'fd' needs at least 2 devices, the"),
        (["--method", "fedpox"], "unknown method 'fedpox'; did you mean 'fedprox'?"),
        (["--method", "alu+fedakt"], "unknown method 'fedakt'; did you mean 'fedakd'?"),
        (["--method", "nowhere:Mine"], "'nowhere:Mine' cannot be loaded (No module named 'nowhe"),
        (["--method", "ownstudents:narrow"], "is no method; let the class inherit from edge_fd."),
        (
            ["--method", "cfd", "--set", "data.proxy_per_round=5"],
            "data.proxy_per_round = 5; leave it out",
        ),
        (
            ["--method", "alu+fedakd", "--set", "rounds.mode=buffered"],
            "asks something else in each",
        ),
        (["--set", "data.validation=500"], "validation = 500 is more than the 200 samples beside"),
        (["--set", "training.optimizer=adan"], "training.optimizer = 'adan': it should be 'sgd' o"),
    ],
)
def test_a_scenario_that_does_not_fit(
    folder: Path, capsys: Any, options: list[str], told: str
) -> None:
    assert told in refusal(folder, capsys, *options)


def test_a_proxy_set_that_holds_test_samples(folder: Path, capsys: Any) -> None:
    told = refusal(
        folder, capsys, "--set", "data.proxy=53",
        proxy_x=lambda made: np.concatenate([made["proxy_x"], made["test_x"][[7, 3, 9]]]),
    )  # fmt: skip
    assert "3 of 53 proxy samples are test samples too (the first is proxy sample 50)" in told


@pytest.mark.parametrize("key", ["test_y", "proxy_y"])
def test_class_counts_that_differ(folder: Path, capsys: Any, key: str) -> None:
    told = refusal(
        folder, capsys, "--method", "fedmd",
        **{key: lambda made: np.arange(len(made[key.replace("_y", "_x")])) % 5},
    )  # fmt: skip
    assert f"key '{key}' holds the label 4; labels count from 0 to 3" in told
