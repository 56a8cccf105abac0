from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from channel_sim.calendar import Fingerprint
from channel_sim.energy import WIFI_NIC
from channel_sim.replay import (
    DeliveryTrace,
    LossyTrack,
    ReplayLossyLink,
    load_connectivity,
    load_lora_campus,
)
from channel_sim.replay.lossy import Frames
from channel_sim.replay.shares import ShareTable

MS = 1_000_000
FRAMES = Frames(rate_bps=1e6, packet_bytes=125, max_attempts=3, retry_wait_s=0.0005)
"""A full frame takes 1 ms."""


def link(*traces: DeliveryTrace, seed: int = 0, frames: Frames = FRAMES) -> ReplayLossyLink:
    tracks = {f"d{row}": LossyTrack(trace) for row, trace in enumerate(traces)}
    return ReplayLossyLink(tracks, tracks, frames, radio=WIFI_NIC, rng=np.random.default_rng(seed))


def constant(share: float) -> DeliveryTrace:
    return DeliveryTrace([0.0, 1.0], [share])


def test_loss_and_attempts_are_those_of_the_truncated_geometric_law() -> None:
    # A frame fails with q^3, a message of 4 frames arrives with (1 - q^3)^4; attempts of a
    # message: (1 - q^3) / p per frame begun, and frames begun (1 - a^4) / (1 - a).
    p, n = 0.6, 20_000
    a = 1 - (1 - p) ** 3
    found = link(constant(p)).offer(["d0"] * n, [500] * n, [0.0] * n)
    arrived = np.array([delivery.delivered for delivery in found])
    assert arrived.mean() == pytest.approx(a**4, abs=4 * math.sqrt(a**4 * (1 - a**4) / n))
    attempts = np.array([delivery.attempts for delivery in found])
    expected = (1 - (1 - p) ** 3) / p * (1 - a**4) / (1 - a)
    assert attempts.mean() == pytest.approx(expected, abs=4 * attempts.std() / math.sqrt(n))
    assert {delivery.reason for delivery in found} == {"delivered", "retry_limit"}
    for delivery in found[:500]:
        assert delivery.packets == 4
        assert delivery.air_s == pytest.approx(delivery.attempts * 0.001)
        assert delivery.tx_j == pytest.approx(delivery.air_s * WIFI_NIC.tx_w)


def test_time_is_frames_and_waits() -> None:
    # All lost until 2 ms: attempts at 0 and 1.5 ms fail, at 3 ms the frame arrives, 4 ms; then
    # the second of 25 bytes, 0.2 ms.
    trace = DeliveryTrace([0.0, 0.002, 1.0], [0.0, 1.0])
    (delivery,) = link(trace).offer(["d0"], [150], [0.0])
    assert (delivery.delivered, delivery.attempts, delivery.packets) == (True, 4, 2)
    assert delivery.finish_s == pytest.approx(0.0042, abs=1e-12)
    assert delivery.air_s == pytest.approx(0.0032)
    assert delivery.idle_j == pytest.approx(0.001 * WIFI_NIC.idle_w)
    trace = DeliveryTrace([0.0, 0.0031, 1.0], [0.0, 1.0])
    (lost,) = link(trace).offer(["d0"], [150], [0.0])
    assert (lost.reason, lost.attempts, lost.finish_s) == ("retry_limit", 3, 0.004)


def test_a_device_that_leaves_stops_in_mid_frame() -> None:
    medium = link(constant(1.0), constant(1.0))
    for _ in range(2):
        medium.submit("d0", 250, 0)
    medium.submit("d0", 250, 0, direction="down")
    medium.submit("d1", 250, 0)
    medium.advance(1_250_000)
    gone = [delivery for _, delivery in medium.leave("d0")]
    assert [(one.reason, one.attempts) for one in gone] == [("off", 2), ("off", 0), ("off", 2)]
    assert [one.air_s for one in gone] == [0.00125, 0.0, 0.00125]
    assert gone[2].rx_j == pytest.approx(0.00125 * WIFI_NIC.rx_w)
    assert [(one.device, one.finish_s) for _, one in medium.advance(None)] == [("d1", 0.002)]
    medium.submit("d0", 125, 5 * MS)
    ((_, back),) = medium.advance(None)
    assert back.finish_s == 0.006


