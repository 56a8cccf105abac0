import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from channel_sim.cellular import Carrier, divide, serve
from channel_sim.cellular.sharing import Scheduler

SCHEDULERS: tuple[Scheduler, ...] = ("round_robin", "proportional_fair", "max_rate")
SECOND = 1_000_000_000


def _one_class(cap: float = 1.0, capacity: float = 1.0) -> Carrier[int]:
    return Carrier([cap], [1.0], scheduler="proportional_fair", capacity=capacity)


def _levels(caps: list[float], values: list[float], scheduler: str, capacity: float) -> list[float]:
    """Shares device by device, another way: bisection of the level, then value by value."""
    if scheduler == "round_robin":
        return [min(cap, capacity / len(caps)) for cap in caps]
    if scheduler == "max_rate":
        shares = [0.0] * len(caps)
        left = capacity
        for value in sorted(set(values), reverse=True):
            rows = [row for row, other in enumerate(values) if other == value]
            found = _levels([caps[row] for row in rows], [0.0] * len(rows), "fair", left)
            for row, share in zip(rows, found, strict=True):
                shares[row] = share
            left -= sum(found)
        return shares
    low, high = 0.0, max(caps)
    for _ in range(50):
        level = (low + high) / 2
        if sum(min(cap, level) for cap in caps) > capacity:
            high = level
        else:
            low = level
    return [min(cap, low if low < max(caps) * (1 - 1e-12) else cap) for cap in caps]


@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_against_a_fluid_in_small_steps(scheduler: Scheduler) -> None:
    rng = np.random.default_rng(8)
    for capacity in (0.4, 1.0):
        caps, values = [0.1, 0.3, 0.3, 1.0], [3.0, 2.0, 1.0, 2.0]
        kinds = rng.integers(4, size=12).tolist()
        works = rng.uniform(50, 600, size=12).tolist()
        starts = rng.integers(0, 1500, size=12).tolist()
        carrier: Carrier[int] = Carrier(caps, values, scheduler=scheduler, capacity=capacity)
        ours = serve([100 * start for start in starts], kinds, [100 * w for w in works], carrier)
        left, fluid, now, step = list(works), [0.0] * 12, 0.0, 1.0
        while any(work > 0 for work in left):
            on = [row for row in range(12) if left[row] > 0 and starts[row] <= now]
            shares = (
                _levels(
                    [caps[kinds[row]] for row in on],
                    [values[kinds[row]] for row in on],
                    scheduler,
                    capacity,
                )
                if on
                else []
            )
            now += step
            for row, share in zip(on, shares, strict=True):
                left[row] -= share * step
                if left[row] <= 0:
                    fluid[row] = now
        assert np.allclose(np.array(ours) / 100, fluid, atol=12 * step)


@pytest.mark.parametrize("load", [0.5, 0.8])
def test_mean_sojourn_of_the_m_m_1_ps_queue(load: float) -> None:
    count = 40_000 if load < 0.6 else 120_000
    rng = np.random.default_rng(11)
    arrivals = np.cumsum(rng.exponential(1 / load, count))
    works = rng.exponential(1.0, count)
    through = serve(
        (arrivals * SECOND).astype(np.int64).tolist(),
        [0] * count,
        (works * SECOND).tolist(),
        _one_class(),
    )
    sojourn = np.array(through) / SECOND - arrivals
    batches = sojourn.reshape(20, -1).mean(axis=1)
    error = batches.std(ddof=1) / math.sqrt(20)
    # M/M/1 with mu = 1: 1 / (mu - lambda), 2 and 5 services (oracles.md 3.1).
    assert error < 0.04 / (1 - load)
    assert abs(sojourn.mean() - 1 / (1 - load)) < 4 * error


def test_caps_of_a_quarter_make_the_m_m_4_queue() -> None:
    count, load = 60_000, 0.7
    rng = np.random.default_rng(12)
    arrivals = np.cumsum(rng.exponential(1 / load, count))
    through = serve(
        (arrivals * SECOND).astype(np.int64).tolist(),
        [0] * count,
        (rng.exponential(1.0, count) * SECOND).tolist(),
        _one_class(cap=0.25),
    )
    sojourn = np.array(through) / SECOND - arrivals
    error = sojourn.reshape(20, -1).mean(axis=1).std(ddof=1) / math.sqrt(20)
    # Erlang C with 4 servers of rate 1/4 and 2.8 Erlang.
    offered = 4 * load
    top = offered**4 / math.factorial(4) / (1 - load)
    waits = top / (sum(offered**k / math.factorial(k) for k in range(4)) + top)
    assert abs(sojourn.mean() - (4 + waits / (1 - load))) < 4 * error
    assert error < 0.15


