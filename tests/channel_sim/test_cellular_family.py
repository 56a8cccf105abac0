import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ks_2samp

from channel_sim.calendar import Calendar, Fingerprint
from channel_sim.cellular import Cellular
from channel_sim.fading import BlockFading, Rayleigh
from channel_sim.medium import Delivery
from channel_sim.outcomes import CODES
from channel_sim.presets.load import load_preset

MS = 1_000_000
SECOND = 1_000_000_000
# One cell, one mode for all: 50 PRB at 36 696 bit per millisecond.
STRONG_DB = 80.0


def _connected(**changes: Any) -> Cellular:
    values = {"connected": True, "grant_s": 0.0, "header_bytes": 0, "uplink_peak_bps": 1e9}
    return Cellular(**{**values, **changes})


def _cell(family: Cellular, losses_db: list[float], seed: int = 0) -> Calendar:
    names = {f"d{place:03d}": loss for place, loss in enumerate(losses_db)}
    return family.medium(names, rng=np.random.default_rng(seed))


def _answer(family: Cellular, losses_db: list[float], size: int, seed: int) -> list[Delivery]:
    """Everybody sends at 0."""
    cell = _cell(family, losses_db, seed)
    return cell.offer(list(cell.devices), [size] * len(losses_db), [0.0] * len(losses_db))


def test_one_message_by_hand() -> None:
    # 40 000 B of 36 696 bit less 3 bytes of headers: 9 blocks, the last of 26 624 bit
    # on 37 of 50 PRB.
    family = Cellular()
    (delivery,) = _answer(family, [STRONG_DB], 40_000, 0)
    assert delivery.delivered
    assert (delivery.packets, delivery.attempts) == (9, 9)
    # Occasion at 0, set-up 75 ms, grant 10 ms.
    assert delivery.start_s == pytest.approx(0.085)
    assert delivery.queue_s == pytest.approx(0.085)
    assert delivery.finish_s == pytest.approx(0.094)
    assert delivery.air_s == pytest.approx(0.009)
    radio = family.radio
    assert delivery.tx_j == pytest.approx(0.010 * radio.tx_w)  # with the preamble
    assert delivery.rx_j == pytest.approx(0.009 * radio.rx_w)
    assert delivery.idle_j == pytest.approx((0.094 - 0.019) * radio.idle_w)
    assert delivery.overhead_j == pytest.approx(radio.wake_j + 11.6 * 1.06)


def test_two_share_and_the_last_block_is_narrow() -> None:
    # 4587 B are one whole block; two devices halve the carrier: 2 ms.
    first, second = _answer(_connected(), [STRONG_DB] * 2, 4587, 0)
    assert first.finish_s == second.finish_s == pytest.approx(0.002)
    # 91 B fit one of 50 PRB: both at once, and never below one interval.
    first, second = _answer(_connected(), [STRONG_DB] * 2, 91, 0)
    assert first.finish_s == second.finish_s == pytest.approx(0.001)
    assert first.air_s == pytest.approx(0.001)
    # With 200 such devices 4 ms worth of the carrier is shared by turns.
    finish_s = [item.finish_s for item in _answer(_connected(), [STRONG_DB] * 200, 91, 0)]
    assert max(finish_s) == pytest.approx(0.004)


@pytest.mark.parametrize(("load", "waited"), [(0.5, 1.5), (0.8, 3.0)])
def test_messages_of_one_device_are_an_m_d_1_queue(load: float, waited: float) -> None:
    # oracles.md 3.1: M/D/1 sojourn over service 1.5 and 3.
    count = 5_000
    ready = np.cumsum(np.random.default_rng(3).exponential(0.001 / load, count))
    cell = _cell(_connected(), [STRONG_DB])
    out = cell.offer(["d000"] * count, [4587] * count, ready.tolist())
    # Lindley's recursion, on the same arrivals: no message may be off by a nanosecond.
    free_s, finish_s = 0.0, []
    for ready_s in ready:
        free_s = max(free_s, round(ready_s, 9)) + 0.001
        finish_s.append(free_s)
    assert np.abs(np.array([item.finish_s for item in out]) - finish_s).max() < 1e-9
    sojourn = np.array([item.finish_s - item.ready_s for item in out]) / 0.001
    error = sojourn.reshape(20, -1).mean(axis=1).std(ddof=1) / math.sqrt(20)
    assert error < 0.4
    assert abs(sojourn.mean() - waited) < 4 * error


