"""Many PANs in lock step: the law of the calendar, one event per PAN and step, in numpy.

Uplink only, all arrivals known. Each step takes the earliest event of every
PAN: the end of a clear channel assessment, the start or end of a frame, the
start or end of an acknowledgement. Chunks of SINR are closed at the same
instants as in the calendar, so the law is the same, not an approximation.
"""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from channel_sim.burst import check_burst, side_by_side
from channel_sim.family import Blocks
from channel_sim.ieee802154.air import LOCK_SINR
from channel_sim.ieee802154.columns import (
    NEVER,
    NOBODY,
    Bools,
    Channel,
    Devices,
    Floats,
    Ints,
    Messages,
)
from channel_sim.ieee802154.timing import (
    ACK_NS,
    ACK_WAIT_NS,
    BIT_NS,
    CCA_NS,
    TURNAROUND_NS,
    UNIT_BACKOFF_NS,
)
from channel_sim.outcomes import CODES, Outcomes
from channel_sim.reception.oqpsk import oqpsk_ber
from channel_sim.units import linear

if TYPE_CHECKING:
    from channel_sim.ieee802154.family import Zigbee

END, ASSESS, START = 0, 1, 2
"""Events of one instant in their order; an event's key is time * 4 + kind."""
SHRINK = 0.6
"""Finished PANs are dropped when fewer than this share are left."""


def run_burst(
    family: Zigbee,
    losses_db: npt.NDArray[np.float64],
    sizes_bytes: npt.NDArray[np.int64],
    ready_ns: npt.NDArray[np.int64],
    *,
    cells: npt.NDArray[np.int64],
    rng: np.random.Generator,
    blocks: Blocks | None = None,
) -> Outcomes:
    """Send one message up per device; arrays of shape (devices,), ``cells`` from 0 on.

    A step costs the number of PANs under way times their devices; PANs are
    run by size, so that small ones do not wait for large ones. Raises
    ValueError for arrays of different shape, a loss that is not finite, a
    size below 1 byte and a time below 0.
    """
    check_burst(losses_db, sizes_bytes, ready_ns, cells)
    messages = Messages.of(family, np.asarray(sizes_bytes), np.asarray(ready_ns))
    for rows in side_by_side(np.asarray(cells)):
        _Cells(family, messages, rows, losses_db, rng=rng, blocks=blocks).run()
    return messages.outcomes()


