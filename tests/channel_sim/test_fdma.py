from __future__ import annotations

import math
from collections import Counter
from itertools import pairwise
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from channel_sim import (
    SHANNON,
    WIFI_NIC,
    Arq,
    Delivery,
    Direction,
    Fdma,
    Link,
    RayleighBlocks,
    TruncatedShannon,
)
from channel_sim.units import to_ns

NAMES = ["ant", "bee", "cat", "dog"]
LTE = TruncatedShannon(0.6, 4.4, -10.0)
NOISE_DBM = -174 + 10 * math.log10(1e6) + 7


def link(snr_db: float, *, margin_db: float = 3.0, arq: Arq | None = None, seed: int = 0) -> Link:
    return Link(
        bandwidth_hz=1e6,
        tx_power_dbm=0.0,
        path_loss_db=-NOISE_DBM - snr_db,
        noise_figure_db=7.0,
        fade_margin_db=margin_db,
        shannon=LTE,
        arq=arq or Arq(1500, 2, 0.005),
        fading=RayleighBlocks(0.02, np.random.default_rng(seed)),
    )


def cell(names: list[str] = NAMES) -> Fdma:
    """Return four links each way, one of them out of reach; each from a seed of its own name."""
    snr_db = {"ant": 20.0, "bee": 8.0, "cat": 0.0, "dog": -30.0, "eel": 12.0}
    links = {name: link(snr_db[name], seed=ord(name[0])) for name in names}
    return Fdma(links, links, radio=WIFI_NIC)


def alone(name: str, one: Link) -> Fdma:
    return Fdma({name: one}, {name: one}, radio=WIFI_NIC)


MESSAGES = st.lists(
    st.tuples(
        st.sampled_from(NAMES),
        st.integers(1, 30_000),
        st.integers(0, 3_000_000).map(lambda us: us / 1e6),
    ),
    max_size=25,
    unique_by=lambda message: (message[0], message[2]),
)
Message = tuple[str, int, float]


def offer(medium: Fdma, messages: list[Message], direction: Direction = "up") -> list[Delivery]:
    return medium.offer(
        [device for device, _, _ in messages],
        [size_bytes for _, size_bytes, _ in messages],
        [ready_s for _, _, ready_s in messages],
        direction=direction,
    )


@given(MESSAGES)
@settings(deadline=None)
def test_offered_is_delivered_plus_lost_by_reason(messages: list[Message]) -> None:
    deliveries = offer(cell(), messages)
    reasons = Counter(delivery.reason for delivery in deliveries)
    assert reasons.total() == len(messages)
    assert set(reasons) <= {"delivered", "below_sensitivity", "retry_limit"}
    assert [d.device for d in deliveries] == [device for device, _, _ in messages]
    assert all(d.delivered == (d.reason == "delivered") for d in deliveries)
    assert reasons["below_sensitivity"] == sum(device == "dog" for device, _, _ in messages)


@given(MESSAGES)
@settings(deadline=None)
def test_messages_of_one_device_never_overlap_and_never_run_early(messages: list[Message]) -> None:
    deliveries = offer(cell(), messages)
    for name in NAMES:
        own = sorted((d for d in deliveries if d.device == name), key=lambda d: d.ready_s)
        for before, after in pairwise(own):
            assert after.start_s == max(after.ready_s, before.finish_s)
    for d in deliveries:
        assert d.queue_s == pytest.approx(d.start_s - d.ready_s, abs=2e-9)
        assert d.queue_s >= 0
        assert d.finish_s >= d.start_s
        assert d.finish_s - d.start_s >= d.air_s - 1e-9


@given(MESSAGES, st.randoms(use_true_random=False))
@settings(deadline=None)
def test_the_order_in_a_batch_changes_nothing(messages: list[Message], random: Random) -> None:
    shuffled = list(messages)
    random.shuffle(shuffled)
    by_message = dict(zip(messages, offer(cell(), messages), strict=True))
    assert offer(cell(), shuffled) == [by_message[message] for message in shuffled]


@given(MESSAGES)
@settings(deadline=None)
def test_one_more_device_changes_nothing_for_the_others(messages: list[Message]) -> None:
    crowded = [*messages, ("eel", 20_000, 0.0)]
    more = offer(cell(names=[*NAMES, "eel"]), crowded)
    assert more[:-1] == offer(cell(), messages)


