from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ks_2samp

from channel_sim.ble import Ble
from channel_sim.calendar import Fingerprint
from channel_sim.medium import Direction
from channel_sim.outcomes import CODES

CLEAR_DB = 60.0
ZERO_NS = np.zeros(1, dtype=np.int64)


def medium(family: Ble, losses_db: dict[str, float], seed: int = 0):  # noqa: ANN201
    return family.medium(losses_db, rng=np.random.default_rng(seed))


class Blocks:
    """Fading that the test makes: Exp(1) gains in blocks of 70 ms."""

    coherence_ns = 70_000_000

    def __init__(self, seed: int) -> None:
        # A long table; each link reads it from another place.
        self.table = np.random.default_rng(seed).exponential(size=99_991)

    def gain(self, link: int, block: int) -> float:
        return float(self.table[(link * 7919 + block) % 99_991])

    def gains(self, links: np.ndarray, blocks: np.ndarray) -> np.ndarray:
        return np.asarray(self.table[(links * 7919 + blocks) % 99_991])


def test_forty_kilobytes_over_a_clear_1m_link_to_the_nanosecond() -> None:
    # 164 notifications; 12 exchanges of 2.5 ms in an interval of 30 ms; the last frame
    # carries 228 bytes: 80 + 150 + 8 * (1+4+2+228+7+4+3) us after its exchange begins.
    delivery = medium(Ble(wake_s=0.0), {"a": CLEAR_DB}).offer(["a"], [40_000], [0.0])[0]
    finish_us = 13 * 30_000 + 7 * 2500 + 80 + 150 + 8 * 249
    assert delivery.delivered
    assert round(delivery.finish_s * 1e9) == finish_us * 1000
    assert delivery.start_s == pytest.approx(230e-6)
    assert (delivery.packets, delivery.attempts) == (164, 164)
    assert delivery.air_s == pytest.approx((163 * 2120 + 8 * 249) * 1e-6)
    # 3 V: 6.40 mA sending, 6.26 mA receiving the polls and waiting. 14 events.
    assert delivery.tx_j == pytest.approx(3 * 6.40e-3 * delivery.air_s)
    assert delivery.rx_j == pytest.approx(3 * 6.26e-3 * 164 * 80e-6)
    assert delivery.idle_j == pytest.approx(3 * 6.26e-3 * (164 + 164 - 1) * 150e-6)


def test_ready_after_the_anchor_waits_for_the_next_and_devices_take_turns() -> None:
    family = Ble(connection_interval_s=0.03, event_s=0.0075)
    cell = medium(family, dict.fromkeys("abc", CLEAR_DB))
    found = cell.offer(["a", "b", "c", "a"], [10] * 4, [0.0, 0.0, 0.0151, 0.0001])
    starts_us = [round(delivery.start_s * 1e6) for delivery in found]
    # Anchors of a at 0, b at 7.5, c at 15 ms of every 30 ms; the poll and T_IFS first.
    assert starts_us == [230, 7730, 45230, 30230 if found[0].finish_s < 0.0001 else starts_us[3]]
    # 10 + 7 + 4 bytes: 31 * 8 us on air; the second message of a follows in the same event.
    assert round(found[0].finish_s * 1e6) == 230 + 248
    assert starts_us[3] == 230 + 248 + 150 + 230


def test_both_directions_share_the_exchanges() -> None:
    family = Ble(connection_interval_s=0.03, wake_s=0.0)
    cell = medium(family, {"a": CLEAR_DB})
    up = cell.submit("a", 488, 0, direction="up")
    down = cell.submit("a", 488, 0, direction="down")
    found = dict(cell.advance(None))
    # Each exchange carries 2120 us down, T_IFS, 2120 us up, T_IFS.
    assert found[down].finish_s == pytest.approx((4540 + 2120) * 1e-6)
    assert found[up].finish_s == pytest.approx((4540 + 2120 + 150 + 2120) * 1e-6)
    seconds = {"tx": 4240e-6, "rx": 4240e-6, "idle": 3 * 150e-6}
    radio = family.radio
    both_j = found[up].energy_j + found[down].energy_j
    assert both_j == pytest.approx(
        radio.energy_j(tx_s=seconds["tx"], rx_s=seconds["rx"], idle_s=seconds["idle"])
    )
    assert found[down].rx_j == pytest.approx(radio.rx_w * 4240e-6)
    assert found[up].tx_j == pytest.approx(radio.tx_w * 4240e-6)


