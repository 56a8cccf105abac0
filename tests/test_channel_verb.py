"""``edge-fd channel``: tables, JSON and picture say what the models say; bad input is told."""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path
from typing import Any

import pytest

from edge_fd.cli import main
from edge_fd.errors import UsageError
from edge_fd.verbs.ranges import numbers, parse_size
from edge_fd.verbs.terminal import scenario_of

ZIGBEE = ["channel", "zigbee", "--distance", "1:40", "--payload", "100"]


def told(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The one line that a refused command leaves; nothing else may be printed."""
    assert main(list(arguments)) == 2
    out, err = capsys.readouterr()
    assert "Traceback" not in err
    (line,) = [line for line in err.splitlines() if line.startswith("edge-fd: error: ")]
    assert out == ""
    return line


def surveyed(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    assert main([*arguments, "--json"]) == 0
    tree: dict[str, Any] = json.loads(capsys.readouterr().out)
    return tree


def test_without_a_preset_all_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["channel"]) == 0
    out = capsys.readouterr().out
    for name in ("wifi_n_home", "lorawan_eu868", "nr_fr1", "chen2021"):
        assert name in out


def test_the_link_is_that_of_the_formulas(capsys: pytest.CaptureFixture[str]) -> None:
    tree = surveyed(capsys, *ZIGBEE, "--devices", "1")
    rows = tree["link"]
    assert [row["distance_m"] for row in rows] == [1, 2, 5, 10, 20, 40]
    for row in rows:
        # zigbee.json: exponent 3 from free space at 1 m and 2.44 GHz; 0 dBm sent.
        near_db = 20 * math.log10(4 * math.pi * 2.44e9 / 299_792_458)
        loss_db = near_db + 30 * math.log10(row["distance_m"])
        assert row["loss_db"] == pytest.approx(loss_db, abs=0.01)
        assert row["rx_power_dbm"] == pytest.approx(-loss_db, abs=0.01)
        assert row["rate_bps"] == 250e3  # IEEE 802.15.4 O-QPSK
        assert 0 < row["air_s"] <= row["latency_s"]


def test_a_crowd_together_loses_more_than_one_that_is_spread(
    capsys: pytest.CaptureFixture[str],
) -> None:
    tree = surveyed(capsys, *ZIGBEE, "--devices", "1,20", "--jitter", "20", "--within", "10")
    rows = {(row["devices"], row["jitter_s"]): row for row in tree["crowds"]}
    assert set(rows) == {(1, 0.0), (20, 0.0), (1, 20.0), (20, 20.0)}
    for row in rows.values():
        assert row["delivered"] + sum(row["lost"].values()) == pytest.approx(1.0)
        assert row["first_s"] <= row["last_s"]
    assert rows[20, 0.0]["delivered"] < 0.7 < rows[20, 20.0]["delivered"]
    assert rows[1, 0.0]["delivered"] > 0.95
    assert rows[20, 20.0]["last_s"] > 15.0


def test_the_same_seed_prints_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    first, again, other = (
        surveyed(capsys, *ZIGBEE, "--devices", "10", "--seed", seed)["crowds"] for seed in "778"
    )
    assert first == again
    assert first != other


def test_a_number_can_be_replaced_and_sources_are_printed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    louder = surveyed(capsys, *ZIGBEE, "--devices", "1", "--set", "tx_power_dbm=7")
    plain = surveyed(capsys, *ZIGBEE, "--devices", "1")
    for loud, quiet in zip(louder["link"], plain["link"], strict=True):
        assert loud["rx_power_dbm"] == pytest.approx(quiet["rx_power_dbm"] + 7)
    assert main([*ZIGBEE, "--devices", "1", "--sources", "--set", "tx_power_dbm=7"]) == 0
    assert "given by the user" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("over", "extra_bytes"),
    # One segment: IP and TCP 52 B; PUBLISH 1 + 1 + 2 + 32 + 2 B; a record of TLS 1.3 22 B.
    [("raw", 0), ("mqtt", 52 + 38), ("mqtts", 52 + 38 + 22)],
)
def test_a_payload_can_be_wrapped_in_its_protocols(
    over: str, extra_bytes: int, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["channel", "shannon", "--distance", "10", "--devices", "1", "--payload"]
    plain = surveyed(capsys, *arguments, str(50 + extra_bytes))["link"]
    assert surveyed(capsys, *arguments, "50", "--over", over)["link"] == plain


@pytest.mark.parametrize(("suffix", "magic"), [("svg", b"<?xml"), ("png", b"\x89PNG")])
def test_the_picture_is_written(
    suffix: str, magic: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "new" / f"zigbee.{suffix}"
    assert main([*ZIGBEE, "--devices", "1:5", "--jitter", "1", "--out", str(path)]) == 0
    assert path.read_bytes().startswith(magic)
    assert "delivered %" in capsys.readouterr().out


def test_a_crowd_that_does_not_fit_ends_the_series_and_is_told(
    capsys: pytest.CaptureFixture[str],
) -> None:
    arguments = ["channel", "ble5_1m", "--distance", "1:30", "--payload", "400", "--json"]
    assert main([*arguments, "--devices", "5,10,20,50"]) == 0
    out, err = capsys.readouterr()
    assert [row["devices"] for row in json.loads(out)["crowds"]] == [5, 10]
    assert err.startswith("20 devices: ")
    assert "12 fit" in " ".join(err.split())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["zigbe"], "preset = 'zigbe' is unknown; did you mean 'zigbee'?"),
        (["zigbee", "--distance", "0:5"], "--distance '0:5': give positive numbers"),
        (["zigbee", "--distance", "9:5"], "give the smaller and the larger end"),
        (["zigbee", "--distance", "far"], "--distance 'far': give positive numbers"),
        (
            ["zigbee", "--payload", "40kb"],
            "--payload '40kb' is no size; give a number and one of B",
        ),
        (["zigbee", "--payload", "0.5"], "--payload '0.5' is 0.5 B; give whole bytes"),
        (["zigbee", "--devices", "1.5"], "--devices '1.5': 1.5 is not whole"),
        (["zigbee", "--set", "carrier=1"], "did you mean 'carrier_hz'?"),
        (["zigbee", "--set", "carrier_hz"], "--set 'carrier_hz' has no '='; write KEY=VALUE"),
        (["zigbee", "--set", "tx_power_dbm=x"], "tx_power_dbm = 'x' has the wrong type"),
        (["nr_fr1", "--set", "carrier_hz=-5"], "carrier_hz = -5 must be above 0"),
        (["nr_fr1", "--set", "carrier_hz=2e8", "--distance", "10:99"], "carrier_hz = 200000000"),
        (["lorawan_eu868", "--payload", "40MB"], "at most 288642 bytes would fit, so it is"),
        (["zigbee", "--distance", "900:1000"], "% of lone messages at 900 m already"),
        (["lte_cat1", "--distance", "1:9000"], "outside 0 to 5000 (TR 38.901"),
        (["zigbee", "--distance", "1:9", "--out", "x.gif"], "ends in .svg, .png, .pdf"),
    ],
)
def test_bad_input_is_told_in_one_line(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert message in told(capsys, "channel", *arguments)


@pytest.mark.parametrize(
    ("text", "size_bytes"),
    [("512", 512), ("40kB", 40_000), ("1.5 MB", 1_500_000), ("2KiB", 2048), ("7B", 7)],
)
def test_sizes(text: str, size_bytes: int) -> None:
    assert parse_size(text) == size_bytes


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("1:100", [1, 2, 5, 10, 20, 50, 100]),
        ("3:30", [3, 5, 10, 20, 30]),
        ("7", [7]),
        ("9,1,9", [1, 9]),
        ("0.2:2", [0.2, 0.5, 1, 2]),
    ],
)
def test_ranges(text: str, rows: list[float]) -> None:
    low, high, found = numbers("--distance", text)
    assert found == pytest.approx(rows)
    assert (low, high) == (min(rows), max(rows))


def test_an_empty_range_is_refused() -> None:
    with pytest.raises(UsageError, match="give positive numbers"):
        numbers("--distance", "")


@pytest.mark.parametrize(
    ("radio", "expected"),
    [
        (None, {"model": "fdma", "max_m": 60.0, "bandwidth_up_hz": 1e6}),
        ("zigbee", {"model": "preset", "preset": "zigbee", "max_m": 60.0}),
        ("ideal", {"model": "ideal", "max_m": 60.0}),
        ("fdma", {"model": "fdma", "max_m": 60.0}),
    ],
)
def test_a_run_can_be_given_another_radio_than_its_scenario_has(
    radio: str | None, expected: dict[str, Any], tmp_path: Path
) -> None:
    """What is the old radio's own goes with it; places stay."""
    path = tmp_path / "s.toml"
    path.write_text(
        '[channel]\nmodel = "fdma"\nmax_m = 60.0\nbandwidth_up_hz = 1e6\n'
        '[[devices]]\ncount = 2\nstudent = "mlp"\n'
    )
    options = argparse.Namespace(scenario=path, radio=radio, set=[], devices=None)
    channel = scenario_of(options).channel
    given = {name: getattr(channel, name) for name in channel.model_fields_set}
    assert given == expected
