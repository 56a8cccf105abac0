from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from edge_fd.data import Dataset, device_data, label_counts, split
from edge_fd.errors import UnknownNameError, UsageError


def made(samples: int = 600, classes: int = 6, groups: int = 12) -> Dataset:
    """A set whose samples are their own row numbers, so that each can be followed."""
    rows = np.arange(samples)
    return Dataset(
        name="made",
        x=rows.astype(np.int32)[:, None],
        y=(rows * rows + rows // 7) % classes,
        classes=classes,
        test_x=rows[:60].astype(np.int32)[:, None],
        test_y=rows[:60] % classes,
        group=rows % groups,
        class_names=tuple(map(str, range(classes))),
        scale=1.0,
    )


def names(count: int) -> list[str]:
    return [f"dev-{k:02d}" for k in range(count)]


@settings(deadline=None, max_examples=150)
@given(
    kind=st.sampled_from(["iid", "dirichlet", "group"]),
    devices=st.integers(1, 12),
    alpha=st.floats(0.05, 100),
    minimum=st.integers(0, 5),
    room=st.none() | st.integers(1, 60),
    proxy=st.integers(0, 200),
    test=st.none() | st.integers(0, 60),
    seed=st.integers(0, 2**32),
)
def test_parts_are_disjoint_valid_within_bounds_and_repeatable(
    *,
    kind: Any,
    devices: int,
    alpha: float,
    minimum: int,
    room: int | None,
    proxy: int,
    test: int | None,
    seed: int,
) -> None:
    maximum = None if room is None else minimum + room
    data = made()

    def once() -> Any:
        return split(
            data,
            names(devices),
            kind=kind,
            seed=seed,
            alpha=alpha,
            min_per_device=minimum,
            max_per_device=maximum,
            proxy=proxy,
            test=test,
        )

    found = once()
    used = np.concatenate([found.proxy, *found.private.values()])
    assert len(np.unique(used)) == len(used)
    assert used.min(initial=0) >= 0
    assert used.max(initial=0) < len(data.x)
    assert list(found.private) == names(devices)
    for part in found.private.values():
        assert part.dtype == np.int64
        assert minimum <= len(part) <= (len(data.x) if maximum is None else maximum)
    if maximum is None and kind != "group":
        assert len(used) == len(data.x)
    assert len(found.proxy) == proxy
    assert len(found.test) == (60 if test is None else test)
    assert len(set(found.test.tolist())) == len(found.test)
    again = once()
    for device, part in found.private.items():
        np.testing.assert_array_equal(part, again.private[device])
    np.testing.assert_array_equal(found.proxy, again.proxy)
    np.testing.assert_array_equal(found.test, again.test)


def test_another_seed_gives_another_split() -> None:
    one, two = (split(made(), names(3), kind="iid", seed=seed, proxy=50) for seed in (1, 2))
    assert one.proxy.tolist() != two.proxy.tolist()
    assert one.private["dev-00"].tolist() != two.private["dev-00"].tolist()


@pytest.mark.parametrize("kind", ["iid", "dirichlet"])
def test_proxy_and_test_part_stay_when_devices_are_added(kind: Any) -> None:
    few, many = (
        split(made(), names(n), kind=kind, alpha=1.0, seed=7, proxy=50, test=20) for n in (3, 9)
    )
    assert few.proxy.tolist() == many.proxy.tolist()
    assert few.test.tolist() == many.test.tolist()


def test_iid_label_counts_are_those_of_a_random_partition() -> None:
    data = made(samples=6000)
    statistics = []
    for seed in range(40):
        found = split(data, names(10), kind="iid", seed=seed)
        counts = np.array([label_counts(data.y[p], 6) for p in found.private.values()])
        expected = counts.sum(0) / 10
        statistics.append(((counts - expected) ** 2 / expected).sum())
        assert {len(part) for part in found.private.values()} == {600}
    # Pearson's statistic of a contingency table is chi-square with (10-1)(6-1) degrees of
    # freedom; the sum of 40 has 1800. Two-sided at one in a million: a split that is too
    # even (stratified) fails as does a skewed one.
    low, high = stats.chi2.ppf([5e-7, 1 - 5e-7], 40 * 45)
    assert low < sum(statistics) < high


@pytest.mark.parametrize("alpha", [0.1, 0.5, 5.0])
def test_dirichlet_shares_have_the_closed_form_mean_and_variance(alpha: float) -> None:
    devices, classes, seeds = 5, 300, 20
    data = replace(made(samples=60000, classes=classes), y=np.arange(60000) % classes)
    shares = np.empty((seeds, classes, devices))
    for seed in range(seeds):
        found = split(
            data, names(devices), kind="dirichlet", alpha=alpha, seed=seed, min_per_device=0
        )
        for k, part in enumerate(found.private.values()):
            shares[seed, :, k] = label_counts(data.y[part], classes) / 200
    draws = shares.reshape(-1, devices)
    # Dirichlet(alpha, ..., alpha): mean p = 1/5, variance p (1 - p) / (5 alpha + 1). Four
    # standard errors of 6,000 draws; rounding to whole samples adds (1/200)^2 / 6 at most.
    variance = 0.2 * 0.8 / (devices * alpha + 1)
    assert np.abs(draws.mean(0) - 0.2).max() < 4 * np.sqrt(variance / len(draws))
    spread = ((draws - 0.2) ** 2).mean(1)
    error = spread.std() / np.sqrt(len(draws))
    assert abs(spread.mean() - variance) < 4 * error + (1 / 200) ** 2 / 6


def test_dirichlet_is_drawn_until_each_device_has_the_minimum() -> None:
    found = split(made(), names(10), kind="dirichlet", alpha=0.1, seed=3, min_per_device=20)
    assert min(map(len, found.private.values())) >= 20


def test_a_device_above_the_maximum_keeps_its_label_mix() -> None:
    data = made(samples=6000)
    settings_: dict[str, Any] = {"kind": "dirichlet", "alpha": 0.3, "seed": 5, "proxy": 100}
    whole = split(data, names(6), **settings_)
    capped = split(data, names(6), max_per_device=200, **settings_)
    assert max(map(len, whole.private.values())) > 200
    for device, part in whole.private.items():
        kept = capped.private[device]
        assert set(kept.tolist()) <= set(part.tolist())
        assert len(kept) == min(len(part), 200)
        exact = label_counts(data.y[part], 6) * len(kept) / len(part)
        assert np.abs(label_counts(data.y[kept], 6) - exact).max() < 1


def test_groups_go_to_devices_in_sorted_order_and_whole() -> None:
    rows = np.arange(600)
    data = replace(made(), group=np.array(["zoe", "ada", "bob"])[rows % 3])
    found = split(data, ["first", "second"], kind="group", seed=1)
    assert found.private["first"].tolist() == rows[rows % 3 == 1].tolist()
    assert found.private["second"].tolist() == rows[rows % 3 == 2].tolist()


def test_the_proxy_part_comes_from_public_data_where_there_is_some() -> None:
    data = replace(
        made(), proxy_x=np.arange(1000, 1040, dtype=np.int32)[:, None], proxy_y=np.arange(40) % 2
    )
    part = split(data, names(3), kind="iid", seed=1, proxy=10)
    assert sum(map(len, part.private.values())) == len(data.x)
    held = device_data(data, part, "dev-01").proxy
    assert held.x.min() >= 1000
    assert held.y is not None
    assert label_counts(held.y, 2).tolist() == [5, 5]
    unlabelled = replace(data, proxy_y=None)
    part = split(unlabelled, names(3), kind="iid", seed=1, proxy=40)
    assert device_data(unlabelled, part, "dev-01").proxy.y is None


def test_device_data_is_the_rows_of_the_split() -> None:
    data = made()
    part = split(data, names(4), kind="dirichlet", alpha=0.5, seed=2, proxy=30, test=12)
    seen: list[int] = []
    for device in part.private:
        held = device_data(data, part, device)
        assert held.private.y is not None
        np.testing.assert_array_equal(held.private.y, data.y[held.private.x[:, 0]])
        assert held.proxy.x[:, 0].tolist() == part.proxy.tolist()
        assert held.test.y is not None
        assert label_counts(held.test.y, 6).tolist() == [2] * 6
        seen += held.private.x[:, 0].tolist()
    assert sorted([*seen, *part.proxy.tolist()]) == list(range(600))


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"devices": []}, "at least one device"),
        ({"devices": ["a", "b", "a"]}, "'a' is given twice"),
        ({"alpha": None}, "needs alpha .* got None"),
        ({"alpha": 0.0}, "got 0.0"),
        ({"alpha": float("nan")}, "got nan"),
        ({"min_per_device": -1}, "min_per_device = -1"),
        ({"min_per_device": 9, "max_per_device": 8}, "max_per_device = 8"),
        ({"proxy": 601}, "proxy = 601 must be from 0 to 600"),
        ({"proxy": -1}, "proxy = -1"),
        ({"test": 61}, "test = 61 must be from 0 to 60"),
        ({"proxy": 595}, "need 6 samples, but 5 are left"),
        (
            {"alpha": 0.001, "min_per_device": 90},
            "alpha = 0.001 over 6 devices .* min_per_device = 90 .* raise alpha",
        ),
        ({"kind": "group", "devices": names(13)}, "13 devices, but .* has 12 groups"),
        ({"kind": "group", "min_per_device": 51}, "group 0 of device 'dev-00' has 50 samples"),
    ],
)
def test_settings_that_cannot_be_met_are_refused_with_values_and_remedy(
    change: dict[str, Any], complaint: str
) -> None:
    given_: dict[str, Any] = {"devices": names(6), "kind": "dirichlet", "alpha": 0.5, "seed": 1}
    given_.update(change)
    with pytest.raises(UsageError, match=complaint):
        split(made(), **given_)


def test_unknown_kind_and_missing_groups_are_refused() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'dirichlet'"):
        split(made(), names(2), kind="dirchlet", seed=1)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="'made' has none"):
        split(replace(made(), group=None), names(2), kind="group", seed=1)


def test_label_counts_cover_absent_labels() -> None:
    assert label_counts(np.array([2, 0, 2]), 5).tolist() == [1, 0, 2, 0, 0]


def test_a_dirichlet_share_of_a_class_is_a_random_part_of_it() -> None:
    data = replace(made(samples=4000), y=np.zeros(4000, np.int64), classes=1)
    found = split(data, names(2), kind="dirichlet", alpha=1e6, seed=4)
    rows = found.private["dev-00"]
    # Half of 0..3999 without replacement: the mean is 1999.5 with the standard error
    # sqrt((N + 1) (N - n) / (12 n)) = 18.3 for N = 4000, n = 2000; five of them.
    assert len(rows) == pytest.approx(2000, abs=10)
    assert abs(rows.mean() - 1999.5) < 5 * 18.3
