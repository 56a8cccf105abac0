from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.special import erfc
from scipy.stats import ks_2samp

from channel_sim.calendar import Fingerprint
from channel_sim.outcomes import CODES
from channel_sim.scheduled import Tdma
from channel_sim.scheduled.cells import attempts_if_right, rank_within

CLEAR_DB = 60.0
# 6 + 127 bytes at 250 kb/s, 32 us each.
FULL_S = 192e-6 + 127 * 32e-6


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def burst(family: Tdma, rows: int, size: int, *, ready_ns: np.ndarray | None = None, **more: float):  # noqa: ANN201
    ready = np.zeros(rows, dtype=np.int64) if ready_ns is None else ready_ns
    return family.burst(
        np.full(rows, more.get("loss_db", CLEAR_DB)),
        np.full(rows, size),
        ready,
        cells=np.arange(rows),
        rng=rng(int(more.get("seed", 0))),
    )


@pytest.mark.parametrize(("error", "limit"), [(0.1, 4), (0.5, 4), (0.6, 2), (0.3, 1)])
def test_arq_has_its_closed_form(error: float, limit: int) -> None:
    # oracles.md 2.12 and 3.1: success 1 - p^R, E[tx] = (1 - p^R) / (1 - p);
    # p = .1, R = 4: 1.111 and .9999.
    rows = 200_000
    found = burst(Tdma(packet_error=error, max_attempts=limit), rows, 50)
    success = 1 - error**limit
    assert abs(found.delivered.mean() - success) < 4 * math.sqrt(success * (1 - success) / rows)
    mean = (1 - error**limit) / (1 - error)
    assert abs(found.attempts.mean() - mean) < 4 * found.attempts.std() / math.sqrt(rows) + 1e-12
    assert set(np.unique(found.reason)) <= {CODES["delivered"], CODES["retry_limit"]}
    counts = np.bincount(found.attempts[found.delivered], minlength=limit + 1)[1:]
    law = error ** np.arange(limit) * (1 - error)
    assert counts / rows == pytest.approx(law, abs=4 / math.sqrt(rows))
    one = float(attempts_if_right(np.array(error), limit))
    assert one == pytest.approx(float((law * np.arange(1, limit + 1)).sum() / law.sum()))


def test_a_message_of_many_packets_needs_all_of_them() -> None:
    rows, packets, error, limit = 40_000, 9, 0.4, 4
    found = burst(Tdma(packet_error=error, max_attempts=limit), rows, 9 * 116)
    success = (1 - error**limit) ** packets
    assert abs(found.delivered.mean() - success) < 4 * math.sqrt(success * (1 - success) / rows)
    assert set(found.packets.tolist()) == {packets}
    # What is left after the lost packet is not sent: attempts until then, by the law.
    lost = found.attempts[~found.delivered]
    share = (1 - error**limit) ** np.arange(packets) * error**limit
    before = share @ np.arange(packets) / share.sum() * attempts_if_right(np.array(error), limit)
    assert lost.mean() == pytest.approx(before + limit, abs=4 * lost.std() / math.sqrt(len(lost)))


def test_slots_of_a_clear_cell_to_the_nanosecond() -> None:
    # Table: 1 beacon, then up and down of three devices: 7 slots of 10 ms, guard 1.1 ms.
    family = Tdma()
    cell = family.medium(dict.fromkeys("abc", CLEAR_DB), rng=rng())
    found = cell.offer(["a", "b", "c", "b"], [232, 10, 116, 5], [0.0, 0.0301, 0.05, 0.031])
    begins_s = [one.start_s for one in found]
    # Up slots of a, b, c: 10, 30, 50 ms of every 70.
    assert begins_s == pytest.approx([0.0111, 0.1011, 0.0511, 0.1711])
    assert found[0].finish_s == pytest.approx(0.0811 + FULL_S)
    assert found[1].finish_s == pytest.approx(0.1011 + 192e-6 + 21 * 32e-6)
    assert found[2].finish_s == pytest.approx(0.0511 + FULL_S)
    down = family.medium(dict.fromkeys("abc", CLEAR_DB), rng=rng())
    one = down.offer(["b"], [116], [0.0], direction="down")[0]
    assert one.start_s == pytest.approx(0.0411)
    # 3 V; sending 6.40, receiving 6.53 mA (Nordic, 802.15.4).
    assert found[2].tx_j == pytest.approx(3 * 6.40e-3 * FULL_S)
    assert found[2].rx_j == pytest.approx(3 * 6.53e-3 * 352e-6)
    assert found[2].idle_j == pytest.approx(3 * 6.53e-3 * 192e-6)
    assert one.rx_j == pytest.approx(3 * 6.53e-3 * FULL_S)
    assert one.tx_j == pytest.approx(3 * 6.40e-3 * 352e-6)
    assert one.idle_j == pytest.approx(3 * 6.53e-3 * (1.1e-3 + 192e-6))


