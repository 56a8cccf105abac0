from __future__ import annotations

import math

import pytest

from channel_sim.ieee802154 import Zigbee
from channel_sim.ieee802154.air import Air, Frame

NS = 1000


def bit_error(sinr: float) -> float:
    """IEEE 802.15.4-2006, annex E.4.1.8, written out a second time."""
    terms = ((-1) ** k * math.comb(16, k) * math.exp(20 * sinr * (1 / k - 1)) for k in range(2, 17))
    return 8 / 15 / 16 * sum(terms)


def build(*losses_db: float, **parameters: float) -> tuple[Air, float]:
    """The air of a PAN and its noise in mW; 0 dBm everywhere."""
    family = Zigbee(**parameters)  # type: ignore[arg-type]
    return Air(family, losses_db, blocks=None), 10 ** (family.noise_dbm / 10)


def up(air: Air, sender: int, start_us: int, end_us: int) -> Frame:
    return Frame(sender, air.station, start_us * NS, end_us * NS)


def test_chunks_by_hand() -> None:
    """A frame of 4 ms, one interferer from 1 to 3 ms and another from 2 ms to its end."""
    air, noise_mw = build(97.0, 98.0, 99.0)
    wanted, second, third = up(air, 0, 0, 4000), up(air, 1, 1000, 3000), up(air, 2, 2000, 5000)
    air.start(wanted, deaf=False)
    air.start(second, deaf=False)
    air.start(third, deaf=False)
    air.stop(second, 3000 * NS)
    found = air.stop(wanted, 4000 * NS)
    signal, one, two = 10**-9.7, 10**-9.8, 10**-9.9
    expected = 1.0
    for interference in (0.0, one, one + two, two):  # 250 bits each
        expected *= (1 - bit_error(signal / (noise_mw + interference))) ** 250
    assert 0 < expected < 1
    assert found == pytest.approx(expected, rel=1e-9)
    assert air.stop(third, 5000 * NS) == 0.0


def test_capture_of_the_stronger_first_and_loss_of_the_stronger_second() -> None:
    air, _ = build(50.0, 60.0)
    strong, weak = up(air, 0, 0, 4000), up(air, 1, 100, 4100)
    air.start(strong, deaf=False)
    air.start(weak, deaf=False)
    assert air.stop(strong, 4000 * NS) == pytest.approx(1.0)
    assert air.stop(weak, 4100 * NS) == 0.0
    air, _ = build(50.0, 60.0)
    weak, strong = up(air, 1, 0, 4000), up(air, 0, 100, 4100)
    air.start(weak, deaf=False)
    air.start(strong, deaf=False)
    assert air.stop(weak, 4000 * NS) == pytest.approx(0.0, abs=1e-12)
    assert air.stop(strong, 4100 * NS) == 0.0  # the receiver was following the first


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 0, 2), (1, 2, 0)])
def test_of_one_instant_the_strongest_is_followed(order: tuple[int, ...]) -> None:
    air, _ = build(50.0, 60.0, 61.0)
    frames = {sender: up(air, sender, 0, 4000) for sender in order}
    for frame in frames.values():
        air.start(frame, deaf=False)
    found = {sender: air.stop(frame, 4000 * NS) for sender, frame in frames.items()}
    assert found[0] == pytest.approx(1.0, abs=1e-6)
    assert found[1] == found[2] == 0.0


def test_equal_powers_at_0_db() -> None:
    # ns-3: a frame of 127 bytes fails with .1514 at 0 dB (oracles.md 3.4).
    air, _ = build(50.0, 50.0)
    frames = [up(air, 0, 0, 127 * 32), up(air, 1, 0, 127 * 32)]
    for frame in frames:
        air.start(frame, deaf=False)
    assert air.stop(frames[0], 127 * 32 * NS) == pytest.approx(1 - 0.1514, abs=5e-4)


def test_no_lock_below_minus_5_db_and_none_for_the_deaf() -> None:
    family = Zigbee()
    for margin_db, locks in ((0.1, True), (-0.1, False)):
        air, _ = build(-family.noise_dbm + 5.0 - margin_db, 60.0)
        faint = up(air, 0, 0, 4000)
        air.start(faint, deaf=False)
        later = up(air, 1, 100, 4100)
        air.start(later, deaf=False)
        air.stop(faint, 4000 * NS)
        received = air.stop(later, 4100 * NS)
        assert received == (0.0 if locks else pytest.approx(1.0))
    air, _ = build(60.0)
    frame = up(air, 0, 0, 4000)
    air.start(frame, deaf=True)
    assert air.stop(frame, 4000 * NS) == 0.0