def test_payload_of_distillation_at_peak() -> None:
    # 1000 samples x 10 classes x float32: LTE-M 0.9 s, NB-IoT 5 s (oracles.md 0.9).
    for name, seconds in (("ltem", 0.9), ("nbiot", 5.0)):
        family = load_preset(name, connected=True).family
        assert family.plan(100.0, 40_000).latency_s == pytest.approx(seconds, rel=0.15)


@pytest.mark.parametrize("name", ["nbiot", "ltem", "lte_cat1", "lte_cat4", "nr_fr1"])
def test_plan_is_the_mean_of_lonely_messages(name: str) -> None:
    family = load_preset(name).family
    losses = np.repeat([100.0, 120.0, 130.0, 137.0], 500)
    count = len(losses)
    rng = np.random.default_rng(7)
    out = family.burst(
        losses,
        np.full(count, 3000),
        rng.integers(0, 10 * SECOND, count),
        cells=np.arange(count),
        rng=rng,
    )
    plan = family.plan(losses[::500], 3000)
    reach = np.isfinite(plan.latency_s)
    assert reach[0]
    latency = out.latency_s.reshape(4, -1)
    margin = 4 * latency.std(axis=1) / math.sqrt(500)
    assert np.all(
        np.abs(latency.mean(axis=1) - plan.latency_s)[reach]
        < (margin + 0.03 * plan.latency_s)[reach]
    )
    air = out.air_ns.reshape(4, -1).mean(axis=1) / SECOND
    assert air[reach] == pytest.approx(plan.air_s[reach], rel=0.02)
    overhead_j = out.overhead_j(family.radio)
    joules = (out.energy_j(family.radio) - overhead_j).reshape(4, -1).mean(axis=1)
    planned = plan.energy_j - family.radio.overhead_j()
    assert joules[reach] == pytest.approx(planned[reach], rel=0.05)
    # Promotion and tail once for each message, which dwarf the rest for a phone.
    per_message_j = family.radio.wake_j + family.radio.tail_w * family.radio.tail_s
    assert overhead_j == pytest.approx(np.where(np.repeat(reach, 500), per_message_j, 0.0))
    assert np.all(out.delivered.reshape(4, -1).any(axis=1) == reach)
    assert out.packets.reshape(4, -1)[reach, 0].tolist() == plan.packets[reach].tolist()


def test_signalling_takes_its_time_at_the_rate_of_the_mode() -> None:
    # 4587 bytes are a block of 1 ms.
    family = Cellular(signalling_bytes=4587)
    (delivery,) = _answer(family, [STRONG_DB], 100, 0)
    assert delivery.start_s == pytest.approx(0.086, abs=1e-6)
    assert family.plan(STRONG_DB, 100).latency_s == pytest.approx(0.005 + 0.086 + 0.001, abs=1e-6)


@pytest.mark.parametrize("packets", [1, 6])
def test_plan_waits_for_the_last_retransmission(packets: int) -> None:
    # At the threshold of the highest mode a tenth of the blocks comes 8 ms later.
    family = _connected()
    loss_db = family.tx_power_dbm - family.up.required_dbm[-1]
    count, size = 4000, 4587 * packets
    out = family.burst(
        np.full(count, loss_db),
        np.full(count, size),
        np.zeros(count, dtype=np.int64),
        cells=np.arange(count)[::-1],
        rng=np.random.default_rng(4),
    )
    plan = family.plan(loss_db, size)
    assert plan.packets == packets
    if packets == 1:
        assert plan.latency_s == pytest.approx(0.0018, rel=0.02)
    error_s = out.latency_s.std() / math.sqrt(count)
    assert abs(out.latency_s.mean() - plan.latency_s) < 4 * error_s + 0.02 * plan.latency_s


def test_cells_of_a_burst_are_apart_in_any_order_of_rows() -> None:
    sizes = np.array([4587, 9174, 91, 4587, 4587])
    out = _connected().burst(
        np.full(5, STRONG_DB),
        sizes,
        np.zeros(5, dtype=np.int64),
        cells=np.array([0, 2, 1, 2, 0]),
        rng=np.random.default_rng(0),
    )
    assert out.finish_ns.tolist() == [2 * MS, 3 * MS, MS, 2 * MS, 2 * MS]


