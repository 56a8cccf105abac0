"""Ranges and sizes of the command line: ``1:2000``, ``1,10,100``, ``40kB``."""

from __future__ import annotations

import math
import re

from edge_fd.errors import UsageError

STEPS = (1.0, 2.0, 5.0)
UNITS = {"": 1, "B": 1, "kB": 1000, "KB": 1000, "MB": 1000**2, "KiB": 1024, "MiB": 1024**2}


def parse_size(text: str) -> int:
    """Return bytes of a text such as 512, 40kB or 1.5MiB; raise UsageError for another."""
    match = re.fullmatch(r"\s*([0-9]*\.?[0-9]+)\s*([A-Za-z]*)\s*", text)
    if match is None or match[2] not in UNITS:
        known = ", ".join(filter(None, UNITS))
        raise UsageError(f"--payload {text!r} is no size; give a number and one of {known}")
    size_bytes = float(match[1]) * UNITS[match[2]]
    if size_bytes < 1 or size_bytes != round(size_bytes):
        raise UsageError(f"--payload {text!r} is {size_bytes:g} B; give whole bytes, 1 or more")
    return round(size_bytes)


def numbers(option: str, text: str) -> tuple[float, float, list[float]]:
    """Read ``a``, ``a,b,c`` or ``a:b``; return the least, the greatest and the rows.

    The rows of a range are its ends and the 1-2-5 series between them. Raises
    UsageError for what is no positive number.
    """
    parts = text.split(":") if ":" in text else text.split(",")
    try:
        values = [float(part) for part in parts]
    except ValueError:
        values = []
    if not values or not all(0 < value < math.inf for value in values):
        raise UsageError(f"{option} {text!r}: give positive numbers, as in 1:2000 or 1,10,100")
    if ":" not in text:
        return min(values), max(values), sorted(set(values))
    if len(values) != 2 or values[0] > values[1]:  # noqa: PLR2004
        raise UsageError(f"{option} {text!r}: give the smaller and the larger end, as in 1:2000")
    low, high = values
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    series = (step * 10.0**decade for decade in decades for step in STEPS)
    return low, high, sorted({low, high, *(value for value in series if low < value < high)})


def distances(text: str) -> tuple[float, float, list[float]]:
    """Return the least, the greatest and the rows of ``--distance``, in metres."""
    return numbers("--distance", text)


def whole_numbers(option: str, text: str) -> list[int]:
    """Return the rows of a range of counts; raise UsageError for one that is not whole."""
    _, _, rows = numbers(option, text)
    for value in rows:
        if value != round(value):
            raise UsageError(f"{option} {text!r}: {value:g} is not whole; give whole numbers")
    return [round(value) for value in rows]
