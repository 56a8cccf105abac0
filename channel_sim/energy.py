"""Energy of a radio by its states, and the battery that it drains."""

from __future__ import annotations

from dataclasses import dataclass

from channel_sim.checks import check_not_negative, check_positive


@dataclass(frozen=True)
class RadioPower:
    """Power in watts of each radio state, and where the numbers come from.

    Raises ValueError for a power that is negative or not finite.
    """

    tx_w: float
    rx_w: float
    idle_w: float
    sleep_w: float
    source: str = "given by the user"

    def __post_init__(self) -> None:
        for key in ("tx_w", "rx_w", "idle_w", "sleep_w"):
            check_not_negative(key, getattr(self, key))

    def energy_j(
        self, *, tx_s: float = 0.0, rx_s: float = 0.0, idle_s: float = 0.0, sleep_s: float = 0.0
    ) -> float:
        """Joules of the seconds spent in each state: the sum of power times time.

        Raises ValueError for negative seconds.
        """
        for key, seconds in (
            ("tx_s", tx_s),
            ("rx_s", rx_s),
            ("idle_s", idle_s),
            ("sleep_s", sleep_s),
        ):
            check_not_negative(key, seconds)
        return tx_s * self.tx_w + rx_s * self.rx_w + idle_s * self.idle_w + sleep_s * self.sleep_w


WIFI_NIC = RadioPower(
    tx_w=1.140,
    rx_w=0.939,
    idle_w=0.819,
    sleep_w=0.099,
    source="ns-3 wifi-radio-energy-model.cc: 0.380, 0.313, 0.273, 0.033 A at 3 V;"
    " a laptop-class Wi-Fi card",
)

ESP32 = RadioPower(
    tx_w=0.693,
    rx_w=0.2805,
    idle_w=0.2805,
    sleep_w=0.00264,
    source="Espressif ESP-WROOM-32 manual, table 5: 160 to 260 mA sending at 13 to 21 dBm,"
    " 80 to 90 mA receiving or listening, 0.8 mA light sleep; middle of each, at 3.3 V",
)


class Battery:
    """A store of joules that drains and never falls below zero.

    Raises ValueError for a capacity that is not positive and finite.
    """

    def __init__(self, capacity_j: float) -> None:
        check_positive("capacity_j", capacity_j)
        self.capacity_j = capacity_j
        self._level_j = capacity_j

    @property
    def level_j(self) -> float:
        """Joules left."""
        return self._level_j

    @property
    def empty(self) -> bool:
        """True when nothing is left."""
        return self._level_j == 0

    def drain(self, energy_j: float) -> float:
        """Take ``energy_j`` and return the joules that the battery could give.

        Less than asked comes back when the battery has run empty. Raises
        ValueError for negative energy.
        """
        check_not_negative("energy_j", energy_j)
        given_j = min(energy_j, self._level_j)
        self._level_j -= given_j
        return given_j
