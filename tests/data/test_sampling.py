from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from edge_fd.data.sampling import hold_out, quotas, stratified

LABELS = st.lists(st.integers(0, 4), min_size=1, max_size=60).map(np.array)


@given(st.lists(st.integers(0, 50), min_size=1, max_size=8).filter(any), st.data())
def test_quotas_are_whole_add_up_and_stay_within_one_of_the_exact_share(
    counts: list[int], data: st.DataObject
) -> None:
    total = data.draw(st.integers(0, sum(counts)))
    found = quotas(np.array(counts), total)
    exact = np.array(counts) * total / sum(counts)
    assert found.sum() == total
    assert np.abs(found - exact).max() < 1
    assert (found <= counts).all()


@given(LABELS, st.data())
def test_stratified_draws_distinct_positions_with_the_labels_shares(
    y: np.ndarray, data: st.DataObject
) -> None:
    count = data.draw(st.integers(0, len(y)))
    found = stratified(y, count, np.random.default_rng(1))
    assert found.tolist() == sorted(set(found.tolist()))
    assert len(found) == count
    totals = np.bincount(y)
    drawn = np.bincount(y[found], minlength=len(totals))
    assert np.abs(drawn - totals * count / len(y)).max() < 1


def test_within_a_class_each_sample_is_drawn_equally_often() -> None:
    y = np.array([0, 1, 0, 1, 0, 0])
    draws = 3000
    hits = np.zeros(len(y))
    for seed in range(draws):
        hits[stratified(y, 3, np.random.default_rng(seed))] += 1
    # Two of four zeros, one of two ones: each with probability 1/2; five standard errors.
    assert np.abs(hits / draws - 0.5).max() < 5 * np.sqrt(0.25 / draws)


@given(LABELS)
def test_hold_out_keeps_what_it_does_not_hold(y: np.ndarray) -> None:
    kept, held = hold_out(y, 0.2, np.random.default_rng(0))
    assert sorted([*kept, *held]) == list(range(len(y)))
    assert len(held) == round(0.2 * len(y))
