from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from channel_sim.aloha import Aloha, AlohaMedium, pure_throughput, slotted_throughput
from channel_sim.calendar import Fingerprint
from channel_sim.medium import Delivery
from channel_sim.outcomes import Outcomes

FRAME_NS = Aloha(mtu_bytes=100).slot_ns  # 120 bytes at 50 kbit/s


def test_closed_forms() -> None:
    # oracles.md 3.1.
    assert pure_throughput([0.1, 0.5, 1.0]) == pytest.approx([0.08187, 0.18394, 0.13534], abs=5e-6)
    assert slotted_throughput(1.0) == pytest.approx(0.36788, abs=5e-6)
    with pytest.raises(ValueError, match=r"load = -0\.1"):
        pure_throughput(-0.1)


def test_time_on_air_by_hand() -> None:
    assert FRAME_NS == 19_200_000
    assert Aloha().frames_ns(300) == (44_000_000, 10_400_000)
    assert Aloha().sensitivity_dbm == pytest.approx(-110)


def uniform_burst(
    family: Aloha, load: float, *, devices: int = 200, cells: int = 400, seed: int = 1
) -> Outcomes:
    """One frame of 100 bytes per device, evenly over ``devices / load`` frame times."""
    rng = np.random.default_rng(seed)
    count = devices * cells
    span_ns = round(devices / load * FRAME_NS)
    return family.burst(
        np.full(count, 100.0),
        np.full(count, 100),
        rng.integers(0, span_ns, count),
        cells=np.arange(count) // devices,
        rng=rng,
    )


@pytest.mark.parametrize("load", [0.1, 0.5, 1.0])
@pytest.mark.parametrize("slotted", [False, True])
def test_throughput(load: float, *, slotted: bool) -> None:
    """Against the law of n devices (which tends to e^-2G, e^-G): 3 sigma, cells as samples."""
    devices = 200
    found = uniform_burst(Aloha(mtu_bytes=100, slotted=slotted), load)
    shares = found.delivered.reshape(-1, devices).mean(axis=1)
    span = devices / load
    if slotted:
        expected = (1 - 1 / span) ** (devices - 1)
    else:
        # Frames near the ends of the span have fewer neighbours on one side.
        places = (np.arange(20_000) + 0.5) / 20_000 * span
        covered = np.minimum(places, 1) + np.minimum(span - places, 1)
        expected = np.mean((1 - covered / span) ** (devices - 1))
    law = slotted_throughput(load) if slotted else pure_throughput(load)
    assert expected * load == pytest.approx(float(law), rel=0.02)
    assert abs(shares.mean() - expected) < 3 * shares.std() / len(shares) ** 0.5


@pytest.mark.parametrize("gap_ns", [0, -1])
def test_frames_that_touch_do_not_collide(gap_ns: int) -> None:
    family = Aloha(mtu_bytes=100)
    found = family.burst(
        np.full(2, 100.0),
        np.full(2, 100),
        np.array([0, FRAME_NS + gap_ns]),
        cells=np.zeros(2, dtype=np.int64),
        rng=np.random.default_rng(1),
    )
    assert found.delivered.tolist() == [gap_ns == 0] * 2
    medium = family.medium({"a": 100.0, "b": 100.0}, rng=np.random.default_rng(1))
    ends = medium.offer(["a", "b"], [100, 100], [0.0, (FRAME_NS + gap_ns) / 1e9])
    assert [delivery.delivered for delivery in ends] == [gap_ns == 0] * 2


def brute_force(
    starts: np.ndarray, ends: np.ndarray, powers_dbm: np.ndarray, capture_db: float
) -> np.ndarray:
    """Every pair of frames looked at: who is above the sum of all that overlap it."""
    powers = 10 ** (powers_dbm / 10)
    received = np.ones(len(starts), dtype=bool)
    for one in range(len(starts)):
        others = sum(
            powers[other]
            for other in range(len(starts))
            if other != one and starts[other] < ends[one] and starts[one] < ends[other]
        )
        received[one] = others == 0 or 10 * math.log10(powers[one] / others) >= capture_db
    return received


