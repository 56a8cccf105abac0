"""The run folder: what was written is read back, whatever ends the writing."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import textwrap
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any, get_args, get_type_hints

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from edge_fd.errors import UsageError
from edge_fd.records import Bytes, DeviceRecord, RoundRecord, Summary
from edge_fd.run_folder import RunFolder, load_run

SCENARIO = "seed = 3\n"
FACTS = {"mode": "simulated", "method": "fd", "seed": 3, "command": "edge-fd run x.toml"}
ROUND = RoundRecord(1, "closed", 0.0, 2.5, 2, 1, 1, 0, "ab" * 32, None)
DEVICE = DeviceRecord(
    1, "a", "mlp", "train", "pi4", "accepted", 0.5, 0.75, 1.25, Bytes(100, 20, 30, 40, 25),
    Bytes(200, 10, 15, 80, 50), 0.1, 0.2, 0.3, None, None, None, None, 1, 60,
)  # fmt: skip
SUMMARY = Summary(
    "r", "simulated", "fd", 3, 2, 1, 0, 0.5, 0.75, None, Bytes(100), Bytes(200), 0, 9, 2.5, None,
    {"accuracy": "measured"},
)  # fmt: skip

sizes = st.integers(0, 2**40)
splits = st.builds(Bytes, sizes, sizes, sizes, sizes, sizes)
numbers = st.none() | st.floats()
hints = get_type_hints(DeviceRecord)
devices = st.builds(
    DeviceRecord,
    round=st.integers(0, 3),
    device=st.text(max_size=3),
    student=st.text(),
    capability=st.sampled_from(get_args(hints["capability"])),
    profile=st.none() | st.text(),
    outcome=st.sampled_from(get_args(hints["outcome"])),
    up=splits,
    down=splits,
    **{f.name: numbers for f in fields(DeviceRecord) if f.type == "float | None"},
)


def write(path: Path, *records: DeviceRecord | RoundRecord, summary: Summary | None = None) -> None:
    with RunFolder(path) as folder:
        folder.start(SCENARIO, FACTS)
        for record in records:
            (folder.device if isinstance(record, DeviceRecord) else folder.round)(record)
        if summary is not None:
            folder.finish(summary)


def strict(text: str) -> Any:
    def refuse(constant: str) -> None:
        raise ValueError(constant)

    return json.loads(text, parse_constant=refuse)


def test_a_finished_run_reads_back_as_written(tmp_path: Path) -> None:
    write(tmp_path / "r", ROUND, DEVICE, summary=SUMMARY)
    run = load_run(tmp_path / "r")
    assert (run.rounds, run.devices, run.summary) == ((ROUND,), (DEVICE,), SUMMARY)
    assert run.facts["status"] == "finished"
    assert FACTS.items() <= run.facts.items()
    assert run.facts["versions"]["numpy"] == np.__version__
    assert run.scenario == SCENARIO
    assert run.name == "r"


@settings(max_examples=40, deadline=None)
@given(st.lists(devices, max_size=6, unique_by=lambda record: (record.round, record.device)))
def test_any_records_read_back_and_every_line_is_strict_json(
    tmp_path_factory: pytest.TempPathFactory, records: list[DeviceRecord]
) -> None:
    path = tmp_path_factory.mktemp("run")
    write(path, *records)
    assert repr(load_run(path).devices) == repr(tuple(records))  # repr: NaN is not itself
    for line in (path / "devices.jsonl").read_text("utf-8").split("\n")[:-1]:
        assert strict(line).keys() == {column.name for column in fields(DeviceRecord)}


def test_numpy_scalars_are_written_as_numbers(tmp_path: Path) -> None:
    write(
        tmp_path,
        replace(DEVICE, loss=np.float32(0.5), attempts=np.int64(4), up_s=np.float32("nan")),
    )
    record = load_run(tmp_path).devices[0]
    assert (record.loss, record.attempts) == (0.5, 4)
    assert record.up_s is not None
    assert math.isnan(record.up_s)


def test_a_file_cut_anywhere_keeps_its_whole_lines_and_can_be_continued(tmp_path: Path) -> None:
    records = [replace(DEVICE, device=name) for name in ("a", "b", "ü")]
    write(tmp_path, *records)
    file = tmp_path / "devices.jsonl"
    whole = file.read_bytes()
    for cut in range(0, len(whole), 7):
        file.write_bytes(whole[:cut])
        kept = whole[:cut].count(b"\n")
        assert load_run(tmp_path).devices == tuple(records[:kept])
        write(tmp_path, *records)
        assert file.read_bytes() == whole


def test_a_record_that_is_there_is_not_written_twice(tmp_path: Path) -> None:
    write(tmp_path, DEVICE, ROUND)
    write(
        tmp_path, replace(DEVICE, loss=9.0), replace(ROUND, closed_s=9.0), replace(ROUND, round=2)
    )
    run = load_run(tmp_path)
    assert run.devices == (DEVICE,)
    assert run.rounds == (ROUND, replace(ROUND, round=2))
    assert run.facts["starts"] == 2


def test_records_given_together_are_written_once_each_and_in_order(tmp_path: Path) -> None:
    first, second = DEVICE, replace(DEVICE, device="b")
    with RunFolder(tmp_path) as folder:
        folder.start(SCENARIO, FACTS)
        folder.device(second, first, replace(first, loss=9.0))
        folder.device()
        assert load_run(tmp_path).devices == (second, first)  # already on disk


def test_parquet_holds_what_the_lines_hold(tmp_path: Path) -> None:
    lost = {"off": 1, "retry_limit": 2}
    second = replace(DEVICE, device="b", loss=None, profile=None, lost_messages=dict(lost))
    write(tmp_path, ROUND, DEVICE, second, summary=SUMMARY)
    for name in ("rounds", "devices"):
        lines = (tmp_path / f"{name}.jsonl").read_text().splitlines()
        expected = []
        for line in map(json.loads, lines):
            for way in ("up", "down"):
                for part, value in line.pop(way, {}).items():
                    line[f"{way}_{part}" + "_bytes" * (part != "paper_bits")] = value
            if name == "devices":
                counts = line.pop("lost_messages")
                line |= {f"lost_messages_{key}": counts.get(key, 0) for key in lost}
            expected.append(line)
        assert parquet.read_table(tmp_path / f"{name}.parquet").to_pylist() == expected


def test_parquet_columns_have_their_type_even_where_nothing_was_measured(tmp_path: Path) -> None:
    write(tmp_path, summary=SUMMARY)
    schema = parquet.read_schema(tmp_path / "devices.parquet")
    assert schema.field("tx_j").type == pa.float64()
    assert schema.field("profile").type == pa.string()
    assert schema.field("up_tcp_ip_bytes").type == pa.int64()


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_an_exception_passes_through_and_leaves_what_was_written(
    tmp_path: Path, error: type[BaseException]
) -> None:
    with pytest.raises(error), RunFolder(tmp_path) as folder:  # noqa: PT012
        folder.start(SCENARIO, FACTS)
        folder.round(ROUND)
        raise error
    run = load_run(tmp_path)
    assert run.facts["status"] == "interrupted"
    assert run.rounds == (ROUND,)
    assert run.summary is None


def test_a_killed_process_leaves_a_readable_folder(tmp_path: Path) -> None:
    code = f"""
        import os, signal
        from edge_fd.records import Bytes, DeviceRecord, RoundRecord
        from edge_fd.run_folder import RunFolder
        with RunFolder({str(tmp_path)!r}) as folder:
            folder.start({SCENARIO!r}, {FACTS!r})
            folder.round({ROUND!r})
            folder.device({DEVICE!r})
            os.kill(os.getpid(), signal.SIGKILL)
    """
    root = Path(__file__).parents[1]
    ended = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], cwd=root, check=False)
    assert ended.returncode == -signal.SIGKILL
    run = load_run(tmp_path)
    assert (run.facts["status"], run.rounds, run.devices) == ("running", (ROUND,), (DEVICE,))


def test_an_empty_folder_and_one_with_the_files_of_others_serve(tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()
    write(tmp_path / "new", ROUND)
    (tmp_path / "new" / "journal").touch()
    write(tmp_path / "new", ROUND, summary=SUMMARY)
    assert (tmp_path / "new" / "journal").exists()


@pytest.mark.parametrize(
    ("files", "why"),
    [
        ({"thesis.tex": ""}, "not empty and holds no run"),
        ({"run.json": "{"}, "not JSON"),
        ({"run.json": '{"lr": 1}'}, "not written by edge-fd"),
        ({"run.json": '{"format": "edge-fd run", "version": 9}'}, "format version 9"),
        ({"run.json": '{"format": "edge-fd run", "version": 1, "status": "finished"}'}, "finished"),
    ],
)
def test_a_folder_of_something_else_is_refused_and_left_alone(
    tmp_path: Path, files: dict[str, str], why: str
) -> None:
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(UsageError, match=why) as raised, RunFolder(tmp_path):
        pass
    assert str(tmp_path) in str(raised.value)
    assert {file.name: file.read_text() for file in tmp_path.iterdir()} == files


def test_a_file_in_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x").touch()
    with pytest.raises(UsageError, match="is a file"), RunFolder(tmp_path / "x"):
        pass


@pytest.mark.parametrize(
    ("scenario", "facts", "why"),
    [
        ("seed = 4\n", FACTS, "another scenario"),
        (SCENARIO, {**FACTS, "seed": 4}, "seed 3, not 4"),
        (SCENARIO, {**FACTS, "method": "fedmd"}, "'fd', not 'fedmd'"),
    ],
)
def test_another_run_is_not_continued_in_the_folder(
    tmp_path: Path, scenario: str, facts: dict[str, Any], why: str
) -> None:
    write(tmp_path, ROUND)
    with pytest.raises(UsageError, match=why), RunFolder(tmp_path) as folder:
        folder.start(scenario, facts)
    assert load_run(tmp_path).facts["seed"] == 3


def test_facts_without_identity_are_an_error_of_the_caller(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="mode, seed"), RunFolder(tmp_path) as folder:
        folder.start(SCENARIO, {"method": "fd"})
    with pytest.raises(UsageError, match="never started"):
        load_run(tmp_path)


def test_a_folder_without_run_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no run\.json") as raised:
        load_run(tmp_path / "missing")
    assert "missing" in str(raised.value)


def test_a_spoilt_line_is_named(tmp_path: Path) -> None:
    write(tmp_path, DEVICE, replace(DEVICE, device="b"))
    file = tmp_path / "devices.jsonl"
    lines = file.read_text().splitlines(keepends=True)
    file.write_text(lines[0] + lines[1].replace('"device"', '"devise"'))
    with pytest.raises(UsageError, match=r"devices\.jsonl, line 2"):
        load_run(tmp_path)


def test_files_are_replaced_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, ROUND)

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    with RunFolder(tmp_path) as folder:
        folder.start(SCENARIO, FACTS)
        with monkeypatch.context() as patch, pytest.raises(OSError, match="No space"):  # noqa: PT012
            patch.setattr(os, "fsync", full)
            folder.finish(SUMMARY)
    assert not (tmp_path / "summary.json").exists()
    assert load_run(tmp_path).facts["status"] == "interrupted"


def test_summary_is_strict_json(tmp_path: Path) -> None:
    write(tmp_path, summary=replace(SUMMARY, joules_per_device=math.inf))
    assert strict((tmp_path / "summary.json").read_text())["up"] == asdict(SUMMARY.up)
    summary = load_run(tmp_path).summary
    assert summary is not None
    assert summary.joules_per_device == math.inf
