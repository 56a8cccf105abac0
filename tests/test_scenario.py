"""Scenario files: what is wrong is told in one line with key, value and remedy."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_fd.errors import UsageError
from edge_fd.scenario import DevicesSection, Scenario, load_tree, parse_value

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[1]
GROUP = '[[devices]]\ncount = 3\nstudent = "mlp"\n'


def refusal(tmp_path: Path, text: str) -> str:
    """What loading a file of ``text`` says."""
    path = tmp_path / "s.toml"
    path.write_text(text)
    with pytest.raises(UsageError) as told:
        Scenario.load(path)
    line = str(told.value)
    assert "\n" not in line
    assert str(path) in line
    return line


@pytest.mark.parametrize(
    ("text", "told"),
    [
        # Misspelt keys, with the nearest.
        ("sed = 3\n" + GROUP, "unknown key 'sed'; did you mean 'seed'?"),
        ("[dta]\n" + GROUP, "unknown key 'dta'; did you mean 'data'?"),
        ("[rounds]\ndeadline = 5\n" + GROUP, "'rounds.deadline'; did you mean 'deadline_s'?"),
        (GROUP + "studnet = 'mlp'\n", "'devices.0.studnet'; did you mean 'student'?"),
        (GROUP + "zzz = 1\n", "unknown key 'devices.0.zzz'; known: capability, count,"),
        # Out of range.
        ("seed = -1\n" + GROUP, "seed = -1: it should be greater than or equal to 0"),
        ("[split]\nalpha = 0\n" + GROUP, "split.alpha = 0: it should be greater than 0"),
        ("[training]\nmomentum = 1.0\n" + GROUP, "training.momentum = 1.0: it should be less"),
        ("[training]\nlr = 1e3\n" + GROUP, "training.lr = 1000.0: it should be less than or equal"),
        ("[training]\nlr = inf\n" + GROUP, "training.lr = inf: it should be a finite number"),
        ("[rounds]\ndeadline_s = nan\n" + GROUP, "rounds.deadline_s = nan: it should be a finite"),
        ("[rounds]\nquorum = 1.5\n" + GROUP, "rounds.quorum = 1.5: it should be less"),
        (GROUP.replace("3", "0"), "devices.0.count = 0: it should be greater"),
        ("[dropout]\nbattery_j = 0.0\n" + GROUP, "dropout.battery_j = 0.0: it should be greater"),
        # Wrong type; text is no number, and neither is a truth value.
        (GROUP.replace("3", '"3"'), "devices.0.count = '3': it should be a valid integer"),
        (GROUP.replace("3", "true"), "devices.0.count = True: it should be a valid integer"),
        (GROUP.replace("3", "2.5"), "devices.0.count = 2.5: it should be a valid integer"),
        ('[training]\nlr = "0.1"\n' + GROUP, "training.lr = '0.1': it should be a valid number"),
        ("name = 4\n" + GROUP, "name = 4: it should be a valid string"),
        ('[split]\nkind = "idd"\n' + GROUP, "split.kind = 'idd': it should be 'iid', 'dirichlet'"),
        ("data = 5\n" + GROUP, "data = 5 must be a table; write [data]"),
        ("[devices]\ncount = 3\n", "must be tables; write [[devices]]"),
        # What is missing.
        ("seed = 1\n", "'devices' is missing; add it"),
        ("devices = []\n", "'devices' is empty; add a [[devices]] table"),
        ("[[devices]]\ncount = 3\n", "'devices.0.student' is missing; add it"),
        # Keys that go together.
        ("[dropout]\nlink_up_s = 3\n" + GROUP, "dropout.link_up_s and dropout.link_down_s go tog"),
        ("[dropout]\ndevice_down_s = 3\n" + GROUP, "dropout.device_down_s go together; give both"),
        ('dropout = {device_trace = "x", device_up_s = 1, device_down_s = 1}\n' + GROUP, "exclude"),
        ('[channel]\nmodel = "preset"\n' + GROUP, "'preset' and channel.preset = None do not fit"),
        ('[channel]\nmodel = "fdma"\npreset = "zigbee"\n' + GROUP, "leave out model, or leave out"),
        # Settings of methods.
        ("[method]\nlocal_epochs = 3\n" + GROUP, "method.local_epochs = 3 is no setting"),
        ('[method]\nname = "fdavg"\n' + GROUP, "unknown method 'fdavg'; did you mean 'fedavg'?"),
        ("[method.fdmd]\n" + GROUP, "unknown method 'fdmd'; did you mean 'fedmd'?"),
        ("[method.fd]\ngama = 1.0\n" + GROUP, "'gama'; did you mean 'gamma'?"),
        ("[method.dsfl]\ntemperature = -1\n" + GROUP, "temperature = -1 is out of range"),
        # Names that cannot stand in a topic.
        ('name = "a b"\n' + GROUP, "run name 'a b'"),
        (GROUP + 'name = "a/b"\n', "device name 'a/b-00'"),
        ('[[devices]]\ncount = 1\nstudent = "own.nets:Größe"\n', "device name 'größe-00'"),
        # No TOML at all.
        ("seed = = 3\n", "is no TOML: "),
        ("seed = 1\nseed = 2\n", "is no TOML: "),
    ],
)  # fmt: skip
def test_bad_input_is_told_in_one_line(tmp_path: Path, text: str, told: str) -> None:
    assert told in refusal(tmp_path, text)


def test_a_setting_at_the_wrong_level_is_told_its_table(tmp_path: Path) -> None:
    line = refusal(tmp_path, '[method]\nname = "dsfl"\ntemperature = 0.2\n' + GROUP)
    assert "method.temperature = 0.2" in line
    assert line.endswith("[method.dsfl]")


def test_a_file_that_cannot_be_read_is_named_with_the_remedy(tmp_path: Path) -> None:
    missing = tmp_path / "none.toml"
    with pytest.raises(UsageError, match=r"none\.toml: No such file.*give the path of a TOML file"):
        Scenario.load(missing)
    with pytest.raises(UsageError, match="Is a directory"):
        load_tree(tmp_path)
    binary = tmp_path / "b.toml"
    binary.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError, match="is no TOML"):
        load_tree(binary)


@pytest.mark.parametrize(
    ("text", "value"),
    [("3", 3), ("0.5", 0.5), ("true", True), ("[1, 2]", [1, 2]), ('"a"', "a"), ("mlp", "mlp")],
)
def test_a_value_of_the_command_line_is_toml_or_itself(text: str, value: Any) -> None:
    assert parse_value(text) == value
    assert type(parse_value(text)) is type(value)


@pytest.mark.parametrize(
    "path",
    sorted([*(ROOT / "edge_fd").glob("*.toml"), *(ROOT / "examples").rglob("*.toml")]),
    ids=lambda path: path.stem,
)  # fmt: skip
def test_the_scenarios_that_come_along_load_and_survive_writing(path: Path) -> None:
    scenario = Scenario.load(path)
    assert Scenario.parse(tomllib.loads(scenario.to_toml())) == scenario


positive = st.floats(1e-6, 1e6)
topic_names = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,20}", fullmatch=True)
# TOML holds Unicode scalar values, so no lone surrogates.
free_text = st.text(st.characters(codec="utf-8"), max_size=12)
trees = st.fixed_dictionaries(
    {
        "devices": st.lists(
            st.fixed_dictionaries(
                {"count": st.integers(1, 5), "student": st.sampled_from(["mlp", "own.nets:tiny"])},
                optional={
                    "name": st.sampled_from(["cam", "mic", "x1"]),
                    "capability": st.sampled_from(["train", "infer"]),
                    "profile": free_text,
                    "factory_epochs": st.integers(0, 9),
                },
            ),
            min_size=1,
            max_size=3,
        )
    },
    optional={
        "name": topic_names,
        "seed": st.integers(0, 2**70),
        "data": st.fixed_dictionaries({}, optional={"path": free_text, "proxy": st.integers(0, 9)}),
        "split": st.fixed_dictionaries({}, optional={"alpha": positive}),
        "training": st.fixed_dictionaries({}, optional={"lr": st.floats(1e-6, 100)}),
        "method": st.fixed_dictionaries(
            {"name": st.sampled_from(["fd", "local"])},
            optional={
                "fd": st.fixed_dictionaries({"gamma": st.floats(0, 1e300)}),
                "fedmd": st.fixed_dictionaries({"transfer_epochs": st.integers(0, 10**30)}),
            },
        ),
        "channel": st.fixed_dictionaries(
            {}, optional={"min_m": positive, "fading": st.booleans(), "a_list": st.lists(positive)}
        ),
        "dropout": st.fixed_dictionaries({"link_up_s": positive, "link_down_s": positive}),
    },
)


@settings(deadline=None)
@given(trees)
def test_a_scenario_survives_being_written(tree: dict[str, Any]) -> None:
    scenario = Scenario.parse(tree)
    again = Scenario.parse(tomllib.loads(scenario.to_toml()))
    assert again == scenario
    assert again.to_toml() == scenario.to_toml()


def scenario_of(*counts: int) -> Scenario:
    groups = [
        {"count": count, "student": "mlp", "name": name}
        for count, name in zip(counts, "abcdef", strict=False)
    ]
    return Scenario.parse({"devices": groups})


@settings(deadline=None)
@given(counts=st.lists(st.integers(1, 30), min_size=1, max_size=6), total=st.integers(1, 200))
def test_a_total_is_shared_out_by_group_with_at_least_one_each(
    counts: list[int], total: int
) -> None:
    scenario = scenario_of(*counts)
    if total < len(counts):
        with pytest.raises(UsageError, match=f"devices = {total} is fewer than the {len(counts)}"):
            scenario.with_devices(total)
        return
    shares = [group.count for group in scenario.with_devices(total).devices]
    assert sum(shares) == total
    assert min(shares) >= 1
    # Beyond the one that each has, a group gets its quota, rounded up or down.
    for count, share in zip(counts, shares, strict=True):
        assert abs(share - 1 - (total - len(counts)) * count / sum(counts)) < 1


@settings(deadline=None)
@given(small=st.integers(1, 20), more=st.integers(1, 20))
def test_a_device_keeps_its_name_when_another_group_grows(small: int, more: int) -> None:
    before, after = scenario_of(small, 2), scenario_of(small + more, 2)
    names, grown = before.device_names(), after.device_names()
    assert set(names) <= set(grown)
    assert [n for n in grown if n.startswith("b")] == [n for n in names if n.startswith("b")]
    assert all(grown[name].name == group.name for name, group in names.items())


def test_names_follow_the_group_or_the_student_and_never_repeat() -> None:
    groups = (
        DevicesSection(count=2, student="har_cnn"),
        DevicesSection(count=1, student="own.nets:TinyNet", name="Cam"),
        DevicesSection(count=1, student="own.nets:TinyNet"),
        DevicesSection(count=2, student="har_cnn", capability="infer"),
    )
    names = Scenario(devices=groups).device_names()
    assert list(names) == [
        "har-cnn-00", "har-cnn-01", "Cam-00", "tinynet-00", "har-cnn-02", "har-cnn-03",
    ]  # fmt: skip
    assert names["har-cnn-02"].capability == "infer"


def test_settings_of_a_method_are_those_of_its_table() -> None:
    tree = {"devices": [{"count": 1, "student": "mlp"}], "method": {"fd": {"gamma": 2.0}}}
    method = Scenario.parse(tree).method
    assert method.settings("fd") == {"gamma": 2.0}
    assert method.settings("dsfl") == {}
