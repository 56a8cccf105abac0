"""The Python examples of the radio pages run as they stand."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DATA = Path(os.environ.get("EDGE_FD_DATA", ROOT.parent / "shared" / "data")).resolve()
PAGES = [
    path
    for path in (ROOT / "docs" / "channel.md", *sorted((ROOT / "docs" / "channel").glob("*.md")))
    if "```python" in path.read_text("utf-8")
]


def test_all_but_the_tables_have_an_example() -> None:
    without = {path.name for path in (ROOT / "docs" / "channel").glob("*.md")} - {
        path.name for path in PAGES
    }
    assert without <= {"oracles.md"}


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.stem)
def test_the_examples_of_a_page_run(page: Path, tmp_path: Path) -> None:
    text = page.read_text("utf-8")
    blocks = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    if "EDGE_FD_DATA" in "".join(blocks) and not DATA.is_dir():
        pytest.skip(f"no data at {DATA}; set EDGE_FD_DATA")
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", "\n".join(blocks)],
        cwd=tmp_path,
        env={**os.environ, "EDGE_FD_DATA": str(DATA), "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
