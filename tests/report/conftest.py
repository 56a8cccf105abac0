from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from fake_runs import SHAPES, write_all, write_run

from edge_fd.report import write_report

if TYPE_CHECKING:
    from edge_fd.run_folder import Run


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Run]:
    """Five methods, two seeds each, one deployed run and one that has not finished."""
    folder = tmp_path_factory.mktemp("runs")
    return [
        *write_all(folder),
        write_run(folder / "fd-3", SHAPES[2], 3, rounds=4, devices=3, finish=False),
    ]


@pytest.fixture(scope="session")
def page(runs: list[Run], tmp_path_factory: pytest.TempPathFactory) -> str:
    """The report over all of them."""
    return write_report(runs, tmp_path_factory.mktemp("page") / "report.html").read_text("utf-8")