@pytest.mark.parametrize(("loss_db", "locks"), [(65.5, False), (64.5, True)])
def test_what_is_on_air_already_counts_for_the_lock(loss_db: float, *, locks: bool) -> None:
    """A missed frame at -60 dBm goes on; 5 dB below it nothing is followed."""
    air, _ = build(60.0, loss_db, 40.0)
    missed, faint, strong = up(air, 0, 0, 9000), up(air, 1, 100, 4100), up(air, 2, 200, 4200)
    air.start(missed, deaf=True)
    air.start(faint, deaf=False)
    air.start(strong, deaf=False)
    air.stop(faint, 4100 * NS)
    assert air.stop(strong, 4200 * NS) == (0.0 if locks else pytest.approx(1.0))


def test_turning_to_send_breaks_a_reception_off() -> None:
    air, _ = build(60.0)
    frame = up(air, 0, 0, 4000)
    air.start(frame, deaf=False)
    air.deafen(air.station)
    assert air.stop(frame, 4000 * NS) == 0.0


def test_listening_covers_the_whole_interval() -> None:
    air, _ = build(60.0, 60.0)
    frame = up(air, 0, 0, 1000)
    air.start(frame, deaf=False)
    assert air.busy_since(1, 500 * NS)
    air.stop(frame, 1000 * NS)
    assert air.busy_since(1, 999 * NS)  # it ended while the node listened
    assert not air.busy_since(1, 1000 * NS)
    assert air.busy_since(air.station, 999 * NS)


def test_threshold_hides_the_far_ones() -> None:
    air, _ = build(60.0, 80.0, 60.0, cca_threshold_dbm=-75.0)
    far = up(air, 1, 0, 1000)
    air.start(far, deaf=False)
    assert not air.busy_since(0, 0)
    assert not air.busy_since(air.station, 0)
    near = up(air, 0, 0, 1000)
    air.start(near, deaf=False)
    assert air.busy_since(2, 0)
    assert not air.busy_since(1, 0)


def test_a_cut_frame_is_gone() -> None:
    air, _ = build(60.0, 60.0)
    frame = up(air, 0, 0, 4000)
    air.start(frame, deaf=False)
    air.cut(frame, 1000 * NS)
    assert air.busy_since(1, 900 * NS)
    assert not air.busy_since(1, 1000 * NS)
    later = up(air, 1, 1000, 5000)
    air.start(later, deaf=False)
    assert air.stop(later, 5000 * NS) == pytest.approx(1.0)


def test_downlink_is_heard_at_the_device() -> None:
    """At a device others come over the larger of the two losses; the earlier frame holds it."""
    air, noise_mw = build(98.0, 99.0)
    down = Frame(air.station, 0, 0, 4_000_000)
    air.start(down, deaf=False)
    air.start(up(air, 1, 2000, 6000), deaf=True)  # the station sends
    clear, hit = 10**-9.8 / noise_mw, 10**-9.8 / (noise_mw + 10**-9.9)
    expected = (1 - bit_error(clear)) ** 500 * (1 - bit_error(hit)) ** 500
    assert air.stop(down, 4_000_000) == pytest.approx(expected, rel=1e-9)
    air, _ = build(60.0, 60.0)
    air.start(up(air, 1, 0, 4000), deaf=True)
    held = Frame(air.station, 0, 2_000_000, 6_000_000)
    air.start(held, deaf=False)
    assert air.stop(held, 6_000_000) == 0.0
    air, _ = build(60.0, 70.0)
    together = Frame(air.station, 0, 0, 4_000_000)
    air.start(together, deaf=False)
    air.start(up(air, 1, 0, 4000), deaf=True)  # heard at device 0 over 70 dB
    assert air.stop(together, 4_000_000) == pytest.approx(1.0)


def test_an_acknowledgement_is_received_beside_others() -> None:
    air, noise_mw = build(97.0, 98.0)
    air.start(up(air, 1, 0, 4000), deaf=True)
    ack = Frame(air.station, 0, 1_000_000, 1_352_000, acknowledges=True)
    air.start(ack, deaf=False)
    expected = (1 - bit_error(10**-9.7 / (noise_mw + 10**-9.8))) ** 88
    assert air.stop(ack, 1_352_000) == pytest.approx(expected, rel=1e-9)
