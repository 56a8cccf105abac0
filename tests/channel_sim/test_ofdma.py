from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ks_2samp

from channel_sim.calendar import Fingerprint
from channel_sim.outcomes import CODES
from channel_sim.reception.wifi_error import wifi_per
from channel_sim.scheduled import Ofdma, ofdma_calendar, ofdma_lockstep
from channel_sim.scheduled import resource_units as ru

CLEAR_DB = 60.0


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.mark.parametrize(
    ("tones", "mcs", "mbps"),
    # IEEE 802.11ax-2021 tables 27-54 ff., one stream, guard interval 1.6 us (as remembered).
    [
        (26, 0, 0.8),
        (26, 11, 13.9),
        (52, 0, 1.7),
        (52, 7, 16.7),
        (106, 0, 3.5),
        (106, 9, 47.2),
        (242, 0, 8.1),
        (242, 4, 48.8),
        (242, 11, 135.4),
        (484, 11, 270.8),
        (996, 0, 34.0),
        (996, 11, 567.1),
    ],
)
def test_rates_of_the_standard(tones: int, mcs: int, mbps: float) -> None:
    # Tables print one decimal, and floor where rounding would exceed it.
    rate_bps = ru.bits_per_symbol(tones, mcs) / 14.4e-6
    assert rate_bps / 1e6 == pytest.approx(mbps, abs=0.1)


def test_units_fill_their_channel() -> None:
    for width_mhz, units in ru.UNITS.items():
        for tones, count in units:
            # Never more than the channel has, and the widest unit nearly all of it.
            assert tones * count * ru.TONE_HZ <= width_mhz * 1e6
        assert units[0][0] * units[0][1] * ru.TONE_HZ > 0.94 * width_mhz * 1e6
        assert [count for _, count in units] == sorted(count for _, count in units)
    assert Ofdma().unit_for([1, 2, 3, 4, 5, 9, 10, 99]).tolist() == [0, 1, 2, 2, 3, 3, 3, 3]
    assert Ofdma(width_mhz=80).unit_for([1, 5, 16, 17, 38]).tolist() == [0, 3, 4, 5, 5]


def test_one_interval_of_a_clear_cell_to_the_nanosecond() -> None:
    # Alone at HE MCS 11 over 242 tones: 1950 bits a symbol of 14.4 us; one MPDU of 1054 bytes
    # and its delimiter, 1060 in all: ceil((22 + 8480) / 1950) = 5 symbols.
    # Trigger 34 bytes: 20 + 4 * ceil(294 / 96) = 36 us; BlockAck 34 bytes as well.
    family = Ofdma()
    cell = family.medium({"a": CLEAR_DB}, rng=rng())
    one = cell.offer(["a"], [1000], [0.002])[0]
    send_us = 2000 + 25 + 36 + 16
    assert one.start_s == pytest.approx(send_us * 1e-6)
    assert one.finish_s == pytest.approx((send_us + 48 + 5 * 14.4) * 1e-6)
    # 3 V: 0.380, 0.313, 0.273 A (ns-3).
    assert one.tx_j == pytest.approx(1.140 * 120e-6)
    assert one.rx_j == pytest.approx(0.939 * 72e-6)
    assert one.idle_j == pytest.approx(0.819 * 32e-6)
    assert (one.packets, one.attempts) == (1, 1)


def test_devices_that_answer_together_share_the_band_and_take_turns() -> None:
    # 12 devices, 9 units of 26 tones (MCS 11: 200 bits a symbol): nine first, then three in
    # units of 52 tones (400 bits).
    family = Ofdma()
    names = [f"d{k:02d}" for k in range(12)]
    cell = family.medium(dict.fromkeys(names, CLEAR_DB), rng=rng())
    found = cell.offer(names, [1000] * 12, [0.0] * 12)
    trigger = {n: 20 + 4 * math.ceil((22 + 8 * (28 + 6 * n)) / 96) for n in (3, 9)}
    answer = 20 + 4 * math.ceil((22 + 8 * (22 + 12 * 9)) / 96)
    bits = 22 + 8 * 1060
    first = 25 + trigger[9] + 16 + 48 + 14.4 * math.ceil(bits / 200)
    second = first + 16 + answer + 25 + trigger[3] + 16 + 48 + 14.4 * math.ceil(bits / 400)
    ends_us = [one.finish_s * 1e6 for one in found]
    assert ends_us == pytest.approx([first] * 9 + [second] * 3)


