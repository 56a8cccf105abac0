from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from channel_sim.energy import Harvest, load_harvest

DAY = Harvest([0.0, 6.0, 18.0], [0.0, 3.0, 0.5], period_s=24.0)


@pytest.mark.parametrize(
    ("from_s", "to_s", "joules"),
    [
        (0.0, 6.0, 0.0),
        (5.0, 7.0, 3.0),
        (0.0, 24.0, 12 * 3.0 + 6 * 0.5),
        (23.0, 25.0, 0.5),
        (7.0, 7.0 + 24 * 10, 390.0),
        (18.0, 18.0, 0.0),
        (24.0 * 1000 + 6, 24.0 * 1000 + 8, 6.0),
    ],
)
def test_the_integral_is_the_area(from_s: float, to_s: float, joules: float) -> None:
    assert DAY.energy_j(from_s, to_s) == pytest.approx(joules)


def test_without_a_period_the_last_power_stays() -> None:
    harvest = Harvest([0.0, 10.0], [1.0, 2.0])
    assert harvest.energy_j(0.0, 20.0) == pytest.approx(30.0)
    assert harvest.energy_j(9.0, 1010.0) == pytest.approx(1 + 2000)
    assert list(harvest.pieces(5.0, 15.0)) == [(5.0, 10.0, 1.0), (10.0, 15.0, 2.0)]


@given(
    st.lists(st.tuples(st.floats(0.1, 50.0), st.floats(0.0, 10.0)), min_size=1, max_size=8),
    st.sampled_from(["for ever", "a period"]),
    st.tuples(*[st.floats(0.0, 500.0)] * 3),
)
@settings(deadline=None)
def test_energy_is_additive_and_not_negative_and_the_sum_of_its_pieces(
    steps: list[tuple[float, float]], lasts: str, moments: tuple[float, float, float]
) -> None:
    lengths, powers = zip(*steps, strict=True)
    ends = np.cumsum(lengths)
    harvest = Harvest(
        [0.0, *ends[:-1].tolist()],
        powers,
        period_s=float(ends[-1]) if lasts == "a period" else None,
    )
    a, b, c = sorted(moments)
    first, second, both = harvest.energy_j(a, b), harvest.energy_j(b, c), harvest.energy_j(a, c)
    assert min(first, second, both) >= 0
    assert first + second == pytest.approx(both, rel=1e-9, abs=1e-9)
    pieces = list(harvest.pieces(a, c))
    total = sum((end - start) * watts for start, end, watts in pieces)
    assert total == pytest.approx(both, rel=1e-9, abs=1e-9)
    if pieces:
        assert (pieces[0][0], pieces[-1][1]) == (a, c)
        assert all(one[1] == two[0] for one, two in itertools.pairwise(pieces))


def test_a_file_is_read_and_a_bad_line_is_named(tmp_path: Path) -> None:
    path = tmp_path / "sun.csv"
    path.write_text("# seconds, watts\n0, 0.5\n\n10,1.5\n")
    assert load_harvest(path, period_s=20.0).energy_j(0.0, 40.0) == pytest.approx(40.0)
    path.write_text("0,0.5\n10;1.5\n")
    with pytest.raises(ValueError, match=r"sun.csv, line 2: '10;1.5' is not 'seconds,watts'"):
        load_harvest(path)
    path.write_text("0,0.5\n10,1.5,2\n")
    with pytest.raises(ValueError, match="line 2"):
        load_harvest(path)


def test_bad_traces_are_refused() -> None:
    with pytest.raises(ValueError, match=r"shapes \(2,\) and \(1,\)"):
        Harvest([0.0, 1.0], [1.0])
    with pytest.raises(ValueError, match="begin with 0"):
        Harvest([1.0], [1.0])
    with pytest.raises(ValueError, match="begin with 0"):
        Harvest([], [])
    with pytest.raises(ValueError, match=r"times_s\[1:3\] = \[2.0, 2.0\] does not rise"):
        Harvest([0.0, 2.0, 2.0], [1.0, 1.0, 1.0])
    with pytest.raises(ValueError, match="power_w"):
        Harvest([0.0], [-1.0])
    with pytest.raises(ValueError, match=r"period_s = 5.0 must end after the last time, 5"):
        Harvest([0.0, 5.0], [1.0, 1.0], period_s=5.0)
    with pytest.raises(ValueError, match=r"to_s = 1.0 is before"):
        DAY.energy_j(2.0, 1.0)
    with pytest.raises(ValueError, match="from_s = -1"):
        DAY.energy_j(-1.0, 1.0)
