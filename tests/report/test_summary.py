"""Sums and means of a run, against numbers worked out by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from edge_fd.records import Bytes, DeviceRecord, RoundRecord
from edge_fd.report import summarise
from edge_fd.report.summary import device_totals, joules

if TYPE_CHECKING:
    from edge_fd.records import Mode

A = DeviceRecord(
    1, "a", "mlp", "train", None, "accepted", 0.5, 0.7, None, Bytes(100, 10, 20, 30, 25),
    Bytes(8, 4, 2, 1, 2), 1.0, 2.0, 4.0, 3.0, 1.0, 0.5, 0.5, 1, 60,
)  # fmt: skip
ABSENT = replace(
    A, device="b", outcome="absent", accuracy_test=None, accuracy_own=None,
    up=Bytes(), down=Bytes(),
    down_s=None, compute_s=None, up_s=None, compute_j=None, tx_j=None, rx_j=None, idle_j=None,
)  # fmt: skip
DEVICES = [
    A,
    replace(A, device="b", accuracy_test=0.3),
    replace(A, round=2, accuracy_test=0.6, up=Bytes(200, 10, 20, 30, 50)),
    replace(ABSENT, round=2),
    replace(A, round=3, accuracy_test=None, accuracy_own=None),
    replace(ABSENT, round=3),
]
ROUNDS = [
    RoundRecord(1, "closed", 0.0, 7.0, 2, 2, 0, 0, None, 0.4),
    RoundRecord(2, "closed", 7.0, 12.0, 2, 1, 0, 0, None, None),
    RoundRecord(3, "failed", 14.0, 17.0, 2, 1, 0, 0, None, None),
]


def test_summary_equals_the_sums_by_hand() -> None:
    summary = summarise("r", ROUNDS, DEVICES, mode="simulated", method="fd", seed=1)
    assert (summary.devices, summary.rounds, summary.rounds_failed) == (2, 3, 1)
    assert summary.accuracy_test == 0.6  # round 2 is the last evaluated, only a was there
    assert summary.accuracy_server == 0.4
    # a: 100 + 200 + 100, b: 100
    assert summary.up == Bytes(250, 20, 40, 60, 62)  # 62.5 paper values, to the even one
    assert summary.down.on_air == 30  # 4 x 15 B over two devices
    assert summary.seconds_per_round == 5  # (7 + 5 + 3) / 3
    assert summary.joules_per_device == 10  # (3 x 5 J + 5 J) / 2


def test_totals_of_a_device() -> None:
    a, b = device_totals(reversed(DEVICES))
    assert a.last.device == "a"
    assert (a.rounds, a.up.payload, a.seconds, a.joules) == (3, 400, 7.0, 15.0)
    assert (b.accuracy_test, b.accuracy_own, b.seconds) == (0.3, 0.7, 7.0)
    assert b.outcomes == {"accepted": 1, "absent": 2}


@pytest.mark.parametrize(
    ("mode", "seconds", "energy_j", "joules_from"),
    [("simulated", "modelled", 1.0, "modelled"), ("deployed", "measured", None, "not measured")],
)
def test_origins_follow_the_mode_unless_said(
    mode: Mode, seconds: str, energy_j: float | None, joules_from: str
) -> None:
    records = [replace(A, compute_j=energy_j, tx_j=None, rx_j=None, idle_j=None)]
    known = summarise("r", ROUNDS, records, mode=mode, method="fd", seed=1).origins
    assert (known["seconds"], known["joules"]) == (seconds, joules_from)
    said = summarise(
        "r", ROUNDS, records, mode=mode, method="fd", seed=1, origins={"joules": "measured"}
    ).origins
    assert said == {**known, "joules": "measured"}


def test_nothing_measured_is_none_and_not_zero() -> None:
    assert joules(ABSENT) is None
    empty = summarise("r", [], [], mode="simulated", method="fd", seed=1)
    assert empty.joules_per_device is None
    assert empty.accuracy_test is None