# Right above its threshold, and 6 dB above the highest one.
@pytest.mark.parametrize("loss_db", [110.0, 97.0])
def test_plan_meets_rayleigh_fading_like_the_burst(loss_db: float) -> None:
    family = _connected(rlc_wait_s=1.0, rlc_rounds=1)
    losses = np.full(4000, loss_db)
    blocks = BlockFading(Rayleigh(), 0.04, rng=np.random.default_rng(1))
    out = family.burst(
        losses,
        np.full(4000, 200),
        np.zeros(4000, dtype=np.int64),
        cells=np.arange(4000),
        rng=np.random.default_rng(2),
        blocks=blocks,
    )
    plan = family.plan(loss_db, 200, fading="rayleigh")
    assert plan.packets == 1
    assert plan.packet_error > 0.2
    first = (out.attempts > 1).mean()
    assert abs(first - plan.packet_error) < 4 * math.sqrt(0.25 / 4000)
    lost = (~out.delivered).mean()
    assert lost > 0.01
    assert abs(lost - plan.message_loss) < 4 * math.sqrt(lost / 4000)


@pytest.mark.parametrize("fading", [False, True])
@pytest.mark.parametrize("name", ["lte_cat1", "nbiot"])
def test_burst_and_calendar_obey_one_law(name: str, *, fading: bool) -> None:
    family = load_preset(name).family
    devices, cells, size = 12, 150, 2000
    losses = np.random.default_rng(5).uniform(105, 135, devices)
    blocks = BlockFading(Rayleigh(), 0.05, rng=np.random.default_rng(6)) if fading else None
    finish, joules, lost = [], [], 0
    names = [f"d{place:02d}" for place in range(devices)]
    for run in range(cells):
        rng = np.random.default_rng(run)
        if fading:
            blocks = BlockFading(Rayleigh(), 0.05, rng=rng)
        cell = family.medium(dict(zip(names, losses, strict=True)), rng=rng, blocks=blocks)
        out = cell.offer(names, [size] * devices, [0.0] * devices)
        finish.append([item.finish_s for item in out])
        joules.append([item.energy_j for item in out])
        lost += sum(not item.delivered for item in out)
    count = devices * cells
    batch = family.burst(
        np.tile(losses, cells),
        np.full(count, size),
        np.zeros(count, dtype=np.int64),
        cells=np.repeat(np.arange(cells), devices),
        rng=np.random.default_rng(99),
        blocks=blocks,
    )
    finish_s = batch.finish_ns.reshape(cells, devices) / SECOND
    theirs = np.array(finish)
    # Devices of one cell are not independent: compare cells, and one device of each.
    assert ks_2samp(theirs.max(axis=1), finish_s.max(axis=1)).pvalue > 0.01
    assert ks_2samp(theirs.mean(axis=1), finish_s.mean(axis=1)).pvalue > 0.01
    assert ks_2samp(theirs[:, 3], finish_s[:, 3]).pvalue > 0.01
    batch_j = batch.energy_j(family.radio).reshape(cells, devices).mean(axis=1)
    assert ks_2samp(np.array(joules).mean(axis=1), batch_j).pvalue > 0.01
    assert batch_j.mean() == pytest.approx(np.mean(joules), rel=0.02)
    batch_lost = int((~batch.delivered).sum())
    assert abs(lost - batch_lost) <= 3 * math.sqrt(lost + batch_lost + 1)


@pytest.mark.parametrize("scheduler", ["round_robin", "proportional_fair", "max_rate"])
def test_without_chance_both_engines_are_equal(scheduler: Any) -> None:
    family = _connected(scheduler=scheduler, uplink_peak_bps=12e6, grant_s=0.003)
    rng = np.random.default_rng(4)
    # Strong enough that no block fails, at modes of several widths.
    losses = rng.uniform(60, 115, 40)
    sizes = rng.integers(100, 60_000, 40)
    ready = rng.integers(0, 40 * MS, 40)
    batch = family.burst(losses, sizes, ready, cells=np.zeros(40, dtype=np.int64), rng=rng)
    assert batch.attempts.tolist() == batch.packets.tolist()
    cell = _cell(family, losses.tolist())
    out = cell.offer(list(cell.devices), sizes.tolist(), (ready / SECOND).tolist())
    assert [round(item.finish_s * SECOND) for item in out] == batch.finish_ns.tolist()
    assert [round(item.start_s * SECOND) for item in out] == batch.start_ns.tolist()
    assert [round(item.air_s * SECOND) for item in out] == batch.air_ns.tolist()


