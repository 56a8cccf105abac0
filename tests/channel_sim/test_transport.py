"""Above the radio: bytes by another count, TCP by brute force, queues by theory."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broker import overhead
from channel_sim.transport import (
    TLS_HANDSHAKES,
    Backoff,
    Queue,
    Tcp,
    Transport,
    departures_s,
    mqtt_publish_bytes,
    tls_bytes,
    varint_bytes,
)


@pytest.mark.parametrize(
    ("value", "length"),
    # MQTT 3.1.1, table 2.4.
    [
        (0, 1), (127, 1), (128, 2), (16_383, 2), (16_384, 3), (2_097_151, 3), (2_097_152, 4),
        (268_435_455, 4),
    ],
)  # fmt: skip
def test_the_variable_length_of_the_standard(value: int, length: int) -> None:
    assert varint_bytes(value) == length


@given(st.integers(0, 3_000_000), st.integers(1, 300), st.integers(0, 2))
def test_a_publish_is_as_long_as_the_deployed_client_counts_it(
    payload_bytes: int, topic_bytes: int, qos: int
) -> None:
    """Two counts that do not share code: this one and that of the wire's own accounting."""
    deployed = overhead.publish_bytes("t" * topic_bytes, payload_bytes, qos=qos)
    assert mqtt_publish_bytes(payload_bytes, topic_bytes, qos=qos) == deployed
    assert mqtt_publish_bytes(payload_bytes, topic_bytes, qos=qos, version=5) >= deployed + 1


@given(st.integers(1, 3_000_000))
def test_segments_and_acknowledgements_are_those_of_the_deployed_count(payload_bytes: int) -> None:
    path = Transport(topic_bytes=20, qos=0)
    both_ways = path.forward_bytes(payload_bytes) + path.backward_bytes(payload_bytes)
    publish = overhead.publish_bytes("t" * 20, payload_bytes, qos=0)
    assert both_ways == publish + overhead.tcp_ip_bytes(publish)


def test_tls_records_of_50_kb() -> None:
    # oracles.md 2.12: 50 kB costs 88 B (1.3) and 116 B (1.2) in records.
    assert tls_bytes(50_000, version="1.3") - 50_000 == 88
    assert tls_bytes(50_000, version="1.2") - 50_000 == 116
    assert TLS_HANDSHAKES["1.3 ecdsa mutual"].up_bytes == 831


def test_a_full_segment_at_an_mtu_of_1500() -> None:
    path = Transport(topic_bytes=10)
    # RFC 9293 with timestamps: 1500 - 20 - 32. PUBLISH: 1 + 2 + 2 + 10 + 2 + payload.
    assert path.mss_bytes == 1448
    assert path.stream_bytes(1431) == 1448
    assert (path.segments(1431), path.segments(1432)) == (1, 2)
    assert path.forward_bytes(1431) == 1500
    # One acknowledgement of 52 B, and a PUBACK of 4 B in a packet of its own.
    assert path.backward_bytes(1431) == 52 + 56
    assert Transport(topic_bytes=10, tls="1.3").stream_bytes(100) == 116 + 22


@given(st.integers(1, 5000))
def test_rounds_of_slow_start_follow_the_closed_form(segments: int) -> None:
    # oracles.md 2.12: ceil(log2(segments / 10 + 1)) with an initial window of 10.
    assert Tcp().rounds(segments) == math.ceil(math.log2(segments / 10 + 1) - 1e-12)


def stall_by_brute_force_s(segments: int, rtt_s: float, segment_s: float, window: int) -> float:
    """Send segment by segment: one goes when the link is free and the window has room."""
    acked_at_s: list[float] = []
    free_s = 0.0
    cwnd = window
    sent = 0
    idle_s = 0.0
    in_window = 0
    while sent < segments:
        if in_window == cwnd:
            # Slow start in rounds: the next window opens with the first acknowledgement.
            opens_s = acked_at_s[-cwnd]
            idle_s += max(0.0, opens_s - free_s)
            free_s = max(free_s, opens_s)
            cwnd, in_window = 2 * cwnd, 0
        free_s += segment_s
        acked_at_s.append(free_s + rtt_s)
        sent, in_window = sent + 1, in_window + 1
    return idle_s


@given(
    st.integers(1, 2000),
    st.floats(0.0, 1.0),
    st.floats(1e4, 1e8),
    st.integers(1, 20),
)
@settings(deadline=None)
def test_the_stall_of_slow_start_is_that_of_sending_segment_by_segment(
    segments: int, rtt_s: float, rate_bps: float, window: int
) -> None:
    tcp = Tcp(initial_window=window)
    expected_s = stall_by_brute_force_s(segments, rtt_s, 8 * 1448 / rate_bps, window)
    assert tcp.stall_s(segments, rtt_s=rtt_s, rate_bps=rate_bps) == pytest.approx(
        expected_s, rel=1e-6, abs=1e-9
    )


