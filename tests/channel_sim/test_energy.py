from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from channel_sim.energy import ESP32, WIFI_NIC, Battery, Harvest, RadioPower

YEAR_S = 31_557_600.0

SECONDS = st.fixed_dictionaries(
    {key: st.floats(0.0, 1e6) for key in ("tx_s", "rx_s", "idle_s", "sleep_s")}
)


@given(SECONDS, SECONDS)
@settings(deadline=None)
def test_energy_is_additive_over_states_and_times(a: dict[str, float], b: dict[str, float]) -> None:
    both = {key: a[key] + b[key] for key in a}
    total_j = WIFI_NIC.energy_j(**a) + WIFI_NIC.energy_j(**b)
    assert WIFI_NIC.energy_j(**both) == pytest.approx(total_j, rel=1e-9)
    by_state = sum(WIFI_NIC.energy_j(**{key: seconds}) for key, seconds in a.items())
    assert WIFI_NIC.energy_j(**a) == pytest.approx(by_state, rel=1e-9)
    assert total_j >= 0


def test_the_wifi_card_draws_the_currents_of_ns3_at_3_volts() -> None:
    # ns-3 wifi-radio-energy-model.cc: TX .380, RX .313, idle .273, sleep .033 A (oracles.md 2.14).
    seconds = {"tx_s": 1.0, "rx_s": 10.0, "idle_s": 100.0, "sleep_s": 1000.0}
    expected_j = 3 * (0.380 * 1 + 0.313 * 10 + 0.273 * 100 + 0.033 * 1000)
    assert WIFI_NIC.energy_j(**seconds) == pytest.approx(expected_j)


def test_the_esp32_draws_within_its_manual() -> None:
    # Espressif ESP-WROOM-32 manual, table 5, at 3.3 V: sending 160 to 260 mA,
    # receiving and listening 80 to 90 mA, light sleep 0.8 mA.
    assert 3.3 * 0.160 < ESP32.tx_w < 3.3 * 0.260
    assert 3.3 * 0.080 < ESP32.rx_w == ESP32.idle_w < 3.3 * 0.090
    assert ESP32.sleep_w == pytest.approx(3.3 * 0.0008)


@pytest.mark.parametrize("radio", [WIFI_NIC, ESP32])
def test_a_preset_names_its_source_and_orders_its_states(radio: RadioPower) -> None:
    assert radio.source != RadioPower(1, 1, 1, 1).source
    assert radio.tx_w > radio.rx_w >= radio.idle_w > radio.sleep_w


@given(st.floats(1e-3, 1e6), st.lists(st.floats(0.0, 1e6), max_size=30))
@settings(deadline=None)
def test_a_battery_gives_what_it_holds_and_no_more(capacity_j: float, asks: list[float]) -> None:
    battery = Battery(capacity_j)
    given_j = [battery.drain(ask) for ask in asks]
    assert all(0 <= got <= ask for got, ask in zip(given_j, asks, strict=True))
    assert battery.level_j >= 0
    assert sum(given_j) + battery.level_j == pytest.approx(capacity_j)
    if sum(asks) < capacity_j * (1 - 1e-9):
        assert given_j == asks
        assert not battery.empty
    if sum(asks) > capacity_j * (1 + 1e-9):
        assert battery.empty
        assert battery.drain(1.0) == 0.0


def test_a_battery_drained_to_the_last_joule_is_empty() -> None:
    battery = Battery(2.0)
    assert battery.drain(2.0) == 2.0
    assert battery.empty


def test_bad_powers_times_and_charges_are_refused_by_key_and_value() -> None:
    with pytest.raises(ValueError, match=r"rx_w = -1.0 .*give"):
        RadioPower(1.0, -1.0, 0.0, 0.0)
    with pytest.raises(ValueError, match=r"tx_s = -2.0 .*give"):
        WIFI_NIC.energy_j(tx_s=-2.0)
    with pytest.raises(ValueError, match=r"capacity_j = 0 .*give"):
        Battery(0)
    with pytest.raises(ValueError, match=r"energy_j = -5 .*give"):
        Battery(1).drain(-5)


def test_overhead_is_wakings_and_a_tail_that_the_next_frame_cuts() -> None:
    # Huang 2012: tail 11.6 s at 1060 mW (oracles.md 2.14).
    radio = RadioPower(1.0, 1.0, 1.0, 0.0, wake_j=0.25, tail_w=1.06, tail_s=11.6)
    assert radio.overhead_j() == pytest.approx(0.25 + 12.296)
    assert radio.overhead_j(wakes=3) == pytest.approx(0.75 + 12.296)
    assert radio.overhead_j(wakes=0, gap_s=2.0) == pytest.approx(2.12)
    assert radio.overhead_j(gap_s=20.0) == pytest.approx(0.25 + 12.296)
    assert WIFI_NIC.overhead_j(wakes=9) == 0
    with pytest.raises(ValueError, match=r"gap_s = -1.0 .*give"):
        radio.overhead_j(gap_s=-1.0)
    with pytest.raises(ValueError, match=r"tail_s = -1 .*give"):
        RadioPower(1, 1, 1, 1, tail_s=-1)


