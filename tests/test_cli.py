"""Bad input on the command line: one line with key, value and remedy; status 2; nothing made."""

import re
from pathlib import Path

import pytest

from edge_fd import cli

DEMO = str(Path(cli.__file__).with_name("demo.toml"))
VERBS = ("demo", "methods", "run", "sweep", "export", "serve", "device", "report", "channel")


def say(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Run the command line; return the one line that it printed as an error."""
    assert cli.main(arguments) == 2
    captured = capsys.readouterr()
    lines = captured.err.strip().splitlines()
    assert len(lines) == 1, captured.err
    assert lines[0].startswith("edge-fd: error: ")
    assert not captured.out
    return lines[0]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ("data.proxxy=3", r"'data.proxxy'; did you mean 'proxy'"),
        ("split.alpha=-1", r"split.alpha = -1: .*greater than 0"),
        ("rounds.count=abc", r"rounds.count = 'abc': .*integer"),
        ("rounds.quorum=1.5", r"rounds.quorum = 1.5: .*less than or equal to 1"),
        ("method.name=fdd", r"unknown method 'fdd'; did you mean 'fd'"),
        ("method.dsfl.temprature=1", r"'temprature'; did you mean 'temperature'"),
        ("method.dsfl.temperature=-1", r"temperature = -1 is out of range; allowed: 0.0 or more"),
        ("method.gamma=3", r"method.gamma = 3 .*\[method.dsfl\]"),
        ("transport.codec=flaot16", r"unknown codec 'flaot16'; did you mean 'float16'"),
        ("channel.bandwith_up_hz=1", r"'bandwith_up_hz'; did you mean 'bandwidth_up_hz'"),
        ("channel.bandwidth_up_hz=-3", r"bandwidth_up_hz = -3 must be above 0"),
        ('channel.bandwidth_up_hz="a"', r"bandwidth_up_hz = 'a' must be a number"),
        ("channel.max_m=1", r"min_m = 5.0 is above max_m = 1"),
        ("dropout.link_up_s=0", r"dropout.link_up_s = 0: .*greater than 0"),
        ("devices=3", r"devices = 3 must be tables; write \[\[devices\]\]"),
        ("devices=[]", r"'devices' is empty; add a \[\[devices\]\] table"),
        ("data.name=digts", r"unknown data set 'digts'; did you mean 'digits'"),
        ("data.proxy=99999", r"proxy = 99999 must be from 0 to 1438"),
        ("data.proxy=0", r"needs proxy data and data.proxy = 0; set data.proxy"),
        ("nonsense", r"--set 'nonsense' has no '='; write KEY=VALUE"),
    ],
)
def test_a_wrong_key_or_value_is_told_in_one_line_and_makes_no_run(
    changes: str, told: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    line = say(capsys, "run", DEMO, "--set", changes, "--out", str(tmp_path / "runs"))
    assert re.search(told, line), line
    assert not list(tmp_path.rglob("run.json"))


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["run", "no.toml"], r"scenario no.toml: No such file or directory; give the path"),
        (["run", DEMO, "--method", "fedavg"], r"needs one architecture.*lenet5, mlp; give all"),
        (["run", DEMO, "--devices", "1"], r"devices = 1 is fewer than the 3 groups"),
        (["run", DEMO, "--seeds", "0"], r"--seeds 0 must be at least 1"),
        (["sweep", DEMO, "--seeds", "0"], r"--seeds 0 must be at least 1"),
        (["sweep", DEMO, "--jobs", "0"], r"--jobs 0 must be at least 1"),
        (["sweep", DEMO, "--grid", "rounds.count"], r"write KEY=VALUE,VALUE"),
        (["export", DEMO, "--method", "fedaveg"], r"'fedaveg'; did you mean 'fedavg'"),
        (["serve", DEMO, "--method", "fedavg"], r"needs one architecture"),
        (["report", "nowhere"], r"nowhere is not a run"),
        (["device", "--bundle", "b", "--data", "d", "--name", "n"], r"bundle b: cannot be read"),
    ],
)
def test_a_wrong_argument_is_told_in_one_line(
    arguments: list[str],
    told: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    line = say(capsys, *arguments)
    assert re.search(told, line), line
    assert not list(tmp_path.rglob("run.json"))


def test_a_file_that_is_no_toml_is_told_with_its_place(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "bad.toml"
    path.write_text("[data\nname = 1\n")
    assert re.search(r"bad.toml is no TOML: .*line 1", say(capsys, "run", str(path)))


def test_a_folder_that_is_no_demo_is_left_alone(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "thesis.tex").touch()
    assert "no demo; name another folder" in say(capsys, "demo", "--out", str(tmp_path))
    assert (tmp_path / "thesis.tex").exists()


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help_with_an_example(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        cli.main([verb, "--help"])
    assert stop.value.code == 0
    assert f"example: edge-fd {verb}" in capsys.readouterr().out


def test_a_run_that_is_complete_is_kept_and_not_run_again(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    command = ["run", DEMO, "--devices", "3", "--method", "local", "--out", str(tmp_path)]
    command += ["--set", "rounds.count=1", "--json"]
    assert cli.main(command) == 0
    first = capsys.readouterr()
    records = next(tmp_path.rglob("devices.jsonl"))
    before = records.stat().st_mtime_ns
    assert cli.main(command) == 0
    second = capsys.readouterr()
    assert second.out == first.out
    assert "complete, kept" in second.err
    assert records.stat().st_mtime_ns == before


def test_a_finished_run_of_another_scenario_is_not_overwritten(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    command = ["run", DEMO, "--devices", "3", "--method", "local", "--out", str(tmp_path)]
    assert cli.main([*command, "--set", "rounds.count=1", "--json"]) == 0
    capsys.readouterr()
    line = say(capsys, *command, "--set", "rounds.count=2")
    assert re.search("finished run of another version .*name another --out", line)
