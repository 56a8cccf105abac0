"""A device's state folder: who it is, what it keeps, and who may use it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from devices.student import State
from edge_fd.errors import UsageError
from edge_fd.store import INSTANCE_BYTES, DeviceStore, Saved

SAVED = Saved(
    3,
    b"\x00encoded\xff",
    State(np.linspace(-1, 1, 7, dtype=np.float32), np.full(7, 0.25, np.float32)),
    {"transferred": np.ones(1, np.uint8), "table": np.eye(3)},
)


def store(folder: Path, *, run: str = "r", bundle_id: str = "b") -> DeviceStore:
    return DeviceStore(folder / "state", run=run, bundle_id=bundle_id)


def test_the_first_start_has_no_state(tmp_path: Path) -> None:
    with store(tmp_path) as first:
        assert first.load() is None
        assert (len(first.instance), first.session) == (INSTANCE_BYTES, 1)


def test_sessions_count_up_and_the_instance_stays(tmp_path: Path) -> None:
    seen = []
    for _ in range(4):
        with store(tmp_path) as one:
            seen.append((one.instance, one.session))
    assert [session for _, session in seen] == [1, 2, 3, 4]
    assert len({instance for instance, _ in seen}) == 1


def test_two_folders_are_two_instances(tmp_path: Path) -> None:
    with store(tmp_path / "1") as one, store(tmp_path / "2") as two:
        assert one.instance != two.instance


def test_what_is_saved_is_there_at_the_next_start(tmp_path: Path) -> None:
    with store(tmp_path) as first:
        first.save(SAVED)
    with store(tmp_path) as second:
        found = second.load()
    assert found is not None
    assert (found.done, found.upload) == (SAVED.done, SAVED.upload)
    pairs = [
        (found.state.theta, SAVED.state.theta),
        (found.state.opt, SAVED.state.opt),
        *((found.memory[name], array) for name, array in SAVED.memory.items()),
    ]
    assert list(found.memory) == list(SAVED.memory)
    for mine, theirs in pairs:
        assert mine.dtype == theirs.dtype
        np.testing.assert_array_equal(mine, theirs)


@pytest.mark.parametrize("other", [{"run": "r2"}, {"bundle_id": "b2"}])
def test_a_folder_of_another_run_or_bundle_is_refused_and_left_as_it_is(
    tmp_path: Path, other: dict[str, str]
) -> None:
    with store(tmp_path) as mine:
        mine.save(SAVED)
    before = {p.name: p.read_bytes() for p in (tmp_path / "state").iterdir()}
    with pytest.raises(UsageError, match="another --state"), store(tmp_path, **other):
        pass  # pragma: no cover
    assert {p.name: p.read_bytes() for p in (tmp_path / "state").iterdir()} == before
    with store(tmp_path) as mine:
        assert mine.session == 2


def test_a_second_process_is_refused_until_the_first_ends(tmp_path: Path) -> None:
    hold = (
        "import sys; from pathlib import Path; from edge_fd.store import DeviceStore\n"
        "with DeviceStore(Path(sys.argv[1]) / 'state', run='r', bundle_id='b'):\n"
        "    print('held', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", hold, str(tmp_path)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as other:  # fmt: skip
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with pytest.raises(UsageError, match="in use by another process"), store(tmp_path):
            pass  # pragma: no cover
        other.kill()  # a lock must not outlive who held it
    with store(tmp_path) as mine:
        assert mine.session == 2


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", '{"instance": "xy", "session": 1}', '{"instance": "00"}']
)
def test_a_damaged_identity_is_told_with_the_remedy(tmp_path: Path, text: str) -> None:
    with store(tmp_path):
        pass
    (tmp_path / "state" / "identity.json").write_text(text)
    with pytest.raises(UsageError, match=r"identity.json is damaged; remove"), store(tmp_path):
        pass  # pragma: no cover
    # The lock is free again.
    (tmp_path / "state" / "identity.json").write_text(
        json.dumps({"instance": "00" * INSTANCE_BYTES, "session": 6})
    )
    with store(tmp_path) as mine:
        assert (mine.instance, mine.session) == (bytes(INSTANCE_BYTES), 7)
