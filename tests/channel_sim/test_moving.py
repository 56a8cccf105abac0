"""Devices move while messages are under way: every calendar takes a new loss, whoever drives it.

The oracle is the calendar that was built with the loss: a device that has moved before its
first message is one that was there from the start.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from channel_sim import (
    WIFI_NIC,
    Arq,
    Calendar,
    Delivery,
    Fdma,
    Ideal,
    Link,
    TruncatedShannon,
    load_preset,
    preset_names,
)
from channel_sim.aloha import Aloha
from channel_sim.fading import BlockFading, Rayleigh
from channel_sim.replay import Replay, ReplayLossy
from channel_sim.replay.link import ReplayLink, Track
from channel_sim.replay.lossy import Frames, LossyTrack, ReplayLossyLink
from channel_sim.replay.rates import load_seconds_mbit
from channel_sim.replay.shares import DeliveryTrace
from channel_sim.scheduled import Ofdma, Tdma
from channel_sim.wifi import Wifi

MS, SECOND = 1_000_000, 1_000_000_000
NEAR_DB, AWAY_DB = 30.0, 200.0
NAMES = ("ant", "bee", "cat")

FAMILIES = {name: load_preset(name).family for name in preset_names()} | {
    "aloha": Aloha(),
    "tdma": Tdma(),
    "ofdma": Ofdma(),
    "wifi_ax_scheduled": Wifi(standard="ax", ofdma=True, ampdu_bytes=65535),
    "zigbee_hidden": load_preset("zigbee", cca_threshold_dbm=-80.0).family,
    "lorawan_confirmed": load_preset("lorawan_eu868", confirmed=True).family,
    "nbiot_faint": load_preset("nbiot", connected=True).family,
}
NO_FADING = {"chen2021"}
DEAF = {"ideal", "replay", "replay_lossy"}
"""Nothing is lost there by distance."""
WHOLE = {"fdma", *(name for name, f in FAMILIES.items() if f.kind in {"shannon", "cellular"})}
"""A message is worked out as a whole when it starts."""
ACKNOWLEDGED = {"zigbee", "zigbee_hidden", "lorawan_confirmed"}
"""An acknowledgement is a frame that may be lost."""
CALENDARS = [*FAMILIES, "fdma", *sorted(DEAF)]
STRAINED_DB = {"ble5_1m": 95.0, "ble5_2m": 92.0, "ble5_coded": 103.0, "tdma": 104.5, "aloha": 130.0}
STRAINED_DB |= {"fdma": 118.0, "nbiot": 143.0, "nbiot_faint": 143.0, "ltem": 138.0}
KIND_STRAINED_DB = {
    "wifi": 95.0,
    "ofdma": 95.0,
    "ieee802154": 100.5,
    "lorawan": 135.0,
    "cellular": 132.0,
    "shannon": 118.0,
}


def strained_db(name: str) -> float:
    """A loss at which a link behaves unlike one nearby."""
    kind = FAMILIES[name].kind if name in FAMILIES else "wifi"
    return STRAINED_DB.get(name, KIND_STRAINED_DB.get(kind, 100.0))


def fdma(losses_db: dict[str, float], *, shadowing_db: float = 0.0) -> Fdma:
    def link(power_dbm: float, loss_db: float) -> Link:
        return Link(
            bandwidth_hz=1e6,
            tx_power_dbm=power_dbm,
            path_loss_db=loss_db,
            noise_figure_db=7.0,
            fade_margin_db=3.0,
            shannon=TruncatedShannon(0.6, cap_bps_hz=4.4, floor_db=-10.0),
            arq=Arq(mtu_bytes=1500, max_attempts=4, ack_timeout_s=0.001),
            shadowing_db=shadowing_db,
        )

    up, down = ({name: link(dbm, db) for name, db in losses_db.items()} for dbm in (16.0, 20.0))
    return Fdma(up, down, radio=WIFI_NIC)


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Calendar]:
    """Build a calendar by its name; ``losses_db`` by device, ``faded`` with Rayleigh blocks."""
    path = tmp_path_factory.mktemp("recorded") / "rates"
    path.write_text("0 1\n2 5\n4 0\n")
    (capacity,) = load_seconds_mbit(path)

    def make(
        name: str, losses_db: dict[str, float], *, faded: bool = False, seed: int = 1
    ) -> Calendar:
        rng = np.random.default_rng(seed)
        if name == "ideal":
            return Ideal(delay_s=0.01)
        if name == "fdma":
            return fdma(losses_db)
        if name == "replay":
            tracks = {device: Track(capacity) for device in losses_db}
            return ReplayLink(tracks, tracks, radio=WIFI_NIC)
        if name == "replay_lossy":
            lossy = {device: LossyTrack(DeliveryTrace([0.0, 1.0], [0.9])) for device in losses_db}
            frames = Frames(rate_bps=250e3, packet_bytes=100, max_attempts=20, retry_wait_s=0.001)
            return ReplayLossyLink(lossy, lossy, frames, radio=WIFI_NIC, rng=rng)
        blocks = BlockFading(Rayleigh(), 0.02, rng=np.random.default_rng(9)) if faded else None
        return FAMILIES[name].medium(losses_db, rng=rng, blocks=blocks)

    return make


def everywhere(loss_db: float) -> dict[str, float]:
    return dict.fromkeys(NAMES, loss_db)


def one(cell: Calendar, device: str, size_bytes: int, direction: Any = "up") -> Delivery:
    """Send a message now and run until it has ended."""
    cell.submit(device, size_bytes, cell.now_ns, direction=direction)
    ((_, delivery),) = cell.advance(None)
    return delivery


def busy_day(cell: Calendar) -> list[tuple[int, Delivery]]:
    """Everybody sends and receives several messages, many at once."""
    for row in range(6):
        for place, device in enumerate(NAMES):
            ready_ns = cell.now_ns + row * 300 * MS + place * row * MS
            cell.submit(device, 60 + 40 * row, ready_ns, direction="down" if row % 3 else "up")
            cell.submit(device, 100, ready_ns)
    return cell.advance(None)


@pytest.mark.parametrize("direction", ["up", "down"])
@pytest.mark.parametrize("name", CALENDARS)
def test_who_moves_out_of_reach_is_lost_and_who_comes_back_is_heard(
    name: str, direction: Any, build: Callable[..., Calendar]
) -> None:
    cell = build(name, everywhere(NEAR_DB))
    far = build(name, everywhere(NEAR_DB) | {"bee": AWAY_DB})
    assert one(cell, "bee", 100, direction).delivered
    cell.set_loss("bee", AWAY_DB)
    lost, always = one(cell, "bee", 100, direction), one(far, "bee", 100, direction)
    assert lost.reason == always.reason
    assert lost.delivered == (name in DEAF)
    cell.set_loss("bee", NEAR_DB)
    assert one(cell, "bee", 100, direction).delivered
    # So does who was there from the start and comes near.
    far.set_loss("bee", NEAR_DB)
    assert one(far, "bee", 100, direction).delivered


@pytest.mark.parametrize("faded", [False, True])
@pytest.mark.parametrize("name", CALENDARS)
def test_moved_before_the_first_message_is_built_there(
    name: str, build: Callable[..., Calendar], *, faded: bool
) -> None:
    if faded and name in NO_FADING:
        pytest.skip("it takes no fading")
    there = everywhere(NEAR_DB) | {"bee": strained_db(name), "cat": 70.0}
    moved = build(name, everywhere(NEAR_DB), faded=faded)
    for device, loss_db in there.items():
        moved.set_loss(device, 150.0)
        moved.set_loss(device, loss_db)
    built, stayed = build(name, there, faded=faded), build(name, everywhere(NEAR_DB), faded=faded)
    expected = busy_day(built)
    assert busy_day(moved) == expected
    # The loss matters where it can, so that the comparison does.
    assert (busy_day(stayed) == expected) == (name in DEAF)


def test_the_loss_of_an_fdma_link_is_all_of_it() -> None:
    moved = fdma(everywhere(NEAR_DB), shadowing_db=12.0)
    for device in NAMES:
        moved.set_loss(device, 100.0)
    assert busy_day(moved) == busy_day(fdma(everywhere(100.0)))


@pytest.mark.parametrize("direction", ["up", "down"])
@pytest.mark.parametrize("where", ["near", "strained"])
@pytest.mark.parametrize("name", CALENDARS)
def test_a_frame_on_air_keeps_the_power_it_began_with(
    name: str, where: str, direction: Any, build: Callable[..., Calendar]
) -> None:
    loss_db = NEAR_DB if where == "near" else strained_db(name)
    size_bytes = 20
    stays = one(build(name, everywhere(loss_db)), "bee", size_bytes, direction)
    moves = build(name, everywhere(loss_db))
    moves.submit("bee", size_bytes, 0, direction=direction)
    start_ns = round(stays.start_s * SECOND)
    assert not moves.advance(start_ns) or stays.reason == "below_sensitivity"
    moves.set_loss("bee", AWAY_DB)
    for _, delivery in moves.advance(None):
        # An acknowledgement that begins later is lost, a first attempt that failed is in vain.
        if name not in ACKNOWLEDGED and stays.attempts == 1:
            assert delivery == stays
        assert delivery.delivered or where == "strained"


@pytest.mark.parametrize("direction", ["up", "down"])
@pytest.mark.parametrize("name", CALENDARS)
def test_later_frames_of_a_message_meet_the_new_loss(
    name: str, direction: Any, build: Callable[..., Calendar]
) -> None:
    # Several frames everywhere; the duty cycle of LoRa wants fewer bytes.
    size_bytes = 1500 if name.startswith("lora") else 90_000
    if name == "mix2fld":
        size_bytes = 1500
    stays = one(build(name, everywhere(NEAR_DB)), "bee", size_bytes, direction)
    assert stays.delivered
    moves = build(name, everywhere(NEAR_DB))
    moves.submit("bee", size_bytes, 0, direction=direction)
    moves.advance(round(stays.start_s * SECOND))
    moves.set_loss("bee", AWAY_DB)
    ((_, delivery),) = moves.advance(None)
    assert delivery.delivered == (name in DEAF | WHOLE)
    if name in DEAF | WHOLE:
        assert delivery == stays
    # What was sent before it was noticed is paid for.
    assert delivery.air_s > 0 or name == "ideal"
    assert one(moves, "bee", 20, direction).delivered == (name in DEAF)


@pytest.mark.parametrize("name", [name for name in CALENDARS if name in WHOLE | DEAF])
def test_nobody_else_notices_where_nobody_shares(name: str, build: Callable[..., Calendar]) -> None:
    if name in FAMILIES and FAMILIES[name].shared:
        pytest.skip("devices share its carrier")

    def others(*, moving: bool) -> list[Delivery]:
        cell = build(name, everywhere(NEAR_DB), faded=name in FAMILIES and name not in NO_FADING)
        found = []
        for row in range(8):
            if moving:
                cell.set_loss("bee", 200.0 if row % 2 else 120.0)
            for device in NAMES:
                cell.submit(device, 200, cell.now_ns)
            found += cell.advance(cell.now_ns + SECOND)
        found += cell.advance(None)
        return [delivery for _, delivery in found if delivery.device != "bee"]

    assert others(moving=True) == others(moving=False)


@pytest.mark.parametrize("name", CALENDARS)
def test_unknown_devices_and_losses_that_are_none_are_refused(
    name: str, build: Callable[..., Calendar]
) -> None:
    cell = build(name, everywhere(NEAR_DB))
    if name != "ideal":  # any device may use it
        with pytest.raises(ValueError, match=r"'fox' has no link.*build it with that device"):
            cell.set_loss("fox", 80.0)
    for loss_db in (math.nan, math.inf):
        with pytest.raises(ValueError, match=r"loss_db = .* is not finite; give a finite number"):
            cell.set_loss("bee", loss_db)
    assert one(cell, "bee", 100).delivered


MOVES = st.lists(
    st.tuples(st.sampled_from(NAMES), st.integers(0, 3000), st.floats(20, 220)), max_size=12
)
MESSAGES = st.lists(
    st.tuples(
        st.sampled_from(NAMES),
        st.integers(1, 4000),
        st.integers(0, 2500),
        st.sampled_from(["up", "down"]),
        st.sampled_from([None, 1, 800]),
    ),
    max_size=12,
)


@given(
    name=st.sampled_from(CALENDARS),
    moves=MOVES,
    messages=MESSAGES,
    gone_ms=st.integers(0, 3000),
    faded=st.booleans(),
)
@settings(max_examples=150, deadline=None)
def test_whoever_moves_every_message_ends_once(
    build: Callable[..., Calendar],
    name: str,
    moves: list[tuple[str, int, float]],
    messages: list[tuple[str, int, int, Any, int | None]],
    gone_ms: int,
    *,
    faded: bool,
) -> None:
    cell = build(name, everywhere(80.0), faded=faded and name not in NO_FADING)
    tickets = [
        cell.submit(
            device,
            min(size, 1000) if name.startswith(("lora", "mix")) else size,
            ready * MS,
            direction=direction,
            deadline_ns=None if wait is None else (ready + wait) * MS,
        )
        for device, size, ready, direction, wait in messages
    ]
    ended = []
    turns = [(at_ms, device, loss_db) for device, at_ms, loss_db in moves]
    for at_ms, device, loss_db in sorted([*turns, (gone_ms, "cat", math.nan)]):
        ended += cell.advance(at_ms * MS)
        if math.isnan(loss_db):
            ended += cell.leave(device)
        else:
            cell.set_loss(device, loss_db)
    ended += cell.advance(None)
    assert sorted(ticket for ticket, _ in ended) == tickets
    assert cell.next_ns() is None
    for _, item in ended:
        assert item.ready_s <= item.start_s <= item.finish_s
        assert min(item.tx_j, item.rx_j, item.idle_j, item.overhead_j) >= 0
        assert item.attempts >= item.packets or not item.delivered


# What radios draw at rest.


@pytest.mark.parametrize("name", FAMILIES)
def test_a_radio_at_rest_sleeps_or_listens(name: str) -> None:
    family = FAMILIES[name]
    radio = family.radio
    if family.kind == "ble":
        # Between sleep and always on, by far nearer to sleep: an exchange takes under 2 %.
        assert radio.sleep_w < family.rest_w < radio.sleep_w + 0.1 * radio.rx_w
    elif family.kind in {"wifi", "tdma", "ofdma", "shannon"}:
        assert family.rest_w == radio.idle_w
    else:
        assert family.rest_w == radio.sleep_w < radio.idle_w


def test_recorded_links_rest_as_their_radios_do() -> None:
    capacity = Replay(format="seconds_mbit", up="never read")
    lossy = ReplayLossy(format="connectivity", path="never read", radio_name="nrf52840_154")
    assert capacity.rest_w == capacity.radio.idle_w > 0
    assert lossy.rest_w == lossy.radio.sleep_w < lossy.radio.idle_w
