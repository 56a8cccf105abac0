"""Lines of a data file, plain or gzipped, and the error that names one of them."""

from __future__ import annotations

import gzip
import math
import zlib
from collections.abc import Iterator
from pathlib import Path

GZIP_MAGIC = b"\x1f\x8b"


def read_lines(path: str | Path) -> Iterator[tuple[int, str]]:
    """Return number (from 1) and text of each line, without its end; gzip is undone.

    Raises OSError for a file that cannot be read and ValueError, with the
    file's name, for one that is no text.
    """
    return to_lines(Path(path).read_bytes(), str(path))


def to_lines(content: bytes, name: str) -> Iterator[tuple[int, str]]:
    """Return the same of the content of a file called ``name``."""
    try:
        if content.startswith(GZIP_MAGIC):
            content = gzip.decompress(content)
        text = content.decode("utf-8-sig")
    except (UnicodeDecodeError, EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(f"{name} is no text file ({error}); give a plain or gzipped one") from None
    lines = text.split("\n")
    if not lines[-1]:
        del lines[-1]
    return ((number, line.rstrip("\r")) for number, line in enumerate(lines, start=1))


def malformed(name: str | Path, number: int, text: str, remedy: str) -> ValueError:
    """Return the error about one line; the remedy says what the line should be."""
    return ValueError(f"{name}, line {number}: {text!r} is malformed; {remedy}")


def to_number(name: str | Path, number: int, text: str, remedy: str) -> float:
    """Return a finite number; raises :func:`malformed` for anything else."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise malformed(name, number, text, remedy)
    return value
