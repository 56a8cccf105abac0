"""Lock step against ns-3's synchronous bursts and against the calendar, and at scale."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.stats import ks_2samp

from channel_sim.medium import Delivery
from channel_sim.outcomes import CODES, Outcomes
from channel_sim.wifi import Wifi, WifiCell
from channel_sim.wifi.timing import StandardName

NEAR_DB = 56.0
BURST_BYTES = 35 * 1500


def burst(
    wifi: Wifi,
    stations: int,
    cells: int,
    *,
    size_bytes: int = BURST_BYTES,
    losses_db: Any = NEAR_DB,
    ready_ns: Any = 0,
    seed: int = 1,
    blocks: Any = None,
) -> Outcomes:
    count = stations * cells
    return wifi.burst(
        np.broadcast_to(losses_db, count),
        np.broadcast_to(size_bytes, count),
        np.broadcast_to(ready_ns, count),
        cells=np.repeat(np.arange(cells), stations),
        rng=np.random.default_rng(seed),
        blocks=blocks,
    )


NS3 = [
    # standard, stations; first, mean and last completion in s, packets dropped: oracles.md 3.3,
    # means of three seeds; a, 100 stations: one seed
    ("a", 1, (None, None, 0.0136), 0.0),
    ("a", 5, (0.0472, 0.0599, 0.0700), 0.0),
    ("a", 10, (0.0812, 0.1143, 0.1490), 0.0),
    ("a", 50, (0.385, 0.729, 0.874), 47.7),
    ("n", 1, (None, None, 0.0134), None),
    ("n", 10, (None, None, 0.1441), None),
    ("n", 50, (None, None, 0.838), None),
]


@pytest.mark.parametrize(("standard", "stations", "times_s", "drops"), NS3)
def test_synchronous_bursts_are_those_of_ns3(
    standard: StandardName, stations: int, times_s: tuple[float | None, ...], drops: float | None
) -> None:
    """Within 3 % and two standard errors of the mean of ns-3's three seeds."""
    cells = 100 if stations == 50 else 400
    found = burst(Wifi(standard=standard, on_loss="continue"), stations, cells)
    finish_s = found.finish_ns.reshape(cells, stations) / 1e9
    ours = (finish_s.min(axis=1), finish_s.mean(axis=1), finish_s.max(axis=1))
    for mine, theirs in zip(ours, times_s, strict=True):
        if theirs is not None:
            error = mine.std() / np.sqrt(3)
            assert abs(mine.mean() - theirs) <= 0.03 * theirs + 2 * error
    # Every packet but those dropped at the seventh attempt is sent once with success.
    if drops is not None:
        dropped = lost_packets(standard, stations)
        allowed = 0.1 * drops + 2 * np.std(dropped) / np.sqrt(3) + 1e-9
        assert abs(np.mean(dropped) - drops) <= max(allowed, 0.5)


def lost_packets(standard: StandardName, stations: int) -> list[int]:
    """Packets that die in each of ten cells, counted by the calendar."""
    wifi = Wifi(standard=standard, on_loss="continue")
    names = [str(number) for number in range(stations)]
    counts = []
    for seed in range(10):
        medium = wifi.medium(dict.fromkeys(names, NEAR_DB), rng=np.random.default_rng(seed))
        medium.offer(names, [BURST_BYTES] * stations, [0] * stations)
        counts.append(35 * stations - medium.received)
    return counts


