from __future__ import annotations

import json

import pytest

from channel_sim.energy import ESP32, WIFI_NIC, load_radio, radio_names
from channel_sim.energy.radio import RADIOS_FILE


@pytest.mark.parametrize(
    ("name", "dbm", "volt", "tx_ma", "rx_ma"),
    [
        # Nordic nRF52840 product specification, i_radio table, DC/DC at 3 V.
        ("nrf52840_ble", 0, 3.0, 6.40, 6.26),
        ("nrf52840_ble", 8, 3.0, 16.40, 6.26),
        ("nrf52840_154", 0, 3.0, 6.40, 6.53),
        ("nrf52840_ble_ldo", 0, 3.0, 10.80, 10.10),
        # TI data sheets (CC2340R5: power consumption, radio modes).
        ("cc2340r5", 0, 3.0, 5.1, 5.3),
        ("cc2340r5", 8, 3.0, 10.7, 5.3),
        ("cc1350", 10, 3.6, 13.4, 5.4),
        ("cc1350", 14, 3.6, 23.5, 5.4),
        # LoRaSim's list from 2 dBm on and ns-3 lorawan / FLoRa for the rest.
        ("sx1272", 2, 3.3, 24, 11.2),
        ("sx1272", 10, 3.3, 31, 11.2),
        ("sx1272", 14, 3.3, 44, 11.2),
        ("sx1276", 17, 3.3, 90, 9.7),
        ("sx1276", 20, 3.3, 120, 9.7),
    ],
)
def test_currents_of_the_data_sheets(
    name: str, dbm: float, volt: float, tx_ma: float, rx_ma: float
) -> None:
    radio = load_radio(name, tx_power_dbm=dbm)
    assert radio.tx_w == pytest.approx(volt * tx_ma / 1000, rel=1e-9)
    assert radio.rx_w == pytest.approx(volt * rx_ma / 1000, rel=1e-9)
    assert f"setting of {dbm} dBm" in radio.source


def test_the_two_first_radios_are_as_they_ever_were() -> None:
    assert load_radio("wifi_nic") == WIFI_NIC
    assert (WIFI_NIC.tx_w, WIFI_NIC.rx_w, WIFI_NIC.idle_w, WIFI_NIC.sleep_w) == (
        1.140,
        0.939,
        0.819,
        0.099,
    )
    assert load_radio("esp32") == ESP32
    assert (ESP32.tx_w, ESP32.rx_w, ESP32.idle_w, ESP32.sleep_w) == (
        0.693,
        0.2805,
        0.2805,
        0.00264,
    )


def test_a_power_between_two_settings_takes_the_one_above_and_says_so() -> None:
    between = load_radio("sx1276", tx_power_dbm=14.5)
    assert between.tx_w == pytest.approx(3.3 * 0.090)
    assert "setting of 17 dBm" in between.source
    assert load_radio("nrf52840_ble", tx_power_dbm=-12).tx_w == pytest.approx(3 * 6.40e-3)
    with pytest.raises(ValueError, match=r"tx_power_dbm = 21 is above .*'sx1276'.*20"):
        load_radio("sx1276", tx_power_dbm=21)
    with pytest.raises(ValueError, match="tx_power_dbm = nan"):
        load_radio("wifi_nic", tx_power_dbm=float("nan"))
    assert load_radio("wifi_nic", tx_power_dbm=99) == WIFI_NIC


def test_a_phone_draws_by_its_rate() -> None:
    # Huang 2012: 438.4 UL + 52.0 DL + 1288 mW; Wi-Fi 283.2 / 137.0 / 132.9 (oracles.md 2.14).
    phone = load_radio("lte_phone", up_bps=3e6, down_bps=20e6)
    assert phone.tx_w == pytest.approx(1.288 + 3 * 0.4384)
    assert phone.rx_w == pytest.approx(1.288 + 20 * 0.0520)
    assert phone.overhead_j(wakes=0) == pytest.approx(11.6 * 1.060)
    assert load_radio("wifi_phone", up_bps=10e6).tx_w == pytest.approx(0.1329 + 2.832)
    assert load_radio("nrf52840_ble", up_bps=1e6) == load_radio("nrf52840_ble")
    with pytest.raises(ValueError, match="up_bps = -1"):
        load_radio("lte_phone", up_bps=-1)


def test_a_tsch_slot_costs_its_charge() -> None:
    # 6TiSCH simulator: 54.5, 32.6, 6.4 uC a slot, here at 3 V; slots of 10 ms.
    tsch = load_radio("tsch")
    assert tsch.energy_j(tx_s=0.010) == pytest.approx(3 * 54.5e-6)
    assert tsch.energy_j(rx_s=0.020) == pytest.approx(2 * 3 * 32.6e-6)
    assert tsch.energy_j(idle_s=0.010) == pytest.approx(3 * 6.4e-6)


def test_cellular_modules() -> None:
    # TR 45.820 by Sauter: 500 mW sending, 0.015 mW asleep; BG96 class: 220 mA at 3.8 V.
    assert (load_radio("nbiot").tx_w, load_radio("nbiot").sleep_w) == (0.5, 15e-6)
    assert load_radio("ltem").tx_w == pytest.approx(0.836)


def test_an_unknown_radio_is_met_with_the_nearest() -> None:
    with pytest.raises(ValueError, match=r"'nrf52480_ble' is unknown; did you mean 'nrf52840_ble'"):
        load_radio("nrf52480_ble")


@pytest.mark.parametrize("name", radio_names())
def test_every_radio_names_its_source_and_what_is_remembered(name: str) -> None:
    entry = json.loads(RADIOS_FILE.read_text(encoding="utf-8"))[name]
    radio = load_radio(name)
    assert len(entry["source"]) > 20
    assert radio.source.startswith(entry["source"])
    for words in entry.get("remembered", []):
        assert words in radio.source.partition("as remembered: ")[2]
    assert 0 <= radio.sleep_w < radio.idle_w <= max(radio.rx_w, radio.tx_w)
    known = {"source", "remembered", "volt", "default_dbm", "slot_s", "tx_ma_by_dbm"}
    known |= {f"{state}_{unit}" for state in ("tx", "rx", "idle", "sleep") for unit in _UNITS}
    known |= {"tx_w_per_mbps", "rx_w_per_mbps", "wake_j", "tail_w", "tail_s"}
    assert set(entry) <= known
    if "tx_ma_by_dbm" in entry:
        by_dbm = [entry["tx_ma_by_dbm"][key] for key in entry["tx_ma_by_dbm"]]
        assert by_dbm == sorted(by_dbm)


_UNITS = ("w", "ma", "uc")