@settings(max_examples=60, deadline=None)
@given(
    rows=st.lists(
        st.tuples(st.integers(0, 150), st.integers(1, 100), st.integers(80, 110)),
        min_size=1,
        max_size=12,
    ),
    capture_db=st.sampled_from([-3.0, 0.5, 6.0, math.inf]),
)
def test_both_engines_against_all_pairs(
    rows: list[tuple[int, int, int]], capture_db: float
) -> None:
    family = Aloha(capture_db=None if math.isinf(capture_db) else capture_db)
    ready_ns = np.array([ready_ms * 1_000_000 for ready_ms, _, _ in rows])
    sizes = np.array([size for _, size, _ in rows])
    losses_db = np.array([float(loss) for _, _, loss in rows])
    ends = ready_ns + np.array([family.frames_ns(int(size))[0] for size in sizes])
    expected = brute_force(ready_ns, ends, 14 - losses_db, capture_db)
    found = family.burst(
        losses_db,
        sizes,
        ready_ns,
        cells=np.zeros(len(rows), dtype=np.int64),
        rng=np.random.default_rng(1),
    )
    assert found.delivered.tolist() == expected.tolist()
    names = [f"d{row}" for row in range(len(rows))]
    medium = family.medium(
        dict(zip(names, losses_db.tolist(), strict=True)), rng=np.random.default_rng(1)
    )
    ended = medium.offer(names, sizes.tolist(), (ready_ns / 1e9).tolist())
    assert [delivery.delivered for delivery in ended] == expected.tolist()
    assert [round(item.finish_s * 1e9) for item in ended] == found.finish_ns.tolist()


def test_capture_lifts_delivery() -> None:
    """With equal powers and 0 dB one interferer is survived, two are not: Poisson P(0) + P(1)."""
    load = 0.5
    found = uniform_burst(Aloha(mtu_bytes=100, capture_db=0.0, slotted=True), load)
    shares = found.delivered.reshape(-1, 200).mean(axis=1)
    slots = 200 / load
    none = (1 - 1 / slots) ** 199
    one = 199 / slots * (1 - 1 / slots) ** 198
    assert abs(shares.mean() - none - one) < 3.5 * shares.std() / len(shares) ** 0.5


class Gains:
    """Exponential gains by link and block of 20 ms; a hash."""

    coherence_ns = 20_000_000

    def gains(self, links: np.ndarray, blocks: np.ndarray) -> np.ndarray:
        mixed = (links * 2654435761 + blocks * 40503 + 12345) * 2246822519 % 2**32
        mixed = (mixed ^ (mixed >> 15)) * 3266489917 % 2**32
        return -np.log((mixed + 0.5) / 2**32)

    def gain(self, link: int, block: int) -> float:
        return float(self.gains(np.array([link]), np.array([block]))[0])


SCENARIOS: dict[str, tuple[Aloha, float, object]] = {
    "retries": (Aloha(max_attempts=4, backoff_s=0.5, ack_timeout_s=0.02), 0.3, None),
    "uniform": (Aloha(max_attempts=6, backoff_s=0.8, backoff_growth=1.0), 0.3, None),
    "slotted": (Aloha(slotted=True, max_attempts=3, backoff_s=0.5), 0.3, None),
    "capture": (Aloha(capture_db=3.0, max_attempts=3, backoff_s=0.5), 0.0, None),
    "faded": (Aloha(capture_db=3.0, max_attempts=3, backoff_s=0.5), 0.3, Gains()),
    "plain": (Aloha(), 2.0, Gains()),
}


@pytest.mark.parametrize("name", SCENARIOS)
def test_same_law_as_the_calendar(name: str) -> None:
    family, spread_s, fading = SCENARIOS[name]
    devices, cells, few, size_bytes = 8, 2000, 250, 300
    rng = np.random.default_rng(3)
    losses_db = np.tile(100.0 + 2 * np.arange(devices), cells)
    found = family.burst(
        losses_db,
        np.full(len(losses_db), size_bytes),
        (rng.random(len(losses_db)) * spread_s * 1e9).astype(np.int64),
        cells=np.repeat(np.arange(cells), devices),
        rng=rng,
        blocks=fading,  # type: ignore[arg-type]
    )
    names = [f"d{number}" for number in range(devices)]
    ended: list[Delivery] = []
    for _ in range(few):
        losses = dict(zip(names, losses_db[:devices].tolist(), strict=True))
        medium = family.medium(losses, rng=rng, blocks=fading)  # type: ignore[arg-type]
        ready_s = (rng.random(devices) * spread_s).tolist()
        ended += medium.offer(names, [size_bytes] * devices, ready_s)
    pairs = {
        "delivered": (found.delivered, [item.delivered for item in ended]),
        "attempts": (found.attempts, [item.attempts for item in ended]),
        "air": (found.air_ns / 1e9, [item.air_s for item in ended]),
        "energy": (found.energy_j(family.radio), [item.energy_j for item in ended]),
    }
    for key, (ours, theirs) in pairs.items():
        means = np.reshape(np.asarray(theirs, dtype=float), (few, devices)).mean(axis=1)
        tolerance = 3.5 * means.std() / few**0.5 * (1 + few / cells) ** 0.5 + 1e-12
        assert abs(np.mean(ours) - np.mean(theirs)) < tolerance, key
    for which in (True, False):
        ours_ns = (found.finish_ns - found.ready_ns)[found.delivered == which]
        theirs_s = [item.finish_s - item.ready_s for item in ended if item.delivered == which]
        if min(len(ours_ns), len(theirs_s)) > 50:
            theirs_ns = np.rint(np.array(theirs_s) * 1e9)
            assert stats.ks_2samp(ours_ns, theirs_ns).pvalue > 0.01
    common = {reason for reason, count in found.counts().items() if count > 80}
    assert common <= {item.reason for item in ended}


