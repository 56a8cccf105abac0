"""A run whose bundles are ready: it needs no torch, and loads no more than it must."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="bundles are made with torch")

from edge_fd import cli

SCENARIO = """
name = "start"
[data]
name = "digits"
proxy = 0
[method]
name = "fd"
[rounds]
count = 2
[[devices]]
name = "dev"
count = 3
student = "mlp"
"""
WITHOUT_TORCH = """
import sys
sys.modules["torch"] = sys.modules["onnx"] = None  # an import of them fails from here on
from edge_fd.cli import main
sys.exit(main(sys.argv[1:]))
"""
TELLS_WHAT_IS_LOADED = """
import sys
from edge_fd import Scenario, simulate
loaded = []
simulate(
    Scenario.load(sys.argv[1]),
    sys.argv[2],
    bundles=sys.argv[3],
    on_round=lambda _record: loaded.append(sorted({name.split(".")[0] for name in sys.modules})),
)
print(*loaded[0])
"""
AT_THE_END = {"matplotlib", "jinja2", "pyarrow", "pandas"}
ONLY_TO_EXPORT = {"torch", "onnx"}
TOO_SLOW = {"sklearn"}


def python(script: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", script, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def scenario(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A scenario whose run in ``runs/`` beside it was made with torch there."""
    path = tmp_path_factory.mktemp("start") / "start.toml"
    path.write_text(SCENARIO)
    assert cli.main(["run", str(path), "--out", str(path.parent / "runs")]) == 0
    return path


def test_a_run_with_ready_bundles_gives_the_same_records_without_torch(
    scenario: Path, tmp_path: Path
) -> None:
    made = scenario.parent / "runs" / "start"
    shutil.copytree(made / "bundles", tmp_path / "start" / "bundles")
    done = python(WITHOUT_TORCH, "run", scenario, "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    again = tmp_path / "start" / "simulated-fd-3-s0"
    for name in ("rounds.jsonl", "devices.jsonl"):
        assert (again / name).read_bytes() == (made / again.name / name).read_bytes()


def test_without_bundles_and_torch_a_run_names_the_extra(scenario: Path, tmp_path: Path) -> None:
    done = python(WITHOUT_TORCH, "run", scenario, "--out", tmp_path)
    assert done.returncode == 2
    assert "edge-fd[server]" in done.stderr


def test_what_only_the_export_the_report_and_the_tables_need_is_not_loaded_before_the_first_round(
    scenario: Path, tmp_path: Path
) -> None:
    bundles = scenario.parent / "runs" / "start" / "bundles"
    done = python(TELLS_WHAT_IS_LOADED, scenario, tmp_path / "run", bundles)
    assert done.returncode == 0, done.stderr
    loaded = set(done.stdout.split())
    assert {"numpy", "onnxruntime", "simpy"} <= loaded
    assert not loaded & (AT_THE_END | ONLY_TO_EXPORT | TOO_SLOW)
