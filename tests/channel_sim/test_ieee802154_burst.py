from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from channel_sim.burst import side_by_side
from channel_sim.ieee802154 import Zigbee
from channel_sim.medium import Delivery
from channel_sim.outcomes import Outcomes

PER_PAN = 8


class Gains:
    """Exponential gains by link and block of 5 ms; a hash, so that both engines see the same."""

    coherence_ns = 5_000_000

    def gains(self, links: np.ndarray, blocks: np.ndarray) -> np.ndarray:
        mixed = (links * 2654435761 + blocks * 40503 + 12345) * 2246822519 % 2**32
        mixed = (mixed ^ (mixed >> 15)) * 3266489917 % 2**32
        return -np.log((mixed + 0.5) / 2**32)

    def gain(self, link: int, block: int) -> float:
        return float(self.gains(np.array([link]), np.array([block]))[0])


SCENARIOS: dict[str, tuple[Zigbee, Callable[[np.ndarray], np.ndarray], int, float, object]] = {
    # name: family, loss in dB by device, bytes, spread of arrivals in s, fading
    "synchronous": (Zigbee(), lambda place: 60.0 + 0 * place, 100, 0.0, None),
    "fragments": (Zigbee(), lambda place: 60.0 + 0 * place, 500, 0.3, None),
    "unequal": (Zigbee(), lambda place: 80.0 + 2.8 * place, 250, 0.05, None),
    "weak": (Zigbee(station_tx_power_dbm=-0.5), lambda place: 99.0 + 0.2 * place, 90, 0.1, None),
    "faded": (Zigbee(), lambda place: 85.0 + place, 250, 0.2, Gains()),
    "plain": (Zigbee(ack=False), lambda place: 70.0 + 4 * place, 250, 0.05, None),
    "hidden": (Zigbee(cca_threshold_dbm=-75.0), lambda place: 72.0 + place, 250, 0.2, None),
    "half_hidden": (
        Zigbee(cca_threshold_dbm=-75.0, station_tx_power_dbm=6.0),
        lambda place: 72.0 + 2 * place,
        250,
        0.2,
        None,
    ),
    "eager": (
        Zigbee(min_be=0, max_be=4, max_csma_backoffs=2, max_frame_retries=1),
        lambda place: 60.0 + 0.3 * place,
        250,
        0.02,
        None,
    ),
}


def whole_ns(times_s: npt.ArrayLike) -> np.ndarray:
    """Times fall on a grid: float noise around its points would spoil a KS test."""
    return np.rint(np.asarray(times_s) * 1e9)


def both(name: str, pans: int, few: int) -> tuple[Outcomes, list[Delivery]]:
    """The same scenario in lock step over ``pans`` and in the calendar over ``few`` of them."""
    family, loss_of, size_bytes, spread_s, fading = SCENARIOS[name]
    rng = np.random.default_rng(77)
    place = np.tile(np.arange(PER_PAN), pans)
    losses_db = loss_of(place).astype(float)
    ready_ns = (rng.random(len(place)) * spread_s * 1e9).astype(np.int64)
    outcomes = family.burst(
        losses_db,
        np.full(len(place), size_bytes),
        ready_ns,
        cells=np.repeat(np.arange(pans), PER_PAN),
        rng=rng,
        blocks=fading,  # type: ignore[arg-type]
    )
    names = [f"d{number}" for number in range(PER_PAN)]
    deliveries = []
    for _ in range(few):
        losses = dict(zip(names, loss_of(np.arange(PER_PAN)).astype(float).tolist(), strict=True))
        medium = family.medium(losses, rng=rng, blocks=fading)  # type: ignore[arg-type]
        ready_s = (rng.random(PER_PAN) * spread_s).tolist()
        deliveries += medium.offer(names, [size_bytes] * PER_PAN, ready_s)
    return outcomes, deliveries


@pytest.mark.parametrize("name", SCENARIOS)
def test_same_law_as_the_calendar(name: str) -> None:
    few = 250
    outcomes, deliveries = both(name, 2000, few)
    lost = np.array([not delivery.delivered for delivery in deliveries])
    lost_burst = ~outcomes.delivered
    # Messages of one PAN depend on each other: errors are taken over PANs.
    sigma = lost.reshape(few, PER_PAN).mean(axis=1).std() / few**0.5 * (1 + 1 / 8) ** 0.5
    assert abs(lost.mean() - lost_burst.mean()) < 3 * sigma + 1e-9
    for which in (True, False):
        ours = outcomes.latency_s[outcomes.delivered == which]
        theirs = [item.finish_s - item.ready_s for item in deliveries if item.delivered == which]
        if min(len(ours), len(theirs)) > 50:
            assert stats.ks_2samp(whole_ns(ours), whole_ns(theirs)).pvalue > 0.01
    radio = SCENARIOS[name][0].radio
    pairs = {
        "energy": (outcomes.energy_j(radio), [item.energy_j for item in deliveries]),
        "sending": (outcomes.tx_ns / 1e9 * radio.tx_w, [item.tx_j for item in deliveries]),
        "receiving": (outcomes.rx_ns / 1e9 * radio.rx_w, [item.rx_j for item in deliveries]),
        "attempts": (outcomes.attempts, [item.attempts for item in deliveries]),
        "start": (
            (outcomes.start_ns - outcomes.ready_ns) / 1e9,
            [item.queue_s for item in deliveries],
        ),
    }
    for key, (ours, theirs) in pairs.items():
        means = np.reshape(theirs, (few, PER_PAN)).mean(axis=1)
        tolerance = 3.5 * means.std() / few**0.5 * (1 + 1 / 8) ** 0.5 + 1e-12
        assert abs(np.mean(ours) - np.mean(theirs)) < tolerance, key
    reasons = {delivery.reason for delivery in deliveries}
    common = {reason for reason, count in outcomes.counts().items() if count > 80}
    assert common <= reasons


