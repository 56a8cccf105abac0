from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from channel_sim import ESP32, WIFI_NIC, Battery, RadioPower

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
    # ns-3 wifi-radio-energy-model.cc: TX .380, RX .313, idle .273, sleep .033 A (channel.md 2.14).
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
