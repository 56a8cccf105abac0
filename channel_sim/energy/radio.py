"""Power of a radio by its states, and the table of radios that ships with the package."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from channel_sim.checks import check_finite, check_known, check_not_negative

RADIOS_FILE = Path(__file__).with_name("radios.json")
"""By name: volts and milliamperes (or watts) by state, source, what is only remembered."""
STATES = ("tx", "rx", "idle", "sleep")


@dataclass(frozen=True)
class RadioPower:
    """Power in watts of each radio state, and where the numbers come from.

    ``wake_j`` joules of one waking (synthesiser and crystal start, promotion to
    connected); after the last frame the radio stays ``tail_s`` seconds at
    ``tail_w``. Raises ValueError for a number that is negative or not finite.
    """

    tx_w: float
    rx_w: float
    idle_w: float
    sleep_w: float
    source: str = "given by the user"
    wake_j: float = 0.0
    tail_w: float = 0.0
    tail_s: float = 0.0

    def __post_init__(self) -> None:
        for key in ("tx_w", "rx_w", "idle_w", "sleep_w", "wake_j", "tail_w", "tail_s"):
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

    def overhead_j(self, *, wakes: int = 1, gap_s: float | None = None) -> float:
        """Joules of ``wakes`` wakings and of one tail, which a next frame ``gap_s`` later cuts.

        None: no next frame, the whole tail. Raises ValueError for negatives.
        """
        check_not_negative("wakes", wakes)
        tail_s = self.tail_s
        if gap_s is not None:
            check_not_negative("gap_s", gap_s)
            tail_s = min(tail_s, gap_s)
        return wakes * self.wake_j + tail_s * self.tail_w


def load_radio(
    name: str,
    *,
    tx_power_dbm: float | None = None,
    up_bps: float = 0.0,
    down_bps: float = 0.0,
) -> RadioPower:
    """Return a radio of the table ``radios.json`` by its name.

    ``tx_power_dbm``: where sending is listed by power, the listed setting next
    at or above it is taken and named in ``source``; nothing is interpolated.
    None is the radio's usual setting. A radio with one figure draws that at
    any power. ``up_bps``, ``down_bps``: where power grows with the rate (the
    phones), the rate while sending and while receiving.

    Raises ValueError for an unknown name (with the nearest), a power above
    all that are listed, and a negative rate.
    """
    table = _table()
    check_known("radio", name, table)
    check_not_negative("up_bps", up_bps)
    check_not_negative("down_bps", down_bps)
    entry = table[name]
    source = entry["source"]
    watts = {state: _state_w(entry, state) for state in STATES if f"{state}_ma_by_dbm" not in entry}
    if tx_power_dbm is not None:
        check_finite("tx_power_dbm", tx_power_dbm)
    if "tx_ma_by_dbm" in entry:
        listed_dbm = _setting(name, entry, tx_power_dbm)
        watts["tx"] = _rounded(entry["volt"] * entry["tx_ma_by_dbm"][listed_dbm] / 1000)
        source = f"{source}; sending at its setting of {listed_dbm} dBm"
    watts["tx"] += entry.get("tx_w_per_mbps", 0.0) * up_bps / 1e6
    watts["rx"] += entry.get("rx_w_per_mbps", 0.0) * down_bps / 1e6
    if "remembered" in entry:
        source = f"{source}; as remembered: {', '.join(entry['remembered'])}"
    return RadioPower(
        watts["tx"],
        watts["rx"],
        watts["idle"],
        watts["sleep"],
        source,
        wake_j=entry.get("wake_j", 0.0),
        tail_w=entry.get("tail_w", 0.0),
        tail_s=entry.get("tail_s", 0.0),
    )


def radio_names() -> tuple[str, ...]:
    """Return the names that :func:`load_radio` knows, sorted."""
    return tuple(sorted(_table()))


@cache
def _table() -> dict[str, dict[str, Any]]:
    table: dict[str, dict[str, Any]] = json.loads(RADIOS_FILE.read_text(encoding="utf-8"))
    return table


def _state_w(entry: dict[str, Any], state: str) -> float:
    """Watts of one state, from watts, milliamperes or microcoulombs per slot."""
    if f"{state}_w" in entry:
        return float(entry[f"{state}_w"])
    if f"{state}_uc" in entry:
        return _rounded(entry["volt"] * entry[f"{state}_uc"] * 1e-6 / entry["slot_s"])
    return _rounded(entry["volt"] * entry[f"{state}_ma"] / 1000)


def _setting(name: str, entry: dict[str, Any], tx_power_dbm: float | None) -> str:
    """The listed power at or next above the one asked for."""
    listed: dict[str, float] = entry["tx_ma_by_dbm"]
    wanted_dbm = entry["default_dbm"] if tx_power_dbm is None else tx_power_dbm
    enough = [key for key in listed if float(key) >= wanted_dbm]
    if not enough:
        raise ValueError(
            f"tx_power_dbm = {wanted_dbm:g} is above what radio {name!r} can send;"
            f" give one of {', '.join(listed)} dBm or less, or name another radio"
        )
    return min(enough, key=float)


def _rounded(value: float) -> float:
    """The product of decimals as the decimal: 3.3 V times 0.8 mA is 0.00264 W."""
    return float(f"{value:.12g}")


WIFI_NIC = load_radio("wifi_nic")
"""A laptop-class Wi-Fi card."""
ESP32 = load_radio("esp32")
"""A small board with Wi-Fi."""
