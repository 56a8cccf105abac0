"""Adaptive data rate: what the network tells a device, and what a silent network makes it do.

Steps of 3 dB over the margin first raise the data rate to DR5, then lower the
power; below the margin only the power is raised, and the device itself slows
down when it hears nothing for long.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from channel_sim.lora.airtime import MAX_SF, MIN_SF
from channel_sim.lora.sensitivity import SNR_FLOOR_DB

STEP_DB = 3.0
HISTORY = 20
"""Uplinks that the network looks back on (AWS IoT Core, ns-3 adr-component.cc)."""
ADR_ACK_LIMIT = 64
"""Uplinks without a downlink before the device asks for one; as remembered."""
ADR_ACK_DELAY = 32
"""Uplinks without an answer before it gives way by one step, then again; as remembered."""

_FLOORS_DB = np.array([SNR_FLOOR_DB[sf] for sf in range(MIN_SF, MAX_SF + 1)])


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What a device sends with."""

    spreading_factor: int
    tx_power_dbm: float


def next_setting(
    max_snr_db: float,
    setting: Setting,
    *,
    margin_db: float = 10.0,
    min_power_dbm: float = 2.0,
    max_power_dbm: float = 14.0,
    power_step_db: float = 2.0,
) -> Setting:
    """Return what the network orders; the same setting when it has nothing to order.

    ``max_snr_db`` is the best of the last uplinks. N = floor((SNR - floor of
    the SF - margin) / 3) steps. ns-3 adr-component.cc, which has no margin;
    10 dB is Semtech's and The Things Network's, as remembered.
    """
    sf, power_dbm = setting.spreading_factor, setting.tx_power_dbm
    steps = int(np.floor((max_snr_db - SNR_FLOOR_DB[sf] - margin_db) / STEP_DB))
    faster = min(max(steps, 0), sf - MIN_SF)
    sf, steps = sf - faster, steps - faster
    while steps > 0 and power_dbm > min_power_dbm:
        power_dbm, steps = max(power_dbm - power_step_db, min_power_dbm), steps - 1
    while steps < 0 and power_dbm < max_power_dbm:
        power_dbm, steps = min(power_dbm + power_step_db, max_power_dbm), steps + 1
    return Setting(spreading_factor=sf, tx_power_dbm=power_dbm)


@dataclass(eq=False)
class NetworkAdr:
    """The network's side for one device: the best SNR of the last 20 uplinks."""

    margin_db: float = 10.0
    _snrs_db: deque[float] = field(default_factory=lambda: deque(maxlen=HISTORY))

    def hear(self, snr_db: float, setting: Setting) -> Setting | None:
        """Take the SNR of one uplink; return the new setting to send down, if any.

        A change empties the history, since its SNRs were of another power.
        """
        self._snrs_db.append(snr_db)
        if len(self._snrs_db) < HISTORY:
            return None
        wanted = next_setting(max(self._snrs_db), setting, margin_db=self.margin_db)
        if wanted == setting:
            return None
        self._snrs_db.clear()
        return wanted


@dataclass(eq=False)
class DeviceAdr:
    """The device's side: after 64 + 32 uplinks unanswered, full power, then slower every 32."""

    silent: int = 0

    def send(self, setting: Setting, *, max_power_dbm: float = 14.0) -> Setting:
        """Count one uplink; return the setting to send it with."""
        self.silent += 1
        late = self.silent - ADR_ACK_LIMIT
        if late < ADR_ACK_DELAY or late % ADR_ACK_DELAY:
            return setting
        if setting.tx_power_dbm < max_power_dbm:
            return Setting(spreading_factor=setting.spreading_factor, tx_power_dbm=max_power_dbm)
        slower = min(setting.spreading_factor + 1, MAX_SF)
        return Setting(spreading_factor=slower, tx_power_dbm=setting.tx_power_dbm)

    @property
    def asks(self) -> bool:
        """True while uplinks carry ADRACKReq."""
        return self.silent >= ADR_ACK_LIMIT

    def hear(self) -> None:
        """Take any downlink: the network is there."""
        self.silent = 0


def converged_spreading_factors(
    snr_db: npt.ArrayLike, *, margin_db: float = 10.0
) -> npt.NDArray[np.int64]:
    """Return where the network's algorithm settles, from SF12 on at full power, same shape.

    ``snr_db`` at full power, constant. Applied until nothing changes; power
    steps are left out.
    """
    snr = np.asarray(snr_db, dtype=np.float64)
    sf = np.full(snr.shape, MAX_SF, dtype=np.int64)
    while True:
        steps = np.floor((snr - _FLOORS_DB[sf - MIN_SF] - margin_db) / STEP_DB)
        faster = np.clip(steps, 0, sf - MIN_SF).astype(np.int64)
        if not faster.any():
            return sf
        sf -= faster