class _Cells:
    """PANs of similar size, advanced together.

    A PAN has one reception at a time: the station's of a frame, or, while it
    acknowledges and is deaf itself, a device's of the acknowledgement.
    """

    def __init__(
        self,
        family: Zigbee,
        messages: Messages,
        row: Ints,
        losses_db: npt.NDArray[np.float64],
        *,
        rng: np.random.Generator,
        blocks: Blocks | None,
    ) -> None:
        self._family, self._messages, self._rng, self._blocks = family, messages, rng, blocks
        threshold = family.cca_threshold_dbm
        self._threshold_mw = 0.0 if threshold is None else float(linear(threshold))
        self._noise_mw = float(linear(family.noise_dbm))
        cells, devices = row.shape
        loss_db = np.where(row >= 0, losses_db[row], np.inf)

        def zeros(*shape: int) -> Ints:
            return np.zeros(shape, dtype=np.int64)

        self._devices = Devices(
            key=np.full((cells, devices + 1), NEVER),
            row=row,
            up_mw=linear(family.tx_power_dbm - loss_db),
            down_mw=linear(family.station_tx_power_dbm - loss_db),
            air_mw=np.zeros(row.shape),
            sent_ns=zeros(*row.shape),
            frame_air_ns=zeros(*row.shape),
            pause_ns=zeros(*row.shape),
            place=zeros(*row.shape),
            received=zeros(*row.shape),
            frame_received=np.zeros(row.shape, dtype=np.bool_),
            weak=np.zeros(row.shape, dtype=np.bool_),
            backoffs=zeros(*row.shape),
            exponent=zeros(*row.shape),
            retries=zeros(*row.shape),
        )
        self._channel = Channel(
            follows=np.full(cells, NOBODY),
            signal_mw=np.ones(cells),
            log_success=np.zeros(cells),
            since_ns=zeros(cells),
            acknowledged=zeros(cells),
            deaf_until_ns=zeros(cells),
            devices_until_ns=zeros(cells),
            station_until_ns=zeros(cells),
        )
        cell, device = np.nonzero(row >= 0)
        self._load_frame(cell, device)
        self._contend(cell, device, messages.ready_ns[row[cell, device]])

    def run(self) -> None:
        """Advance until no PAN has an event left."""
        key = self._devices.key
        while True:
            column = key.argmin(axis=1)
            first = key[np.arange(len(key)), column]
            live = first != NEVER
            count = np.count_nonzero(live)
            if not count:
                return
            if count < SHRINK * len(key):
                self._shrink(live)
                key = self._devices.key
                column, first = column[live], first[live]
            self._step(column, first >> 2, first & 3, first != NEVER)

    def _shrink(self, live: Bools) -> None:
        for part in (self._devices, self._channel):
            for item in fields(part):
                setattr(part, item.name, getattr(part, item.name)[live])

    def _step(self, column: Ints, time_ns: Ints, kind: Ints, live: Bools) -> None:
        """Do one event of each PAN: ``column`` tells whose, ``kind`` what."""
        station = self._devices.row.shape[1]
        changes = live & (kind != ASSESS)
        self._add_chunk(np.flatnonzero(changes & (self._channel.follows != NOBODY)), time_ns)
        for chosen, act in (
            (live & (kind == ASSESS), self._assess),
            (changes & (kind == START) & (column < station), self._send),
            (changes & (kind == END) & (column < station), self._sent),
            (changes & (kind == START) & (column == station), self._acknowledge),
            (changes & (kind == END) & (column == station), self._acknowledged),
        ):
            cell = np.flatnonzero(chosen)
            if len(cell):
                act(cell, column[cell], time_ns[cell])

    def _add_chunk(self, cell: Ints, time_ns: Ints) -> None:
        """Close the chunk that ends now, where something is being received."""
        devices, channel = self._devices, self._channel
        bits = (time_ns[cell] - channel.since_ns[cell]) / BIT_NS
        cell, bits = cell[bits > 0], bits[bits > 0]
        station = devices.row.shape[1]
        follows = channel.follows[cell]
        heard_mw = devices.air_mw[cell]
        up = follows != station
        heard_mw[np.flatnonzero(up), follows[up]] = 0.0
        down = cell[~up]
        if len(down):
            # At a device others are heard over the larger loss, without fading.
            own_mw = devices.up_mw[down, channel.acknowledged[down]]
            among_mw = np.minimum(devices.up_mw[down], own_mw[:, None])
            heard_mw[~up] = np.where(devices.air_mw[down] > 0, among_mw, 0.0)
        sinr = channel.signal_mw[cell] / (self._noise_mw + heard_mw.sum(axis=1))
        channel.log_success[cell] += bits * np.log1p(-oqpsk_ber(sinr))
        channel.since_ns[cell] = time_ns[cell]

    def _assess(self, cell: Ints, device: Ints, time_ns: Ints) -> None:
        """Judge the channel at the end of a clear channel assessment."""
        devices, channel, family = self._devices, self._channel, self._family
        since_ns = time_ns - CCA_NS
        busy = (channel.devices_until_ns[cell] > since_ns) & (
            devices.up_mw[cell, device] >= self._threshold_mw
        )
        busy |= (channel.station_until_ns[cell] > since_ns) & (
            devices.down_mw[cell, device] >= self._threshold_mw
        )
        idle_cell, idle_device = cell[~busy], device[~busy]
        devices.key[idle_cell, idle_device] = (time_ns[~busy] + TURNAROUND_NS) * 4 + START
        cell, device, time_ns = cell[busy], device[busy], time_ns[busy]
        backoffs = devices.backoffs[cell, device] + 1
        devices.backoffs[cell, device] = backoffs
        devices.exponent[cell, device] = np.minimum(
            devices.exponent[cell, device] + 1, family.max_be
        )
        over = backoffs > family.max_csma_backoffs
        self._finish(
            cell[over], device[over], time_ns[over], np.full(over.sum(), CODES["retry_limit"])
        )
        self._back_off(cell[~over], device[~over], time_ns[~over])

    def _send(self, cell: Ints, device: Ints, time_ns: Ints) -> None:
        devices, channel = self._devices, self._channel
        row = devices.row[cell, device]
        messages = self._messages
        messages.attempts[row] += 1
        messages.start_ns[row] = np.minimum(messages.start_ns[row], time_ns)
        signal_mw = devices.up_mw[cell, device] * self._gain(row, time_ns)
        end_ns = time_ns + devices.frame_air_ns[cell, device]
        devices.key[cell, device] = end_ns * 4 + END
        earlier_mw = np.where(devices.sent_ns[cell] < time_ns[:, None], devices.air_mw[cell], 0.0)
        devices.sent_ns[cell, device] = time_ns
        devices.air_mw[cell, device] = signal_mw
        follows = channel.follows[cell]
        station = devices.row.shape[1]
        # Of frames that start in one instant a receiver follows the strongest.
        weaker = (follows >= 0) & (follows < station)
        weaker &= devices.sent_ns[cell, np.where(weaker, follows, 0)] == time_ns
        weaker &= signal_mw > channel.signal_mw[cell]
        locks = (follows == NOBODY) | weaker
        locks &= channel.deaf_until_ns[cell] <= time_ns
        locks &= signal_mw >= LOCK_SINR * (self._noise_mw + earlier_mw.sum(axis=1))
        self._follow(cell[locks], device[locks], signal_mw[locks], time_ns[locks])
        loud = devices.up_mw[cell, device] >= self._threshold_mw
        channel.devices_until_ns[cell[loud]] = np.maximum(
            channel.devices_until_ns[cell[loud]], end_ns[loud]
        )

    def _sent(self, cell: Ints, device: Ints, time_ns: Ints) -> None:
        devices, channel = self._devices, self._channel
        row = devices.row[cell, device]
        self._messages.tx_ns[row] += devices.frame_air_ns[cell, device]
        weak = devices.air_mw[cell, device] < LOCK_SINR * self._noise_mw
        devices.air_mw[cell, device] = 0.0
        followed = channel.follows[cell] == device
        draws = self._rng.random(len(cell))
        received = followed & (draws < np.exp(channel.log_success[cell]))
        channel.follows[cell[followed]] = NOBODY
        new = received & ~devices.frame_received[cell, device]
        devices.received[cell, device] += new
        devices.frame_received[cell, device] |= received
        keep = received & (not self._family.ack)
        devices.weak[cell, device] = np.where(keep, devices.weak[cell, device], weak)
        if not self._family.ack:
            self._go_on(cell, device, time_ns)
            return
        self._retry(cell[~received], device[~received], time_ns[~received] + ACK_WAIT_NS)
        cell, device, time_ns = cell[received], device[received], time_ns[received]
        devices.key[cell, device] = NEVER
        ack_ns = time_ns + TURNAROUND_NS
        devices.key[cell, -1] = ack_ns * 4 + START
        channel.acknowledged[cell] = device
        channel.deaf_until_ns[cell] = ack_ns + ACK_NS + TURNAROUND_NS

    def _acknowledge(self, cell: Ints, station: Ints, time_ns: Ints) -> None:
        devices, channel = self._devices, self._channel
        device = channel.acknowledged[cell]
        signal_mw = devices.down_mw[cell, device] * self._gain(devices.row[cell, device], time_ns)
        self._follow(cell, station, signal_mw, time_ns)
        channel.station_until_ns[cell] = time_ns + ACK_NS
        devices.key[cell, station] = (time_ns + ACK_NS) * 4 + END

    def _acknowledged(self, cell: Ints, station: Ints, time_ns: Ints) -> None:
        devices, channel = self._devices, self._channel
        devices.key[cell, station] = NEVER
        device = channel.acknowledged[cell]
        self._messages.rx_ns[devices.row[cell, device]] += ACK_NS
        received = self._rng.random(len(cell)) < np.exp(channel.log_success[cell])
        channel.follows[cell] = NOBODY
        self._go_on(cell[received], device[received], time_ns[received])
        late_ns = time_ns[~received] - ACK_NS - TURNAROUND_NS + ACK_WAIT_NS
        self._retry(cell[~received], device[~received], late_ns)

    def _retry(self, cell: Ints, device: Ints, time_ns: Ints) -> None:
        """No acknowledgement by ``time_ns``: nothing happens to the device until then."""
        devices = self._devices
        retries = devices.retries[cell, device] + 1
        devices.retries[cell, device] = retries
        over = retries > self._family.max_frame_retries
        failed = np.where(
            devices.weak[cell[over], device[over]],
            CODES["below_sensitivity"],
            CODES["retry_limit"],
        )
        self._finish(cell[over], device[over], time_ns[over], failed)
        self._contend(cell[~over], device[~over], time_ns[~over])

    def _go_on(self, cell: Ints, device: Ints, time_ns: Ints) -> None:
        """The frame is done with: go to the next after a pause, or end the message."""
        devices = self._devices
        devices.place[cell, device] += 1
        devices.retries[cell, device] = 0
        devices.frame_received[cell, device] = False
        last = devices.place[cell, device] == self._messages.packets[devices.row[cell, device]]
        failed = np.where(
            devices.weak[cell[last], device[last]], CODES["below_sensitivity"], CODES["collision"]
        )
        self._finish(cell[last], device[last], time_ns[last], failed)
        cell, device, time_ns = cell[~last], device[~last], time_ns[~last]
        resume_ns = time_ns + devices.pause_ns[cell, device]
        self._load_frame(cell, device)
        self._contend(cell, device, resume_ns)

    def _load_frame(self, cell: Ints, device: Ints) -> None:
        devices, messages = self._devices, self._messages
        frame = messages.first_frame[devices.row[cell, device]] + devices.place[cell, device]
        devices.frame_air_ns[cell, device] = messages.frame_air_ns[frame]
        devices.pause_ns[cell, device] = messages.frame_pause_ns[frame]

    def _contend(self, cell: Ints, device: Ints, time_ns: Ints) -> None:
        self._devices.backoffs[cell, device] = 0
        self._devices.exponent[cell, device] = self._family.min_be
        self._back_off(cell, device, time_ns)

    def _back_off(self, cell: Ints, device: Ints, time_ns: Ints) -> None:
        draws = self._rng.random(len(cell))
        periods = (draws * (1 << self._devices.exponent[cell, device])).astype(np.int64)
        self._devices.key[cell, device] = (
            time_ns + periods * UNIT_BACKOFF_NS + CCA_NS
        ) * 4 + ASSESS

    def _follow(self, cell: Ints, sender: Ints, signal_mw: Floats, time_ns: Ints) -> None:
        channel = self._channel
        channel.follows[cell] = sender
        channel.signal_mw[cell] = signal_mw
        channel.log_success[cell] = 0.0
        channel.since_ns[cell] = time_ns

    def _finish(self, cell: Ints, device: Ints, time_ns: Ints, failed: Ints) -> None:
        """End messages: delivered when all frames arrived, else for the reason ``failed``."""
        devices, messages = self._devices, self._messages
        row = devices.row[cell, device]
        devices.key[cell, device] = NEVER
        messages.finish_ns[row] = time_ns
        delivered = devices.received[cell, device] == messages.packets[row]
        messages.reason[row] = np.where(delivered, CODES["delivered"], failed)

    def _gain(self, row: Ints, time_ns: Ints) -> Floats:
        if self._blocks is None:
            return np.ones(len(row))
        return self._blocks.gains(row, time_ns // self._blocks.coherence_ns)
