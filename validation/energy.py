"""Energy against its oracles: data sheets, closed forms of a battery, an integrated one."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
from scipy.integrate import solve_ivp

from channel_sim.energy import Battery, Harvest, load_radio

YEAR_S = 31_557_600.0
DAY_S = 86_400.0
SHEETS = (
    # radio, dBm, volts, mA sending, mA receiving
    ("nrf52840_ble", 0, 3.0, 6.40, 6.26),
    ("nrf52840_ble", 8, 3.0, 16.40, 6.26),
    ("nrf52840_154", 0, 3.0, 6.40, 6.53),
    ("cc2340r5", 0, 3.0, 5.1, 5.3),
    ("cc2340r5", 4, 3.0, 7.7, 5.3),
    ("cc2340r5", 8, 3.0, 10.7, 5.3),
    ("cc1350", 10, 3.6, 13.4, 5.4),
    ("cc1350", 14, 3.6, 23.5, 5.4),
    ("sx1276", 2, 3.3, 24.0, 9.7),
    ("sx1276", 10, 3.3, 31.0, 9.7),
    ("sx1276", 14, 3.3, 44.0, 9.7),
    ("sx1276", 17, 3.3, 90.0, 9.7),
)
PICTURED = ("nrf52840_ble", "cc2340r5", "cc1350", "sx1276")
DRAIN_W, LEAK = 1.2e-3, 0.5
SUN_W = (0.0, 1.5e-3, 4.0e-3, 1.5e-3, 0.0)
SUN_S = (0.0, 21_600.0, 32_400.0, 54_000.0, 64_800.0)


def figures(*, quick: bool = False) -> dict[str, Any]:
    """Return the claims and the curves of the picture."""
    claims = []
    for name, dbm, volt, tx_ma, rx_ma in SHEETS:
        radio = load_radio(name, tx_power_dbm=dbm)
        source = radio.source.split(";")[0]
        claims.append(
            _claim(
                f"{name} sending at {dbm} dBm", radio.tx_w, volt * tx_ma / 1e3, 1e-9, "W", source
            )
        )
        claims.append(
            _claim(f"{name} receiving", radio.rx_w, volt * rx_ma / 1e3, 1e-9, "W", source)
        )
    leak = -math.log(0.99) / YEAR_S
    asleep_w = load_radio("nbiot").sleep_w
    years = Battery(18_000.0, leak_per_year=0.01).depleted_at(asleep_w) / YEAR_S
    expected = math.log(1 + leak * 18_000 / asleep_w) / leak / YEAR_S
    claims.append(
        _claim("5 Wh in NB-IoT deep sleep, 1 %/year leak", years, expected, 1e-6, "years", "ODE")
    )
    charge = Battery.from_charge(1000.0, 3.0).capacity_j
    claims.append(_claim("1000 mAh at 3 V", charge, 10_800.0, 1e-9, "J", "E = V Q"))
    levels = _levels(days=2 if quick else 4)
    worst = max(abs(a - b) for a, b in zip(levels["ours_j"], levels["oracle_j"], strict=True))
    claims.append(
        _claim("solar node, worst level", worst, 0.0, 0.02, "J", "scipy solve_ivp, rtol 1e-9")
    )
    tx = {}
    for name in PICTURED:
        sheet = [(dbm, volt * ma) for radio, dbm, volt, ma, _ in SHEETS if radio == name]
        asked = np.arange(sheet[0][0], sheet[-1][0] + 0.01, 0.25)
        drawn = [1e3 * load_radio(name, tx_power_dbm=float(dbm)).tx_w for dbm in asked]
        tx[name] = {"asked_dbm": asked.tolist(), "ours_mw": drawn, "sheet": sheet}
    return {"claims": claims, "curves": {"battery": levels, "tx": tx}}


def draw(figures: dict[str, Any], path: Path) -> None:
    """Draw sending power over its setting, and a battery over days."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    fig, (left, right) = plt.subplots(1, 2, figsize=(9.5, 3.6), layout="constrained")
    for number, (name, curve) in enumerate(figures["curves"]["tx"].items()):
        colour = f"C{number}"
        left.step(curve["asked_dbm"], curve["ours_mw"], where="pre", color=colour, label=name)
        dbm, milliwatts = zip(*curve["sheet"], strict=True)
        left.plot(dbm, milliwatts, "o", color=colour, mfc="none")
    left.plot([], [], "ko", mfc="none", label="data sheet")
    left.set(xlabel="transmit power asked for (dBm)", ylabel="drawn while sending (mW)")
    left.legend(frameon=False, fontsize=8)
    battery = figures["curves"]["battery"]
    days = np.array(battery["times_s"]) / DAY_S
    right.plot(days, battery["ours_j"], label="Battery and Harvest")
    right.plot(days[::6], battery["oracle_j"][::6], "ko", mfc="none", ms=4, label="solve_ivp")
    right.set(xlabel="time (days)", ylabel="level (J)", ylim=(0, None))
    right.legend(frameon=False, fontsize=8)
    fig.savefig(path)
    plt.close(fig)


def _levels(*, days: int) -> dict[str, list[float]]:
    """A leaking battery under sun and a constant drain: ours, and that of an equation solver."""
    harvest = Harvest(SUN_S, SUN_W, period_s=DAY_S)
    times_s = np.arange(0, days * DAY_S + 1, 3600.0)
    ours = []
    for until_s in times_s:
        battery = Battery(250.0, level_j=120.0, leak_per_year=LEAK)
        battery.elapse(0.0, float(until_s), drain_w=DRAIN_W, harvest=harvest)
        ours.append(battery.level_j)
    leak = -math.log(1 - LEAK) / YEAR_S
    oracle, level_j = [120.0], 120.0
    for start_s in times_s[:-1]:
        # The sun changes on the hour, so that the right side is smooth in between.
        sun_w = SUN_W[int(np.searchsorted(SUN_S, start_s % DAY_S, side="right")) - 1]
        solved = solve_ivp(
            lambda _, level, sun_w=sun_w: sun_w - DRAIN_W - leak * level,
            (0.0, 3600.0),
            [level_j],
            rtol=1e-9,
        )
        level_j = float(solved.y[0, -1])
        oracle.append(level_j)
    return {"times_s": times_s.tolist(), "ours_j": ours, "oracle_j": oracle}


def _claim(
    claim: str, ours: float, oracle: float, tolerance: float, unit: str, source: str
) -> dict[str, Any]:
    return {
        "claim": claim,
        "ours": ours,
        "oracle": oracle,
        "tolerance": tolerance,
        "unit": unit,
        "source": source,
        "holds": abs(ours - oracle) <= tolerance,
    }