@pytest.mark.parametrize("connected", [False, True])
def test_both_engines_charge_the_same_for_waking_and_tails(*, connected: bool) -> None:
    # Nobody contends: each device is alone in its cell; the last is out of reach.
    family = Cellular(connected=connected)
    radio = family.radio
    losses, sizes = np.array([70.0, 80.0, 90.0, 200.0]), np.array([40, 400, 40_000, 400])
    ready = np.array([0, 10, 20, 30]) * MS
    batch = family.burst(losses, sizes, ready, cells=np.arange(4), rng=np.random.default_rng(1))
    # MobiSys 2012: 260.1 ms at 1210.7 mW to wake, then 11.6 s at 1060 mW.
    each_j = 11.6 * 1.06 + (0.0 if connected else 0.3149)
    assert batch.overhead_j(radio) == pytest.approx([each_j] * 3 + [0.0])
    columns = batch.deliveries(["d000"] * 4, radio)
    for row, item in enumerate(columns):
        cell = _cell(family, [losses[row]])
        (alone,) = cell.offer(["d000"], [int(sizes[row])], [ready[row] / SECOND])
        assert item.overhead_j == pytest.approx(alone.overhead_j)
        assert item.energy_j == pytest.approx(alone.energy_j, rel=1e-6)
        assert item.energy_j == pytest.approx(batch.energy_j(radio)[row])


def test_a_static_deep_fade_loses_the_message_after_all_attempts() -> None:
    family = _connected()

    class Deep:
        coherence_ns = SECOND

        def gain(self, link: int, block: int) -> float:
            raise NotImplementedError

        def gains(self, links: Any, blocks: Any) -> Any:
            assert blocks.shape == links.shape
            return np.where(links == 1, 1e-9, 1.0)

    cell = family.medium({"a": 100.0, "b": 100.0}, rng=np.random.default_rng(0), blocks=Deep())
    good, bad = cell.offer(["a", "b"], [20_000] * 2, [0.0] * 2)
    assert good.delivered
    assert bad.reason == "retry_limit"
    # One block alone: 8 rounds of 4.
    assert bad.attempts == 32
    # 7 rounds of 4 x 8 + 50 ms, then 3 x 8 ms and the last millisecond.
    assert bad.finish_s == pytest.approx(7 * 0.082 + 0.024 + 0.001)


def test_blocks_are_spaced_by_what_a_device_may_send() -> None:
    asked: list[tuple[int, int]] = []

    class Recorder:
        coherence_ns = MS

        def gain(self, link: int, block: int) -> float:
            raise NotImplementedError

        def gains(self, links: Any, blocks: Any) -> Any:
            asked.extend(zip(links.tolist(), blocks.tolist(), strict=True))
            return np.ones(len(links))

    # Half the peak of its mode and a quarter of the time: a block every 8 ms.
    family = _connected(uplink_fraction=0.25, uplink_peak_bps=36.696e6 / 2)
    cell = family.medium(
        {"x": 90.0, "a": STRONG_DB}, rng=np.random.default_rng(0), blocks=Recorder()
    )
    (item,) = cell.offer(["a"], [4587 * 3], [0.016])
    assert asked == [(1, 16), (1, 24), (1, 32)]
    assert item.finish_s == pytest.approx(0.016 + 3 * 0.008)


def test_out_of_reach() -> None:
    out = _answer(Cellular(), [80.0, 160.0], 100, 0)
    assert [item.reason for item in out] == ["delivered", "below_sensitivity"]
    assert out[1].finish_s == out[1].start_s == 0
    assert out[1].energy_j == 0
    batch = Cellular().burst(
        np.array([80.0, 160.0]),
        np.array([100, 100]),
        np.array([5, 6]),
        cells=np.array([0, 0]),
        rng=np.random.default_rng(0),
    )
    assert batch.reason.tolist() == [CODES["delivered"], CODES["below_sensitivity"]]
    assert batch.finish_ns[1] == 6