def test_down_all_are_sent_to_at_once_and_answer_at_once() -> None:
    family = Ofdma()
    cell = family.medium(dict.fromkeys("ab", CLEAR_DB), rng=rng())
    found = cell.offer(["a", "b"], [1000, 400], [0.0, 0.0], direction="down")
    # 106 tones at MCS 11: 850 bits a symbol; SIG-B ceil((18 + 42) / 26) = 3 symbols.
    frame_us = 44 + 12 + 14.4 * math.ceil((22 + 8 * 1060) / 850)
    assert [one.finish_s * 1e6 for one in found] == pytest.approx([25 + frame_us] * 2)
    # BlockAck of 32 bytes at MCS 0: 51 bits a symbol.
    answer_us = 48 + 14.4 * math.ceil((22 + 256) / 51)
    for one in found:
        assert one.rx_j == pytest.approx(0.939 * frame_us * 1e-6)
        assert one.tx_j == pytest.approx(1.140 * answer_us * 1e-6)
        assert one.idle_j == pytest.approx(0.819 * 16e-6)


def test_both_directions_take_turns() -> None:
    cell = Ofdma(ppdu_s=0.0006).medium({"a": CLEAR_DB}, rng=rng())
    events: list[str] = []
    cell.trace = lambda _, event, __: events.append(event)
    for direction in ("up", "down"):
        cell.submit("a", 30_000, 0, direction=direction)  # type: ignore[arg-type]
    cell.advance(None)
    sent = [event for event in events if event.startswith("send")]
    assert sent[:6] == ["send up", "send down"] * 3


def test_a_narrow_unit_reaches_further() -> None:
    family = Ofdma()
    # All power in 26 of 242 tones: 10 lg (242 / 26) = 9.69 dB more SNR.
    snr_db = family.snr_db(np.array([100.0]))[0]
    assert snr_db[3] - snr_db[0] == pytest.approx(9.688, abs=1e-3)
    # -174 + 10 lg (242 * 78125) + 7 = -94.234 dBm.
    assert snr_db[0] == pytest.approx(16 - 100 + 94.234, abs=1e-3)
    assert np.ptp(family.snr_db(100.0, up=False)) == 0
    far = family.snr_db(115.0)
    mcs, unit = family.modes(far)
    # Alone it would be granted 242 tones, where not even MCS 0 works.
    assert far[0] < 0 < far[3]
    assert mcs[0] >= 0
    assert unit.tolist()[0] > 0
    one = family.medium({"a": 115.0}, rng=rng()).offer(["a"], [3000], [0.0])[0]
    assert one.delivered
    alone = np.zeros(1, dtype=np.int64)
    row = family.burst(np.array([115.0]), alone + 3000, alone, cells=alone, rng=rng())
    assert (row.finish_ns[0], row.attempts[0]) == (round(one.finish_s * 1e9), one.attempts)
    lost = family.medium({"a": 130.0}, rng=rng()).offer(["a"], [3000], [0.5])[0]
    assert (lost.reason, lost.finish_s, lost.energy_j) == ("below_sensitivity", 0.5, 0.0)
    rows = family.burst(
        np.array([130.0, 60.0]),
        np.array([3000, 3000]),
        np.array([7, 7]),
        cells=np.zeros(2, dtype=np.int64),
        rng=rng(),
    )
    assert rows.reason.tolist() == [CODES["below_sensitivity"], CODES["delivered"]]
    assert rows.energy_j(family.radio)[0] == 0


def test_the_mode_is_the_fastest_that_keeps_its_target() -> None:
    family = Ofdma(fade_margin_db=3.0)
    for loss_db in np.arange(70.0, 105.0, 2.5):
        snr_db = family.snr_db(loss_db)
        mcs, unit = family.modes(snr_db)
        for place in range(4):
            used_db = snr_db[unit[place]] - 3.0
            errors = [float(wifi_per(mode, used_db, 1514)) for mode in ru.MODES]
            assert errors[mcs[place]] <= 0.1
            if mcs[place] < 11:
                assert min(errors[mcs[place] + 1 :]) > 0.1