@pytest.mark.parametrize("devices", [10, 100])
def test_the_last_of_n_exponential_jobs(devices: int) -> None:
    # A capacity of n and caps of 1: all at once, so the mean of the maximum of
    # n Exp(1), 2.9290 and 5.1874 (oracles.md 3.1).
    rng = np.random.default_rng(13)
    last = [
        max(
            serve(
                [0] * devices,
                [0] * devices,
                (rng.exponential(1.0, devices) * SECOND).tolist(),
                _one_class(cap=1.0, capacity=devices),
            )
        )
        / SECOND
        for _ in range(1500 if devices == 10 else 300)
    ]
    expected = {10: 2.9290, 100: 5.1874}[devices]
    assert abs(np.mean(last) - expected) < 4 * np.std(last) / math.sqrt(len(last))


def test_synchronous_jobs_end_by_the_closed_sort() -> None:
    rng = np.random.default_rng(14)
    works = rng.integers(1000, 1_000_000, 200)
    through = np.array(serve([500] * 200, [0] * 200, works.astype(float).tolist(), _one_class()))
    order = np.argsort(works, kind="stable")
    steps = np.diff(works[order], prepend=0) * np.arange(200, 0, -1)
    # Each departure rounds up by less than a nanosecond.
    assert np.all(np.abs(through[order] - 500 - np.cumsum(steps)) <= 200)
    assert through.max() - 500 == pytest.approx(works.sum(), abs=200)


def test_a_capped_device_alone_takes_its_work_over_its_cap() -> None:
    for scheduler in SCHEDULERS:
        carrier: Carrier[int] = Carrier([0.25], [1.0], scheduler=scheduler)
        assert serve([7], [0], [1000.0], carrier) == [4007]


def test_leftovers_of_capped_devices() -> None:
    caps, counts = [0.1, 1.0], [2, 2]
    assert divide(counts, caps, [1, 1], scheduler="round_robin") == [0.1, 0.25]
    assert divide(counts, caps, [1, 1], scheduler="proportional_fair") == pytest.approx([0.1, 0.4])
    assert divide([1, 3], [0.3, 1.0], [5, 2], scheduler="max_rate") == pytest.approx([0.3, 0.7 / 3])
    assert divide([1, 3], [1.0, 1.0], [5, 2], scheduler="max_rate") == [1.0, 0.0]


@given(
    classes=st.lists(
        st.tuples(st.integers(1, 20), st.floats(1e-3, 1.0), st.sampled_from([1.0, 2.0, 3.0])),
        min_size=1,
        max_size=8,
    ),
    scheduler=st.sampled_from(SCHEDULERS),
    capacity=st.sampled_from([0.2, 1.0]),
)
@settings(max_examples=200, deadline=None)
def test_shares_are_those_of_another_algorithm(
    classes: list[tuple[int, float, float]], scheduler: Scheduler, capacity: float
) -> None:
    classes.sort(key=lambda item: (-item[2] if scheduler == "max_rate" else 0, item[1]))
    counts, caps, values = (list(column) for column in zip(*classes, strict=True))
    shares = divide(counts, caps, values, scheduler=scheduler, capacity=capacity)
    spread = [kind for kind, count in enumerate(counts) for _ in range(count)]
    other = _levels(
        [caps[kind] for kind in spread], [values[kind] for kind in spread], scheduler, capacity
    )
    assert [shares[kind] for kind in spread] == pytest.approx(other, abs=1e-9)
    assert np.dot(shares, counts) <= capacity * (1 + 1e-9)
    if scheduler != "round_robin":
        assert np.dot(shares, counts) == pytest.approx(min(capacity, np.dot(caps, counts)))


@given(st.permutations(range(9)))
@settings(max_examples=30, deadline=None)
def test_order_changes_nothing(order: list[int]) -> None:
    rng = np.random.default_rng(5)
    starts = rng.integers(0, 3000, 9).tolist()
    works = rng.uniform(100, 900, 9).tolist()
    kinds = rng.integers(3, size=9).tolist()

    def run(rows: list[int]) -> list[int]:
        carrier: Carrier[int] = Carrier([0.2, 0.5, 1.0], [1, 2, 2], scheduler="max_rate")
        return serve(
            [starts[r] for r in rows], [kinds[r] for r in rows], [works[r] for r in rows], carrier
        )

    plain = run(list(range(9)))
    assert run(list(order)) == [plain[row] for row in order]


def test_removed_work_tells_how_much_was_done() -> None:
    carrier: Carrier[str] = Carrier([1.0], [1.0], scheduler="proportional_fair")
    first = carrier.add(0, 0, 1000.0, "a")
    carrier.add(0, 0, 1000.0, "b")
    assert carrier.next_ns() == 2000
    assert carrier.remove(500, first) == pytest.approx(0.25)
    # 750 of b left, alone from 500 on.
    assert carrier.next_ns() == 1250
    assert carrier.take(1250) == ["b"]
    assert carrier.next_ns() is None


def test_bad_carriers() -> None:
    with pytest.raises(ValueError, match="did you mean 'max_rate'"):
        Carrier([1.0], [1.0], scheduler="maxrate")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="caps"):
        Carrier([0.0], [1.0], scheduler="max_rate")
    with pytest.raises(ValueError, match="capacity"):
        Carrier([1.0], [1.0], scheduler="max_rate", capacity=0.0)
