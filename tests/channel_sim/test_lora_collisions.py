"""Collisions and demodulators against brute force that was written from the sources."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from channel_sim.calendar import Message
from channel_sim.lora import RULES, Frames, air_ns, collided, collisions, find_demodulators
from channel_sim.lora.gateway import Frame, Gateway
from channel_sim.lora.isolation import channels_meet, find_rule
from validation import lora as scenario

# Three channels in a row of which the outer two do not meet (0, 20, 40 kHz), and one far away.
CHANNELS_HZ = (868_100_000, 868_120_000, 868_140_000, 868_500_000)
# ns-3 lora-interference-helper.cc, isolation in dB, row wanted, column interferer.
GOURSAUD_DB = (
    (6, -16, -18, -19, -19, -20),
    (-24, 6, -20, -22, -22, -22),
    (-27, -27, 6, -23, -25, -25),
    (-30, -30, -30, 6, -26, -28),
    (-33, -33, -33, -33, 6, -29),
    (-36, -36, -36, -36, -36, 6),
)
SYMBOL_NS = {sf: 2**sf * 8_000 for sf in range(7, 13)}


def draw(
    seed: int, number: int = 80, *, span_s: float = 2.0, cells: int = 2, ties: bool = True
) -> Frames:
    rng = np.random.default_rng(seed)
    sf = rng.integers(7, 13, number)
    start = rng.integers(0, int(span_s * 1e9), number)
    air = air_ns(rng.integers(10, 60, number), sf)
    if ties:  # some start at the same instant, some when another ends
        start[: number // 8] = start[number // 8]
        start[-5:] = (start + air)[:5]
    return Frames(
        start_ns=start,
        end_ns=start + air,
        channel=rng.integers(0, len(CHANNELS_HZ), number),
        spreading_factor=sf,
        rx_power_dbm=rng.normal(-110, 6, number),
        cell=rng.integers(0, cells, number),
    )


def overlaps(frames: Frames, i: int, j: int) -> bool:
    return bool(
        i != j
        and frames.cell[i] == frames.cell[j]
        and frames.start_ns[i] < frames.end_ns[j]
        and frames.start_ns[j] < frames.end_ns[i]
    )


def apart_hz(frames: Frames, i: int, j: int) -> float:
    return abs(CHANNELS_HZ[frames.channel[i]] - CHANNELS_HZ[frames.channel[j]])


def brute_lorasim(frames: Frames, *, capture: bool) -> list[bool]:
    """LoRaSim's checkcollision, newcomer by newcomer; 30 kHz as its comment says."""
    lost = [False] * len(frames)
    order = sorted(range(len(frames)), key=lambda i: frames.start_ns[i])
    for place, p1 in enumerate(order):
        for p2 in order[:place]:
            same_sf = frames.spreading_factor[p1] == frames.spreading_factor[p2]
            near = apart_hz(frames, p1, p2) <= 30e3
            if not (overlaps(frames, p1, p2) and same_sf and near):
                continue
            if not capture:
                lost[p1] = lost[p2] = True
                continue
            critical_ns = frames.start_ns[p1] + (8 - 5) * SYMBOL_NS[frames.spreading_factor[p1]]
            if not critical_ns < frames.end_ns[p2]:
                continue
            difference_db = frames.rx_power_dbm[p1] - frames.rx_power_dbm[p2]
            if abs(difference_db) < 6:
                lost[p1] = lost[p2] = True
            elif difference_db < 6:
                lost[p1] = True
            else:
                lost[p2] = True
    return lost