def test_packets_always_fit_into_the_narrowest_unit() -> None:
    family = Ofdma()
    slow = np.array([12, 24, 200])
    sizes = family.packet_sizes(40_000, slow, ru.TB_PREAMBLE_NS)
    subframe = ru.subframe_bytes(sizes + 54)
    symbols = (5_484_000 - 48_000) // 14_400
    assert np.all(ru.packets_in(symbols, subframe, slow) >= 1)
    # At 12 bits a symbol one MPDU fills the frame: 377 symbols, 4502 bits, 560 bytes.
    assert subframe[0] <= 560
    assert sizes[2] == math.ceil(40_000 / 28)
    # 16 service and 6 tail bits: 800 bits of room do not hold 100 bytes.
    assert (ru.packets_in(10, 100, 80), ru.packets_in(11, 100, 80)) == (0, 1)
    assert ru.symbols_of(1, 100, 80) == 11


def test_what_failed_most_often_goes_first() -> None:
    assert ofdma_calendar._oldest([5, 2, 1], 4) == [1, 2, 1]
    assert ofdma_calendar._oldest([5, 2, 1], 64) == [5, 2, 1]
    stages = np.array([[5, 2, 1], [5, 2, 1], [0, 0, 7]])
    found = ofdma_lockstep._oldest(stages, np.array([4, 64, 3]))
    assert found.tolist() == [[1, 2, 1], [5, 2, 1], [0, 0, 3]]


def test_arq_of_every_mpdu_has_its_closed_form() -> None:
    # A wide table of losses is not needed: fix the error rate by its unit and mode.
    family = Ofdma(max_attempts=3)
    loss_db = 97.4
    plan = family.plan(loss_db, 14_000)
    error = float(plan.packet_error)
    assert 0.02 < error < 0.1
    rows = 30_000
    found = family.burst(
        np.full(rows, loss_db),
        np.full(rows, 14_000),
        np.zeros(rows, dtype=np.int64),
        cells=np.arange(rows),
        rng=rng(3),
    )
    packets = int(plan.packets)
    assert packets == 10
    success = (1 - error**3) ** packets
    assert abs(found.delivered.mean() - success) < 4 * math.sqrt(success * (1 - success) / rows)
    assert float(plan.message_loss) == pytest.approx(1 - success)
    mean = packets * (1 - error**3) / (1 - error)
    assert found.attempts.mean() == pytest.approx(mean, rel=5e-3)
    # Rounds until all ten have arrived: the largest of ten geometric variables.
    rounds = 1 + sum(1 - (1 - error**k) ** packets for k in (1, 2))
    measured = found.rx_ns.mean() / (36_000 + 36_000)
    assert measured == pytest.approx(rounds, rel=0.01)
    assert float(plan.latency_s) == pytest.approx(found.latency_s.mean(), rel=0.02)
    assert float(plan.energy_j) == pytest.approx(found.energy_j(family.radio).mean(), rel=0.02)


def test_plan_of_a_long_message() -> None:
    family = Ofdma()
    rows = 800
    for loss_db, tolerance in ((60.0, 1e-6), (97.4, 0.01)):
        plan = family.plan(loss_db, 200_000)
        found = family.burst(
            np.full(rows, loss_db),
            np.full(rows, 200_000),
            np.zeros(rows, dtype=np.int64),
            cells=np.arange(rows),
            rng=rng(1),
        )
        assert float(plan.latency_s) == pytest.approx(found.latency_s.mean(), rel=tolerance)
        assert float(plan.air_s) == pytest.approx(found.air_ns.mean() / 1e9, rel=tolerance)
    faded = family.plan(97.4, 1000, fading="rayleigh")
    assert faded.packet_error > family.plan(97.4, 1000).packet_error
    lost = family.plan([130.0], 1000)
    assert (lost.message_loss[0], lost.rate_bps[0]) == (1.0, 0.0)