def test_down_alone_costs_the_device_its_receiver_and_its_answers() -> None:
    family = Ble(connection_interval_s=0.03, wake_s=0.001)
    found = medium(family, {"a": CLEAR_DB}).offer(["a"], [300], [0.001], direction="down")[0]
    # One event at 30 ms: 2120 + 150 + 80 + 150, then 8 * (10 + 11 + 56) us.
    assert found.finish_s == pytest.approx(0.03 + 2.5e-3 + 8e-6 * (10 + 11 + 56))
    assert found.rx_j == pytest.approx(3 * 6.26e-3 * (2120 + 616) * 1e-6)
    assert found.tx_j == pytest.approx(3 * 6.40e-3 * 160e-6)
    assert found.idle_j == pytest.approx(3 * 6.26e-3 * (1000 + 3 * 150) * 1e-6)
    assert found.air_s == pytest.approx((2120 + 616) * 1e-6)


def test_where_both_full_frames_do_not_fit_they_take_turns() -> None:
    # S=8: 17.04 + 17.04 + 0.3 ms do not fit into 30 ms.
    cell = medium(Ble(phy="coded_s8"), {"a": CLEAR_DB})
    for direction in ("up", "down"):
        cell.submit("a", 976, 0, direction=direction)  # type: ignore[arg-type]
    ends_s = sorted(delivery.finish_s for _, delivery in cell.advance(None))
    # Four frames each, one a 30 ms event, in turn: the last two end in events 7 and 8.
    assert [int(end_s // 0.03) for end_s in ends_s] == [6, 7]


def test_a_link_out_of_reach_is_lost_at_the_supervision_timeout() -> None:
    family = Ble(supervision_timeout_s=0.72)
    cell = medium(family, {"a": 120.0, "b": CLEAR_DB})
    a, b = cell.offer(["a", "b"], [500, 500], [0.005, 0.005])
    assert (a.reason, b.reason) == ("retry_limit", "delivered")
    assert a.finish_s == pytest.approx(0.725)
    # Nothing was noticed: 24 polls listened to in vain (anchors 0.03 ... 0.72), and 24 wakings.
    assert (a.attempts, a.air_s, a.tx_j, a.rx_j) == (0, 0.0, 0.0, 0.0)
    assert a.start_s == a.finish_s
    assert a.idle_j == pytest.approx(family.radio.idle_w * 24 * (80e-6 + 400e-6))


class BruteForce:
    """One message of 8 notifications up, event by event in microseconds, by the rules alone."""

    interval, timeout = 15_000, 600_000
    sizes = (244,) * 7 + (92,)

    def __init__(self, seed: int, ber_up: float, ber_down: float) -> None:
        self.draw = np.random.default_rng(seed)
        self.ber_up, self.ber_down = ber_up, ber_down
        self.ready = int(self.draw.integers(0, 1_000_000))
        self.heard_central = self.heard_device = self.now = self.ready
        self.acked = self.received = self.attempts = 0

    def frame(self, ber: float, size: int) -> str:
        u = self.draw.random()
        payload = size + 7 + 4 if size else 0
        if u < (1 - ber) ** (8 * (4 + 2 + payload + 3)):
            return "right"
        return "wrong" if u < (1 - ber) ** 32 else "silent"

    def event(self, end: int) -> None:
        wrong_central = wrong_device = 0
        while self.received < 8 and self.now + 380 + 8 * (21 + self.sizes[self.acked]) <= end:
            poll = self.frame(self.ber_down, 0)
            self.now += 80
            wrong_device = wrong_device + 1 if poll == "wrong" else 0
            if poll == "silent" or wrong_device == 2:
                return
            if poll == "right":
                self.heard_device, self.acked = self.now, self.received
            self.now += 150 + 8 * (21 + self.sizes[self.acked])
            self.attempts += 1
            answer = self.frame(self.ber_up, self.sizes[self.acked])
            wrong_central = wrong_central + 1 if answer == "wrong" else 0
            if answer == "silent" or wrong_central == 2:
                return
            if answer == "right":
                self.heard_central, self.received = self.now, self.acked + 1
            if self.received < 8:
                self.now += 150

    def run(self) -> tuple[int, int, bool]:
        anchor = -(-self.ready // self.interval) * self.interval
        while self.received < 8:
            lost = min(self.heard_central, self.heard_device) + self.timeout
            if anchor >= lost:
                # Noticed between events.
                return max(lost, self.now) - self.ready, self.attempts, False
            self.now = anchor
            anchor += self.interval
            self.event(anchor)
        return self.now - self.ready, self.attempts, True


@pytest.mark.parametrize(("up_db", "down_db"), [(0.8, 1.5), (0.0, 0.4), (2.0, -2.4), (3.0, -4.5)])
def test_lossy_links_obey_a_brute_force_of_the_rules(up_db: float, down_db: float) -> None:
    family = Ble(
        connection_interval_s=0.015, supervision_timeout_s=0.6, station_tx_power_dbm=down_db - up_db
    )
    loss_db = 95 - up_db
    # BER of non-coherent FSK through 0.1 % at the sensitivity, by hand.
    ber_up, ber_down = (
        0.5 * math.exp(-math.log(500) * 10 ** (margin / 10)) for margin in (up_db, down_db)
    )
    count = 1500
    brute = [BruteForce(seed, ber_up, ber_down).run() for seed in range(count)]
    rng = np.random.default_rng(3)
    size = 7 * 244 + 92
    found = []
    for _ in range(count):
        cell = family.medium({"a": loss_db}, rng=rng)
        found += cell.offer(["a"], [size], [int(rng.integers(0, 1_000_000)) / 1e6])
    rows = 4000
    burst = family.burst(
        np.full(rows, loss_db),
        np.full(rows, size),
        rng.integers(0, 1_000_000, rows) * 1000,
        cells=np.arange(rows),
        rng=rng,
    )
    brute_us = [latency for latency, _, _ in brute]
    calendar_us = [round((one.finish_s - one.ready_s) * 1e6) for one in found]
    burst_us = np.round(burst.latency_s * 1e6)
    assert ks_2samp(brute_us, calendar_us).pvalue > 0.01
    assert ks_2samp(brute_us, burst_us).pvalue > 0.01
    attempts = [attempts for _, attempts, _ in brute]
    assert ks_2samp(attempts, [one.attempts for one in found]).pvalue > 0.01
    assert ks_2samp(attempts, burst.attempts).pvalue > 0.01
    lost = 1 - np.mean([arrived for _, _, arrived in brute])
    sigma = math.sqrt(max(lost * (1 - lost), 1e-3) / count)
    assert abs(lost - np.mean([not one.delivered for one in found])) < 3 * math.sqrt(2) * sigma
    assert abs(lost - np.mean(~burst.delivered)) < 3 * math.sqrt(2) * sigma
    radio = family.radio
    joules = np.array([one.energy_j for one in found])
    spread = joules.std() / math.sqrt(count) + burst.energy_j(radio).std() / math.sqrt(rows)
    assert abs(joules.mean() - burst.energy_j(radio).mean()) < 3 * spread


def test_the_engines_agree_under_block_fading() -> None:
    family, loss_db, size = Ble(connection_interval_s=0.015), 90.0, 3000
    rng = np.random.default_rng(8)
    found = []
    for seed in range(500):
        cell = family.medium({"a": loss_db}, rng=rng, blocks=Blocks(seed))
        found += cell.offer(["a"], [size], [int(rng.integers(0, 10**6)) / 1e6])
    rows = 4000
    burst = family.burst(
        np.full(rows, loss_db),
        np.full(rows, size),
        rng.integers(0, 10**6, rows) * 1000,
        cells=np.arange(rows),
        rng=rng,
        blocks=Blocks(77),
    )
    assert ks_2samp([one.finish_s - one.ready_s for one in found], burst.latency_s).pvalue > 0.01
    assert ks_2samp([one.attempts for one in found], burst.attempts).pvalue > 0.01


def test_a_clear_cell_is_the_same_in_both_engines_to_the_nanosecond() -> None:
    family = Ble(connection_interval_s=0.03, phy="2m")
    rng = np.random.default_rng(1)
    sizes = rng.integers(1, 9000, 6)
    ready_ns = rng.integers(0, 10**8, 6)
    names = [f"d{k}" for k in range(6)]
    cell = medium(family, dict.fromkeys(names, CLEAR_DB))
    found = cell.offer(names, sizes.tolist(), (ready_ns / 1e9).tolist())
    # A second cell of two devices beside it, whose events are longer.
    cells = np.array([5, 2, 5, 2, 5, 5, 5, 5])
    own = cells == 5
    losses = np.full(8, CLEAR_DB)
    all_sizes, all_ready = np.full(8, 4000), np.zeros(8, dtype=np.int64)
    all_sizes[own], all_ready[own] = sizes, ready_ns
    burst = family.burst(losses, all_sizes, all_ready, cells=cells, rng=rng)
    assert np.round([one.finish_s * 1e9 for one in found]).tolist() == burst.finish_ns[own].tolist()
    assert np.round([one.start_s * 1e9 for one in found]).tolist() == burst.start_ns[own].tolist()
    assert [one.attempts for one in found] == burst.attempts[own].tolist()
    assert burst.energy_j(family.radio)[own] == pytest.approx([one.energy_j for one in found])
    two = medium(family, dict.fromkeys("ab", CLEAR_DB)).offer(["a", "b"], [4000] * 2, [0.0] * 2)
    assert [round(one.finish_s * 1e9) for one in two] == burst.finish_ns[~own].tolist()


def test_plan_is_exact_without_errors_and_first_order_with_them() -> None:
    family = Ble()
    plan = family.plan([60.0, 93.2, 94.5, 130.0], 5000)
    rng = np.random.default_rng(2)
    rows = 6000
    for place, (loss_db, tolerance) in enumerate(((60.0, 0.01), (93.2, 0.02), (94.5, 0.05))):
        burst = family.burst(
            np.full(rows, loss_db),
            np.full(rows, 5000),
            rng.integers(0, 3 * 10**9, rows),
            cells=np.arange(rows),
            rng=rng,
        )
        assert plan.latency_s[place] == pytest.approx(burst.latency_s.mean(), rel=tolerance)
        assert plan.energy_j[place] == pytest.approx(
            burst.energy_j(family.radio).mean(), rel=tolerance
        )
    # 21 notifications in two events: 15 ms on average, 30 ms, 8 exchanges, the last of 120 bytes.
    assert plan.latency_s[0] == pytest.approx(0.045 + 8 * 2.5e-3 + 230e-6 + 8e-6 * 141)
    assert plan.message_loss[:2] == pytest.approx(0, abs=1e-9)
    assert (plan.message_loss[3], plan.rate_bps[3], plan.latency_s[3]) == (1.0, 0.0, math.inf)
    assert plan.packets.tolist() == [21] * 4
    faded = family.plan([60.0, 85.0], 5000, fading="rayleigh")
    # Outage at 35 dB of margin: about 10^-3.5 times the gain at which a full frame fails.
    assert 0 < faded.packet_error[0] < 2e-3 < faded.packet_error[1] < 0.2
    with pytest.raises(ValueError, match="fading = 'rice'"):
        family.plan(60.0, 10, fading="rice")


def test_errors_grow_with_loss_and_length() -> None:
    errors = Ble().plan(np.arange(85.0, 100.0, 0.5), 200).packet_error
    assert np.all(np.diff(errors) >= 0)
    assert errors[0] < 0.01
    assert errors[-1] > 0.99
    by_size = [float(Ble().plan(93.0, size).packet_error) for size in (1, 20, 100, 244)]
    assert by_size == sorted(by_size)
    assert by_size[3] > by_size[0]


DIRECTIONS: tuple[Direction, ...] = ("up", "down")
OFFERS = st.lists(
    st.tuples(
        st.sampled_from("abc"),
        st.integers(1, 3000),
        st.integers(0, 200_000_000),
        st.sampled_from(DIRECTIONS),
        st.one_of(st.none(), st.integers(0, 300_000_000)),
    ),
    min_size=1,
    max_size=8,
)


@given(OFFERS, st.integers(0, 10_000), st.integers(0, 400_000_000))
@settings(deadline=None, max_examples=60)
def test_every_message_ends_once_and_nothing_is_sent_while_off(
    offers: list[tuple[str, int, int, Direction, int | None]], seed: int, off_ns: int
) -> None:
    family = Ble(supervision_timeout_s=0.3)
    cell = medium(family, {"a": 94.0, "b": 96.0, "c": 60.0}, seed)
    events: list[tuple[int, str, str]] = []
    cell.trace = lambda time_ns, event, node: events.append((time_ns, event, node))
    tickets = [
        cell.submit(device, size, ready, direction=direction, deadline_ns=deadline)
        for device, size, ready, direction, deadline in offers
    ]
    ended = cell.advance(off_ns) + cell.leave("a", reason="battery")
    ended += cell.advance(None)
    assert sorted(ticket for ticket, _ in ended) == tickets
    by_ticket = dict(ended)
    for (device, size, ready, _, deadline), ticket in zip(offers, tickets, strict=True):
        one = by_ticket[ticket]
        assert one.delivered == (one.reason == "delivered")
        assert one.start_s <= one.finish_s
        assert min(one.tx_j, one.rx_j, one.idle_j, one.air_s) >= 0
        assert one.packets == -(-size // 244) or one.attempts == 0
        if one.delivered:
            assert one.attempts >= one.packets
        if deadline is not None:
            assert one.finish_s <= max(deadline, ready) / 1e9 + 1e-12
        if one.reason == "battery":
            assert device == "a"
            assert one.finish_s == pytest.approx(off_ns / 1e9)
    names = {"send up", "send down", "poll", "answer"}
    sent = [time_ns for time_ns, event, node in events if node == "a" and event in names]
    # What was announced for later may still go: the device may be back by then.
    back_ns = min(
        (ready for device, _, ready, *_ in offers if device == "a" and ready > off_ns),
        default=10**12,
    )
    assert not [time_ns for time_ns in sent if off_ns < time_ns < back_ns]


def test_a_frame_that_is_cut_is_paid_as_far_as_it_went() -> None:
    family = Ble(wake_s=0.0)
    cell = medium(family, {"a": CLEAR_DB})
    cell.submit("a", 5000, 0)
    assert cell.advance(1_000_000) == []
    ((_, one),) = cell.leave("a")
    # 80 us poll, 150 us T_IFS, 770 us of the frame.
    assert (one.reason, one.finish_s) == ("off", 0.001)
    assert one.air_s == pytest.approx(770e-6)
    assert one.tx_j == pytest.approx(family.radio.tx_w * 770e-6)
    assert one.rx_j == pytest.approx(family.radio.rx_w * 80e-6)
    assert one.idle_j == pytest.approx(family.radio.idle_w * 150e-6)
    # Back again: a new message goes at the next anchor.
    cell.submit("a", 10, 2_000_000)
    ((_, again),) = cell.advance(None)
    assert again.start_s == pytest.approx(0.03 + 230e-6)


def test_the_order_of_the_offers_changes_nothing() -> None:
    family = Ble(event_s=0.0075)
    devices, sizes, ready = list("abcd"), [900, 3000, 10, 2000], [0.01, 0.0, 0.05, 0.01]
    losses_db = {"a": 94.0, "b": 93.0, "c": 95.0, "d": 60.0}
    straight = medium(family, losses_db).offer(devices, sizes, ready)
    turned = medium(family, losses_db).offer(devices[::-1], sizes[::-1], ready[::-1])
    assert straight == turned[::-1]


def test_fingerprint_of_a_reference_cell() -> None:
    family = Ble(event_s=0.0075)
    cell = medium(family, {"a": 94.0, "b": 93.0, "c": 60.0})
    cell.trace = fingerprint = Fingerprint()
    for device in "abc":
        cell.submit(device, 2000, 5_000_000, direction="up")
        cell.submit(device, 700, 7_000_000, direction="down")
    cell.advance(None)
    assert (fingerprint.events, fingerprint.digest) == (76, "56076b3a42a0696f")


def test_a_burst_of_nothing_and_of_no_bytes() -> None:
    none = np.zeros(0)
    whole = none.astype(np.int64)
    empty = Ble().burst(none, whole, whole, cells=whole, rng=np.random.default_rng(0))
    assert len(empty) == 0
    with pytest.raises(ValueError, match=r"sizes_bytes = .*0.* is below 1"):
        Ble().burst(np.array([60.0]), ZERO_NS, ZERO_NS, cells=ZERO_NS, rng=np.random.default_rng(0))
    lost = Ble().burst(
        np.array([130.0]), ZERO_NS + 5, ZERO_NS, cells=ZERO_NS, rng=np.random.default_rng(0)
    )
    assert lost.reason.tolist() == [CODES["retry_limit"]]
    assert lost.latency_s.tolist() == [4.0]