def test_backoff_windows() -> None:
    """Two devices that always meet at first: waits are even on (0, w), then on (0, growth w)."""
    family = Aloha(max_attempts=2, backoff_s=3.0, ack_timeout_s=0.05)
    count = 20_000
    found = family.burst(
        np.full(count, 100.0),
        np.full(count, 100),
        np.zeros(count, dtype=np.int64),
        cells=np.arange(count) // 2,
        rng=np.random.default_rng(4),
    )
    frame_s = family.frames_ns(100)[0] / 1e9
    waits_s = (found.finish_ns / 1e9 - 2 * frame_s - 0.05)[found.delivered]
    # Given that the other is not met again: |u - v| > frame; nearly even.
    gap = frame_s / 3.0
    assert found.delivered.mean() == pytest.approx((1 - gap) ** 2, abs=0.01)
    assert waits_s.min() > 0
    assert waits_s.max() < 3.0
    assert waits_s.mean() == pytest.approx(1.5, abs=0.03)
    lost = ~found.delivered
    assert set(np.array(found.attempts)[lost].tolist()) == {2}
    thrice = Aloha(max_attempts=3, backoff_s=1e-6, backoff_growth=1e6).burst(
        np.full(count, 100.0),
        np.full(count, 100),
        np.zeros(count, dtype=np.int64),
        cells=np.arange(count) // 2,
        rng=np.random.default_rng(4),
    )
    last_s = (thrice.finish_ns / 1e9 - 3 * frame_s)[thrice.delivered]
    assert last_s.mean() == pytest.approx(0.5, abs=0.02)
    assert last_s.max() < 1.0 + 1e-5


@pytest.mark.parametrize("fading", ["none", "rayleigh"])
@pytest.mark.parametrize("slotted", [False, True])
def test_plan_agrees_with_lone_devices(fading: str, *, slotted: bool) -> None:
    family = Aloha(max_attempts=3, backoff_s=0.7, ack_timeout_s=0.1, slotted=slotted)
    losses_db = np.array([110.0, 118.0, 123.9, 124.1])
    plan = family.plan(losses_db, 600, fading=fading)
    repeats = 6000
    count = len(losses_db) * repeats
    rng = np.random.default_rng(9)
    found = family.burst(
        np.repeat(losses_db, repeats),
        np.full(count, 600),
        rng.integers(0, 10**10, count),
        cells=np.arange(count),
        rng=rng,
        blocks=Gains() if fading == "rayleigh" else None,  # type: ignore[arg-type]
    )
    shape = (len(losses_db), repeats)
    arrived = found.delivered.reshape(shape)
    loss = plan.message_loss
    error = 4 * np.sqrt(loss * (1 - loss) / repeats) + 1e-9
    assert np.all(np.abs(1 - arrived.mean(axis=1) - loss) < error)
    energy_j = found.energy_j(family.radio).reshape(shape)
    error = 4 * energy_j.std(axis=1) / repeats**0.5 + 1e-12
    assert np.all(np.abs(energy_j.mean(axis=1) - plan.energy_j) < error)
    for expected, values in zip(plan.latency_s, found.latency_s.reshape(shape), strict=True):
        good = values[arrived[np.flatnonzero(plan.latency_s == expected)[0]]]
        if len(good):
            assert good.mean() == pytest.approx(
                expected, abs=4 * good.std() / len(good) ** 0.5 + 1e-9
            )
        else:
            assert math.isinf(expected)


def build(family: Aloha | None = None) -> tuple[AlohaMedium, list[str]]:
    names = [f"d{number}" for number in range(4)]
    medium = (family or Aloha(max_attempts=3)).medium(
        dict.fromkeys(names, 100.0), rng=np.random.default_rng(1)
    )
    return medium, names