def test_a_deadline_in_a_wait_books_no_air_and_frees_the_queue() -> None:
    medium = link(DeliveryTrace([0.0, 0.001, 1.0], [0.0, 1.0]))
    medium.submit("d0", 125, 0, deadline_ns=1_200_000)
    medium.submit("d0", 125, 0)
    (_, cut), (_, good) = medium.advance(None)
    assert (cut.reason, cut.air_s, cut.attempts) == ("deadline", 0.001, 1)
    assert cut.idle_j == pytest.approx(0.0002 * WIFI_NIC.idle_w)
    assert (good.start_s, good.finish_s) == (0.0012, 0.0022)


@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(1, 500), st.integers(0, 9)), min_size=1),
    st.randoms(use_true_random=False),
)
def test_the_order_of_offering_changes_nothing(
    rows: list[tuple[int, int, int]], random: object
) -> None:
    mixed = random.sample(rows, len(rows))  # type: ignore[attr-defined]

    def run(offered: list[tuple[int, int, int]]) -> list[str]:
        medium = link(*(constant(0.5) for _ in range(3)))
        devices, sizes, times_ms = zip(*offered, strict=True)
        names = [f"d{device}" for device in devices]
        return sorted(map(repr, medium.offer(names, sizes, [t / 1000 for t in times_ms])))

    assert run(rows) == run(mixed)


def test_a_device_more_changes_nothing_for_the_others() -> None:
    two = link(constant(0.5), constant(0.5)).offer(["d0"] * 50, [500] * 50, [0.0] * 50)
    three = link(constant(0.5), constant(0.5), constant(0.5))
    found = three.offer(["d2"] * 20 + ["d0"] * 50, [500] * 70, [0.0] * 70)
    assert found[20:] == two


@given(st.data())
def test_the_table_is_that_of_a_scan(data: st.DataObject) -> None:
    lengths = st.lists(st.integers(1, 50), min_size=1, max_size=6)
    all_lengths = data.draw(st.lists(lengths, min_size=1, max_size=4))
    rng = np.random.default_rng(0)
    traces = [
        DeliveryTrace(np.cumsum([0, *some]) / 1000, rng.random(len(some))) for some in all_lengths
    ]
    number = data.draw(st.integers(0, len(traces) - 1))
    time_ms = data.draw(st.integers(0, 400))
    within, piece = time_ms % sum(all_lengths[number]), 0
    while within >= all_lengths[number][piece]:
        within -= all_lengths[number][piece]
        piece += 1
    table = ShareTable(traces)
    assert table.share(number, time_ms * MS) == traces[number].shares[piece]


def test_the_reference_scenario_has_its_fingerprint() -> None:
    rng = np.random.default_rng(1)
    traces = [DeliveryTrace(np.arange(21) * 0.01, rng.random(20)) for _ in range(4)]
    medium, fingerprint = link(*traces, seed=2), Fingerprint()
    medium.trace = fingerprint
    for row in range(40):
        medium.submit(
            f"d{row % 4}",
            int(rng.integers(1, 2_000)),
            int(rng.integers(0, 100 * MS)),
            direction="up" if row % 3 else "down",
            deadline_ns=150 * MS if row % 5 == 0 else None,
        )
    medium.advance(60 * MS)
    medium.leave("d1")
    medium.advance(None)
    assert (fingerprint.digest, fingerprint.events) == ("ca13308196606cb5", 389)


