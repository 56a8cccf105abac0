import heapq
from collections import Counter
from itertools import product

import numpy as np
import pytest
from scipy.stats import ks_2samp

from channel_sim.cellular import RandomAccess, collision_probability, contend, expected_singletons
from channel_sim.cellular.access import NEVER

RULES = RandomAccess(
    preambles=54, period_ns=10_000, response_ns=53_000, backoff_ns=20_000, attempts=10
)


def _rules(**changes: int) -> RandomAccess:
    values = {
        "preambles": 54,
        "period_ns": 10_000,
        "response_ns": 53_000,
        "backoff_ns": 20_000,
        "attempts": 10,
    }
    return RandomAccess(**{**values, **changes})


def _brute(devices: int, rules: RandomAccess, rng: np.random.Generator) -> list[tuple[int, int]]:
    """One cell, all ready at 0, event by event: (time in or NEVER, attempts)."""
    result = [(NEVER, 0)] * devices
    heap = [(0, device, 1) for device in range(devices)]
    heapq.heapify(heap)
    while heap:
        now = heap[0][0]
        here = []
        while heap and heap[0][0] == now:
            here.append(heapq.heappop(heap))
        picks = [int(rng.integers(1, rules.preambles + 1)) for _ in here]
        for (_, device, attempt), pick in zip(here, picks, strict=True):
            if picks.count(pick) == 1:
                result[device] = (now, attempt)
            elif attempt == rules.attempts:
                result[device] = (NEVER, attempt)
            else:
                back = now + rules.response_ns + int(rng.integers(0, rules.backoff_ns + 1))
                slot = back // rules.period_ns + (back % rules.period_ns > 0)
                heapq.heappush(heap, (slot * rules.period_ns, device, attempt + 1))
    return result


@pytest.mark.parametrize(("devices", "preambles"), [(1, 3), (2, 3), (3, 3), (4, 2), (3, 4)])
def test_closed_forms_by_enumeration(devices: int, preambles: int) -> None:
    draws = list(product(range(preambles), repeat=devices))
    singles = [sum(n == 1 for n in Counter(draw).values()) for draw in draws]
    first_hit = [draw[0] in draw[1:] for draw in draws]
    assert expected_singletons(devices, preambles) == pytest.approx(np.mean(singles))
    assert collision_probability(devices, preambles) == pytest.approx(np.mean(first_hit))


@pytest.mark.parametrize("devices", [2, 20, 54, 100])
def test_one_occasion_lets_in_the_closed_form(devices: int) -> None:
    cells = 3000
    _, entered, tries = contend(
        np.repeat(np.arange(cells), devices),
        np.zeros(cells * devices, dtype=np.int64),
        _rules(attempts=1),
        rng=np.random.default_rng(2),
    )
    singles = (entered != NEVER).reshape(cells, devices).sum(axis=1)
    expected = devices * (1 - 1 / 54) ** (devices - 1)
    assert np.all(tries == 1)
    assert abs(singles.mean() - expected) < 4 * singles.std() / np.sqrt(cells)


def test_occasions_are_the_first_at_or_after_ready() -> None:
    ready = np.array([0, 1, 9_999, 10_000, 10_001])
    used, entered, tries = contend(np.arange(5), ready, RULES, rng=np.random.default_rng(0))
    assert entered.tolist() == [0, 10_000, 10_000, 10_000, 20_000]
    assert used.tolist() == entered.tolist()
    assert tries.tolist() == [1] * 5


def test_two_on_one_preamble_never_get_in() -> None:
    rules = _rules(preambles=1, backoff_ns=0, attempts=3)
    used, entered, tries = contend(
        np.array([0, 0, 1]), np.zeros(3, dtype=np.int64), rules, rng=np.random.default_rng(0)
    )
    # 53 us after an occasion, on a grid of 10 us: 0, 60, 120.
    assert used.tolist() == [120_000, 120_000, 0]
    assert entered.tolist() == [NEVER, NEVER, 0]
    assert tries.tolist() == [3, 3, 1]


def test_no_wait_still_moves_to_a_later_occasion() -> None:
    rules = _rules(preambles=1, response_ns=0, backoff_ns=0, attempts=4)
    used, _, _ = contend(
        np.zeros(2, dtype=np.int64),
        np.zeros(2, dtype=np.int64),
        rules,
        rng=np.random.default_rng(0),
    )
    assert used.tolist() == [30_000, 30_000]


@pytest.mark.parametrize("devices", [30, 90])
def test_batch_is_the_brute_force(devices: int) -> None:
    cells = 300
    used, entered, tries = contend(
        np.repeat(np.arange(cells), devices),
        np.zeros(cells * devices, dtype=np.int64),
        RULES,
        rng=np.random.default_rng(3),
    )
    rng = np.random.default_rng(4)
    brute = np.array([_brute(devices, RULES, rng) for _ in range(cells)])
    shape = (cells, devices)
    assert ks_2samp(used.reshape(shape).max(axis=1), brute[:, :, 0].max(axis=1)).pvalue > 1e-3
    assert ks_2samp(entered.reshape(shape)[:, 0], brute[:, 0, 0]).pvalue > 1e-3
    ours, theirs = tries.reshape(shape).mean(axis=1), brute[:, :, 1].mean(axis=1)
    assert abs(ours.mean() - theirs.mean()) < 4 * np.hypot(ours.std(), theirs.std()) / cells**0.5
    lost = (entered == NEVER).mean(), (brute[:, :, 0] == NEVER).mean()
    assert abs(lost[0] - lost[1]) < 4 * np.sqrt(max(lost) / (cells * devices)) + 1e-3


def test_spread_devices_of_one_cell_meet_only_in_their_occasion() -> None:
    ready = np.arange(5000) * 10_000
    _, entered, tries = contend(
        np.zeros(5000, dtype=np.int64), ready, _rules(preambles=1), rng=np.random.default_rng(0)
    )
    assert np.array_equal(entered, ready)
    assert np.all(tries == 1)


def test_no_devices() -> None:
    empty = np.zeros(0, dtype=np.int64)
    columns = contend(empty, empty, RULES, rng=np.random.default_rng(0))
    assert [len(column) for column in columns] == [0, 0, 0]


@pytest.mark.parametrize("key", ["preambles", "period_ns", "attempts"])
def test_bad_rules(key: str) -> None:
    with pytest.raises(ValueError, match=key):
        _rules(**{key: 0})
    with pytest.raises(ValueError, match="backoff_ns"):
        _rules(backoff_ns=-1)
