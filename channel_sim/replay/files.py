"""Trace files: alone, gzipped, or many in a tar or zip archive."""

from __future__ import annotations

import tarfile
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TypeAlias

from channel_sim.lines import read_lines, to_lines

NamedLines: TypeAlias = tuple[str, Iterator[tuple[int, str]]]
"""A name for errors, and the numbered lines."""


def open_traces(path: str | Path, *, under: str = "", ending: str = "") -> Iterator[NamedLines]:
    """Yield the files of an archive by name, or the one file that is none.

    ``under`` and ``ending`` pick members by a part of their path and by its
    end. Hidden files and the resource forks that macOS adds are passed over.
    Raises ValueError for an archive without such a member.
    """
    if zipfile.is_zipfile(path):
        members = _zip_members(path)
    elif tarfile.is_tarfile(path):
        members = _tar_members(path)
    else:
        yield Path(path).name, read_lines(path)
        return
    found = False
    for name, read in members:
        parts = Path(name).parts
        hidden = parts[0] == "__MACOSX" or parts[-1].startswith(".")
        if not hidden and under in name and name.endswith(ending):
            found = True
            yield name, to_lines(read(), f"{Path(path).name}:{name}")
    if not found:
        raise ValueError(f"{path} has no member with {under!r} ending in {ending!r}; name another")


def _zip_members(path: str | Path) -> Iterator[tuple[str, Callable[[], bytes]]]:
    with zipfile.ZipFile(path) as archive:
        for name in sorted(archive.namelist()):
            if not name.endswith("/"):
                yield name, partial(archive.read, name)


def _tar_members(path: str | Path) -> Iterator[tuple[str, Callable[[], bytes]]]:
    with tarfile.open(path) as archive:
        for member in sorted(archive.getmembers(), key=lambda item: item.name):
            file = archive.extractfile(member) if member.isfile() else None
            if file is not None:
                yield member.name, file.read