def brute_ns3(frames: Frames, matrix_db: Any) -> list[bool]:
    """ns-3's IsDestroyedByInterference: energy per spreading factor, same frequency only."""
    lost = []
    for i in range(len(frames)):
        energy = [0.0] * 6
        for j in range(len(frames)):
            if overlaps(frames, i, j) and apart_hz(frames, i, j) == 0:
                overlap_ns = min(frames.end_ns[i], frames.end_ns[j]) - max(
                    frames.start_ns[i], frames.start_ns[j]
                )
                power_w = 10 ** (frames.rx_power_dbm[j] / 10) / 1000
                energy[frames.spreading_factor[j] - 7] += overlap_ns / 1e9 * power_w
        air_s = (frames.end_ns[i] - frames.start_ns[i]) / 1e9
        own = air_s * 10 ** (frames.rx_power_dbm[i] / 10) / 1000
        snir_db = [10 * math.log10(own / e) if e else math.inf for e in energy]
        row_db = matrix_db[frames.spreading_factor[i] - 7]
        # ns-3's "inf" is the largest float, so that no interference at all survives.
        lost.append(
            any(snir < min(need, 1e308) for snir, need in zip(snir_db, row_db, strict=True))
        )
    return lost


def brute(rule: str, frames: Frames) -> list[bool]:
    if rule in {"simple", "capture_6db"}:
        return brute_lorasim(frames, capture=rule == "capture_6db")
    aloha_db = [[math.inf if i == j else -math.inf for j in range(6)] for i in range(6)]
    return brute_ns3(frames, GOURSAUD_DB if rule == "goursaud" else aloha_db)


@pytest.mark.parametrize("rule", sorted(RULES))
@pytest.mark.parametrize("seed", range(12))
def test_collisions_are_those_of_brute_force(rule: str, seed: int) -> None:
    frames = draw(seed, span_s=(0.5, 2.0, 8.0)[seed % 3])
    found = collided(frames, find_rule(rule), channels_hz=CHANNELS_HZ)
    expected = brute(rule, frames)
    assert found.tolist() == expected
    assert 0 < sum(expected) < len(expected)


@pytest.mark.parametrize("rule", sorted(RULES))
@pytest.mark.parametrize("seed", range(4))
def test_the_gateway_of_the_calendar_judges_as_brute_force(rule: str, seed: int) -> None:
    frames = draw(100 + seed, cells=1)
    meet = channels_meet(CHANNELS_HZ, find_rule(rule))
    gateway = Gateway(
        find_rule(rule),
        meet=[np.flatnonzero(row).tolist() for row in meet],
        symbol_ns=list(SYMBOL_NS.values()),
        preamble_symbols=8,
        demodulators=1000,
        duties=[0.01],
    )
    message = Message(0, "a", 1, 0, "up", None)
    on_air = [
        Frame(
            device="a",
            message=message,
            fragment=0,
            channel=int(frames.channel[i]),
            spreading_factor=int(frames.spreading_factor[i]),
            power_dbm=float(frames.rx_power_dbm[i]),
            start_ns=int(frames.start_ns[i]),
            end_ns=int(frames.end_ns[i]),
            phy_bytes=20,
        )
        for i in range(len(frames))
    ]
    events = [(frame.end_ns, 0, i) for i, frame in enumerate(on_air)]
    events += [(frame.start_ns, 1, i) for i, frame in enumerate(on_air)]
    found = [False] * len(frames)
    for _, start, i in sorted(events):
        if start:
            gateway.begin(on_air[i], heard=True)
        else:
            found[i] = gateway.finish(on_air[i]) == "collision"
    assert found == brute(rule, frames)


@given(st.integers(0, 10**6), st.sampled_from(sorted(RULES)))
@settings(max_examples=60, deadline=None)
def test_the_order_of_frames_changes_nothing(seed: int, rule: str) -> None:
    frames = draw(seed, 40)
    order = np.random.default_rng(seed).permutation(40)
    columns = {key: getattr(frames, key)[order] for key in Frames.__dataclass_fields__}
    shuffled = Frames(**columns)
    found = collided(frames, find_rule(rule), channels_hz=CHANNELS_HZ)
    again = collided(shuffled, find_rule(rule), channels_hz=CHANNELS_HZ)
    assert again.tolist() == found[order].tolist()


