"""Reception: from power and interference to the chance that a frame is lost.

wifi_modes   modes of 802.11 by name
wifi_error   802.11 packet error: ns-3's tables, NIST, YANS
wifi_closed  the bit errors behind the closed forms
oqpsk        802.15.4 at 2.4 GHz
ble_error    Bluetooth Low Energy by sensitivity
bler         LTE and NR blocks by MCS, CQI
modulation   bit error of plain modulations, also in Rayleigh fading
sinr         overlapping frames, capture, detection, effective SINR
rate_control which mode a station takes
"""

from __future__ import annotations

from channel_sim.reception.ble_error import BLE_SENSITIVITY_DBM, ble_ber, ble_per
from channel_sim.reception.bler import (
    CQI_EFFICIENCY,
    CQI_EFFICIENCY_256QAM,
    LTE_EFFICIENCY,
    NR_EFFICIENCY,
    amc_efficiency,
    bler,
    cqi,
    threshold_db,
)
from channel_sim.reception.modulation import (
    dbpsk_ber,
    dbpsk_ber_rayleigh,
    fsk_ber,
    fsk_ber_rayleigh,
    psk_ber,
    psk_ber_rayleigh,
    qam_ber,
    qam_ber_rayleigh,
)
from channel_sim.reception.oqpsk import oqpsk_ber, oqpsk_per
from channel_sim.reception.rate_control import FixedRate, IdealRate
from channel_sim.reception.sinr import (
    captures,
    detected,
    effective_sinr_db,
    noise_mw,
    sinr_chunks,
    success_by_ber,
    success_by_per,
)
from channel_sim.reception.wifi_error import lowest_snr_db, wifi_per
from channel_sim.reception.wifi_modes import WIFI_MODES, WifiMode

__all__ = [
    "BLE_SENSITIVITY_DBM",
    "CQI_EFFICIENCY",
    "CQI_EFFICIENCY_256QAM",
    "LTE_EFFICIENCY",
    "NR_EFFICIENCY",
    "WIFI_MODES",
    "FixedRate",
    "IdealRate",
    "WifiMode",
    "amc_efficiency",
    "ble_ber",
    "ble_per",
    "bler",
    "captures",
    "cqi",
    "dbpsk_ber",
    "dbpsk_ber_rayleigh",
    "detected",
    "effective_sinr_db",
    "fsk_ber",
    "fsk_ber_rayleigh",
    "lowest_snr_db",
    "noise_mw",
    "oqpsk_ber",
    "oqpsk_per",
    "psk_ber",
    "psk_ber_rayleigh",
    "qam_ber",
    "qam_ber_rayleigh",
    "sinr_chunks",
    "success_by_ber",
    "success_by_per",
    "threshold_db",
    "wifi_per",
]