rng = np.random.default_rng(99)
SPREAD = {"a": 56.0, "b": 109.0}
SCENARIOS = {
    # wifi, stations, cells, bytes, losses, ready
    "synchronous": (Wifi(standard="a"), 8, 150, 9000, NEAR_DB, 0),
    "jitter": (Wifi(standard="a"), 8, 150, 9000, NEAR_DB, rng.integers(0, 15_000_000, 1200)),
    "windows": (
        Wifi(standard="a", cw_min=3, cw_max=7, retry_limit=12, on_loss="continue"),
        8,
        100,
        9000,
        NEAR_DB,
        0,
    ),
    "edca": (Wifi(standard="n", on_loss="continue"), 20, 60, 9000, NEAR_DB, 0),
    "eifs": (Wifi(standard="b", post_collision="eifs"), 5, 150, 5000, NEAR_DB, 0),
    "mixed": (
        Wifi(standard="g"),
        8,
        150,
        rng.integers(1, 20_000, 1200),
        rng.uniform(56, 108, 1200),
        rng.integers(0, 5_000_000, 1200),
    ),
    "noisy": (
        Wifi(standard="g", mode=4, retry_limit=3),
        4,
        250,
        6000,
        rng.uniform(92, 99, 1000),
        0,
    ),
    "aggregates": (Wifi(standard="n", ampdu_bytes=65_535), 8, 150, 100_000, NEAR_DB, 0),
    "aggregates_given_up": (
        Wifi(
            standard="n",
            ampdu_bytes=65_535,
            retry_limit=2,
            cw_min=1,
            cw_max=3,
            on_loss="continue",
        ),
        6,
        200,
        100_000,
        NEAR_DB,
        0,
    ),
    "noisy_aggregates": (
        Wifi(standard="n", ampdu_bytes=20_000, mode=7, retry_limit=3, on_loss="continue"),
        4,
        250,
        rng.integers(1, 60_000, 1000),
        rng.uniform(89, 93, 1000),
        rng.integers(0, 15_000_000, 1000),
    ),
    "aggregates_abort": (
        Wifi(standard="ax", ampdu_bytes=65_535, mode=7, retry_limit=2, ccmp=True, width_mhz=80),
        4,
        250,
        rng.integers(1, 60_000, 1000),
        rng.uniform(84, 87, 1000),
        0,
    ),
}


def calendar(
    wifi: Wifi, stations: int, cells: int, sizes: Any, losses: Any, ready: Any, seed: int
) -> list[Delivery]:
    """The same scenario, one calendar per cell: deliveries in the order of the rows."""
    generator = np.random.default_rng(seed)
    found = []
    for cell in range(cells):
        rows = slice(cell * stations, (cell + 1) * stations)
        names = [str(number) for number in range(stations)]
        medium = wifi.medium(dict(zip(names, losses[rows].tolist(), strict=True)), rng=generator)
        found += medium.offer(names, sizes[rows].tolist(), (ready[rows] / 1e9).tolist())
    return found


@pytest.mark.parametrize("name", SCENARIOS)
def test_engines_agree(name: str) -> None:
    """One number per cell, since stations of a cell are not independent."""
    wifi, stations, cells, *given = SCENARIOS[name]
    sizes, losses, ready = (np.broadcast_to(item, stations * cells) for item in given)
    steps = burst(wifi, stations, cells, size_bytes=sizes, losses_db=losses, ready_ns=ready, seed=5)
    events = calendar(wifi, stations, cells, sizes, losses, ready, seed=6)

    def by_cell(values: Any) -> Any:
        return np.asarray(values, dtype=float).reshape(cells, stations)

    pairs = {
        "finish": (steps.finish_ns / 1e9, [item.finish_s for item in events]),
        "start": (steps.start_ns / 1e9, [item.start_s for item in events]),
        "joules": (steps.energy_j(wifi.radio), [item.energy_j for item in events]),
        "air": (steps.air_ns / 1e9, [item.air_s for item in events]),
        "attempts": (steps.attempts, [item.attempts for item in events]),
    }
    for kind, columns in pairs.items():
        mine, theirs = (by_cell(column) for column in columns)
        for reduce in (np.mean, np.max):
            test = ks_2samp(reduce(mine, axis=1), reduce(theirs, axis=1), method="asymp")
            assert test.pvalue > 3e-4, (kind, reduce)
        spread = np.hypot(mine.mean(axis=1).std(), theirs.mean(axis=1).std()) / np.sqrt(cells)
        assert abs(mine.mean() - theirs.mean()) < 4 * spread + 1e-9, kind
    lost = by_cell(~steps.delivered), by_cell([not item.delivered for item in events])
    spread = np.hypot(*(item.mean(axis=1).std() for item in lost)) / np.sqrt(cells)
    assert abs(lost[0].mean() - lost[1].mean()) <= 3 * spread + 1e-9
    assert steps.packets.tolist() == [item.packets for item in events]


