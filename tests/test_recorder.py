"""The recorder: what happens in a run is on record, once, in its round or in the next."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from devices.student import State
from edge_fd.knowledge import Fused, Knowledge
from edge_fd.messages import Out
from edge_fd.outcome import Outcome
from edge_fd.recorder import Member, Recorder
from edge_fd.records import Bytes, DeviceRecord, RoundRecord
from edge_fd.rounds import Close
from edge_fd.run_folder import Run, RunFolder, load_run

MEMBERS = {name: Member("mlp", "train", "pi4", 30) for name in ("b", "a")}
COST = Bytes(100, 20, 10, 80, 25)
STATE = State(np.zeros(2, np.float32), np.zeros(2, np.float32))


def message(number: int, cost: Bytes | None = COST) -> Out:
    return Out("efd/v1/r/up/a/knowledge", b"", number, cost)


def close(number: int, *accepted: str, failed: bool = False, asked: Any = ("a", "b")) -> Close:
    return Close(number, failed=failed, accepted=accepted, participants=asked, opened_s=0.0)


def outcome(number: int, state: State | None = None) -> Outcome:
    return Outcome(number, Fused(Knowledge("probs", np.full((1, 2), 0.5, np.float32))), state, {})


@contextmanager
def recording(path: Path, **options: Any) -> Iterator[Recorder]:
    with RunFolder(path) as folder:
        folder.start("", {"mode": "simulated", "method": "fd", "seed": 0})
        yield Recorder(folder, MEMBERS, **options)


def end(recorder: Recorder, number: int, *accepted: str, at_s: float = 1.0) -> None:
    recorder.closed(close(number, *accepted), opened_s=at_s - 1, now_s=at_s)
    recorder.fused(outcome(number))


def of(run: Run, device: str, number: int) -> DeviceRecord:
    (record,) = [r for r in run.devices if (r.device, r.round) == (device, number)]
    return record


def test_a_round_is_written_when_it_is_fused_and_its_devices_a_round_later(tmp_path: Path) -> None:
    with recording(tmp_path) as recorder:
        for name in "ab":
            recorder.answered(name, 1, "accepted")
        recorder.closed(close(1, "a", "b"), opened_s=2.0, now_s=5.0)
        assert load_run(tmp_path).rounds == ()
        recorder.fused(outcome(1))
        run = load_run(tmp_path)
        assert run.rounds == (
            RoundRecord(1, "closed", 2.0, 5.0, 2, 2, 0, 0, outcome(1).fused.sha256, None),
        )
        assert run.devices == ()
        end(recorder, 2, "a")
        assert [(r.round, r.device) for r in load_run(tmp_path).devices] == [(1, "a"), (1, "b")]
        recorder.flush(before=3)
        recorder.flush(before=3)
    assert [(r.round, r.device) for r in load_run(tmp_path).devices] == [
        (1, "a"), (1, "b"), (2, "a"), (2, "b"),
    ]  # fmt: skip


def test_a_failed_round_is_written_at_once_and_has_no_hash(tmp_path: Path) -> None:
    with recording(tmp_path) as recorder:
        recorder.closed(close(1, "a", failed=True), opened_s=0.0, now_s=9.0)
        (record,) = load_run(tmp_path).rounds
    assert (record.status, record.accepted, record.fused_sha256) == ("failed", 1, None)


def test_outcomes_say_what_became_of_a_device(tmp_path: Path) -> None:
    with recording(tmp_path) as recorder:
        recorder.answered("a", 1, "refused")
        recorder.answered("a", 1, "accepted")
        recorder.answered("a", 1, "late")  # a duplicate
        end(recorder, 1, "a")
        recorder.answered("b", 2, "late")
        recorder.closed(close(2, asked=("b",)), opened_s=0.0, now_s=1.0)
        recorder.fused(outcome(2))
        recorder.flush(before=3)
    run = load_run(tmp_path)
    assert [of(run, d, n).outcome for n in (1, 2) for d in "ab"] == [
        "accepted", "lost", "absent", "late",
    ]  # fmt: skip
    assert [(r.late, r.refused) for r in run.rounds] == [(0, 0), (1, 0)]


def test_bytes_joules_and_attempts_add_up_and_other_notes_are_the_last(tmp_path: Path) -> None:
    with recording(tmp_path) as recorder:
        for _ in range(3):
            recorder.charge("a", "up", message(1))
        recorder.charge("a", "down", message(1, None))
        recorder.note("a", 1, tx_j=0.25, attempts=2, loss=3.0, unheard_of=1.0)
        recorder.note("a", 1, tx_j=0.5, attempts=1, loss=2.0)
        recorder.measured("a", 1, {"accuracy_test": 0.75})
        end(recorder, 1, "a")
        recorder.flush(before=2)
    record = of(load_run(tmp_path), "a", 1)
    assert record.up == Bytes(300, 60, 30, 240, 75)
    assert record.down == Bytes()
    assert (record.tx_j, record.attempts, record.loss) == (0.75, 3, 2.0)
    assert record.accuracy_test == 0.75
    assert (record.rx_j, record.compute_j, record.accuracy_own) == (None, None, None)


def test_what_is_spent_for_a_round_that_is_written_counts_in_the_next(tmp_path: Path) -> None:
    with recording(tmp_path) as recorder:
        end(recorder, 1, "a")
        recorder.flush(before=2)
        recorder.charge("a", "up", message(1))
        recorder.note("a", 1, tx_j=0.5, attempts=4, loss=9.0, compute_s=7.0)
        recorder.answered("a", 1, "late")
        recorder.answered("a", 2, "accepted")
        end(recorder, 2, "a")
        recorder.flush(before=3)
    run = load_run(tmp_path)
    assert of(run, "a", 1).up == Bytes()
    later = of(run, "a", 2)
    assert (later.up, later.tx_j, later.attempts) == (COST, 0.5, 4)
    # What says something of the earlier round only is not told of this one.
    assert (later.outcome, later.loss, later.compute_s) == ("accepted", None, None)


def test_before_the_first_round_all_counts_in_it(tmp_path: Path) -> None:
    with recording(tmp_path) as recorder:
        recorder.charge("b", "down", message(0))
        end(recorder, 1)
        recorder.flush(before=2)
    assert of(load_run(tmp_path), "b", 1).down == COST


def test_a_flood_for_written_rounds_is_not_kept(tmp_path: Path) -> None:
    with recording(tmp_path) as recorder:
        for number in range(1, 6):
            end(recorder, number)
        recorder.flush(before=6)
        for number in range(1, 6):
            recorder.answered("a", number, "late")
            recorder.measured("a", number, {"loss": 1.0})
        assert len(recorder._rows) <= 1


def test_the_weights_of_the_server_are_tested_where_it_has_any(tmp_path: Path) -> None:
    with recording(
        tmp_path, server_accuracy=lambda outcome: float(len(outcome.state.theta))
    ) as recorder:
        for number, state in ((1, None), (2, STATE)):
            recorder.closed(close(number, "a"), opened_s=0.0, now_s=1.0)
            recorder.fused(outcome(number, state))
    assert [r.server_accuracy for r in load_run(tmp_path).rounds] == [None, 2.0]


def test_those_who_listen_are_told(tmp_path: Path) -> None:
    closed: list[Close] = []
    rounds: list[RoundRecord] = []
    with recording(tmp_path, on_close=closed.append, on_round=rounds.append) as recorder:
        end(recorder, 1, "a")
        recorder.closed(close(2, failed=True), opened_s=1.0, now_s=2.0)
    assert closed == [close(1, "a"), replace(close(2), failed=True)]
    assert tuple(rounds) == load_run(tmp_path).rounds


@pytest.mark.parametrize("number", [1, 3])
def test_a_round_closed_in_an_earlier_life_is_not_written_twice(
    tmp_path: Path, number: int
) -> None:
    with recording(tmp_path) as recorder:
        recorder.fused(outcome(number))
        recorder.flush(before=number + 1)
    assert load_run(tmp_path).rounds == ()
