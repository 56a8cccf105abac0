"""Places of devices that stand still: drawn in O(n), or read from a file."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from channel_sim.checks import check_count, check_not_negative, check_positive
from channel_sim.lines import malformed, read_lines, to_number
from channel_sim.places.area import Disc, Positions, Rectangle, around


def place_uniform(n: int, area: Rectangle | Disc, rng: np.random.Generator) -> Positions:
    """Place ``n`` devices uniformly in an area; metres, shape (n, 2)."""
    check_count("n", n)
    return area.spread(rng.random((n, 2)))


def place_ring(
    n: int,
    min_m: float,
    max_m: float,
    rng: np.random.Generator,
    *,
    centre_m: tuple[float, float] = (0.0, 0.0),
) -> Positions:
    """Place ``n`` devices uniformly (per area) between two distances; metres, shape (n, 2).

    Raises ValueError unless 0 <= min_m <= max_m and max_m > 0.
    """
    check_count("n", n)
    check_not_negative("min_m", min_m)
    check_positive("max_m", max_m)
    if min_m > max_m:
        raise ValueError(f"min_m = {min_m!r} is above max_m = {max_m!r}; swap them")
    distance_m = np.sqrt(rng.uniform(min_m**2, max_m**2, n))
    return around(centre_m, distance_m, rng.random(n))


def place_grid(
    n: int, spacing_m: float, *, centre_m: tuple[float, float] = (0.0, 0.0)
) -> Positions:
    """Place ``n`` devices row by row on the smallest square grid that holds them; shape (n, 2).

    The full grid lies around ``centre_m``; its last rows may be missing.
    """
    check_count("n", n)
    check_positive("spacing_m", spacing_m)
    columns = math.isqrt(n - 1) + 1
    rows, places = np.divmod(np.arange(n), columns)
    return (np.column_stack((places, rows)) - (columns - 1) / 2) * spacing_m + centre_m


def place_clusters(
    n: int,
    clusters: int,
    area: Rectangle | Disc,
    rng: np.random.Generator,
    *,
    sigma_m: float,
) -> Positions:
    """Place ``n`` devices in clusters: a Thomas process, given both counts; shape (n, 2).

    Centres are uniform in the area; each device belongs to any cluster alike
    and lies around its centre by N(0, sigma_m^2) in x and in y (Thomas 1949;
    Chiu et al., Stochastic Geometry and its Applications, section 5.3, as
    remembered). A device may lie outside of the area.
    """
    check_count("clusters", clusters)
    check_positive("sigma_m", sigma_m)
    check_count("n", n)
    centres_m = area.spread(rng.random((clusters, 2)))
    offsets_m = sigma_m * rng.standard_normal((n, 2))
    return np.asarray(centres_m[rng.integers(clusters, size=n)] + offsets_m)


@dataclass(frozen=True, eq=False)
class Places:
    """Named places: ``positions_m`` shape (n, 2); ``heights_m`` shape (n,) or None."""

    names: tuple[str, ...]
    positions_m: Positions
    heights_m: npt.NDArray[np.float64] | None


def load_places(path: str | Path) -> Places:
    """Read a CSV file whose first line is ``name,x_m,y_m`` or ``name,x_m,y_m,z_m``.

    Raises ValueError that names file and line for another first line, a line
    with other fields, a number that is none and a name that came before.
    """
    rows: dict[str, list[float]] = {}
    columns = 0
    for number, text in read_lines(path):
        if not columns:
            if text not in ("name,x_m,y_m", "name,x_m,y_m,z_m"):
                raise malformed(path, number, text, "begin with name,x_m,y_m or name,x_m,y_m,z_m")
            columns = text.count(",") + 1
            continue
        if not text.strip():
            continue
        name, *values = (part.strip() for part in text.split(","))
        remedy = f"give a name and {columns - 1} finite numbers of metres"
        if len(values) != columns - 1 or not name:
            raise malformed(path, number, text, remedy)
        if name in rows:
            raise malformed(path, number, text, f"{name!r} has a place already; name each once")
        rows[name] = [to_number(path, number, value, remedy) for value in values]
    if not rows:
        raise ValueError(f"{path} holds no places; give one line per device")
    table = np.array(list(rows.values()))
    return Places(tuple(rows), table[:, :2], table[:, 2] if columns == 4 else None)  # noqa: PLR2004
