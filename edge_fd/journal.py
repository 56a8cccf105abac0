"""The aggregator's journal: an append-only file, synced at each entry.

Each record is a length, a CRC-32 and the entry in CBOR. What a crash cut off
at the end is dropped at the next start: it was never acknowledged. The file is
locked while it is open: a run has one aggregator.
"""

from __future__ import annotations

import os
import struct
import zlib
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import cbor2

from edge_fd.rounds import Entry
from edge_fd.snapshot import lock, sync_folder

if TYPE_CHECKING:
    from typing_extensions import Self

_HEAD = struct.Struct(">II")


class Journal:
    """Entries of one run, as a context manager; ``entries`` holds those of earlier lives."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.entries: list[Entry] = []

    def __enter__(self) -> Self:
        new = not self.path.exists()
        self._file = self.path.open("a+b")
        folder = self.path.parent
        lock(
            self._file, f"{folder} is in use by another aggregator; end it, or name another folder"
        )
        self._file.seek(0)
        good = self._read(self._file.read())
        self._file.truncate(good)
        self._file.seek(0, os.SEEK_END)
        if new:
            sync_folder(folder)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()

    def append(self, entry: Entry) -> None:
        """Write ``entry`` and return when it is on disk."""
        body = cbor2.dumps(list(entry))
        self._file.write(_HEAD.pack(len(body), zlib.crc32(body)) + body)
        self._file.flush()
        os.fsync(self._file.fileno())

    def _read(self, data: bytes) -> int:
        at = 0
        while at + _HEAD.size <= len(data):
            length, crc = _HEAD.unpack_from(data, at)
            body = data[at + _HEAD.size : at + _HEAD.size + length]
            # A file system may leave zeros at the end, and the CRC-32 of nothing is zero.
            if not length or len(body) < length or zlib.crc32(body) != crc:
                break
            what, number, name, raw = cbor2.loads(body)
            self.entries.append((what, number, name, raw))
            at += _HEAD.size + length
        return at
