from __future__ import annotations

import gzip
import json
import os
from pathlib import Path

import numpy as np
import pytest

from channel_sim.availability import load_phones

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def device_traces() -> Path:
    root = Path(os.environ.get("EDGE_FD_DATA", REPOSITORY.parent / "shared" / "data"))
    if not (root / "device_traces").is_dir():
        pytest.skip(f"no device traces at {root}; set EDGE_FD_DATA")
    return root / "device_traces"


def test_the_thousand_phones_give_back_their_statistics(device_traces: Path) -> None:
    # The data's README: 710 usable, 290 without a trace, 14,139 intervals of which 6 % of zero
    # length; ready share of time mean 0.095, p10 0.001, p50 0.055, p90 0.255.
    phones = load_phones(device_traces / "availability_1000_phones.json.gz")
    assert len(phones.traces) == 710
    assert (phones.without_trace, phones.impossible, phones.intervals) == (290, 0, 14_139)
    assert round(phones.zero_length / phones.intervals, 2) == 0.06
    share = np.array([trace.up_share for trace in phones.traces.values()])
    assert share.mean() == pytest.approx(0.095, abs=5e-4)
    assert np.percentile(share, [10, 50, 90]) == pytest.approx([0.001, 0.055, 0.255], abs=5e-4)
    # The same by asking at evenly spread times of three periods, as a simulation does.
    asked = [
        np.mean([trace.is_up(3 * trace.period_s * (k + 0.5) / 200) for k in range(200)])
        for trace in phones.traces.values()
    ]
    assert np.mean(asked) == pytest.approx(0.095, abs=2e-3)
    days = [trace.period_s / 86_400 for trace in phones.traces.values()]
    assert (min(days), np.median(days), max(days)) == pytest.approx((1, 5, 10), abs=0.5)


def test_phones_with_impossible_times_are_dropped_and_counted(device_traces: Path) -> None:
    # The data's README: 3477 phones, 38,116 intervals, 88 phones with negative starts.
    phones = load_phones(device_traces / "ready_strict_3477_phones.json.gz")
    assert phones.impossible == 88
    assert len(phones.traces) == 3477 - 88
    assert phones.reversed == 4
    everything = json.loads(
        gzip.decompress((device_traces / "ready_strict_3477_phones.json.gz").read_bytes())
    )
    assert sum(map(len, everything.values())) == 38_116
    good = [ready for ready in everything.values() if all(begin >= 0 for begin, _ in ready)]
    assert phones.intervals == sum(map(len, good))
    assert {trace.period_s for trace in phones.traces.values()} == {6 * 86_400.0}


def test_both_layouts_are_read(tmp_path: Path) -> None:
    path = tmp_path / "phones.json"
    timer = {"isSuccess": True, "trace_start": 50.0, "trace_end": 150.0}
    none = {"isSuccess": False, "trace_start": None, "trace_end": None, "ready_time": None}
    path.write_text(
        json.dumps({"a": {**timer, "ready_time": [[60, 60], [70, 90], [80, 95]]}, "b": none})
    )
    phones = load_phones(path)
    assert phones.traces["a"].up_s == ((20.0, 45.0),)
    assert phones.traces["a"].period_s == 100
    assert (phones.without_trace, phones.zero_length) == (1, 1)
    path.write_text(json.dumps({"a": [[10, 20]], "b": [[-1, 5]], "c": [], "d": [[9, 3]]}))
    phones = load_phones(path, period_s=100)
    assert phones.traces["a"].up_share == 0.1
    assert phones.traces["c"].up_share == phones.traces["d"].up_share == 0
    assert (phones.impossible, phones.reversed, phones.intervals) == (1, 1, 2)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[1]", r"phones.json holds no object"),
        ("{", r"phones.json is no JSON"),
        ('{"a": [[1]]}', r"phones.json, phone 'a': no trace"),
        ('{"a": {"isSuccess": true}}', r"phones.json, phone 'a': no trace"),
        ('{"a": [[1, NaN]]}', r"phones.json, phone 'a': up_s holds \[1, nan\]"),
        ('{"a": [[1, 5e9]]}', r"phones.json, phone 'a': up_s holds \[1, 5e\+09\]"),
    ],
)
def test_a_malformed_file_is_named(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "phones.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        load_phones(path, period_s=100)


def test_a_time_that_is_none_is_refused_without_a_period_too(tmp_path: Path) -> None:
    path = tmp_path / "phones.json"
    path.write_text('{"a": [[1, NaN]]}')
    with pytest.raises(ValueError, match=r"phone 'a': up_s holds"):
        load_phones(path)
