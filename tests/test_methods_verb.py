"""The list of methods says what the classes say, and its bytes are those that a run sends."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="bundles are made with torch, of the extra 'server'")

from edge_fd import cli, methods

DEMO = str(Path(cli.__file__).with_name("demo.toml"))


def listed(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[dict[str, Any]]:
    assert cli.main(["methods", *arguments, "--json"]) == 0
    found: list[dict[str, Any]] = json.loads(capsys.readouterr().out)
    return found


def test_every_method_is_listed_with_what_its_class_says(
    capsys: pytest.CaptureFixture[str],
) -> None:
    rows = listed(capsys)
    assert [row["name"] for row in rows] == list(methods.METHODS)
    for row in rows:
        method = methods.create(row["name"])
        assert row["kind"] == method.kind
        assert row["needs_proxy_labels"] == method.needs_proxy_labels
        assert row["same_student"] == method.same_student
    assert cli.main(["methods"]) == 0
    text = capsys.readouterr().out
    fedmd = next(line for line in text.splitlines() if line.startswith("fedmd "))
    assert "proxy data, proxy labels" in fedmd
    assert "arXiv 1910.03581" in fedmd
    for name in methods.WRAPPERS:
        assert f"{name}+METHOD" in text


def test_the_bytes_of_a_scenario_by_hand_and_the_reason_where_a_method_does_not_fit(
    capsys: pytest.CaptureFixture[str],
) -> None:
    rows = {
        row["name"]: row
        for row in listed(capsys, DEMO, "--method", "fedavg,dsfl", "--codec", "uint8")
    }
    # 400 proxy samples x 10 classes, one byte each; 400 images of 8 x 8 bytes once.
    dsfl = rows["dsfl"]
    assert dsfl["up_payload"][0] == pytest.approx(4000, abs=20)
    assert dsfl["down_payload"][0] == pytest.approx(4000, abs=20)
    assert dsfl["one_time_proxy"] == 400 * 64
    assert 4000 < dsfl["up_on_air"][0] <= dsfl["up_on_air"][1] < 5000
    assert re.search("needs one architecture.*lenet5, mlp", rows["fedavg"]["reason"])
    assert rows["fedavg"]["up_payload"] is None


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--codec", "uint8"], "--codec, --set and --devices need a scenario"),
        (["--method", "fdd"], "unknown method 'fdd'; did you mean 'fd'"),
        ([DEMO, "--codec", "unit8"], "unknown codec 'unit8'; did you mean 'uint8'"),
        ([DEMO, "--set", "data.name=digts"], "unknown data set 'digts'"),
    ],
)
def test_bad_input_is_one_line(
    arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["methods", *arguments]) == 2
    captured = capsys.readouterr()
    assert told in captured.err
    assert not captured.out