def test_a_crowd_on_few_preambles_is_shut_out() -> None:
    family = Cellular(preambles=2, prach_attempts=3)
    out = _answer(family, [STRONG_DB] * 60, 100, 0)
    shut = [item for item in out if not item.delivered]
    assert len(shut) > 40
    for item in shut:
        assert item.reason == "retry_limit"
        assert item.attempts == 0
        assert item.air_s == 0
        assert item.start_s == item.finish_s
        assert item.tx_j == pytest.approx(3 * 0.001 * family.radio.tx_w)
        # Two waits of at least 53 ms to the next occasion, then 53 ms.
        assert 0.12 + 0.053 <= item.finish_s <= 0.16 + 0.053 + 1e-9


def test_a_connection_is_kept_for_a_while() -> None:
    cell = _cell(Cellular(inactivity_s=1.0), [STRONG_DB])
    out = cell.offer(["d000"] * 3, [100] * 3, [0.0, 0.9, 3.0])
    waits = [item.queue_s for item in out]
    # Access and set-up, a grant alone, access again.
    assert waits == pytest.approx([0.085, 0.010, 0.085])


def test_tails_are_not_paid_twice() -> None:
    family = Cellular(inactivity_s=60.0)
    cell = _cell(family, [STRONG_DB])
    first, second = cell.offer(["d000"] * 2, [100] * 2, [0.0, 2.0])
    radio = family.radio
    tail_s = (second.finish_s + 11.6) - (first.finish_s + 11.6)
    assert first.overhead_j == pytest.approx(radio.wake_j + 11.6 * radio.tail_w)
    assert second.overhead_j == pytest.approx(tail_s * radio.tail_w)
    assert second.idle_j == 0


def test_paging_then_downlink() -> None:
    family = Cellular(paging_cycle_s=1.28)
    waits = []
    for seed in range(60):
        cell = _cell(family, [STRONG_DB], seed)
        (item,) = cell.offer(["d000"], [4000], [5.0], direction="down")
        assert item.delivered
        waits.append(item.queue_s)
        assert item.rx_j == pytest.approx(item.air_s * family.radio.rx_w)
    # Up to a cycle, an occasion, set-up; down nobody asks for a grant.
    assert 0.075 <= min(waits) < 0.3
    assert 1.0 < max(waits) <= 1.28 + 0.010 + 0.075
    assert abs(np.mean(waits) - (0.64 + 0.005 + 0.075)) < 4 * 0.37 / math.sqrt(60)


def test_a_device_is_paged_at_its_place_in_the_cycle() -> None:
    pages = set()
    for ready_ms in (0, 700, 5000):
        cell = _cell(Cellular(), [STRONG_DB], seed=4)
        trace: list[int] = []
        cell.trace = lambda at, event, _node, trace=trace: (
            trace.append(at) if event == "page" else None
        )
        cell.submit("d000", 100, ready_ms * MS, direction="down")
        cell.advance(None)
        assert 0 <= trace[0] - ready_ms * MS < 1280 * MS
        pages.add(trace[0] % (1280 * MS))
    assert len(pages) == 1


def test_a_connected_device_asks_for_a_grant_up_but_not_down() -> None:
    cell = _cell(Cellular(connected=True), [STRONG_DB])
    cell.submit("d000", 100, 0)
    cell.submit("d000", 100, 0, direction="down")
    assert sorted(item.queue_s for _, item in cell.advance(None)) == [0.0, 0.010]


def test_up_and_down_do_not_share() -> None:
    cell = _cell(_connected(downlink_peak_bps=1e9), [STRONG_DB] * 2)
    cell.submit("d000", 4587 * 10, 0)
    cell.submit("d001", 4587 * 10, 0, direction="down")
    finish = {item.device: item.finish_s for _, item in cell.advance(None)}
    assert finish["d000"] == pytest.approx(0.010)
    assert finish["d001"] == pytest.approx(0.010, abs=0.001)


def test_who_leaves_frees_its_share_and_sends_no_more() -> None:
    family = _connected()
    cell = _cell(family, [STRONG_DB] * 2)
    for name in cell.devices:
        cell.submit(name, 4587 * 10, 0)
    cell.submit("d000", 4587, 0)
    cell.advance(8 * MS)
    gone = [item for _, item in cell.leave("d000")]
    assert [item.reason for item in gone] == ["off", "off"]
    # Half the carrier for 8 ms: 4 of 10 blocks.
    assert gone[0].attempts == 4
    assert gone[0].air_s == pytest.approx(0.004)
    assert gone[1].attempts == 0
    # Off at once: no tail.
    assert gone[0].overhead_j == gone[1].overhead_j == 0
    assert gone[0].tx_j == pytest.approx(0.004 * family.radio.tx_w)
    ((_, other),) = cell.advance(None)
    # 6 blocks left of its own, alone from 8 ms on.
    assert other.finish_s == pytest.approx(0.014)
    assert cell.next_ns() is None