@pytest.mark.parametrize("standard", ["a", "n"])
def test_engines_collide_alike(standard: StandardName) -> None:
    """A slot more or less per busy period moves the failures of fifty stations by 0.02."""
    wifi = Wifi(standard=standard, on_loss="continue")
    steps = burst(wifi, 50, 60)
    names = [str(number) for number in range(50)]
    sent = received = 0
    for seed in range(10):
        cell = wifi.medium(dict.fromkeys(names, NEAR_DB), rng=np.random.default_rng(seed))
        cell.offer(names, [BURST_BYTES] * 50, [0] * 50)
        assert isinstance(cell, WifiCell)
        sent, received = sent + cell.sent, received + cell.received
    # Each packet received was answered by 28 us at 24 Mb/s.
    mine = steps.rx_ns.sum() / 28_000 / steps.attempts.sum()
    assert mine == pytest.approx(received / sent, abs=0.007)


@pytest.mark.parametrize(
    ("wifi", "largest"),
    [
        (Wifi(standard="a"), 1500),
        (Wifi(standard="b", mode=2), 1500),
        (Wifi(standard="n", ampdu_bytes=65_535), 60_000),
        # 26 bits a symbol: two bytes of padding show, and 10 ms hold five packets
        (Wifi(standard="n", ampdu_bytes=65_535, mode=0), 7500),
        (Wifi(standard="ax", ampdu_bytes=65_535, width_mhz=40, streams=2, ccmp=True), 60_000),
    ],
)
def test_alone_the_engines_are_equal_to_the_nanosecond(wifi: Wifi, largest: int) -> None:
    """Without a neighbour and in one frame nothing is random."""
    sizes = np.linspace(1, largest, 60).astype(int)
    ready = np.arange(60) * 12_345
    steps = wifi.burst(
        np.full(60, NEAR_DB), sizes, ready, cells=np.arange(60), rng=np.random.default_rng(0)
    )
    found = steps.deliveries(["a"] * 60, wifi.radio)
    for row in range(60):
        medium = wifi.medium({"a": NEAR_DB}, rng=np.random.default_rng(0))
        (event,) = medium.offer(["a"], [int(sizes[row])], [ready[row] / 1e9])
        assert found[row] == event


class Chequer:
    """Links fade in turn: a gain per link and block, the same for both engines."""

    coherence_ns = 500_000

    def gain(self, link: int, block: int) -> float:
        return float(self.gains(np.array([link]), np.array([block]))[0])

    def gains(self, links: Any, blocks: Any) -> Any:
        return np.where((links + blocks) % 3 == 0, 1e-7, 1.0)


def test_fading_meets_the_same_blocks() -> None:
    wifi = Wifi(standard="a", retry_limit=20)
    steps = burst(wifi, 3, 1, size_bytes=1500, blocks=Chequer(), seed=2)
    assert steps.delivered.all()
    ends = []
    for seed in range(300):
        found = burst(wifi, 1, 1, size_bytes=1500, blocks=Chequer(), seed=seed)
        ends.append(int(found.finish_ns[0]))
        # Link 0 is down in block 0: nothing sent before 0.5 ms arrives.
        assert found.attempts[0] >= 2
    assert min(ends) >= 500_000 + 248_000
    events = []
    for seed in range(300):
        medium = wifi.medium({"a": NEAR_DB}, rng=np.random.default_rng(seed), blocks=Chequer())
        events.append(medium.offer(["a"], [1500], [0])[0].finish_s * 1e9)
    assert ks_2samp(ends, events, method="asymp").pvalue > 3e-4