def two(apart_hz_: int, *, late_ns: int = 0, stronger_db: float = 0.0) -> tuple[Frames, Any]:
    start = np.array([0, late_ns])
    frames = Frames(
        start_ns=start,
        end_ns=start + 56_576_000,
        channel=np.array([0, 1]),
        spreading_factor=np.array([7, 7]),
        rx_power_dbm=np.array([-100.0, -100.0 + stronger_db]),
        cell=np.array([0, 0]),
    )
    return frames, (868_100_000, 868_100_000 + apart_hz_)


def test_channels_twenty_kilohertz_apart_meet() -> None:
    # The defect of LoRaSim's frequencyCollision: Hz compared with kHz.
    for rule in ("simple", "capture_6db"):
        for apart, meets in ((20_000, True), (30_000, True), (30_001, False), (200_000, False)):
            frames, channels_hz = two(apart)
            found = collided(frames, find_rule(rule), channels_hz=channels_hz)
            assert found.tolist() == [meets, meets]
    # LoRaSim: 60 kHz at 250 kHz, 120 kHz at 500 kHz.
    frames, channels_hz = two(60_000)
    rule = find_rule("simple")
    assert collided(frames, rule, channels_hz=channels_hz, bandwidth_hz=250_000).all()
    frames, channels_hz = two(120_000)
    assert collided(frames, rule, channels_hz=channels_hz, bandwidth_hz=500_000).all()
    assert not collided(frames, rule, channels_hz=channels_hz, bandwidth_hz=250_000).any()


def test_a_newcomer_that_is_weak_loses_to_a_frame_on_air() -> None:
    # The defect of LoRaSim rev. 218: the newcomer's flag is overwritten.
    frames, _ = two(0, late_ns=10_000_000, stronger_db=-10.0)
    found = collided(frames, find_rule("capture_6db"), channels_hz=(1.0, 1.0))
    assert found.tolist() == [False, True]


def test_an_overlap_before_the_critical_preamble_is_harmless() -> None:
    rule = find_rule("capture_6db")
    end, spare = 56_576_000, 3 * 1_024_000
    frames, _ = two(0, late_ns=end - spare)
    assert not collided(frames, rule, channels_hz=(1.0, 1.0)).any()
    frames, _ = two(0, late_ns=end - spare - 1)
    assert collided(frames, rule, channels_hz=(1.0, 1.0)).all()
    assert collided(frames, find_rule("simple"), channels_hz=(1.0, 1.0)).all()


@pytest.mark.parametrize("rule", ["simple", "aloha"])
def test_a_frame_that_starts_as_another_ends_is_safe(rule: str) -> None:
    frames, _ = two(0, late_ns=56_576_000)
    assert not collided(frames, find_rule(rule), channels_hz=(1.0, 1.0)).any()
    frames, _ = two(0, late_ns=56_575_999)
    assert collided(frames, find_rule(rule), channels_hz=(1.0, 1.0)).all()


def test_a_rule_by_an_unknown_name_is_told() -> None:
    with pytest.raises(ValueError, match="did you mean 'capture_6db'"):
        find_rule("capture")


# Demodulators.


def brute_demodulators(frames: Frames, limit: int) -> list[bool]:
    """Arrival by arrival: a frame is taken while fewer than ``limit`` taken ones are on air."""
    taken = [False] * len(frames)
    for i in sorted(range(len(frames)), key=lambda i: (frames.start_ns[i], i)):
        busy = sum(
            taken[j]
            and frames.cell[j] == frames.cell[i]
            and frames.start_ns[j] <= frames.start_ns[i] < frames.end_ns[j]
            for j in range(len(frames))
            if j != i
        )
        taken[i] = busy < limit
    return taken


@pytest.mark.parametrize("seed", range(12))
def test_demodulators_are_given_in_order_of_arrival(seed: int) -> None:
    limit = (1, 2, 8, 8)[seed % 4]
    frames = draw(seed, 150, span_s=(1.5, 4.0, 12.0)[seed % 3])
    found = find_demodulators(frames.start_ns, frames.end_ns, frames.cell, demodulators=limit)
    expected = brute_demodulators(frames, limit)
    assert found.tolist() == expected
    assert sum(expected) < len(expected)