K7 = '{"location": "x"}\ndatetime,src,dst,channel,mean_rssi,pdr,tx_count\n'
K7_ROWS = (
    "2018-01-11T16:00:00.0,0,1,11,-70.5,0.9,100\n"
    "2018-01-11T16:00:10.0,1,0,11,-71,0.8,100\n"
    "2018-01-11T16:00:30.0,0,1,12,-80,0.4,100\n"
    "2018-01-11T16:01:00.0,0,1,11,-72,1.0,100\n"
)


def test_a_link_holds_its_share_until_the_next_row(tmp_path: Path) -> None:
    path = tmp_path / "x.k7"
    path.write_text(K7 + K7_ROWS)
    measured = load_connectivity(path)
    one = measured.link(0, 1)
    assert one.shares.tolist() == [0.9, 0.4, 1.0]
    assert (one.times_ns / 1e9).tolist() == [0, 30, 60, 90]
    assert measured.link(0, 1, channel=11).shares.tolist() == [0.9, 1.0]
    assert [trace.name for trace in measured.links()] == ["x.k7: 0 -> 1", "x.k7: 1 -> 0"]
    assert [trace.mean for trace in measured.links()] == pytest.approx([2.3 / 3, 0.8])
    with pytest.raises(ValueError, match=r"link 1 -> 0, channel 12: no row in x.k7"):
        measured.link(1, 0, channel=12)


LORA = "Time,id,GW RSSI\n"


def test_what_lacks_in_the_count_was_lost(tmp_path: Path) -> None:
    path = tmp_path / "walk.csv"
    path.write_text(LORA + "1:00:00,3,-90\n1:00:08,4,-91\n1:00:08,4,-91\n1:00:32,7,-99\n")
    trace = load_lora_campus(path, interval_s=8.0)
    assert trace.shares.tolist() == [1, 1, 0, 0, 1]
    assert trace.mean == 0.6
    assert trace.period_ns == 40 * 10**9


@pytest.mark.parametrize(
    ("load", "text", "line"),
    [
        (load_connectivity, "no json\n", 1),
        (load_connectivity, "{}\nwhen,src\n", 2),
        (load_connectivity, K7 + "2018-01-11T16:00:00.0,0,1,11,-70\n", 3),
        (load_connectivity, K7 + "yesterday,0,1,11,-70.5,0.9,100\n", 3),
        (load_connectivity, K7 + "2018-01-11T16:00:00.0,0,1,11,-70.5,1.9,100\n", 3),
        (load_connectivity, K7 + K7_ROWS + "2018-01-11T16:00:59.0,0,1,11,-70.5,0.9,100\n", 7),
        (load_lora_campus, "Time,RSSI\n", 1),
        (load_lora_campus, LORA + "1:00:00,3\n", 2),
        (load_lora_campus, LORA + "1:00:00,3,-90\n1:00:08,2,-90\n", 3),
        (load_lora_campus, LORA + "1:00:00,3.5,-90\n", 2),
    ],
)
def test_a_malformed_line_is_named_with_its_file(
    tmp_path: Path, load: Callable[[Path], object], text: str, line: int
) -> None:
    path = tmp_path / "trace.log"
    path.write_text(text)
    with pytest.raises(ValueError, match=rf"trace.log, line {line}: .* is malformed; "):
        load(path)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (lambda: DeliveryTrace([0, 1], [1.2]), r"shares = .*outside 0 to 1"),
        (lambda: DeliveryTrace([0, 1], []), r"2 and 0 entries"),
        (lambda: DeliveryTrace([0, 2, 1], [1, 1]), r"not in order"),
        (
            lambda: Frames(rate_bps=0, packet_bytes=1, max_attempts=1, retry_wait_s=0),
            r"rate_bps = 0 must be above 0",
        ),
        (
            lambda: Frames(rate_bps=1, packet_bytes=1, max_attempts=0, retry_wait_s=0),
            r"max_attempts = 0 is no count",
        ),
    ],
)
def test_bad_input_is_refused(bad: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        bad()
