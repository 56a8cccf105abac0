from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from channel_sim import Arq, Transfer

# 8 bit/s: one byte lasts one second, so that all times are whole numbers.
RATE_BPS = 8.0


def coin(loss: float, seed: int) -> Callable[[int], bool]:
    """Return blocks that are bad with probability ``loss``, each independently."""
    rng = np.random.default_rng(seed)
    drawn: dict[int, bool] = {}
    return lambda block: drawn.setdefault(block, bool(rng.random() >= loss))


def first_of(clear: Callable[[int], bool]) -> Callable[[int, int], int]:
    """Search block by block."""
    return lambda first, last: next((b for b in range(first, last + 1) if not clear(b)), last + 1)


def many(arq: Arq, size_bytes: int, loss: float, runs: int) -> list[Transfer]:
    """Send messages over blocks of one packet each, so that attempts are independent."""
    clear = coin(loss, seed=5)
    return [
        arq.transfer(
            size_bytes,
            1000.0 * run * arq.mtu_bytes,
            rate_bps=RATE_BPS,
            first_bad=first_of(clear),
            coherence_s=float(arq.mtu_bytes),
        )
        for run in range(runs)
    ]


def test_one_packet_needs_the_attempts_of_the_truncated_geometric_law() -> None:
    # oracles.md 2.12: p = .1, R = 4: E[tx] = (1 - p^R) / (1 - p) = 1.111, success .9999.
    runs = 40_000
    transfers = many(Arq(1, 4, 0.0), 1, 0.1, runs)
    attempts = np.array([t.attempts for t in transfers])
    assert abs(attempts.mean() - 1.111) < 3 * math.sqrt(0.1) / 0.9 / math.sqrt(runs)
    lost = sum(not t.delivered for t in transfers)
    assert abs(lost - 1e-4 * runs) <= 3 * math.sqrt(1e-4 * runs)


def test_a_message_survives_when_every_fragment_does() -> None:
    # oracles.md 2.12: (1 - p^R)^F, here p = .5, R = 3, F = 4.
    runs, survives = 20_000, (1 - 0.5**3) ** 4
    transfers = many(Arq(1, 3, 0.0), 4, 0.5, runs)
    share = sum(t.delivered for t in transfers) / runs
    assert abs(share - survives) < 3 * math.sqrt(survives * (1 - survives) / runs)


def test_a_lost_message_stops_at_the_fragment_that_failed() -> None:
    # Fragment k is tried when the k before it got through: E[attempts] =
    # E[tx] (1 - s^F) / (1 - s), s = 1 - p^R, E[tx] = (1 - p^R) / (1 - p).
    runs, success = 20_000, 1 - 0.5**3
    mean = success / 0.5 * (1 - success**4) / (1 - success)
    attempts = np.array([t.attempts for t in many(Arq(1, 3, 0.0), 4, 0.5, runs)])
    assert abs(attempts.mean() - mean) < 3 * attempts.std() / math.sqrt(runs)


def reference(
    arq: Arq, size_bytes: int, start: int, *, bad: frozenset[int], coherence: int
) -> Transfer:
    """Send second by second, in whole numbers, without any short cut."""
    sizes = [arq.mtu_bytes] * (size_bytes // arq.mtu_bytes)
    sizes += [size_bytes % arq.mtu_bytes] if size_bytes % arq.mtu_bytes else []
    now, air, attempts = start, 0, 0
    for size in sizes:
        for _ in range(arq.max_attempts):
            good = all(second // coherence not in bad for second in range(now, now + size))
            now, air, attempts = now + size, air + size, attempts + 1
            if good:
                break
            now += int(arq.ack_timeout_s)
        else:
            return Transfer(False, now, air, attempts, len(sizes))
    return Transfer(True, now, air, attempts, len(sizes))


@given(
    arq=st.builds(Arq, st.integers(1, 6), st.integers(1, 4), st.integers(0, 9).map(float)),
    size_bytes=st.integers(1, 60),
    start=st.integers(0, 40),
    bad=st.frozensets(st.integers(0, 60), max_size=40),
    coherence=st.integers(1, 12),
)
@settings(deadline=None, max_examples=400)
def test_runs_of_packets_equal_one_packet_after_the_other(
    arq: Arq, size_bytes: int, start: int, bad: frozenset[int], coherence: int
) -> None:
    got = arq.transfer(
        size_bytes,
        float(start),
        rate_bps=RATE_BPS,
        first_bad=first_of(lambda block: block not in bad),
        coherence_s=float(coherence),
    )
    assert got == reference(arq, size_bytes, start, bad=bad, coherence=coherence)
    if got.delivered:
        waits_s = (got.attempts - got.packets) * arq.ack_timeout_s
        assert got.finish_s - start == got.air_s + waits_s


def test_a_clear_static_link_takes_bits_over_rate() -> None:
    transfer = Arq(1500, 7, 0.01).transfer(
        40_000, 2.0, rate_bps=1e6, first_bad=first_of(lambda _: True)
    )
    assert transfer.delivered
    assert transfer.air_s == pytest.approx(0.32)
    assert transfer.finish_s == pytest.approx(2.32)
    assert (transfer.packets, transfer.attempts) == (27, 27)


def test_a_dead_link_gives_up_after_all_attempts_and_waits() -> None:
    transfer = Arq(1500, 4, 0.01).transfer(
        40_000, 2.0, rate_bps=1e6, first_bad=first_of(lambda _: False)
    )
    assert not transfer.delivered
    assert transfer.attempts == 4
    assert transfer.air_s == pytest.approx(4 * 0.012)
    assert transfer.finish_s == pytest.approx(2.0 + 4 * (0.012 + 0.01))


@pytest.mark.parametrize(
    ("arguments", "key"),
    [
        ((0, 4, 0.0), "mtu_bytes = 0"),
        ((1500, 0, 0.0), "max_attempts = 0"),
        ((1500, 1.5, 0.0), "max_attempts = 1.5"),
        ((1500, 4, -0.1), "ack_timeout_s = -0.1"),
    ],
)
def test_bad_rules_are_refused_by_key_and_value(
    arguments: tuple[int, int, float], key: str
) -> None:
    with pytest.raises(ValueError, match=rf"{key} .*give"):
        Arq(*arguments)