def test_a_battery_from_charge_holds_volts_times_coulombs() -> None:
    # 2821.5 mAh at 1.5 V (two AA cells of the 6TiSCH simulator): 15.2 kJ.
    battery = Battery.from_charge(2821.5, 1.5, cut_off=0.1)
    assert battery.capacity_j == pytest.approx(2.8215 * 3600 * 1.5)
    assert battery.drain(1e9) == pytest.approx(0.9 * battery.capacity_j)
    assert battery.empty
    assert battery.state_of_charge == pytest.approx(0.1)


def test_a_battery_stops_at_its_cut_off_and_never_overflows() -> None:
    battery = Battery(10.0, cut_off_j=2.0, level_j=5.0)
    assert battery.charge(1.0) == 1.0
    assert battery.charge(100.0) == pytest.approx(4.0)
    assert battery.level_j == 10.0
    assert battery.drain(7.0) == 7.0
    assert not battery.empty
    assert battery.drain(7.0) == pytest.approx(1.0)
    assert battery.level_j == 2.0
    assert battery.empty
    assert battery.drain(1.0) == 0.0


def test_a_primary_cell_loses_a_hundredth_in_a_year() -> None:
    # 1 %/yr, primary lithium (oracles.md 2.13).
    battery = Battery(1000.0, leak_per_year=0.01)
    assert battery.elapse(0.0, YEAR_S) is None
    assert battery.level_j == pytest.approx(990.0, rel=1e-12)
    battery.elapse(YEAR_S, 3 * YEAR_S)
    assert battery.level_j == pytest.approx(1000 * 0.99**3, rel=1e-12)


def test_five_watthours_outlast_deep_sleep_by_the_closed_form() -> None:
    # TR 45.820: 5 Wh, 0.015 mW asleep: 18000 J / 15 uW = 1.2e9 s without leak.
    assert Battery(18_000.0).depleted_at(15e-6) == pytest.approx(1.2e9)
    leak = -math.log(0.99) / YEAR_S
    expected_s = math.log(1 + leak * 18_000 / 15e-6) / leak
    leaking = Battery(18_000.0, leak_per_year=0.01)
    assert leaking.depleted_at(15e-6) == pytest.approx(expected_s, rel=1e-9)
    assert leaking.level_j == 18_000.0
    assert Battery(18_000.0).depleted_at(15e-6, from_s=7.0) == pytest.approx(1.2e9 + 7)
    assert Battery(18_000.0).depleted_at(15e-6, until_s=1e9) == math.inf


def test_a_solar_cell_that_gives_more_than_is_drawn_lasts_for_ever() -> None:
    # 12 h of 2 mW, 12 h of night: 1 mW on average.
    sun = Harvest([0.0, 43_200.0], [2e-3, 0.0], period_s=86_400.0)
    assert Battery(100.0).depleted_at(0.9e-3, harvest=sun) == math.inf
    # Full at the start, so the surplus of the first day is lost; 0.5 mW short every day.
    # After each full day the level has fallen by 43.2 J, at dusk by 21.6 and a night takes 64.8.
    battery = Battery(200.0)
    # Noon, level 200: the first day costs nothing if the drain is 1.5 mW, the night 64.8 J,
    # each next day gives 21.6 J back. 200 -> 135.2 -> 156.8 -> 92 -> 113.6 -> 48.8 -> 70.4 -> 5.6
    # -> 27.2, and the fifth night empties it after 27.2 J / 1.5 mW.
    expected_s = 4 * 86_400 + 43_200 + 27.2 / 1.5e-3
    assert battery.depleted_at(1.5e-3, harvest=sun) == pytest.approx(expected_s)
    # Too small for one night.
    assert Battery(10.0).depleted_at(0.9e-3, harvest=sun) == pytest.approx(43_200 + 10 / 0.9e-3)


def test_a_hundredth_short_each_day_empties_it_in_the_end() -> None:
    # 1 mW of sun on average, 1.01 mW drawn: 0.864 J short every day, from a full 2000 J on.
    # The first day's surplus is lost, so every dusk is at 2000 less 0.864 J a day.
    sun = Harvest([0.0, 43_200.0], [2e-3, 0.0], period_s=86_400.0)
    end_s = Battery(2000.0).depleted_at(1.01e-3, harvest=sun)
    # A night takes 43.632 J: the first dusk with less than that is after 2264 days.
    dusk = math.ceil((2000 - 43.632) / 0.864)
    left_j = 2000 - 0.864 * dusk
    assert end_s == pytest.approx(dusk * 86_400 + 43_200 + left_j / 1.01e-3, rel=1e-9)