@pytest.mark.parametrize("devices", [1, 3, 12])
def test_the_engines_agree(devices: int) -> None:
    family = Ofdma(max_attempts=3)
    losses = 97.0 + 0.4 * np.arange(devices)
    sizes = np.full(devices, 20_000)
    ready_ns = np.arange(devices) * 700_000
    names = [str(k) for k in range(devices)]
    draw = rng(5)
    finish_s, attempts, joules, lost = [], [], [], []
    cells = 240 // devices + 20
    for _ in range(cells):
        cell = family.medium(dict(zip(names, losses, strict=True)), rng=draw)
        found = cell.offer(names, sizes.tolist(), (ready_ns / 1e9).tolist())
        finish_s += [round(one.finish_s, 9) for one in found]
        attempts += [one.attempts for one in found]
        joules += [one.energy_j for one in found]
        lost += [not one.delivered for one in found]
    many = 600
    rows = family.burst(
        np.tile(losses, many),
        np.tile(sizes, many),
        np.tile(ready_ns, many),
        cells=np.repeat(np.arange(many), devices),
        rng=draw,
    )
    assert ks_2samp(finish_s, np.round(rows.finish_ns / 1e9, 9)).pvalue > 0.01
    assert ks_2samp(attempts, rows.attempts).pvalue > 0.01
    share = (~rows.delivered).mean()
    assert abs(np.mean(lost) - share) < 3 * math.sqrt((share + 1e-3) / len(lost))
    others = rows.energy_j(family.radio)
    spread = np.std(joules) / math.sqrt(len(joules)) + others.std() / math.sqrt(len(others))
    assert abs(np.mean(joules) - others.mean()) < 3 * spread + 1e-12


def test_a_clear_cell_is_the_same_in_both_engines_to_the_nanosecond() -> None:
    family = Ofdma()
    draw = rng(4)
    sizes = draw.integers(1, 90_000, 14)
    ready_ns = draw.integers(0, 6_000_000, 14)
    ready_ns[3] = 60_000_000
    losses = draw.uniform(50, 60, 14)
    names = [f"d{k:02d}" for k in range(14)]
    cell = family.medium(dict(zip(names, losses, strict=True)), rng=rng())
    found = cell.offer(names, sizes.tolist(), (ready_ns / 1e9).tolist())
    cells = np.full(16, 9)
    cells[[2, 8]] = 4
    own = cells == 9
    columns = [np.full(16, value) for value in (60.0, 5000, 0)]
    for column, values in zip(columns, (losses, sizes, ready_ns), strict=True):
        column[own] = values
    rows = family.burst(*columns, cells=cells, rng=rng())
    assert [round(one.finish_s * 1e9) for one in found] == rows.finish_ns[own].tolist()
    assert [round(one.start_s * 1e9) for one in found] == rows.start_ns[own].tolist()
    assert [one.attempts for one in found] == rows.attempts[own].tolist()
    assert rows.energy_j(family.radio)[own] == pytest.approx([one.energy_j for one in found])


class Blocks:
    """Blocks of 2 ms; every other one is a deep fade."""

    coherence_ns = 2_000_000

    def gain(self, _link: int, block: int) -> float:
        return 1.0 if block % 2 else 1e-9

    def gains(self, _links: np.ndarray, blocks: np.ndarray) -> np.ndarray:
        return np.where(blocks % 2, 1.0, 1e-9)


def test_a_deep_fade_loses_all_of_its_mpdus_in_both_engines() -> None:
    family = Ofdma(max_attempts=30)
    one = family.medium({"a": CLEAR_DB}, rng=rng(), blocks=Blocks()).offer(["a"], [1000], [0.0])[0]
    # An interval lasts 25 + 36 + 16 + 120 + 16 + 36 us = 249: eight begin before 2 ms.
    assert one.attempts == math.ceil((2000 - 25) / 249) + 1
    rows = family.burst(
        np.array([CLEAR_DB]),
        np.array([1000]),
        np.array([0]),
        cells=np.array([0]),
        rng=rng(),
        blocks=Blocks(),
    )
    assert rows.attempts[0] == one.attempts
    assert rows.finish_ns[0] == round(one.finish_s * 1e9)