def test_unequal_powers_device_by_device() -> None:
    """Who is nearer captures more: both engines agree on each device, not only on the mean."""
    few, many = 400, 3000
    outcomes, deliveries = both("plain", many, few)
    ours = outcomes.delivered.reshape(-1, PER_PAN).mean(axis=0)
    theirs = np.reshape([item.delivered for item in deliveries], (few, PER_PAN)).mean(axis=0)
    sigma = np.sqrt(ours * (1 - ours) * (1 / few + 1 / many))
    assert np.all(np.abs(ours - theirs) < 3.5 * sigma + 1e-9)
    assert ours[0] > ours[7] + 0.1


def exact(family: Zigbee, losses_db: list[float], ready_us: list[int]) -> list[tuple[str, int]]:
    """Reason and attempts of 100 bytes from each device, the same in both engines."""
    names = [f"d{number}" for number in range(len(losses_db))]
    medium = family.medium(dict(zip(names, losses_db, strict=True)), rng=np.random.default_rng(1))
    ended = medium.offer(names, [100] * len(names), [ready / 1e6 for ready in ready_us])
    found = family.burst(
        np.array(losses_db),
        np.full(len(names), 100),
        np.array(ready_us) * 1000,
        cells=np.zeros(len(names), dtype=np.int64),
        rng=np.random.default_rng(1),
    )
    outcomes = [(item.reason, item.attempts) for item in ended]
    assert outcomes == [
        (item.reason, item.attempts) for item in found.deliveries(names, family.radio)
    ]
    assert [round(item.finish_s * 1e9) for item in ended] == found.finish_ns.tolist()
    return outcomes


@pytest.mark.parametrize("losses_db", [[50.0, 60.0, 61.0], [61.0, 50.0, 60.0], [60.0, 61.0, 50.0]])
def test_of_one_instant_the_strongest_arrives(losses_db: list[float]) -> None:
    found = exact(Zigbee(min_be=0, ack=False), losses_db, [0, 0, 0])
    assert [reason == "delivered" for reason, _ in found] == [loss == 50 for loss in losses_db]


@pytest.mark.parametrize(
    ("start_us", "attempts"), [(4100, 2), (4300, 2), (4650, 2), (4799, 2), (4800, 1), (4900, 1)]
)
def test_the_station_is_deaf_until_it_has_turned_back(start_us: int, attempts: int) -> None:
    """The first is on air from 320 to 4064 us, its acknowledgement from 4256 to 4608, turned 4800.

    Nobody hears anybody; whoever starts before 4800 has to repeat.
    """
    family = Zigbee(min_be=0, cca_threshold_dbm=-30.0)
    found = exact(family, [50.0, 60.0], [0, start_us - 320])
    assert found == [("delivered", 1), ("delivered", attempts)]


@pytest.mark.parametrize(("third_db", "last"), [(65.5, "delivered"), (64.5, "collision")])
def test_a_missed_frame_hinders_the_lock(third_db: float, last: str) -> None:
    """The second begins amid the first and outlasts it; the third is 5 dB below it, or less."""
    family = Zigbee(min_be=0, ack=False, cca_threshold_dbm=-30.0)
    found = exact(family, [50.0, 60.0, third_db, 40.0], [0, 2000, 3880, 3980])
    assert [reason for reason, _ in found] == ["delivered", "collision", "collision", last]


def test_others_reach_a_device_over_the_larger_loss() -> None:
    """The second begins between frame and acknowledgement: at the first it is 5 dB below that."""
    family = Zigbee(min_be=0, station_tx_power_dbm=5.0, cca_threshold_dbm=-30.0)
    found = exact(family, [60.0, 50.0], [0, 3780])
    assert found == [("delivered", 1), ("delivered", 2)]


@pytest.mark.parametrize(("loss_db", "heard"), [(70.9, True), (71.1, False)])
def test_the_station_is_heard_by_its_own_power(loss_db: float, *, heard: bool) -> None:
    """A look of 128 us amid an acknowledgement at 6 dBm, by one whom no device hears."""
    family = Zigbee(
        min_be=0, max_csma_backoffs=0, station_tx_power_dbm=6.0, cca_threshold_dbm=-65.0
    )
    found = exact(family, [60.0, loss_db], [0, 4300])
    assert found == [("delivered", 1), ("retry_limit", 0) if heard else ("delivered", 2)]