@settings(max_examples=40, deadline=None)
@given(
    offered=st.lists(
        st.tuples(st.integers(0, 3), st.integers(1, 600), st.integers(0, 300), st.booleans()),
        min_size=1,
        max_size=12,
    ),
    attempts=st.integers(1, 3),
    leave_ms=st.integers(300, 900),
)
def test_every_message_ends_once_and_none_is_sent_while_off(
    offered: list[tuple[int, int, int, bool]], attempts: int, leave_ms: int
) -> None:
    medium, names = build(Aloha(max_attempts=attempts))
    sends: list[tuple[int, str]] = []
    medium.trace = lambda ns, event, node: sends.append((ns, node)) if event == "send" else None
    tickets = [
        medium.submit(
            names[device],
            size,
            ready_ms * 1_000_000,
            direction="up" if up else "down",
            deadline_ns=2_000_000_000 if device == 3 else None,
        )
        for device, size, ready_ms, up in offered
    ]
    ended = medium.advance(leave_ms * 1_000_000)
    ended += medium.leave("d0", reason="battery")
    gone_ns = medium.now_ns
    ended += medium.advance(None)
    assert sorted(ticket for ticket, _ in ended) == tickets
    assert not [ns for ns, node in sends if node == "d0" and ns > gone_ns]
    for _, delivery in ended:
        assert delivery.delivered == (delivery.reason == "delivered")
        assert min(delivery.tx_j, delivery.rx_j, delivery.idle_j) >= 0
        assert delivery.ready_s <= delivery.start_s <= delivery.finish_s


def test_order_of_the_offer_changes_nothing() -> None:
    rows = [("d0", 100, 0.0), ("d1", 200, 0.001), ("d2", 300, 0.5), ("d0", 50, 0.5)]

    def run(order: list[int]) -> list[Delivery]:
        medium, _ = build()
        columns = zip(*(rows[row] for row in order), strict=True)
        return medium.offer(*(list(column) for column in columns))  # type: ignore[arg-type]

    straight = run([0, 1, 2, 3])
    assert run([3, 1, 0, 2]) == [straight[row] for row in (3, 1, 0, 2)]


def test_down_has_a_channel_of_its_own() -> None:
    medium, names = build()
    for name in names:
        medium.submit(name, 100, 0, direction="down")
    ended = [delivery for _, delivery in medium.advance(None)]
    assert [delivery.reason for delivery in ended] == ["delivered"] * 4
    finish_s = [delivery.finish_s for delivery in ended]
    assert finish_s == pytest.approx([0.0192 * (place + 1) for place in range(4)])
    assert ended[0].rx_j == pytest.approx(0.0192 * medium.radio.rx_w)
    assert ended[0].tx_j == 0


@pytest.mark.parametrize(("attempts", "reason"), [(1, "collision"), (2, "retry_limit")])
def test_reasons(attempts: int, reason: str) -> None:
    medium, _ = build(Aloha(max_attempts=attempts, backoff_s=0.0))
    ended = medium.offer(["d0", "d1"], [100, 100], [0.0, 0.0])
    assert {delivery.reason for delivery in ended} == {reason}
    assert {delivery.attempts for delivery in ended} == {attempts}
    far = Aloha(max_attempts=attempts).medium({"d0": 124.5}, rng=np.random.default_rng(1))
    assert far.offer(["d0"], [100], [0.0])[0].reason == "below_sensitivity"


def test_a_cut_frame_counts_as_far_as_it_went() -> None:
    medium, _ = build()
    medium.submit("d0", 100, 0)
    medium.submit("d1", 100, 10_000_000)
    medium.advance(5_000_000)
    ((_, gone),) = medium.leave("d0")
    assert gone.air_s == pytest.approx(0.005)
    assert gone.tx_j == pytest.approx(0.005 * medium.radio.tx_w)
    assert [delivery.attempts for _, delivery in medium.advance(None)] == [1]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"rate_bps": 0.0}, "rate_bps = 0.0"),
        ({"max_attempts": 0}, "max_attempts = 0"),
        ({"backoff_s": -1.0}, "backoff_s = -1.0"),
        ({"backoff_growth": 0.0}, "backoff_growth = 0.0"),
        ({"capture_db": math.nan}, "capture_db = nan"),
        ({"mtu_bytes": 0}, "mtu_bytes = 0"),
        ({"tx_power_dbm": math.inf}, "tx_power_dbm = inf"),
    ],
)
def test_bad_parameters_are_named(change: dict[str, float], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Aloha(**change)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="fading"):
        Aloha().plan(100.0, 1, fading="rice")


def test_fingerprint() -> None:
    medium, names = build(Aloha(max_attempts=4, backoff_s=0.3, capture_db=6.0, slotted=True))
    medium.trace = fingerprint = Fingerprint()
    for number, name in enumerate(names):
        medium.submit(name, 300, number * 3_000_000)
        medium.submit(name, 100, number * 7_000_000, direction="down")
    medium.advance(None)
    assert (fingerprint.events, fingerprint.digest) == (56, "2698fd414cfd14b0")
