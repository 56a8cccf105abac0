"""Scheduled 802.11ax: exact exchanges, resource units, and what must always hold."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from channel_sim.calendar import Fingerprint
from channel_sim.wifi import OfdmaCell, Wifi, saturate
from channel_sim.wifi.ofdma import UNITS, unit_rules
from channel_sim.wifi.timing import RU_TONES

WIFI = Wifi(standard="ax", ofdma=True, ampdu_bytes=65_535)
NEAR_DB = 56.0
TRIGGER_US = {1: 20 + 4 * 12, 9: 20 + 4 * 26}
"""28 + 5 n bytes at 6 Mb/s: 286 and 606 bits in symbols of 24."""


def cell(
    devices: Sequence[str], seed: int = 0, wifi: Wifi = WIFI, loss_db: float = NEAR_DB
) -> OfdmaCell:
    medium = wifi.medium(dict.fromkeys(devices, loss_db), rng=np.random.default_rng(seed))
    assert isinstance(medium, OfdmaCell)
    return medium


def test_one_device_gets_the_whole_channel() -> None:
    (found,) = cell(["a"]).offer(["a"], [1500], [0])
    # 48 us of preamble, 1538 bytes at 1950 bits per symbol of 13.6 us
    data_us = 48 + 7 * 13.6
    assert found.start_s == pytest.approx((TRIGGER_US[1] + 16) * 1e-6)
    assert found.finish_s == pytest.approx((TRIGGER_US[1] + 16 + data_us) * 1e-6)
    assert found.air_s == pytest.approx(data_us * 1e-6)
    # it hears the trigger, and the acknowledgement: 34 bytes at 24 Mb/s: 36 us
    assert found.rx_j == pytest.approx(WIFI.radio.rx_w * (TRIGGER_US[1] + 36) * 1e-6)
    assert found.idle_j == pytest.approx(WIFI.radio.idle_w * 32e-6)


def test_nine_devices_share_one_exchange() -> None:
    names = list("abcdefghi")
    found = cell(names).offer(names, [1500] * 9, [0] * 9)
    # 24 tones, 10 bits, 5/6: 200 bits per symbol
    data_us = 48 + 62 * 13.6
    for item in found:
        assert item.attempts == 1
        assert item.finish_s == pytest.approx((TRIGGER_US[9] + 16 + data_us) * 1e-6)


def test_the_tenth_waits_for_the_next_trigger() -> None:
    names = list("abcdefghij")
    found = cell(names).offer(names, [1500] * 10, [0] * 10)
    assert len({item.finish_s for item in found[:9]}) == 1
    assert found[9].start_s > found[0].finish_s + 59e-6


def test_units_fill_the_width() -> None:
    for width_mhz, units in UNITS.items():
        for tones, count in units.items():
            assert tones * count * 78_125 <= width_mhz * 1e6
            assert RU_TONES[tones] < tones
            # about the noise of its own band, which is less
            rules = WIFI.rules()
            part = unit_rules(rules, width_mhz, tones)
            share_db = 10 * np.log10(tones * 78_125 / (width_mhz * 1e6))
            assert part.noise_dbm - rules.noise_dbm == pytest.approx(share_db)


def test_a_small_unit_reaches_further() -> None:
    """All power in 2 MHz: 10 dB more signal to noise than in 20 MHz."""
    names = list("abcdefghi")
    loss_db = 16 + 94 - 5.0
    far = cell(names, loss_db=loss_db)
    alone = cell(["a"], loss_db=loss_db)
    many = far.offer(names, [1500] * 9, [0] * 9)
    (one,) = alone.offer(["a"], [1500], [0])
    # one alone: 5 dB, MCS 1, 234 bits a symbol; of nine: 14.9 dB, MCS 4, 72 bits
    assert one.air_s == pytest.approx((48 + 53 * 13.6) * 1e-6)
    assert many[0].air_s == pytest.approx((48 + 172 * 13.6) * 1e-6)


def test_losses_are_retried_and_end_at_the_limit() -> None:
    wifi = Wifi(standard="ax", ofdma=True, mode=11, retry_limit=3, on_loss="continue")
    medium = cell(["a"], wifi=wifi, loss_db=100.0)
    (found,) = medium.offer(["a"], [3000], [0])
    assert (found.reason, found.attempts, found.packets) == ("retry_limit", 6, 2)


def test_downlink_takes_its_turn() -> None:
    medium = cell(list("ab"))
    medium.submit("a", 1500, 0, direction="down")
    medium.submit("b", 1500, 1)
    (_, down), (_, up) = medium.advance(None)
    assert (down.device, up.device) == ("a", "b")
    assert up.start_s > down.finish_s
    assert down.rx_j > down.tx_j > 0


def test_leaving_cuts_a_frame_off() -> None:
    medium = cell(list("ab"))
    medium.submit("a", 60_000, 0)
    medium.submit("b", 60_000, 0)
    medium.advance(200_000)
    ((_, gone),) = medium.leave("a")
    assert gone.air_s == pytest.approx((200 - (20 + 4 * 14) - 16) * 1e-6)
    rest = medium.advance(None)
    assert [(item.device, item.delivered) for _, item in rest] == [("b", True)]


OFFERS = st.lists(
    st.tuples(
        st.sampled_from("abcde"),
        st.integers(1, 9000),
        st.integers(0, 20_000_000),
        st.sampled_from(["up", "down"]),
        st.one_of(st.none(), st.integers(0, 30_000_000)),
    ),
    max_size=25,
)


@settings(max_examples=50, deadline=None)
@given(offers=OFFERS)
def test_every_message_ends_once(offers: list[tuple[Any, ...]]) -> None:
    losses = {"a": 56.0, "b": 80.0, "c": 92.0, "d": 104.0, "e": 125.0}
    medium = WIFI.medium(losses, rng=np.random.default_rng(1))
    tickets = [
        medium.submit(device, size, ready, direction=direction, deadline_ns=deadline)
        for device, size, ready, direction, deadline in offers
    ]
    ended = dict(medium.advance(None))
    assert sorted(ended) == sorted(tickets)
    for found in ended.values():
        assert found.ready_s <= found.start_s <= found.finish_s
        assert min(found.tx_j, found.rx_j, found.idle_j) >= 0
        assert found.attempts >= found.packets or not found.delivered
    for device in losses:
        own = [found for found in ended.values() if found.device == device]
        if own:
            # the last answer ends a SIFS and a block acknowledgement after the frame
            span_s = max(f.finish_s for f in own) + 80e-6 - min(f.ready_s for f in own)
            assert sum(f.busy_s for f in own) <= span_s + 1e-9


def test_many_cells_are_as_one() -> None:
    names = [str(row) for row in range(12)]
    losses = np.linspace(60, 104, 12)
    sizes = np.arange(12) * 3000 + 1
    ready = (np.arange(12) * 7_919_000) % 3_000_000
    steps = WIFI.burst(losses, sizes, ready, cells=np.arange(12) // 6, rng=np.random.default_rng(0))
    first = WIFI.medium(
        {name: losses[int(name)] for name in names[:6]}, rng=np.random.default_rng(0)
    )
    events = first.offer(names[:6], sizes[:6].tolist(), (ready[:6] / 1e9).tolist())
    assert steps.deliveries(names, WIFI.radio)[:6] == events


def test_scheduling_carries_more_than_contention() -> None:
    names = [str(number) for number in range(36)]
    last = {}
    for ofdma in (False, True):
        wifi = Wifi(standard="ax", width_mhz=80, ofdma=ofdma, ampdu_bytes=65_535)
        medium = wifi.medium(dict.fromkeys(names, 70.0), rng=np.random.default_rng(2))
        found = medium.offer(names, [3000] * 36, [0] * 36)
        assert all(item.delivered for item in found) or not ofdma
        last[ofdma] = max(item.finish_s for item in found)
    assert last[True] < last[False] / 2


def test_fingerprint() -> None:
    medium = WIFI.medium(
        {str(number): 60 + 3.3 * number for number in range(13)}, rng=np.random.default_rng(5)
    )
    medium.trace = trace = Fingerprint()
    names = [str(number) for number in range(13)]
    medium.offer(names, [20_000] * 13, [0.0001 * number for number in range(13)])
    assert trace.digest == "b579e8deef276f2b"


def test_bad_input() -> None:
    with pytest.raises(ValueError, match=r"802\.11n has no OFDMA"):
        Wifi(standard="n", ofdma=True)
    with pytest.raises(ValueError, match="do not contend"):
        saturate(WIFI, 3, seconds=1, rng=np.random.default_rng(0))
