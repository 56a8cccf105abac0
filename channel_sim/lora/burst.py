"""Lock-step LoRaWAN cells: one message up per device, all arrivals known.

Unconfirmed, no device ever learns what became of a frame, so every start is
known before any collision: one pass over the frames' numbers, all devices at
once, makes the frames, one pass over time tells which of them are lost.
Confirmed traffic is in ``confirmed``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from channel_sim.checks import check_finite, check_not_negative, check_positive
from channel_sim.family import Blocks
from channel_sim.lora.airtime import MIN_SF
from channel_sim.lora.collisions import Frames, collided, find_demodulators
from channel_sim.lora.columns import Devices, closed_until_ns, draw_channels, rx_power_dbm
from channel_sim.lora.confirmed import send_confirmed
from channel_sim.lora.timing import BANDWIDTH_HZ, up_air_ns
from channel_sim.outcomes import CODES, Outcomes

if TYPE_CHECKING:
    from channel_sim.lora.family import Lorawan

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.uint8]


def send_burst(
    family: Lorawan,
    losses_db: Floats,
    sizes_bytes: Ints,
    ready_ns: Ints,
    *,
    cells: Ints,
    rng: np.random.Generator,
    blocks: Blocks | None = None,
) -> Outcomes:
    """Send one message per device; see :meth:`channel_sim.family.Family.burst`.

    A device's sub-bands are open when its message is ready. Raises ValueError
    for a size below 1, and for a message that takes too long by law.
    """
    check_finite("losses_db", losses_db)
    check_positive("sizes_bytes", sizes_bytes)
    check_not_negative("ready_ns", ready_ns)
    sf = family.assign_spreading_factors(losses_db)
    devices = Devices(
        loss_db=np.asarray(losses_db, dtype=np.float64),
        sf=sf,
        pieces=family.cut(sizes_bytes, sf),
        ready_ns=np.asarray(ready_ns, dtype=np.int64),
        cells=np.asarray(cells, dtype=np.int64),
    )
    if family.confirmed:
        return send_confirmed(family, devices, rng=rng, blocks=blocks)
    rows, start, end, channel, number = _schedule(family, devices, rng)
    fate = _judge(family, devices, rows, start, end, channel, number, rng=rng, blocks=blocks)
    return _gather(family, devices, rows, end, number, fate)


def _schedule(
    family: Lorawan, devices: Devices, rng: np.random.Generator
) -> tuple[Ints, Ints, Ints, Ints, Ints]:
    """Return all frames: device, start, end, channel, number within its message."""
    bands = np.asarray(family.timing.device_band)
    open_ns = np.zeros((len(devices.sf), len(family.timing.device_duties)), dtype=np.int64)
    free_ns = devices.ready_ns.copy()
    columns: list[tuple[Ints, ...]] = []
    rows = np.arange(len(devices.sf))
    number = 0
    while len(rows):
        start = np.maximum(free_ns[rows], open_ns[rows].min(axis=1))
        channel = draw_channels(family, open_ns[rows], start, rng)
        end = start + up_air_ns(family, devices.phy_bytes(rows, number), devices.sf[rows])
        open_ns[rows, bands[channel]] = closed_until_ns(family, start, end, channel)
        free_ns[rows] = end + family.timing.closed_ns
        columns.append((rows, start, end, channel, np.full(len(rows), number)))
        number += 1
        rows = rows[devices.pieces.count[rows] > number]
    if not columns:
        return (np.zeros(0, dtype=np.int64),) * 5
    found = [np.concatenate(column) for column in zip(*columns, strict=True)]
    return found[0], found[1], found[2], found[3], found[4]


def _judge(
    family: Lorawan,
    devices: Devices,
    rows: Ints,
    start: Ints,
    end: Ints,
    channel: Ints,
    number: Ints,
    *,
    rng: np.random.Generator,
    blocks: Blocks | None,
) -> Codes:
    """Return what becomes of each frame, as codes of reasons."""
    power = rx_power_dbm(devices, rows, start, tx_power_dbm=family.tx_power_dbm, blocks=blocks)
    sf, cell = devices.sf[rows], devices.cells[rows]
    heard = np.flatnonzero(power >= family.floors_dbm[sf - MIN_SF])
    served = find_demodulators(
        start[heard], end[heard], cell[heard], demodulators=family.demodulators
    )
    frames = Frames(
        start_ns=start,
        end_ns=end,
        channel=channel,
        spreading_factor=sf,
        rx_power_dbm=power,
        cell=cell,
    )
    hit = collided(
        frames,
        family.rule,
        channels_hz=family.channels_hz,
        bandwidth_hz=BANDWIDTH_HZ,
        preamble_symbols=family.preamble_symbols,
    )
    fate = np.full(len(rows), CODES["below_sensitivity"], dtype=np.uint8)
    fate[heard] = CODES["queue"]
    served_rows = heard[served]
    fate[served_rows] = np.where(hit[served_rows], CODES["collision"], CODES["delivered"])
    if family.error_model != "threshold":
        survival = family.noise_survival(power, sf, devices.phy_bytes(rows, number))
        noisy = rng.random(len(rows)) >= survival
        fate[noisy & (fate == CODES["delivered"])] = CODES["below_sensitivity"]
    return fate


def _gather(
    family: Lorawan, devices: Devices, rows: Ints, end: Ints, number: Ints, fate: Codes
) -> Outcomes:
    """Fold frames into messages: the first loss names the reason, the last frame the end."""
    count = devices.pieces.count
    reason = np.zeros(len(count), dtype=np.uint8)
    lost = np.flatnonzero(fate)[::-1]  # by falling number: the first loss is written last
    reason[rows[lost]] = fate[lost]
    finish = np.zeros(len(count), dtype=np.int64)
    last = number + 1 == count[rows]
    finish[rows[last]] = end[last]
    all_rows = np.arange(len(count))
    full = up_air_ns(family, devices.phy_bytes(all_rows, -1), devices.sf)
    tail = up_air_ns(family, devices.phy_bytes(all_rows, count - 1), devices.sf)
    air = (count - 1) * full + tail
    windows = np.asarray(family.timing.window1_ns)[devices.sf - MIN_SF] + family.timing.window2_ns
    return Outcomes(
        reason=reason,
        ready_ns=devices.ready_ns,
        start_ns=devices.ready_ns.copy(),
        finish_ns=finish,
        packets=count.astype(np.int32),
        attempts=count.astype(np.int32),
        air_ns=air,
        tx_ns=air.copy(),
        rx_ns=count * windows,
        idle_ns=np.zeros(len(count), dtype=np.int64),
    )
