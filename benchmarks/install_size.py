"""Installed size of the device role: what ``pip install edge-fd`` without extras puts on disk.

    python benchmarks/install_size.py [CHECKOUT]

Installs the checkout into a fresh virtual environment and prints, as JSON, the bytes of
its site-packages without pip and setuptools: in all, and by top-level entry. Bytes are
file sizes, byte code included; the blocks of a file system take a little more.
"""

from __future__ import annotations

import argparse
import json
import platform
import shutil
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).parents[1]
INSTALLER = ("pip", "setuptools", "pkg_resources", "_distutils_hack", "distutils")


def install(checkout: Path, folder: Path) -> Path:
    """Install a copy of ``checkout``, so that it gets no build folder; return site-packages."""
    skipped = shutil.ignore_patterns(".*", "__pycache__", "build", "dist", "runs", "*.egg-info")
    shutil.copytree(checkout, folder / "checkout", ignore=skipped)
    venv.create(folder / "venv", with_pip=True)
    python = folder / "venv" / ("Scripts" if sys.platform == "win32" else "bin") / "python"
    command = [python, "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    subprocess.run([*command, folder / "checkout"], check=True, stdout=sys.stderr)
    where = "import sysconfig; print(sysconfig.get_path('platlib'))"
    found = subprocess.run([python, "-c", where], check=True, capture_output=True, text=True)
    return Path(found.stdout.strip())


def size_bytes(entry: Path) -> int:
    if entry.is_file():
        return entry.stat().st_size
    return sum(path.stat().st_size for path in entry.rglob("*") if path.is_file())


def measure(site_packages: Path) -> dict[str, int]:
    """Bytes of each top-level entry that is not the installer's own."""
    sizes = {
        entry.name: size_bytes(entry)
        for entry in site_packages.iterdir()
        if entry.name.partition("-")[0] not in INSTALLER
    }
    return dict(sorted(sizes.items(), key=lambda item: -item[1]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("checkout", nargs="?", type=Path, default=ROOT)
    checkout = parser.parse_args().checkout
    with tempfile.TemporaryDirectory() as folder:
        entries = measure(install(checkout, Path(folder)))
    facts = {
        "benchmark": "install_size",
        "installed_bytes": sum(entries.values()),
        "entries_bytes": entries,
        "python": platform.python_version(),
        "machine": platform.machine(),
    }
    print(json.dumps(facts, indent=2))


if __name__ == "__main__":
    main()