def test_a_leak_larger_than_the_harvest_reaches_the_cut_off() -> None:
    # Leak of 99.9 %/year: 0.219 W at 1 MJ, more than the 0.1 W that come in.
    leak = -math.log(0.001) / YEAR_S
    battery = Battery(2e6, cut_off_j=1e6, leak_per_year=0.999)
    expected_s = math.log((leak * 2e6 - 0.1) / (leak * 1e6 - 0.1)) / leak
    assert battery.depleted_at(0.0, harvest=Harvest([0.0], [0.1])) == pytest.approx(expected_s)
    assert battery.depleted_at(0.0, harvest=Harvest([0.0], [0.3])) == math.inf


def test_flow_of_drain_leak_and_harvest_meets_small_steps() -> None:
    harvest = Harvest([0.0, 30.0, 50.0], [0.4, 0.0, 2.5], period_s=80.0)
    battery = Battery(40.0, level_j=30.0, cut_off_j=4.0, leak_per_year=0.999)
    slow = Battery(40.0, level_j=30.0, cut_off_j=4.0)
    leak = -math.log(0.001) / YEAR_S
    step_s, level_j, empty_at_s, drain_w = 0.01, 30.0, None, 0.9
    for k in range(20_000):
        t_s = (k * step_s) % 80.0
        harvest_w = 0.4 if t_s < 30 else 0.0 if t_s < 50 else 2.5
        load_w = drain_w if empty_at_s is None else 0.0
        level_j = min(40.0, level_j + (harvest_w - load_w - leak * level_j) * step_s)
        if empty_at_s is None and level_j <= 4.0:
            empty_at_s = k * step_s
    assert empty_at_s is not None
    assert battery.depleted_at(drain_w, harvest=harvest) == pytest.approx(empty_at_s, abs=0.05)
    assert battery.elapse(0.0, 200.0, drain_w=drain_w, harvest=harvest) == pytest.approx(
        empty_at_s, abs=0.05
    )
    assert battery.level_j == pytest.approx(level_j, abs=0.05)
    assert slow.elapse(0.0, 10.0, drain_w=0.1, harvest=harvest) is None
    assert slow.level_j == pytest.approx(33.0)


@given(
    st.lists(st.floats(0.0, 5.0), min_size=1, max_size=5),
    st.floats(0.0, 3.0),
    st.floats(0.0, 100.0),
    st.floats(0.0, 100.0),
)
@settings(deadline=None)
def test_time_that_passes_in_two_parts_is_time_that_passes(
    powers: list[float], drain_w: float, first_s: float, second_s: float
) -> None:
    harvest = Harvest([7.0 * k for k in range(len(powers))], powers, period_s=40.0)
    whole = Battery(1000.0, level_j=800.0, leak_per_year=0.5)
    parts = Battery(1000.0, level_j=800.0, leak_per_year=0.5)
    at_s = whole.elapse(0.0, first_s + second_s, drain_w=drain_w, harvest=harvest)
    assert at_s is None
    parts.elapse(0.0, first_s, drain_w=drain_w, harvest=harvest)
    parts.elapse(first_s, first_s + second_s, drain_w=drain_w, harvest=harvest)
    assert parts.level_j == pytest.approx(whole.level_j, rel=1e-9)
    assert 0 <= whole.level_j <= whole.capacity_j


def test_an_empty_battery_is_empty_from_the_start_and_fills_again() -> None:
    battery = Battery(10.0, level_j=0.0)
    assert battery.elapse(5.0, 15.0, drain_w=1.0, harvest=Harvest([0.0], [0.3])) == 5.0
    assert battery.level_j == pytest.approx(3.0)
    assert not battery.empty


def test_bad_batteries_are_refused_by_key_and_value() -> None:
    with pytest.raises(ValueError, match="cut_off_j = 11"):
        Battery(10.0, cut_off_j=11.0)
    with pytest.raises(ValueError, match="level_j = -1"):
        Battery(10.0, level_j=-1.0)
    with pytest.raises(ValueError, match=r"leak_per_year = 1\.0"):
        Battery(10.0, leak_per_year=1.0)
    with pytest.raises(ValueError, match="volt = 0"):
        Battery.from_charge(100.0, 0.0)
    with pytest.raises(ValueError, match=r"to_s = 1.0 is before from_s = 2.0"):
        Battery(1.0).elapse(2.0, 1.0)
    with pytest.raises(ValueError, match="drain_w = -1"):
        Battery(1.0).depleted_at(-1.0)
    with pytest.raises(ValueError, match="energy_j = -2"):
        Battery(1.0).charge(-2.0)
