"""Columns of many messages: they say the same as one object per message."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from channel_sim import ESP32, REASONS, Outcomes, RadioPower


def outcomes(rows: int = 200, seed: int = 1) -> Outcomes:
    rng = np.random.default_rng(seed)
    ready_ns = rng.integers(0, 10**9, rows)
    start_ns = ready_ns + rng.integers(0, 10**9, rows)
    return Outcomes(
        reason=rng.integers(0, len(REASONS), rows).astype(np.uint8),
        ready_ns=ready_ns,
        start_ns=start_ns,
        finish_ns=start_ns + rng.integers(0, 10**9, rows),
        packets=rng.integers(1, 9, rows).astype(np.int32),
        attempts=rng.integers(0, 30, rows).astype(np.int32),
        air_ns=rng.integers(0, 10**9, rows),
        tx_ns=rng.integers(0, 10**9, rows),
        rx_ns=rng.integers(0, 10**9, rows),
        idle_ns=rng.integers(0, 10**9, rows),
    )


def test_columns_and_objects_say_the_same() -> None:
    columns = outcomes()
    names = [f"d{row}" for row in range(len(columns))]
    rows = columns.deliveries(names, ESP32)
    assert [row.device for row in rows] == names
    assert [row.delivered for row in rows] == columns.delivered.tolist()
    assert [row.reason for row in rows] == [REASONS[code] for code in columns.reason]
    np.testing.assert_allclose([row.energy_j for row in rows], columns.energy_j(ESP32))
    latency_s = [row.finish_s - row.ready_s for row in rows]
    np.testing.assert_allclose(latency_s, columns.latency_s, rtol=1e-6)
    np.testing.assert_allclose(
        [row.busy_s for row in rows], (columns.tx_ns + columns.rx_ns + columns.idle_ns) / 1e9
    )


def test_wakes_and_tails_are_overhead_in_columns_and_objects() -> None:
    plain = outcomes(3)
    radio = RadioPower(1.0, 0.5, 0.25, 0.0, wake_j=3.0, tail_w=2.0, tail_s=5.0)
    wakes, tails = np.array([0, 1, 2], dtype=np.int32), np.array([1, 0, 1], dtype=np.int32)
    woken = replace(plain, wakes=wakes, tails=tails)
    overhead_j = [10.0, 13.0, 2 * 13.0 + 10.0]
    np.testing.assert_allclose(woken.energy_j(radio) - plain.energy_j(radio), overhead_j)
    assert [row.overhead_j for row in woken.deliveries(["a", "b", "c"], radio)] == overhead_j
    assert [row.overhead_j for row in plain.deliveries(["a", "b", "c"], radio)] == [0.0] * 3
    with pytest.raises(ValueError, match=r"'wakes': 2.*one entry per message"):
        replace(plain, wakes=wakes[:2])


def test_offered_is_delivered_plus_lost_by_reason() -> None:
    columns = outcomes()
    counts = columns.counts()
    assert set(counts) == set(REASONS)
    assert sum(counts.values()) == len(columns) == 200
    assert counts["delivered"] == columns.delivered.sum()
    for code, reason in enumerate(REASONS):
        assert counts[reason] == sum(columns.reason == code)


def test_columns_of_different_length_are_refused() -> None:
    good = outcomes(3)
    columns = {name: getattr(good, name) for name in good.__dataclass_fields__}
    columns["air_ns"] = columns["air_ns"][:2]
    with pytest.raises(ValueError, match=r"'air_ns': 2.*one entry per message"):
        Outcomes(**columns)
