"""What single technologies do when a device moves: modes, cuts and waits follow the new loss."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import numpy as np
import pytest
import simpy

from channel_sim import Calendar, Delivery, MediumProcess, load_preset
from channel_sim.scheduled import Ofdma
from channel_sim.wifi import Wifi
from channel_sim.wifi.jobs import Aggregate
from channel_sim.wifi.jobs import Link as WifiLink

MS, SECOND = 1_000_000, 1_000_000_000
NEAR_DB, AWAY_DB = 30.0, 200.0
NAMES = ("ant", "bee", "cat")


def everywhere(loss_db: float) -> dict[str, float]:
    return dict.fromkeys(NAMES, loss_db)


def one(cell: Calendar, device: str, size_bytes: int, direction: Any = "up") -> Delivery:
    """Send a message now and run until it has ended."""
    cell.submit(device, size_bytes, cell.now_ns, direction=direction)
    ((_, delivery),) = cell.advance(None)
    return delivery


@pytest.mark.parametrize("confirmed", [False, True])
def test_the_spreading_factor_follows_when_no_message_is_under_way(*, confirmed: bool) -> None:
    family = load_preset("lorawan_eu868", confirmed=confirmed).family
    # Semtech's rule: SF7 nearby, SF12 where even that is faint.
    cell = family.medium({"ant": 60.0, "bee": 60.0}, rng=np.random.default_rng(1))
    cell.submit("ant", 400, 0)
    cell.submit("ant", 10, 4000 * SECOND)
    cell.advance(SECOND // 100)
    for device in ("ant", "bee"):
        cell.set_loss(device, 139.0)
    assert cell.spreading_factors() == {"ant": 7, "bee": 12}
    # Announced for later is under way too: it was cut for SF7.
    deliveries = dict(cell.advance(None))
    # No frame is longer than 235 bytes at SF7, 0.37 s.
    assert max(item.air_s / item.attempts for item in deliveries.values()) < 0.4
    cell.submit("ant", 10, cell.now_ns)
    assert cell.spreading_factors()["ant"] == 12
    ((_, slow),) = cell.advance(None)
    # 13 + 10 bytes at SF12: 1482.752 ms (Semtech's calculator).
    assert slow.air_s / slow.attempts == pytest.approx(1.482752)


def test_messages_that_wait_for_a_carrier_out_of_reach_are_given_up_at_once() -> None:
    cell = load_preset("lte_cat1").family.medium(everywhere(100.0), rng=np.random.default_rng(1))
    first = [cell.submit(device, 500, 0) for device in NAMES]
    down = cell.submit("bee", 500, 0, direction="down")
    assert not cell.advance(20 * MS)
    cell.set_loss("bee", AWAY_DB)
    found = dict(cell.advance(None))
    assert [found[ticket].reason for ticket in (first[1], down)] == ["below_sensitivity"] * 2
    assert found[down].finish_s == found[first[1]].finish_s == 0.02
    assert found[first[0]].delivered
    assert found[first[2]].delivered
    cell.set_loss("bee", 100.0)
    assert one(cell, "bee", 500).delivered


def test_ofdma_cuts_anew_what_no_longer_fits_into_a_frame() -> None:
    family = Ofdma()
    cell = family.medium({"ant": 40.0}, rng=np.random.default_rng(1))
    longest_ns = []

    def watch(time_ns: int, event: str, _node: str) -> None:
        if event == "send up":
            longest_ns.append(cell._interval.end_ns - time_ns)

    cell.trace = watch
    cell.submit("ant", 200_000, 0)
    cell.advance(MS)
    # Faint: only the narrowest unit of 26 tones carries anything, 12 bits per symbol.
    cell.set_loss("ant", 117.0)
    ((_, delivery),) = cell.advance(None)
    assert delivery.delivered
    assert delivery.packets > -(-200_000 // family.packet_bytes)
    assert delivery.packets <= delivery.attempts
    assert max(longest_ns) <= family.ppdu_s * 1e9
    # 24 data tones of BPSK 1/2 a symbol of 14.4 us; most of the message had to go that way.
    assert 200_000 * 8 * 0.4 / (12 / 14.4e-6) < delivery.air_s < 3 * 200_000 * 8 / (12 / 14.4e-6)


def test_ofdma_errs_by_the_new_loss_in_the_same_message() -> None:
    family = Ofdma(error_model="ns3_table")
    # A hair above the threshold of a mode: about a tenth of the packets fail.
    grid_db = np.linspace(90.0, 105.0, 1501)
    mcs = np.array([family.modes(family.snr_db(loss_db))[0][0] for loss_db in grid_db])
    edge_db = float(grid_db[np.flatnonzero(np.diff(mcs))[0]])
    cell = family.medium({"ant": 40.0}, rng=np.random.default_rng(1))
    cell.submit("ant", 1_000_000, 0)
    cell.advance(10 * MS)
    cell.set_loss("ant", edge_db)
    ((_, delivery),) = cell.advance(None)
    assert 1.03 * delivery.packets < delivery.attempts < 1.3 * delivery.packets


def test_an_aggregate_on_a_slower_link_holds_no_more_than_fits() -> None:
    rules = Wifi(standard="n", ampdu_bytes=65535).rules()
    fast, slow = rules.exchanges[7], rules.exchanges[0]
    assert fast.frames > 3 * slow.frames

    def link(exchange: Any) -> WifiLink:
        return WifiLink(number=0, exchange=exchange, snr_db=20.0, rx_mw=1.0, reached=True, row=0)

    uniform = np.random.default_rng(3).random
    message = None
    job = Aggregate(message, link(fast), 1, 500, rules.full_bytes, 7, True, fresh=60, tried=[0] * 7)
    left, slowed = 61, False
    while not job.done:
        frame_ns = job.compose()
        count, asked = job.count, job.request
        assert count <= job.link.exchange.frames
        assert frame_ns <= rules.longest_ns
        arrived = job.heard(lambda _row: 0.4, uniform)
        if not asked:
            left -= arrived
        if not arrived:
            job.missed()
        assert job.fresh + sum(job.tried) + (job.last >= 0) == left
        if not slowed:
            assert sum(job.tried) > slow.frames
            job.link, slowed = link(slow), True
    assert left == 0
    assert not job.lost


@pytest.mark.parametrize("ofdma", [False, True])
@pytest.mark.parametrize("direction", ["up", "down"])
def test_wifi_takes_a_slower_mode_for_what_is_left(direction: Any, *, ofdma: bool) -> None:
    family = Wifi(standard="ax", ofdma=ofdma, ampdu_bytes=65535)

    def run(loss_db: float, *, later_db: float | None = None) -> Delivery:
        cell = family.medium({"ant": loss_db}, rng=np.random.default_rng(1))
        cell.submit("ant", 400_000, 0, direction=direction)
        if later_db is not None:
            cell.advance(10 * MS)
            cell.set_loss("ant", later_db)
        ((_, delivery),) = cell.advance(None)
        assert delivery.delivered
        return delivery

    near, far, moved = run(40.0), run(98.0), run(40.0, later_db=98.0)
    assert far.air_s > 2 * near.air_s
    # 10 ms of it went fast.
    fast = 0.01 / near.air_s
    expected_s = 0.01 + (1 - fast) * far.air_s
    assert moved.air_s == pytest.approx(expected_s, rel=0.15)


@pytest.mark.parametrize("name", ["zigbee", "lte_cat1"])
def test_a_device_moves_under_the_clock_of_simpy(name: str) -> None:
    env = simpy.Environment()
    cell = load_preset(name).family.medium(everywhere(NEAR_DB), rng=np.random.default_rng(1))
    medium = MediumProcess(env, cell)
    seen: list[tuple[str, bool]] = []

    def sender() -> Generator[Any, Any, None]:
        for begin_s, device in ((0.0, "bee"), (2.0, "bee"), (2.5, "ant"), (40.0, "bee")):
            yield env.timeout(begin_s - env.now)
            delivery = yield medium.send(device, 200)
            seen.append((delivery.device, delivery.delivered))
            assert env.now == pytest.approx(delivery.finish_s, abs=1e-8)

    def walker() -> Generator[Any, Any, None]:
        for at_s, loss_db in ((1.0, AWAY_DB), (30.0, NEAR_DB)):
            yield env.timeout(at_s - env.now)
            medium.set_loss("bee", loss_db)
        with pytest.raises(ValueError, match=r"'fox' has no link"):
            medium.set_loss("fox", 80.0)

    env.process(sender())
    env.process(walker())
    env.run()
    assert seen == [("bee", True), ("bee", False), ("ant", True), ("bee", True)]


def test_what_ends_by_a_move_is_told_at_once() -> None:
    """The message waits for access when its device goes out of reach."""
    env = simpy.Environment()
    cell = load_preset("lte_cat1").family.medium(everywhere(100.0), rng=np.random.default_rng(1))
    medium = MediumProcess(env, cell)
    event = medium.send("bee", 500)
    env.run(until=0.02)
    medium.set_loss("bee", AWAY_DB)
    env.run(until=event)
    assert event.value.reason == "below_sensitivity"
    assert env.now == event.value.finish_s == 0.02
