"""The journal: what was acknowledged is there, whatever the crash did to the end of the file."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge_fd.errors import UsageError
from edge_fd.journal import Journal
from edge_fd.rounds import Entry

ENTRIES: list[Entry] = [
    ("member", 1, "mlp-00", b"\x00\x01\x02\x03"),
    ("open", 1, "", b""),
    ("accept", 1, "mlp-00", bytes(range(40))),
    ("close", 1, "", b""),
]
entry = st.tuples(st.text(max_size=8), st.integers(0, 2**40), st.text(max_size=8), st.binary())


def write(path: Path, entries: list[Entry]) -> list[int]:
    """Append the entries; return the size of the file after each."""
    sizes = []
    with Journal(path) as journal:
        for item in entries:
            journal.append(item)
            sizes.append(path.stat().st_size)
    return sizes


def read(path: Path) -> list[Entry]:
    with Journal(path) as journal:
        return journal.entries


@given(st.lists(st.lists(entry, max_size=3), max_size=4))
@settings(max_examples=30, deadline=None)
def test_lives_one_after_the_other_read_all_that_was_written(
    tmp_path_factory: pytest.TempPathFactory, lives: list[list[Entry]]
) -> None:
    path = tmp_path_factory.mktemp("journal") / "journal.log"
    written: list[Entry] = []
    for life in lives:
        with Journal(path) as journal:
            assert journal.entries == written
            for item in life:
                journal.append(item)
        written += life
    assert read(path) == written


def test_an_entry_is_in_the_file_when_append_returns(tmp_path: Path) -> None:
    path = tmp_path / "journal.log"
    with Journal(path) as journal:
        for count, item in enumerate(ENTRIES, start=1):
            journal.append(item)
            copy = tmp_path / "copy"
            copy.write_bytes(path.read_bytes())
            assert read(copy) == ENTRIES[:count]


def test_append_syncs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "journal.log"
    synced: list[int] = []
    with Journal(path) as journal:
        inode = path.stat().st_ino
        monkeypatch.setattr(
            os, "fsync", lambda fd: synced.append(os.fstat(fd).st_size) or _same(fd, inode)
        )
        journal.append(ENTRIES[0])
    assert synced == [path.stat().st_size]


def _same(handle: int, inode: int) -> None:
    assert os.fstat(handle).st_ino == inode


def test_a_tail_torn_at_any_byte_is_dropped_and_the_rest_is_kept(tmp_path: Path) -> None:
    sizes = write(tmp_path / "whole", ENTRIES)
    data = (tmp_path / "whole").read_bytes()
    for cut in range(len(data)):
        path = tmp_path / "torn"
        path.write_bytes(data[:cut])
        kept = sum(size <= cut for size in sizes)
        with Journal(path) as journal:
            assert journal.entries == ENTRIES[:kept], cut
            journal.append(("fused", 9, "", b""))
        assert read(path) == [*ENTRIES[:kept], ("fused", 9, "", b"")], cut


@pytest.mark.parametrize("filler", [b"\x00", b"\xff", b"\x00\x00\x00\x01"])
@pytest.mark.parametrize("count", [1, 8, 9, 4096])
def test_a_tail_that_the_file_system_filled_is_dropped(
    tmp_path: Path, filler: bytes, count: int
) -> None:
    """After a power cut ext4 and XFS may show a file's new length before its contents."""
    path = tmp_path / "journal.log"
    write(path, ENTRIES)
    with path.open("ab") as file:
        file.write(filler * count)
    assert read(path) == ENTRIES


@given(place=st.integers(0, 10**6), bit=st.integers(0, 7))
@settings(
    max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_a_flipped_bit_in_the_last_entry_is_seen(tmp_path: Path, place: int, bit: int) -> None:
    path = tmp_path / "journal.log"
    path.unlink(missing_ok=True)
    sizes = write(path, ENTRIES)
    data = bytearray(path.read_bytes())
    data[sizes[-2] + place % (sizes[-1] - sizes[-2])] ^= 1 << bit
    path.write_bytes(data)
    assert read(path) == ENTRIES[:-1]


def test_a_run_has_one_aggregator(tmp_path: Path) -> None:
    path = tmp_path / "journal.log"
    with (
        Journal(path) as first,
        pytest.raises(UsageError, match="in use by another aggregator; end it, or name another"),
        Journal(path),
    ):
        pass
    assert first.entries == []
    with Journal(path):
        pass