def test_who_leaves_during_access_comes_back_by_access() -> None:
    for leave_ms in (0, 30, 80):
        cell = _cell(Cellular(), [STRONG_DB])
        trace: list[tuple[int, str]] = []
        cell.trace = lambda at, event, _node, trace=trace: trace.append((at, event))
        cell.submit("d000", 100, 0)
        cell.advance(leave_ms * MS)
        ((_, gone),) = cell.leave("d000", reason="battery")
        assert gone.reason == "battery"
        cell.submit("d000", 100, 200 * MS)
        ((_, item),) = cell.advance(None)
        assert item.queue_s == pytest.approx(0.085)
        assert [at for at, event in trace if event == "start"] == [285 * MS]


def test_deadlines_strike_in_every_state() -> None:
    names = [f"d{place:03d}" for place in range(4)]
    for deadline_s in (0.0, 0.030, 0.080, 0.087):
        cell = _cell(Cellular(), [STRONG_DB] * 4)
        out = cell.offer(names, [40_000] * 4, [0.0] * 4, deadline_s=deadline_s)
        assert {item.reason for item in out} == {"deadline"}
        assert {item.finish_s for item in out} == {deadline_s}
        assert all(item.busy_s <= 2 * deadline_s + 0.002 for item in out)
    # The next one of the queue goes on when the first is cut.
    cell = _cell(_connected(), [STRONG_DB])
    cell.submit("d000", 4587 * 10, 0, deadline_ns=5 * MS)
    cell.submit("d000", 4587, 0)
    cut, whole = (item for _, item in cell.advance(None))
    assert (cut.reason, cut.attempts) == ("deadline", 5)
    assert whole.finish_s == pytest.approx(0.006)


def test_schedulers_differ_where_caps_and_rates_do() -> None:
    # A strong device capped by its category, and a weak one.
    finish = {}
    for scheduler in ("round_robin", "proportional_fair", "max_rate"):
        family = _connected(scheduler=scheduler, uplink_peak_bps=3.6696e6)
        strong, weak = _answer(family, [STRONG_DB, 113.0], 45_870, 0)
        finish[scheduler] = strong.finish_s, weak.finish_s
    # A tenth of the carrier is its cap under all of them.
    assert {round(pair[0], 6) for pair in finish.values()} == {0.1}
    assert finish["proportional_fair"][1] <= finish["round_robin"][1]
    family = _connected(scheduler="max_rate")
    strong, weak = _answer(family, [STRONG_DB, 110.0], 45_870, 0)
    assert strong.finish_s == pytest.approx(0.010)
    fair = _answer(_connected(), [STRONG_DB, 110.0], 45_870, 0)
    assert fair[0].finish_s > 0.010


def test_fingerprint() -> None:
    rng = np.random.default_rng(21)
    cell = _cell(load_preset("lte_cat1").family, rng.uniform(90, 140, 30).tolist(), seed=1)
    cell.trace = trace = Fingerprint()
    for name in cell.devices:
        cell.submit(name, 5000, 0)
        cell.submit(name, 500, 300 * MS, direction="down", deadline_ns=1900 * MS)
    cell.advance(700 * MS)
    cell.leave("d003")
    cell.advance(None)
    assert trace.digest == "49d394fc2b00fbc1"


@given(order=st.permutations(range(12)))
@settings(max_examples=10, deadline=None)
def test_order_of_offers_changes_nothing(order: list[int]) -> None:
    family = load_preset("lte_cat1").family
    losses = np.linspace(100, 138, 12).tolist()
    names = [f"d{place:03d}" for place in range(12)]
    sizes = [500 * (place + 1) for place in range(12)]

    def run(rows: list[int]) -> dict[str, Delivery]:
        cell = _cell(family, losses, seed=3)
        out = cell.offer([names[r] for r in rows], [sizes[r] for r in rows], [0.0] * 12)
        return {item.device: item for item in out}

    assert run(list(order)) == run(list(range(12)))


