"""Columns of many messages: they say the same as one object per message."""

from __future__ import annotations

import numpy as np
import pytest

from channel_sim import ESP32, REASONS, Outcomes


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