def brute_force(seed: int, slots: int) -> tuple[int, int, bool]:
    """Walk the table slot by slot; microseconds from ready, attempts, delivered."""
    draw = rng(seed)
    ready = int(draw.integers(0, 1_000_000))
    table, own = 1 + slots + 1, set(range(1, 1 + slots))
    sizes = [116, 116, 116, 40]
    tries = attempts = 0
    slot = -(-ready // 10_000)
    while True:
        if slot % table in own:
            attempts += 1
            right = draw.random() >= 0.35
            end = slot * 10_000 + 1_100 + 192 + 32 * (sizes[0] + 11)
            tries = 0 if right else tries + 1
            if right:
                sizes.pop(0)
            if not sizes or tries == 3:
                return end - ready, attempts, not sizes
        slot += 1


@pytest.mark.parametrize("slots", [1, 3])
def test_both_engines_obey_a_walk_through_the_table(slots: int) -> None:
    family = Tdma(packet_error=0.35, max_attempts=3, up_slots=slots)
    brute = [brute_force(seed, slots) for seed in range(2000)]
    draw = rng(9)
    ready_us = draw.integers(0, 1_000_000, 6000)
    found = []
    for ready in ready_us[:1000]:
        cell = family.medium({"a": CLEAR_DB}, rng=draw)
        found += cell.offer(["a"], [388], [int(ready) / 1e6])
    rows = burst(family, 6000, 388, ready_ns=ready_us * 1000, seed=5)
    calendar_us = [round((one.finish_s - one.ready_s) * 1e6) for one in found]
    brute_us = [latency for latency, _, _ in brute]
    assert ks_2samp(brute_us, calendar_us).pvalue > 0.01
    assert ks_2samp(brute_us, np.round(rows.latency_s * 1e6)).pvalue > 0.01
    success = (1 - 0.35**3) ** 4
    for share, count in (
        (np.mean([one.delivered for one in found]), 1000),
        (rows.delivered.mean(), 6000),
    ):
        assert abs(share - success) < 3 * math.sqrt(success * (1 - success) / count)
    joules = np.array([one.energy_j for one in found])
    others = rows.energy_j(family.radio)
    assert abs(joules.mean() - others.mean()) < 3 * (joules.std() / 31.6 + others.std() / 77)
    assert rows.packets[0] == found[0].packets == 4


def test_a_cell_is_the_same_in_both_engines_without_errors() -> None:
    family = Tdma(up_slots=2, table_slots=40)
    sizes, ready = [300, 5, 1000, 700], [0.0, 0.37, 0.0101, 0.2]
    cell = family.medium(dict.fromkeys("abcd", CLEAR_DB), rng=rng())
    found = cell.offer(list("abcd"), sizes, ready)
    rows = family.burst(
        np.full(4, CLEAR_DB),
        np.array(sizes),
        np.array([round(one * 1e9) for one in ready]),
        cells=np.zeros(4, dtype=np.int64),
        rng=rng(),
    )
    assert [round(one.finish_s * 1e9) for one in found] == rows.finish_ns.tolist()
    assert [round(one.start_s * 1e9) for one in found] == rows.start_ns.tolist()
    assert rows.energy_j(family.radio) == pytest.approx([one.energy_j for one in found])


class Blocks:
    """Every other block of 130 ms is a deep fade."""

    coherence_ns = 130_000_000

    def gain(self, _link: int, block: int) -> float:
        return 1.0 if block % 2 else 1e-9

    def gains(self, _links: np.ndarray, blocks: np.ndarray) -> np.ndarray:
        return np.where(blocks % 2, 1.0, 1e-9)


def test_packets_in_a_deep_fade_are_lost_and_others_not() -> None:
    family = Tdma(max_attempts=9)
    # Slots of the only device at 10, 40, 70, 100, 130 ms ... and 1.1 ms of guard.
    cell = family.medium({"a": CLEAR_DB}, rng=rng(), blocks=Blocks())
    one = cell.offer(["a"], [10], [0.0])[0]
    assert (one.attempts, one.start_s) == (5, pytest.approx(0.0111))
    assert one.finish_s == pytest.approx(0.1311 + 192e-6 + 21 * 32e-6)
    rows = family.burst(
        np.full(3, CLEAR_DB),
        np.full(3, 10),
        np.array([0, 60_000_000, 250_000_000]),
        cells=np.arange(3),
        rng=rng(),
        blocks=Blocks(),
    )
    assert rows.attempts.tolist() == [5, 3, 1]
    assert round(one.finish_s * 1e9) == rows.finish_ns[0]


def test_error_laws_are_those_of_their_modulation() -> None:
    # oracles.md 3.1: BPSK at 4 and 8 dB per bit 1.250e-2 and 1.909e-4.
    # 2.5: O-QPSK at 0 dB SINR 1.615e-4 a bit.
    narrow = {"rate_bps": 1e6, "bandwidth_hz": 1e6, "header_bytes": 0}
    for modulation, snr_db, bit_error in (
        ("bpsk", 4.0, 1.250e-2),
        ("qpsk", 8.0, 1.909e-4),
        ("dbpsk", 5.0, 0.5 * math.exp(-(10**0.5))),
        ("fsk", 10.0, 0.5 * math.exp(-5)),
        ("oqpsk", 0.0, 1.615e-4),
    ):
        family = Tdma(modulation=modulation, **narrow)  # type: ignore[arg-type]
        assert float(family.error(snr_db, 20)) == pytest.approx(
            1 - (1 - bit_error) ** 160, rel=1e-3
        )
    # Half the rate in the same band: twice the energy per bit.
    slow = Tdma(modulation="bpsk", rate_bps=5e5, bandwidth_hz=1e6, header_bytes=0)
    bit_error = 0.5 * erfc(math.sqrt(2 * 10**0.4))
    assert float(slow.error(4.0, 1)) == pytest.approx(1 - (1 - bit_error) ** 8)
    # -174 + 63.01 + 7 = -103.99 dBm of noise in 2 MHz (oracles.md 2.4).
    assert float(Tdma().snr_db(100.0)) == pytest.approx(3.99, abs=0.005)
    assert float(Tdma(station_tx_power_dbm=10.0).snr_db(100.0, up=False)) == pytest.approx(
        13.99, abs=0.005
    )


def test_plan_meets_the_closed_forms() -> None:
    plan = Tdma(packet_error=0.1, max_attempts=4).plan([60.0, 70.0], 9 * 116)
    assert plan.message_loss == pytest.approx([1 - 0.9999**9] * 2)
    rows = burst(
        Tdma(packet_error=0.1),
        40_000,
        9 * 116,
        ready_ns=rng(1).integers(0, 9 * 10**9, 40_000),
    )
    arrived = rows.delivered
    assert plan.latency_s[0] == pytest.approx(rows.latency_s[arrived].mean(), rel=0.01)
    assert plan.air_s[0] == pytest.approx(rows.air_ns[arrived].mean() / 1e9, rel=0.01)
    energy_j = rows.energy_j(Tdma().radio)[arrived].mean()
    assert plan.energy_j[0] == pytest.approx(energy_j, rel=0.01)
    clear = Tdma(packet_error=0.0).plan(60.0, 10)
    # Half a table of three slots, the guard, the packet.
    assert float(clear.latency_s) == pytest.approx(0.015 + 0.0011 + 192e-6 + 21 * 32e-6)
    hopeless = Tdma(packet_error=1.0).plan(60.0, 10)
    assert (hopeless.message_loss, hopeless.rate_bps, hopeless.latency_s) == (1, 0, math.inf)
    # Rayleigh: the mean over a gain of Exp(1), by another quadrature.
    family = Tdma()
    mean, _ = quad(
        lambda gain: (
            math.exp(-gain) * float(family.error(family.snr_db(90.0) + 10 * math.log10(gain), 100))
        ),
        1e-9,
        0.2,
    )
    faded = family.plan(90.0, 100, fading="rayleigh")
    assert faded.packet_error == pytest.approx(mean, rel=0.01)
    errors = Tdma().plan(np.arange(95, 110, 0.5), 50).packet_error
    assert np.all(np.diff(errors) >= 0)


@given(
    st.lists(
        st.tuples(
            st.sampled_from("abc"),
            st.integers(1, 500),
            st.integers(0, 10**9),
            st.sampled_from(["up", "down"]),
            st.one_of(st.none(), st.integers(0, 2 * 10**9)),
        ),
        min_size=1,
        max_size=8,
    ),
    st.integers(0, 2 * 10**9),
)
@settings(deadline=None, max_examples=60)
def test_every_message_ends_once_and_nothing_is_sent_while_off(
    offers: list[tuple[str, int, int, str, int | None]], off_ns: int
) -> None:
    cell = Tdma(packet_error=0.4).medium(dict.fromkeys("abc", 60.0), rng=rng(3))
    events: list[tuple[int, str, str]] = []
    cell.trace = lambda time_ns, event, node: events.append((time_ns, event, node))
    tickets = [
        cell.submit(device, size, ready, direction=direction, deadline_ns=deadline)  # type: ignore[arg-type]
        for device, size, ready, direction, deadline in offers
    ]
    ended = [*cell.advance(off_ns), *cell.leave("b"), *cell.advance(None)]
    assert sorted(ticket for ticket, _ in ended) == tickets
    found = dict(ended)
    for (device, _, ready, _, deadline), ticket in zip(offers, tickets, strict=True):
        one = found[ticket]
        assert min(one.tx_j, one.rx_j, one.idle_j, one.air_s) >= 0
        assert one.reason in {"delivered", "retry_limit", "deadline", "off"}
        assert (one.reason == "off") <= (device == "b")
        if deadline is not None:
            assert one.finish_s <= max(deadline, ready) / 1e9 + 1e-12
    sent = [time_ns for time_ns, event, node in events if node == "b" and "send" in event]
    # What was announced for later may still go: the device may be back by then.
    back_ns = min(
        (ready for device, _, ready, *_ in offers if device == "b" and ready > off_ns),
        default=10**12,
    )
    assert not [time_ns for time_ns in sent if off_ns < time_ns < back_ns]


def test_a_packet_that_is_cut_is_paid_as_far_as_it_went() -> None:
    family = Tdma()
    cell = family.medium({"a": CLEAR_DB, "b": CLEAR_DB}, rng=rng())
    cell.submit("a", 116, 0, deadline_ns=12_100_000)
    cell.submit("a", 5, 0)
    ended = cell.advance(None)
    assert [one.reason for _, one in ended] == ["deadline", "delivered"]
    assert ended[0][1].air_s == pytest.approx(0.001)
    assert ended[0][1].tx_j == pytest.approx(family.radio.tx_w * 0.001)
    # The next message goes in the next own slot.
    assert ended[1][1].start_s == pytest.approx(0.0611)


def test_the_order_of_the_offers_changes_nothing() -> None:
    family = Tdma(packet_error=0.5)
    devices, sizes, ready = list("abcd"), [300, 500, 10, 200], [0.01, 0.0, 0.05, 0.01]
    losses_db = dict.fromkeys("abcd", 60.0)
    straight = family.medium(losses_db, rng=rng(4)).offer(devices, sizes, ready)
    turned = family.medium(losses_db, rng=rng(4)).offer(devices[::-1], sizes[::-1], ready[::-1])
    assert straight == turned[::-1]


def test_fingerprint_of_a_reference_cell() -> None:
    cell = Tdma(packet_error=0.3).medium(dict.fromkeys("abc", 60.0), rng=rng(7))
    cell.trace = fingerprint = Fingerprint()
    for device in "abc":
        cell.submit(device, 700, 3_000_000, direction="up")
        cell.submit(device, 250, 5_000_000, direction="down")
    cell.advance(None)
    assert (fingerprint.events, fingerprint.digest) == (57, "6f762e34ae1c6021")


def test_what_does_not_fit_is_refused_by_key_and_value() -> None:
    with pytest.raises(ValueError, match=r"slot_s = 0.004 cannot hold a packet of 116 bytes"):
        Tdma(slot_s=0.004)
    with pytest.raises(ValueError, match=r"devices = 3 do not fit: table_slots = 5 hold 2; give 7"):
        Tdma(table_slots=5).medium(dict.fromkeys("abc", 60.0), rng=rng())
    with pytest.raises(ValueError, match=r"modulation = 'qam' is unknown"):
        Tdma(modulation="qam")
    with pytest.raises(ValueError, match="packet_error = 2"):
        Tdma(packet_error=2)
    with pytest.raises(ValueError, match="max_attempts = 0"):
        Tdma(max_attempts=0)
    with pytest.raises(ValueError, match=r"sizes_bytes = .*0.* is below 1"):
        burst(Tdma(), 2, 0)
    assert len(burst(Tdma(), 0, 1)) == 0


@given(st.lists(st.integers(0, 5), max_size=40))
def test_rank_within_counts_the_earlier_rows_of_a_cell(cells: list[int]) -> None:
    ranks = rank_within(np.array(cells, dtype=np.int64)).tolist()
    assert ranks == [cells[:place].count(cell) for place, cell in enumerate(cells)]