def test_time_outs_double_up_to_their_cap() -> None:
    tcp = Tcp(min_rto_s=0.2, max_rto_s=1.5)
    assert [tcp.timeout_s(k) for k in (1, 2, 3, 4, 5)] == [0.2, 0.4, 0.8, 1.5, 1.5]
    # RFC 6298, 2.2: RTO = SRTT + 4 RTTVAR with RTTVAR = RTT / 2.
    assert tcp.timeout_s(1, rtt_s=0.3) == pytest.approx(0.9)


def test_the_mean_wait_is_that_of_a_simulation() -> None:
    tcp, loss, rng = Tcp(retries=4), 0.4, np.random.default_rng(3)
    waits = []
    while len(waits) < 40_000:
        failures = int(rng.geometric(1 - loss)) - 1
        if failures <= 4:
            waits.append(sum(0.2 * 2**k for k in range(failures)))
    error_s = float(np.std(waits)) / math.sqrt(len(waits))
    assert abs(tcp.mean_wait_s(loss) - float(np.mean(waits))) < 4 * error_s
    assert tcp.mean_wait_s(0.0) == 0.0
    assert tcp.mean_wait_s(1.0) == math.inf


def test_backoff_is_uniform_below_a_doubling_capped_limit() -> None:
    backoff, rng = Backoff(base_s=1.0, cap_s=6.0), np.random.default_rng(1)
    assert [backoff.most_s(k) for k in (1, 2, 3, 4, 5000)] == [1.0, 2.0, 4.0, 6.0, 6.0]
    waits = np.array([backoff.wait_s(3, rng) for _ in range(4000)])
    assert 0 <= waits.min() < 0.01
    assert 3.99 < waits.max() < 4.0
    assert abs(waits.mean() - 2.0) < 4 * (4 / math.sqrt(12)) / math.sqrt(4000)


@pytest.mark.parametrize(
    ("load", "kind", "in_services"),
    # oracles.md 3.1: mean time in system over mean service time.
    [
        (0.5, "M/M/1", 2.0), (0.8, "M/M/1", 5.0),
        (0.5, "M/D/1", 1.5), (0.8, "M/D/1", 3.0), (0.9, "M/D/1", 5.5),
    ],
)  # fmt: skip
def test_time_in_system_of_the_textbook(load: float, kind: str, in_services: float) -> None:
    means = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        arrivals_s = np.cumsum(rng.exponential(1 / load, 60_000))
        services_s = rng.exponential(1.0, 60_000) if kind == "M/M/1" else np.ones(60_000)
        means.append((departures_s(arrivals_s, services_s) - arrivals_s)[2000:].mean())
    error = float(np.std(means, ddof=1)) / math.sqrt(len(means))
    assert abs(float(np.mean(means)) - in_services) < 4 * error
    assert error < 0.05 * in_services


@given(
    st.lists(st.tuples(st.floats(0, 100), st.integers(0, 50)), max_size=60).map(sorted),
    st.floats(0, 5),
    st.floats(0, 0.2),
)
def test_one_at_a_time_is_the_same_as_all_at_once(
    customers: list[tuple[float, int]], per_message_s: float, per_byte_s: float
) -> None:
    queue = Queue(per_message_s=per_message_s, per_byte_s=per_byte_s)
    leaves_s = [queue.enter(now_s, size_bytes) for now_s, size_bytes in customers]
    sizes = np.array([size for _, size in customers], dtype=float)
    expected_s = departures_s([now for now, _ in customers], per_message_s + per_byte_s * sizes)
    np.testing.assert_allclose(np.array(leaves_s, dtype=float), expected_s, rtol=1e-9, atol=1e-9)


def test_a_full_queue_refuses_as_erlang_says() -> None:
    """M/M/1/K at load 1 blocks 1 / (K + 1) of the arrivals; by PASTA, for any service law at K=1.

    At K = 1 (no waiting place) Erlang's B formula holds for fixed service: a / (1 + a).
    """
    rng = np.random.default_rng(5)
    queue, load = Queue(per_message_s=1.0, places=1), 0.7
    arrivals_s = np.cumsum(rng.exponential(1 / load, 40_000))
    lost = sum(queue.enter(float(now_s)) is None for now_s in arrivals_s) / len(arrivals_s)
    assert lost == pytest.approx(load / (1 + load), abs=0.01)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Transport(mtu_bytes=52), r"mtu_bytes = 52 leaves no room"),
        (lambda: Transport(qos=3), r"qos = 3 is outside 0 to 2"),
        (lambda: Transport(tls="1.4"), r"tls = '1.4' is unknown; did you mean '1.[23]'\?"),
        (lambda: Tcp(max_rto_s=0.1), r"max_rto_s = 0.1 is below min_rto_s = 0.2; raise it"),
        (lambda: Backoff(base_s=9.0, cap_s=1.0), r"cap_s = 1.0 is below base_s = 9.0"),
        (lambda: Queue(per_message_s=-1.0), r"per_message_s = -1.0 is negative"),
        (lambda: departures_s([2.0, 1.0], 1.0), r"not in time order; sort them"),
        (lambda: varint_bytes(268_435_456), r"remaining length = 268435456 is outside"),
    ],
)
def test_bad_numbers_are_refused(make: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()  # type: ignore[operator]