def test_a_message_that_is_cut_pays_for_what_was_sent_and_frees_the_band() -> None:
    clear = link(40.0, margin_db=20.0)
    whole = alone("ant", clear).offer(["ant"], [30_000], [0.0])[0]
    medium = alone("ant", clear)
    medium.submit("ant", 30_000, 0)
    later = medium.submit("ant", 10, to_ns(whole.air_s / 4))
    medium.submit("ant", 30_000, 0, deadline_ns=to_ns(whole.air_s / 8))
    medium.advance(to_ns(whole.air_s / 4) - 1)
    medium.advance(to_ns(whole.air_s / 4))
    ended = medium.leave("ant")
    assert [d.reason for _, d in ended] == ["off", "off"]
    first = ended[0][1]
    assert first.air_s == pytest.approx(whole.air_s / 4, rel=1e-3)
    assert first.tx_j == pytest.approx(whole.tx_j / 4, rel=1e-3)
    assert ended[1] == (later, ended[1][1])
    assert ended[1][1].air_s == 0.0
    medium.submit("ant", 30_000, medium.now_ns)
    ((_, again),) = medium.advance(None)
    assert (again.queue_s, again.air_s) == (0.0, pytest.approx(whole.air_s))


def test_the_message_behind_one_whose_time_is_over_starts_at_once() -> None:
    clear = link(40.0, margin_db=20.0)
    medium = alone("ant", clear)
    medium.submit("ant", 10**6, 0, deadline_ns=to_ns(0.01))
    behind = medium.submit("ant", 100, to_ns(0.005))
    (_, cut), (ticket, through) = medium.advance(None)
    assert (cut.reason, cut.finish_s) == ("deadline", 0.01)
    assert (ticket, through.reason, through.start_s) == (behind, "delivered", 0.01)


def test_links_in_one_direction_only_are_refused() -> None:
    with pytest.raises(
        ValueError, match=r"\['bee'\].*one direction only; give one up and one down"
    ):
        Fdma({"ant": link(9.0), "bee": link(9.0)}, {"ant": link(9.0)}, radio=WIFI_NIC)


@pytest.mark.parametrize(
    ("threshold_db", "probability"),
    # oracles.md 3.1: Rayleigh outage at a mean SNR of 10 dB.
    [(0, 0.09516), (3, 0.18088), (5, 0.27111), (10, 0.63212)],
)
def test_losses_through_the_medium_follow_rayleigh_outage(
    threshold_db: float, probability: float
) -> None:
    one = link(10.0, margin_db=10.0 - threshold_db, arq=Arq(1500, 1, 0.0), seed=1)
    medium = alone("ant", one)
    messages = 10_000
    # One packet of at most 0.2 ms at the start of each block of 20 ms.
    deliveries = medium.offer(
        ["ant"] * messages, [10] * messages, [0.02 * k + 1e-3 for k in range(messages)]
    )
    lost = sum(d.reason == "retry_limit" for d in deliveries)
    sigma = math.sqrt(messages * probability * (1 - probability))
    assert abs(lost - messages * probability) < 3 * sigma


def test_only_the_device_pays_and_only_for_its_direction() -> None:
    for d in offer(cell(), [("ant", 20_000, 0.0), ("bee", 20_000, 0.0)]):
        assert d.tx_j == pytest.approx(d.air_s * 1.14)  # ns-3: 0.380 A at 3 V
        assert d.rx_j == 0.0
    for d in offer(cell(), [("ant", 20_000, 0.0), ("bee", 20_000, 0.0)], "down"):
        assert d.rx_j == pytest.approx(d.air_s * 0.939)  # ns-3: 0.313 A at 3 V
        assert d.tx_j == 0.0


def test_air_time_without_failures_is_bits_over_shannon_rate() -> None:
    # 100 bytes at 1 MHz and 10 dB: log2(11) = 3.4594 bit/s/Hz.
    clear = Link(
        bandwidth_hz=1e6,
        tx_power_dbm=0.0,
        path_loss_db=-NOISE_DBM - 10.0,
        noise_figure_db=7.0,
        fade_margin_db=0.0,
        shannon=SHANNON,
        arq=Arq(40, 1, 0.0),
    )
    delivery = alone("ant", clear).offer(["ant"], [100], [0.0])[0]
    assert delivery.air_s == pytest.approx(800 / 3.4594e6, rel=1e-5)
    assert delivery.packets == delivery.attempts == 3


def test_a_device_without_a_link_is_refused_and_nothing_is_sent() -> None:
    medium = cell()
    with pytest.raises(ValueError, match=r"'fox' has no link.*build it with that device"):
        medium.offer(["ant", "fox"], [30_000, 1], [0.0, 0.0])
    assert medium.offer(["ant"], [1], [0.0])[0].queue_s == 0.0
