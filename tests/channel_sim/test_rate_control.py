from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from channel_sim.reception import WIFI_MODES, FixedRate, IdealRate, wifi_per

HT = tuple(f"ht{mcs}" for mcs in range(8))


def test_the_ladder_of_802_11n_is_that_of_ns3() -> None:
    # oracles.md 3.5, 10 % column: one step at each, none below the first.
    edges_db = np.array([0.95, 3.95, 6.45, 9.75, 12.85, 17.10, 18.40, 19.65])
    rate = IdealRate(modes=HT)
    assert rate.choose(edges_db + 0.1).tolist() == list(range(8))
    assert rate.choose(edges_db - 0.1).tolist() == list(range(-1, 7))


@given(
    st.lists(st.sampled_from(sorted(WIFI_MODES)), min_size=1, max_size=6, unique=True),
    st.floats(-10, 45),
    st.floats(-3, 10),
    st.sampled_from([32, 200, 1500]),
)
@settings(deadline=None, max_examples=60)
def test_the_choice_is_the_best_of_all_by_looking(
    modes: list[str], snr_db: float, margin_db: float, size: int
) -> None:
    good = [
        place for place, mode in enumerate(modes) if wifi_per(mode, snr_db - margin_db, size) <= 0.1
    ]
    best = max(good, key=lambda place: WIFI_MODES[modes[place]].rate_bps, default=-1)
    rate = IdealRate(modes=modes, size_bytes=size, margin_db=margin_db)
    assert rate.choose(snr_db) == best


def test_a_slow_mode_that_needs_more_is_never_taken() -> None:
    # 9 Mbit/s (3.05 dB) lies below 12 Mbit/s (3.95); CCK 11 needs 7.2, OFDM 6 0.95.
    rate = IdealRate(modes=("cck11", "ofdm6", "ofdm12"))
    assert rate.choose([1.2, 4.2, 8.0]).tolist() == [1, 2, 2]


def test_fixed_is_fixed() -> None:
    assert FixedRate(3).choose([[-50.0, 0.0], [10.0, 50.0]]).tolist() == [[3, 3], [3, 3]]


def test_bad_input_is_refused() -> None:
    with pytest.raises(ValueError, match=r"modes is empty"):
        IdealRate(modes=())
    with pytest.raises(ValueError, match=r"modes = 'ht9' is unknown"):
        IdealRate(modes=("ht9",))
    with pytest.raises(ValueError, match=r"target_per = 0 is outside"):
        IdealRate(modes=HT, target_per=0)
