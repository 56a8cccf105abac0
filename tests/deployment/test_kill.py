"""Kill -9 of a device, of the aggregator and of the broker in mid-round; and clones of devices.

The round is held open by one slow device (see ``slow_device.py``), so that every kill
hits where it should. What must come out is what the unbroken simulation fused.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from field import Field, Unbroken, deployed, hashes, wait_until, write_journal

from broker import brokers_found
from edge_fd import load_run, snapshot

pytestmark = [pytest.mark.broker, pytest.mark.slow]

one_broker = pytest.mark.parametrize("broker", brokers_found()[:1])
"""What happens between aggregator and devices alone is the same over any."""

SLOW, FAST = "cnn-00", ("mlp-00", "sensor-00")


@pytest.fixture
def method() -> str:
    return "dsfl"


@pytest.fixture
def field(plans: dict[str, Unbroken], method: str, broker: str, tmp_path: Path) -> Iterator[Field]:
    with deployed(plans[method], tmp_path / "field", broker) as made:
        yield made


def begin(field: Field, *, slow: str = "compute", until: int = 2) -> None:
    """Start everything; come back in mid-round ``until``: all but the slow device are accepted."""
    field.open_gate(until - 1)
    server = field.serve()
    # Devices that come before the broker would draw long pauses between their attempts.
    wait_until(lambda: "broker" in server.text, "the aggregator", state=field.tell)
    field.device(SLOW, slow=slow)
    for name in FAST:
        field.device(name)
    field.wait_accepted(until, set(FAST))
    if slow == "saved":
        wait_until(lambda: saved(field)["done"] == until, "the save", state=field.tell)


def saved(field: Field) -> dict[str, Any]:
    """What the slow device has on disk: the round that it has done and its encoded upload."""
    found = snapshot.load(field.state(SLOW) / "device.state")
    return {"done": 0} if found is None else found[1]


def finish(field: Field) -> None:
    """Let the run end; check that it is the unbroken one."""
    field.open_gate()
    left = [one for one in field.processes if one.status is None]
    wait_until(
        lambda: all(one.status is not None for one in left), "the end of all", state=field.tell
    )
    assert {one.status for one in left} == {0}, field.tell()
    expected = hashes(field.plan.run)
    assert hashes(load_run(field.run)) == expected, field.tell()
    accepts = [entry[1:3] for entry in field.journal if entry[0] == "accept"]
    assert sorted(accepts) == sorted((n, name) for n in expected for name in (SLOW, *FAST))
    for number in expected:
        assert [w for w, at, _, _ in field.journal if at == number and w == "fused"] == ["fused"]


def process(field: Field, label: str) -> int:
    """Index of the last process called ``label``."""
    return max(i for i, one in enumerate(field.processes) if one.log.stem.endswith(label))


def kill(field: Field, label: str) -> None:
    field.processes[process(field, label)].kill()


@one_broker
def test_devices_killed_while_computing_and_after_their_receipt(field: Field) -> None:
    begin(field)
    kill(field, SLOW)
    kill(field, FAST[0])
    for name in (SLOW, FAST[0]):
        assert field.device(name).status is None
    finish(field)
    sessions = {name: number for what, number, name, _ in field.journal if what == "member"}
    assert sessions == {SLOW: 2, FAST[0]: 2, FAST[1]: 1}


@one_broker
def test_a_device_killed_between_save_and_publish_sends_what_it_saved(field: Field) -> None:
    begin(field, slow="saved")
    kill(field, SLOW)
    upload = saved(field)["upload"]
    assert SLOW not in field.accepted(2)
    again = field.device(SLOW)
    finish(field)
    sent = [
        data for what, at, name, data in field.journal if (what, at, name) == ("accept", 2, SLOW)
    ]
    assert sent == [upload]
    assert "round 2: computed" not in again.text


def test_an_aggregator_killed_in_mid_round_adopts_the_broker_and_goes_on(field: Field) -> None:
    begin(field)
    broker_pid = field.broker_pid
    kill(field, "serve")
    os.kill(broker_pid, 0)
    field.serve()
    wait_until(
        lambda: json.loads((field.run / "run.json").read_text())["starts"] == 2,
        "the second start",
        state=field.tell,
    )
    assert field.broker_pid == broker_pid
    finish(field)


@pytest.mark.parametrize("method", ["fd"])
def test_a_broker_killed_in_mid_round_is_started_again_on_its_port(field: Field) -> None:
    begin(field)
    killed = field.kill_broker()
    wait_until(lambda: field.broker_pid not in (0, killed), "another broker", state=field.tell)
    assert json.loads((field.run / "broker.json").read_text())["port"] == field.port
    finish(field)


def test_everything_killed_at_once_in_mid_round(field: Field) -> None:
    begin(field)
    killed = field.kill_broker()
    for label in ("serve", SLOW, *FAST):
        kill(field, label)
    field.serve()
    for name in (SLOW, *FAST):
        field.device(name)
    finish(field)
    assert field.broker_pid != killed


@one_broker
@pytest.mark.parametrize(
    ("method", "kept"), [("fd", False), ("dsfl", True)], ids=["before-keep", "before-record"]
)
def test_an_aggregator_killed_between_close_and_fused(field: Field, *, kept: bool) -> None:
    """Round 2 is closed in the journal; its outcome is not on disk, or is but not recorded."""
    if kept:
        begin(field, slow="saved", until=3)
        kill(field, "serve")
        journal = field.journal
        write_journal(field.run / "journal.log", journal[: journal.index(("fused", 2, "", b""))])
    else:
        begin(field, slow="saved", until=2)
        kill(field, "serve")
        closed = [("accept", 2, SLOW, saved(field)["upload"]), ("close", 2, "", b"")]
        write_journal(field.run / "journal.log", [*field.journal, *closed])
    rounds = field.run / "rounds.jsonl"
    rounds.write_text(rounds.read_text().splitlines(keepends=True)[0])
    outcome = snapshot.load(field.run / "server.state")
    assert outcome is not None
    assert outcome[1]["round"] == (2 if kept else 1)
    field.serve()
    finish(field)


@one_broker
def test_a_second_device_of_the_same_name_is_turned_away(field: Field) -> None:
    begin(field)
    clone = field.device(FAST[0], state="clone")
    assert clone.wait() == 2
    (_, line) = clone.text.splitlines()
    assert line.startswith(f"edge-fd: error: the name '{FAST[0]}' is in use by another device")
    assert "--name" in line
    finish(field)


@one_broker
def test_an_old_copy_of_a_state_folder_is_turned_away_and_the_original_stays(field: Field) -> None:
    begin(field)
    name = FAST[0]
    shutil.copytree(field.state(name), field.state("copy"))
    for session in (2, 3):
        kill(field, name)
        field.device(name)
        wait_until(
            lambda: ("member", session, name) in [entry[:3] for entry in field.journal],  # noqa: B023
            f"session {session} of {name}",
            state=field.tell,
        )
    copy = field.device(name, state="copy")
    assert copy.wait() == 2, field.tell()
    assert "a copy of the state folder" in copy.text.splitlines()[-1]
    assert "session 3, this one is 2" in copy.text.splitlines()[-1]
    finish(field)