def one_round(devices: int, pans: int) -> Outcomes:
    """One frame of 100 bytes from each device at once."""
    count = devices * pans
    return Zigbee().burst(
        np.full(count, 60.0),
        np.full(count, 100),
        np.zeros(count, dtype=np.int64),
        cells=np.arange(count) // devices,
        rng=np.random.default_rng(3),
    )


@pytest.mark.parametrize(("devices", "expected"), [(5, 4.0), (10, 5.0), (20, 6.3), (50, 5.5)])
def test_one_frame_of_all_at_once_as_ns3(devices: int, expected: float) -> None:
    """oracles.md 3.4 and 0.5: 3 seeds of ns-3, whose standard error is that of our own runs."""
    arrived = one_round(devices, 3000).delivered.reshape(-1, devices).sum(axis=1)
    error = 2 * arrived.std() / 3**0.5
    assert arrived.mean() / devices == pytest.approx(expected / devices, abs=0.02 + error / devices)


@settings(max_examples=30, deadline=None)
@given(data=st.data(), ack=st.booleans())
def test_every_message_ends_once(data: st.DataObject, *, ack: bool) -> None:
    devices = data.draw(st.integers(1, 30))

    def column(strategy: st.SearchStrategy[int]) -> np.ndarray:
        return np.array(data.draw(st.lists(strategy, min_size=devices, max_size=devices)))

    family = Zigbee(ack=ack)
    sizes = column(st.integers(1, 700))
    ready_ns = column(st.integers(0, 10**8))
    found = family.burst(
        column(st.integers(60, 108)).astype(float),
        sizes,
        ready_ns,
        cells=column(st.integers(0, 5)),
        rng=np.random.default_rng(1),
    )
    assert sum(found.counts().values()) == devices
    assert found.packets.tolist() == [len(family.frames_bytes(int(size))) for size in sizes]
    assert np.all(found.idle_ns >= 0)
    assert np.all((ready_ns <= found.start_ns) & (found.start_ns <= found.finish_ns))
    assert np.all(found.tx_ns + found.rx_ns + found.idle_ns == found.finish_ns - found.ready_ns)
    assert np.all(found.attempts <= found.packets * (4 if ack else 1))
    assert np.all(found.attempts[found.delivered] >= found.packets[found.delivered])


def test_cells_do_not_meet() -> None:
    """Devices alone in their PAN all arrive, however many PANs there are and whatever the order."""
    count = 200
    found = Zigbee().burst(
        np.full(count, 60.0),
        np.full(count, 200),
        np.zeros(count, dtype=np.int64),
        cells=np.random.default_rng(4).permutation(count),
        rng=np.random.default_rng(5),
    )
    assert found.delivered.all()


def test_mixed_cell_sizes_keep_their_law() -> None:
    """A PAN of 20 beside many PANs of 3, rows shuffled: each delivers as it does by itself."""
    pans = 1500
    cells = np.concatenate([np.repeat(np.arange(pans), 3), pans + np.repeat(np.arange(300), 20)])
    order = np.random.default_rng(6).permutation(len(cells))
    found = Zigbee().burst(
        np.full(len(cells), 60.0),
        np.full(len(cells), 100),
        np.zeros(len(cells), dtype=np.int64),
        cells=cells[order],
        rng=np.random.default_rng(7),
    )
    small = found.delivered[cells[order] < pans].mean()
    large = found.delivered[cells[order] >= pans].mean()
    assert small == pytest.approx(one_round(3, 3000).delivered.mean(), abs=0.02)
    assert large == pytest.approx(one_round(20, 600).delivered.mean(), abs=0.02)


@given(cells=st.lists(st.integers(0, 12), max_size=60))
def test_tables_hold_every_row_once(cells: list[int]) -> None:
    tables = list(side_by_side(np.array(cells, dtype=np.int64)))
    rows = np.concatenate([table.ravel() for table in tables] or [np.zeros(0, dtype=np.int64)])
    assert sorted(rows[rows >= 0].tolist()) == list(range(len(cells)))
    for table in tables:
        sizes = (table >= 0).sum(axis=1)
        assert sizes.max() < 2 * sizes.min() or sizes.max() == 1
        for line in table:
            members = {cells[row] for row in line[line >= 0]}
            assert len(members) == 1
            assert cells.count(members.pop()) == np.count_nonzero(line >= 0)


def test_empty_and_bad_bursts() -> None:
    none, rng = np.zeros(0, dtype=np.int64), np.random.default_rng(1)
    assert len(Zigbee().burst(np.zeros(0), none, none, cells=none, rng=rng)) == 0
    one = np.array([1])
    for losses, sizes, ready, cells, words in (
        (np.array([np.nan]), one, one, one, "losses_db"),
        (np.array([60.0]), one * 0, one, one, "sizes_bytes = .*0"),
        (np.array([60.0]), one, -one, one, "ready_ns = .*-1"),
        (np.array([60.0]), one, one, -one, "cells = .*-1"),
        (np.array([60.0, 61.0]), one, one, one, "shapes"),
    ):
        with pytest.raises(ValueError, match=words):
            Zigbee().burst(losses, sizes, ready, cells=cells, rng=rng)