@given(
    st.lists(
        st.tuples(
            st.sampled_from("abc"),
            st.integers(1, 60_000),
            st.integers(0, 20_000_000),
            st.sampled_from(["up", "down"]),
            st.one_of(st.none(), st.integers(0, 30_000_000)),
        ),
        min_size=1,
        max_size=8,
    ),
    st.integers(0, 30_000_000),
)
@settings(deadline=None, max_examples=60)
def test_every_message_ends_once_and_nothing_is_sent_while_off(
    offers: list[tuple[str, int, int, str, int | None]], off_ns: int
) -> None:
    cell = Ofdma(max_attempts=3).medium({"a": 60.0, "b": 97.4, "c": 130.0}, rng=rng(3))
    events: list[tuple[int, str, str]] = []
    cell.trace = lambda time_ns, event, node: events.append((time_ns, event, node))
    tickets = [
        cell.submit(device, size, ready, direction=direction, deadline_ns=deadline)  # type: ignore[arg-type]
        for device, size, ready, direction, deadline in offers
    ]
    ended = [*cell.advance(off_ns), *cell.leave("b"), *cell.advance(None)]
    assert sorted(ticket for ticket, _ in ended) == tickets
    found = dict(ended)
    for (device, _, ready, direction, deadline), ticket in zip(offers, tickets, strict=True):
        one = found[ticket]
        assert min(one.tx_j, one.rx_j, one.idle_j, one.air_s) >= 0
        assert (one.reason == "off") <= (device == "b")
        if device == "c" and direction == "up":
            assert one.reason in {"below_sensitivity", "deadline"}
        if one.delivered:
            assert one.attempts >= one.packets
        if deadline is not None:
            assert one.finish_s <= max(deadline, ready) / 1e9 + 1e-12
    sent = [time_ns for time_ns, event, node in events if node == "b" and event == "send up"]
    # What was announced for later may still go: the device may be back by then.
    back_ns = min(
        (ready for device, _, ready, *_ in offers if device == "b" and ready > off_ns),
        default=10**12,
    )
    assert not [time_ns for time_ns in sent if off_ns < time_ns < back_ns]


def test_a_frame_that_is_cut_is_paid_as_far_as_it_went() -> None:
    family = Ofdma()
    for left_ns, air_us, heard_us, waited_us in ((50_000, 0, 25, 0), (177_000, 100, 36, 16)):
        cell = family.medium({"a": CLEAR_DB}, rng=rng())
        cell.submit("a", 1000, 0)
        cell.advance(left_ns)
        ((_, one),) = cell.leave("a", reason="battery")
        assert one.reason == "battery"
        assert one.air_s == pytest.approx(air_us * 1e-6)
        assert one.tx_j == pytest.approx(1.140 * air_us * 1e-6)
        assert one.rx_j == pytest.approx(0.939 * heard_us * 1e-6)
        assert one.idle_j == pytest.approx(0.819 * waited_us * 1e-6)
        assert cell.advance(None) == []


def test_the_order_of_the_offers_changes_nothing() -> None:
    devices, sizes, ready = list("abcd"), [30_000, 50_000, 10, 2000], [0.01, 0.0, 0.05, 0.01]
    losses_db = dict.fromkeys("abcd", 97.4)
    straight = Ofdma().medium(losses_db, rng=rng(4)).offer(devices, sizes, ready)
    turned = Ofdma().medium(losses_db, rng=rng(4)).offer(devices[::-1], sizes[::-1], ready[::-1])
    assert straight == turned[::-1]


def test_fingerprint_of_a_reference_cell() -> None:
    cell = Ofdma().medium({"a": 97.4, "b": 97.0, "c": 60.0}, rng=rng(7))
    cell.trace = fingerprint = Fingerprint()
    for device in "abc":
        cell.submit(device, 30_000, 3_000_000, direction="up")
        cell.submit(device, 9000, 5_000_000, direction="down")
    cell.advance(None)
    assert (fingerprint.events, fingerprint.digest) == (30, "6ff43cb8b2ad2dd4")


def test_bad_parameters_are_refused_by_key_and_value() -> None:
    with pytest.raises(ValueError, match="width_mhz = '30' is unknown"):
        Ofdma(width_mhz=30)
    with pytest.raises(ValueError, match=r"ppdu_s = 0\.01 is outside"):
        Ofdma(ppdu_s=0.01)
    with pytest.raises(ValueError, match="fade_margin_db = -1"):
        Ofdma(fade_margin_db=-1)
    with pytest.raises(ValueError, match=r"error_model|model = 'wishful'"):
        Ofdma(error_model="wishful")  # type: ignore[arg-type]
    none = np.zeros(0, dtype=np.int64)
    assert len(Ofdma().burst(np.zeros(0), none, none, cells=none, rng=rng())) == 0