def test_batches_of_keys_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    frames = draw(5, 200, cells=9)
    rule = find_rule("goursaud")
    whole = collided(frames, rule, channels_hz=CHANNELS_HZ)
    free = find_demodulators(frames.start_ns, frames.end_ns, frames.cell, demodulators=3)
    monkeypatch.setattr(collisions, "KEY_LIMIT", 2 * int(frames.end_ns.max()))
    assert collided(frames, rule, channels_hz=CHANNELS_HZ).tolist() == whole.tolist()
    again = find_demodulators(frames.start_ns, frames.end_ns, frames.cell, demodulators=3)
    assert again.tolist() == free.tolist()


def test_no_frames_no_trouble() -> None:
    empty = np.zeros(0, dtype=np.int64)
    frames = Frames(
        start_ns=empty,
        end_ns=empty,
        channel=empty,
        spreading_factor=empty,
        rx_power_dbm=empty.astype(float),
        cell=empty,
    )
    assert not len(collided(frames, find_rule("simple"), channels_hz=(868.1e6,)))
    assert not len(find_demodulators(empty, empty, empty))
    with pytest.raises(ValueError, match="lengths"):
        Frames(**{**frames.__dict__, "cell": np.zeros(1, dtype=np.int64)})


# Scale: operations, not seconds.


def test_work_grows_with_frames_not_with_their_square(monkeypatch: pytest.MonkeyPatch) -> None:
    looked_at = 0
    neighbours = collisions._neighbours

    def count(start: Any, end: Any) -> Iterator[tuple[Any, Any]]:
        nonlocal looked_at
        for early, late in neighbours(start, end):
            looked_at += len(early)
            yield early, late

    monkeypatch.setattr(collisions, "_neighbours", count)
    pairs = []
    for number in (2_000, 8_000):
        looked_at = 0
        frames = draw(1, number, span_s=number / 50, ties=False)  # the same density
        collided(frames, find_rule("goursaud"), channels_hz=CHANNELS_HZ)
        pairs.append(looked_at)
    assert pairs[1] < 5 * pairs[0]


# Delivery under each named rule, oracles.md 3.7.


def spread(rule: str, rate: int, nodes: int, span_s: float, flat_m: float) -> tuple[float, float]:
    return scenario.delivery(rule, rate, nodes, runs=12, span_s=span_s, flat_m=flat_m)


@pytest.mark.parametrize(("coding_rate", "nodes"), [(4, 100), (4, 500), (1, 100), (1, 500)])
@pytest.mark.parametrize("rule", ["simple", "aloha"])
def test_delivery_of_aloha_is_theory(rule: str, coding_rate: int, nodes: int) -> None:
    ours, deviation = spread(rule, coding_rate, nodes, 5e4, 0.0)
    assert abs(ours - scenario.theory(coding_rate, nodes)) < 4 * deviation / math.sqrt(12)


@pytest.mark.parametrize(
    "column", scenario.COLUMNS, ids=lambda column: "-".join(map(str, column[:3]))
)
def test_delivery_of_each_rule_is_its_own_column(column: tuple[Any, ...]) -> None:
    rule, coding_rate, nodes, share, error, tool = column
    ns3 = tool == "ns-3"
    span_s = scenario.NS3_SPAN_S if ns3 else scenario.LORASIM_SPAN_S
    ours, deviation = spread(rule, coding_rate, nodes, span_s, scenario.FLAT_M if ns3 else 0.0)
    theirs = deviation if error is None else error
    assert abs(ours - share) < 3 * math.hypot(theirs, deviation / math.sqrt(12))


def test_rules_differ_by_more_than_their_columns_scatter() -> None:
    shares: dict[str, npt.NDArray[np.float64]] = {}
    for rule in RULES:
        ours, deviation = spread(rule, 1, 500, 2e4, 0.0)
        shares[rule] = np.array([ours, deviation / math.sqrt(12)])
    assert shares["capture_6db"][0] - shares["aloha"][0] > 0.08
    assert shares["goursaud"][0] - shares["capture_6db"][0] > 0.04
