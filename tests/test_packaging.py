"""The device role installs on boards from wheels alone: a resolver check, nothing is run."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[1]
# glibc 2.31 is that of JetPack 5 (Ubuntu 20.04), the oldest system of the boards in mind;
# Raspberry Pi OS bookworm has 2.36. pip does not expand a given tag to the older ones.
PLATFORMS = [*(f"manylinux_2_{minor}_aarch64" for minor in range(17, 32)), "manylinux2014_aarch64"]
# What must never become part of the device role; architecture.md, section 2.
UNWANTED = {"torch", "onnx", "pydantic", "rich", "cryptography", "scipy", "simpy", "pandas"}


def base_requirements(python: str) -> list[str]:
    """The base dependencies whose markers hold on an aarch64 Linux with this Python.

    pip evaluates markers for the running interpreter, whatever --python-version says.
    """
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    system = {"python_version": python, "platform_machine": "aarch64", "sys_platform": "linux"}
    kept = []
    for line in project["dependencies"]:
        requirement = Requirement(line)
        if requirement.marker is None or requirement.marker.evaluate(system):
            requirement.marker = None
            kept.append(str(requirement))
    return kept


def pip(*arguments: str) -> subprocess.CompletedProcess[str]:
    common = ["install", "--dry-run", "--ignore-installed", "--quiet", "--report", "-"]
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", *common, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.slow
@pytest.mark.parametrize("python", ["3.10", "3.11", "3.12", "3.13"])
def test_the_device_role_resolves_to_wheels_for_64_bit_arm(python: str, tmp_path: Path) -> None:
    tags = [word for tag in PLATFORMS for word in ("--platform", tag)]
    done = pip(
        "--only-binary=:all:",
        *("--implementation", "cp", "--python-version", python),
        *("--target", str(tmp_path)),
        *tags,
        *base_requirements(python),
    )
    if done.returncode != 0:
        # One pure-Python wheel, no platform asked for: fails only when no index answers.
        probe = pip("--no-deps", "paho-mqtt")
        if probe.returncode != 0:
            pytest.skip(f"no package index can be reached: {probe.stderr.strip()[-200:]}")
    assert done.returncode == 0, done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    files = {
        canonicalize_name(entry["metadata"]["name"]): entry["download_info"]["url"].split("/")[-1]
        for entry in report["install"]
    }
    assert {canonicalize_name(Requirement(line).name) for line in base_requirements(python)} <= set(
        files
    )
    for file in files.values():
        assert re.search(r"(aarch64|-any)\.whl$", file), file
    assert not UNWANTED & set(files)


def test_the_requirements_follow_the_markers_of_the_asked_python() -> None:
    def zstd(python: str) -> bool:
        return any(line.startswith("backports.zstd") for line in base_requirements(python))

    # The standard library has compression.zstd from Python 3.14 on (PEP 784).
    assert zstd("3.13")
    assert not zstd("3.14")