@given(
    losses=st.lists(st.floats(60, 170), min_size=1, max_size=8),
    size=st.integers(1, 20_000),
    late=st.floats(0, 3),
    seed=st.integers(0, 1000),
    name=st.sampled_from(["nbiot", "ltem", "lte_cat1", "nr_fr1"]),
)
@settings(max_examples=40, deadline=None)
def test_every_message_ends_once_and_costs_what_it_may(
    losses: list[float], size: int, late: float, seed: int, name: str
) -> None:
    family = load_preset(name).family
    cell = _cell(family, losses, seed)
    count = len(losses)
    for device in cell.devices:
        cell.submit(device, size, 0, deadline_ns=round(late * 10 * SECOND))
        cell.submit(device, size, 0, direction="down")
    ended = cell.advance(round(late * SECOND))
    ended += cell.leave(cell.devices[0])
    ended += cell.advance(None)
    assert sorted(ticket for ticket, _ in ended) == list(range(1, 2 * count + 1))
    for _, item in ended:
        assert item.ready_s <= item.start_s <= item.finish_s
        if item.attempts or item.reason != "below_sensitivity":
            assert item.busy_s <= item.finish_s - item.ready_s + 0.02
        joules = (item.tx_j, item.rx_j, item.idle_j, item.overhead_j)
        assert min(joules) >= 0
        assert item.energy_j == pytest.approx(sum(joules))
        assert item.attempts >= item.packets or not item.delivered
        assert (item.reason == "below_sensitivity") <= (item.energy_j == 0)
        if item.device == cell.devices[0]:
            assert item.finish_s <= max(late, 0.001) + 1e-9
    out = family.burst(
        np.array(losses),
        np.full(count, size),
        np.zeros(count, dtype=np.int64),
        cells=np.arange(count) % 2,
        rng=np.random.default_rng(seed),
    )
    assert sum(out.counts().values()) == count
    assert np.all(out.finish_ns >= out.start_ns)
    assert np.all(out.start_ns >= out.ready_ns)
    assert np.all((out.tx_ns >= out.air_ns) & (out.idle_ns >= 0))


def test_an_empty_burst() -> None:
    nothing = np.zeros(0, dtype=np.int64)
    out = Cellular().burst(
        np.zeros(0), nothing, nothing, cells=nothing, rng=np.random.default_rng(0)
    )
    assert len(out) == 0


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"standard": "lt"}, "did you mean 'lte'"),
        ({"scheduler": "fair"}, "scheduler = 'fair'"),
        ({"harq_combining": "ir"}, "harq_combining"),
        ({"prbs": 0}, "prbs = 0"),
        ({"tti_s": -1.0}, "tti_s = -1.0"),
        ({"setup_s": math.nan}, "setup_s"),
        ({"uplink_fraction": 1.5}, "uplink_fraction = 1.5"),
        ({"uplink_fraction": 0.0}, "uplink_fraction = 0.0"),
        ({"repetitions": ()}, "repetitions"),
        ({"repetitions": (0,)}, "repetitions"),
        ({"widths_prb": ()}, "widths_prb"),
        ({"widths_prb": (60.0,)}, "widths_prb"),
        ({"widths_prb": (0.5,)}, "block_units"),
        ({"max_coupling_loss_db": -1.0}, "max_coupling_loss_db"),
    ],
)
def test_bad_parameters(changes: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        Cellular(**changes)


def test_bad_calls() -> None:
    family = Cellular()
    with pytest.raises(ValueError, match="header_bytes"):
        _ = Cellular(header_bytes=10_000).up
    with pytest.raises(ValueError, match="size_bytes = 0"):
        family.plan(100.0, 0)
    with pytest.raises(ValueError, match="did you mean 'rayleigh'"):
        family.plan(100.0, 10, fading="raleigh")
    with pytest.raises(ValueError, match="loss_db"):
        family.plan(math.inf, 10)
    good = {
        "losses_db": np.array([100.0, 100.0]),
        "sizes_bytes": np.array([10, 10]),
        "ready_ns": np.array([0, 0]),
        "cells": np.array([0, 0]),
    }
    for key, value in (
        ("losses_db", np.array([100.0])),
        ("sizes_bytes", np.array([10, 0])),
        ("ready_ns", np.array([0, -1])),
        ("cells", np.array([0, -1])),
    ):
        call: dict[str, Any] = {**good, key: value}
        with pytest.raises(ValueError, match=key if len(value) > 1 else "lengths"):
            family.burst(**call, rng=np.random.default_rng(0))