def test_order_of_rows_is_no_matter_of_law() -> None:
    wifi = Wifi(standard="g")
    generator = np.random.default_rng(8)
    count, cells = 600, 60
    cell = np.repeat(np.arange(cells), count // cells) * 7  # numbers with holes
    losses = generator.uniform(56, 120, count)
    sizes = generator.integers(1, 9000, count)
    ready = generator.integers(0, 1_000_000, count)
    order = generator.permutation(count)
    straight, mixed = (
        wifi.burst(
            losses[rows], sizes[rows], ready[rows], cells=cell[rows], rng=np.random.default_rng(1)
        )
        for rows in (np.arange(count), order)
    )
    back = np.argsort(order)
    assert (mixed.packets[back] == straight.packets).all()
    unreached = straight.reason == CODES["below_sensitivity"]
    assert 0 < unreached.sum() < count
    assert ((mixed.reason[back] == CODES["below_sensitivity"]) == unreached).all()
    assert straight.air_ns[unreached].sum() == straight.idle_ns[unreached].sum() == 0
    assert (straight.finish_ns[unreached] == ready[unreached]).all()
    means = [found.finish_ns.reshape(cells, -1).mean(axis=1) for found in (straight,)]
    means.append(mixed.finish_ns[back].reshape(cells, -1).mean(axis=1))
    assert ks_2samp(*means, method="asymp").pvalue > 3e-4


def test_cells_of_all_sizes_together() -> None:
    wifi = Wifi(standard="a")
    sizes = np.array([1, 1, 40, 3, 7, 25, 2])
    cell = np.repeat(np.arange(len(sizes)), sizes)
    found = wifi.burst(
        np.full(len(cell), NEAR_DB),
        np.full(len(cell), 3000),
        np.zeros(len(cell), dtype=int),
        cells=cell,
        rng=np.random.default_rng(0),
    )
    assert sum(found.counts().values()) == len(cell)
    last = np.array([found.finish_ns[cell == number].max() for number in range(len(sizes))])
    # A full frame takes 326 us and a backoff; a cell of n needs 2 n of them at least.
    assert (last >= (2 * sizes - 1) * 326_000 + 248_000 - 1).all()
    assert (last <= 2 * sizes * 600_000 + 300_000).all()
    alone = found.finish_ns[np.isin(cell, [0, 1])]
    assert (alone < 248_000 * 2 + 78_000 + 15 * 9_000 + 1).all()


def test_late_arrivals_after_hours() -> None:
    """Slots are counted afresh after long silence, so that their numbers stay small."""
    wifi = Wifi(standard="a")
    day_ns = 86_400 * 10**9
    ready = np.array([0, day_ns, 30 * day_ns, 30 * day_ns])
    found = wifi.burst(
        np.full(4, NEAR_DB),
        np.full(4, 1500),
        ready,
        cells=np.zeros(4, dtype=int),
        rng=np.random.default_rng(0),
    )
    assert found.delivered.all()
    assert (found.start_ns - ready < 9_000).all()
    assert (found.attempts[2:] >= 2).all()


def test_no_devices_and_nobody_in_reach() -> None:
    wifi = Wifi()
    none = np.zeros(0, dtype=int)
    assert len(wifi.burst(none * 1.0, none, none, cells=none, rng=np.random.default_rng(0))) == 0
    found = burst(wifi, 3, 2, losses_db=200.0)
    assert found.counts()["below_sensitivity"] == 6


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"sizes_bytes": np.array([0, 1])}, "sizes_bytes"),
        ({"ready_ns": np.array([-1, 1])}, "ready_ns"),
        ({"cells": np.array([0, -1])}, "cells"),
        ({"cells": np.array([0])}, "shapes"),
    ],
)
def test_bad_input(change: dict[str, Any], word: str) -> None:
    arrays = {
        "losses_db": np.array([56.0, 56.0]),
        "sizes_bytes": np.array([10, 10]),
        "ready_ns": np.array([0, 0]),
        "cells": np.array([0, 0]),
    } | change
    with pytest.raises(ValueError, match=word):
        Wifi().burst(
            arrays["losses_db"],
            arrays["sizes_bytes"],
            arrays["ready_ns"],
            cells=arrays["cells"],
            rng=np.random.default_rng(0),
        )


def test_jitter_relieves_contention() -> None:
    wifi = Wifi(standard="a")
    together = burst(wifi, 40, 20, size_bytes=1500)
    apart = burst(
        wifi, 40, 20, size_bytes=1500, ready_ns=np.random.default_rng(0).integers(0, 10**9, 800)
    )
    assert apart.attempts.mean() < 1.1
    assert together.attempts.mean() > 1.7
