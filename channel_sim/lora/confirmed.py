"""Lock-step LoRaWAN cells with acknowledgements: all cells advance together, each by its own clock.

What a device does next depends on what the gateway heard and when it was free
to answer. A step takes each cell from its earliest event to a horizon before
which nothing that happens in the step can cause another start: a second
(RX1), or the end of the first possible acknowledgement. Within it go, in this
order, the receive windows, the starts, the ends.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from channel_sim.family import Blocks
from channel_sim.lora.airtime import MIN_SF
from channel_sim.lora.collisions import Frames, collided, find_demodulators
from channel_sim.lora.columns import Devices, closed_until_ns, draw_channels, rx_power_dbm
from channel_sim.lora.region import EMPTY_BYTES
from channel_sim.lora.timing import ACK_WAIT_NS, BANDWIDTH_HZ, RX1_NS, RX2_NS, up_air_ns
from channel_sim.outcomes import CODES, Outcomes

if TYPE_CHECKING:
    from channel_sim.lora.family import Lorawan

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

WAIT, AIR, RX1, RX2, DONE = range(5)
NEVER = np.iinfo(np.int64).max


def send_confirmed(
    family: Lorawan, devices: Devices, *, rng: np.random.Generator, blocks: Blocks | None = None
) -> Outcomes:
    """Send one confirmed message per device; the law of :class:`LorawanCell`."""
    state = _Cells(family, devices, rng, blocks)
    while state.step():
        pass
    return state.outcomes()


class _Cells:
    """Rows are devices: ``phase``, ``when`` it ends; ``log`` holds frames of the last seconds."""

    def __init__(
        self, family: Lorawan, devices: Devices, rng: np.random.Generator, blocks: Blocks | None
    ) -> None:
        self.family, self.devices, self.rng, self.blocks = family, devices, rng, blocks
        timing = family.timing
        rows, cells = len(devices.sf), int(devices.cells.max(initial=-1)) + 1
        self.phase = np.full(rows, WAIT, dtype=np.int8)
        self.when = devices.ready_ns.copy()
        self.open_ns = np.zeros((rows, len(timing.device_duties)), dtype=np.int64)
        self.start, self.end = np.zeros((2, rows), dtype=np.int64)
        self.channel = np.zeros(rows, dtype=np.int64)
        self.done, self.tries, self.attempts = np.zeros((3, rows), dtype=np.int64)
        self.air_ns, self.rx_ns = np.zeros((2, rows), dtype=np.int64)
        self.first_ns, self.received_ns = np.full((2, rows), -1, dtype=np.int64)
        self.finish_ns = np.zeros(rows, dtype=np.int64)
        self.reason = np.zeros(rows, dtype=np.uint8)
        self.weak = np.ones(rows, dtype=np.bool_)
        self.trouble = np.zeros(rows, dtype=np.uint8)
        self.holds = np.zeros(rows, dtype=np.bool_)
        self.sending_until = np.zeros(cells, dtype=np.int64)
        self.station_open = np.zeros((cells, len(timing.station_duties)), dtype=np.int64)
        self.replies = np.zeros((0, 3), dtype=np.int64)  # cell, start, end
        self.log = np.zeros((0, 2), dtype=np.int64)  # row, start
        self.log_end = np.zeros(0, dtype=np.int64)
        self.log_channel = np.zeros(0, dtype=np.int64)
        self.log_power = np.zeros(0)
        full = up_air_ns(family, devices.phy_bytes(np.arange(rows), -1), devices.sf)
        self.longest_ns = int(full.max(initial=0))
        self.windows = np.asarray(timing.window1_ns)[devices.sf - MIN_SF] + timing.window2_ns
        self.ack1 = np.asarray(timing.ack1_ns)[devices.sf - MIN_SF]
        self.shortest_ack = min(int(self.ack1.min(initial=NEVER)), timing.ack2_ns)

    def step(self) -> bool:
        """Advance every cell; return False when all messages have ended."""
        rows = np.flatnonzero(self.phase != DONE)
        if not len(rows):
            return False
        horizon = self._horizon(rows)
        limit = horizon[self.devices.cells[rows]]
        due = self.when[rows] < limit
        windows = rows[due & (self.phase[rows] >= RX1)]
        starts = rows[due & (self.phase[rows] == WAIT)]
        if len(windows):
            self._open_windows(windows)
        if len(starts):
            self._start(starts)
        ended = rows[(self.phase[rows] == AIR) & (self.when[rows] < limit)]
        if len(ended):
            self._finish(ended)
        self._forget(horizon)
        return True

    def _horizon(self, rows: Ints) -> Ints:
        """Return the time up to which each cell may go, shape (cells,)."""
        cell = self.devices.cells[rows]
        horizon = np.full(len(self.sending_until), NEVER)
        np.minimum.at(horizon, cell, self.when[rows])
        horizon[horizon < NEVER] += RX1_NS
        windows = self.phase[rows] >= RX1
        reply_end = self.when[rows[windows]] + self.shortest_ack
        np.minimum.at(horizon, cell[windows], reply_end)
        return horizon

    def _open_windows(self, rows: Ints) -> None:
        """Let each gateway answer where it can, window by window in order of time."""
        cell = self.devices.cells[rows]
        order = np.lexsort((self.when[rows], cell))
        rows, cell = rows[order], cell[order]
        first = np.flatnonzero(np.r_[True, cell[1:] != cell[:-1]])
        rank = np.arange(len(rows)) - np.repeat(first, np.diff(np.r_[first, len(rows)]))
        for turn in range(int(rank.max()) + 1):
            self._open_window(rows[rank == turn])

    def _open_window(self, rows: Ints) -> None:
        """Decide one window of each cell."""
        timing = self.family.timing
        cell, now = self.devices.cells[rows], self.when[rows]
        second = self.phase[rows] == RX2
        station_band = np.asarray(timing.station_band)[self.channel[rows]]
        band = np.where(second, timing.station_rx2_band, station_band)
        can = (now >= self.sending_until[cell]) & (now >= self.station_open[cell, band])
        late = rows[~can & ~second]
        self.phase[late], self.when[late] = RX2, self.end[late] + RX2_NS
        silent = rows[~can & second]
        self._miss(silent, self.end[silent] + timing.closed_ns)
        rows, cell, now, second, band = rows[can], cell[can], now[can], second[can], band[can]
        air = np.where(second, timing.ack2_ns, self.ack1[rows])
        duty = np.asarray(timing.station_duties)[band]
        self.sending_until[cell] = now + air
        rest = np.rint(air * (1 / duty - 1)).astype(np.int64)
        self.station_open[cell, band] = now + air + rest
        self.replies = np.concatenate((self.replies, np.stack((cell, now, now + air), axis=1)))
        heard = self._reply_heard(rows, now, second)
        window1 = np.asarray(timing.window1_ns)[self.devices.sf[rows] - MIN_SF]
        self.rx_ns[rows[heard]] += (air + second * window1)[heard]
        self._acknowledged(rows[heard], (now + air)[heard])
        deaf = rows[~heard]
        self._miss(deaf, np.maximum((now + air)[~heard], self.end[deaf] + timing.closed_ns))

    def _reply_heard(self, rows: Ints, now: Ints, second: Bools) -> Bools:
        family = self.family
        sf = np.where(second, family.rx2_spreading_factor, self.devices.sf[rows])
        power = rx_power_dbm(
            self.devices, rows, now, tx_power_dbm=0.0, blocks=self.blocks
        ) + np.where(second, family.rx2_tx_power_dbm, family.station_tx_power_dbm)
        heard = power >= family.device_floors_dbm[sf - MIN_SF]
        return np.asarray(heard) & self._clean(power, sf, np.full(len(rows), EMPTY_BYTES))

    def _clean(self, power: Floats, sf: Ints, phy_bytes: Ints) -> Bools:
        """Draw who is not lost to noise."""
        if self.family.error_model == "threshold":
            return np.ones(len(power), dtype=np.bool_)
        survival = self.family.noise_survival(power, sf, phy_bytes)
        return np.asarray(self.rng.random(len(power)) < survival)

    def _acknowledged(self, rows: Ints, now: Ints) -> None:
        self.done[rows] += 1
        self.tries[rows] = 0
        through = self.done[rows] == self.devices.pieces.count[rows]
        self._end(rows[through], now[through])
        self._wait(rows[~through], now[~through])

    def _miss(self, rows: Ints, now: Ints) -> None:
        """No reply was heard by ``now``: try again after a random wait, or give up."""
        self.rx_ns[rows] += self.windows[rows]
        self.tries[rows] += 1
        given_up = self.tries[rows] == self.family.max_attempts
        self._end(rows[given_up], now[given_up])
        rows, now = rows[~given_up], now[~given_up]
        low_ns, high_ns = ACK_WAIT_NS
        drawn = (self.rng.random(len(rows)) * (high_ns - low_ns)).astype(np.int64)
        self._wait(rows, np.maximum(now, self.end[rows] + RX2_NS + low_ns + drawn))

    def _wait(self, rows: Ints, ready: Ints) -> None:
        self.phase[rows] = WAIT
        self.when[rows] = np.maximum(ready, self.open_ns[rows].min(axis=1))

    def _end(self, rows: Ints, now: Ints) -> None:
        """End messages; one that the gateway has is delivered, whatever its sender knows."""
        self.phase[rows], self.when[rows] = DONE, NEVER
        received = self.received_ns[rows]
        self.finish_ns[rows] = np.where(received >= 0, received, now)
        given_up = np.where(self.weak[rows], CODES["below_sensitivity"], CODES["retry_limit"])
        self.reason[rows] = np.where(received >= 0, CODES["delivered"], given_up)

    def _start(self, rows: Ints) -> None:
        """Put the next frame of devices on air."""
        family, devices, start = self.family, self.devices, self.when[rows]
        bands = np.asarray(family.timing.device_band)
        channel = draw_channels(family, self.open_ns[rows], start, self.rng)
        air = up_air_ns(family, devices.phy_bytes(rows, self.done[rows]), devices.sf[rows])
        end = start + air
        self.start[rows], self.end[rows], self.channel[rows] = start, end, channel
        self.phase[rows], self.when[rows] = AIR, end
        self.open_ns[rows, bands[channel]] = closed_until_ns(family, start, end, channel)
        self.attempts[rows] += 1
        self.air_ns[rows] += air
        self.first_ns[rows] = np.where(self.first_ns[rows] < 0, start, self.first_ns[rows])
        power = rx_power_dbm(
            devices, rows, start, tx_power_dbm=family.tx_power_dbm, blocks=self.blocks
        )
        self.log = np.concatenate((self.log, np.stack((rows, start), axis=1)))
        self.log_end = np.concatenate((self.log_end, end))
        self.log_channel = np.concatenate((self.log_channel, channel))
        self.log_power = np.concatenate((self.log_power, power))
        self._admit(rows, power >= family.floors_dbm[devices.sf[rows] - MIN_SF])

    def _admit(self, rows: Ints, heard: Bools) -> None:
        """Give demodulators to frames that start, and note the trouble of the others."""
        self.trouble[rows] = np.where(heard, 0, CODES["below_sensitivity"])
        self.holds[rows] = False
        rows = rows[heard]
        deaf = self._meets_reply(rows, self.start[rows], self.start[rows] + 1)
        self.trouble[rows[deaf]] = CODES["collision"]
        rows = rows[~deaf]
        holders = np.flatnonzero(self.holds & (self.phase == AIR))
        both = np.concatenate((holders, rows))
        free = find_demodulators(
            self.start[both],
            self.end[both],
            self.devices.cells[both],
            demodulators=self.family.demodulators,
        )[len(holders) :]
        self.holds[rows] = free
        self.trouble[rows[~free]] = CODES["queue"]

    def _meets_reply(self, rows: Ints, start: Ints, end: Ints) -> Bools:
        """Tell which of [start, end) overlap a transmission of their gateway."""
        replies = self.replies[np.argsort(self.replies[:, 0], kind="stable")]
        cell = self.devices.cells[rows]
        low = np.searchsorted(replies[:, 0], cell, side="left")
        high = np.searchsorted(replies[:, 0], cell, side="right")
        met = np.zeros(len(rows), dtype=np.bool_)
        for place in range(int((high - low).max(initial=0))):
            at = np.flatnonzero(low + place < high)
            reply = replies[low[at] + place]
            met[at] |= (reply[:, 1] < end[at]) & (start[at] < reply[:, 2])
        return met

    def _finish(self, rows: Ints) -> None:
        """Decide frames that end."""
        devices = self.devices
        fate = self.trouble[rows]
        hit = self._meets_reply(rows, self.start[rows], self.end[rows])
        frame = np.searchsorted(rows, self.log[:, 0]).clip(max=len(rows) - 1)
        # A device has two frames in the log where the older still matters to others.
        own = (rows[frame] == self.log[:, 0]) & (self.log[:, 1] == self.start[self.log[:, 0]])
        hit[frame[own]] |= self._collided()[own]
        power = np.zeros(len(rows))
        power[frame[own]] = self.log_power[own]
        fate = np.where((fate == 0) & hit, CODES["collision"], fate)
        phy_bytes = devices.phy_bytes(rows, self.done[rows])
        noisy = ~self._clean(power, devices.sf[rows], phy_bytes)
        fate = np.where((fate == 0) & noisy, CODES["below_sensitivity"], fate)
        self.weak[rows] &= fate == CODES["below_sensitivity"]
        good = rows[fate == 0]
        whole = good[self.done[good] + 1 == devices.pieces.count[good]]
        self.received_ns[whole] = np.where(
            self.received_ns[whole] < 0, self.end[whole], self.received_ns[whole]
        )
        self.phase[good], self.when[good] = RX1, self.end[good] + RX1_NS
        bad = rows[fate != 0]
        self._miss(bad, self.end[bad] + self.family.timing.closed_ns)

    def _collided(self) -> Bools:
        row = self.log[:, 0]
        frames = Frames(
            start_ns=self.log[:, 1],
            end_ns=self.log_end,
            channel=self.log_channel,
            spreading_factor=self.devices.sf[row],
            rx_power_dbm=self.log_power,
            cell=self.devices.cells[row],
        )
        return collided(
            frames,
            self.family.rule,
            channels_hz=self.family.channels_hz,
            bandwidth_hz=BANDWIDTH_HZ,
            preamble_symbols=self.family.preamble_symbols,
        )

    def _forget(self, horizon: Ints) -> None:
        """Drop what can meet no frame that is still to be decided."""
        keep = self.log_end > horizon[self.devices.cells[self.log[:, 0]]] - self.longest_ns
        self.log, self.log_end = self.log[keep], self.log_end[keep]
        self.log_channel, self.log_power = self.log_channel[keep], self.log_power[keep]
        keep = self.replies[:, 2] > horizon[self.replies[:, 0]] - self.longest_ns
        self.replies = self.replies[keep]

    def outcomes(self) -> Outcomes:
        """Return the columns when all is done."""
        return Outcomes(
            reason=self.reason,
            ready_ns=self.devices.ready_ns,
            start_ns=self.first_ns,
            finish_ns=self.finish_ns,
            packets=self.devices.pieces.count.astype(np.int32),
            attempts=self.attempts.astype(np.int32),
            air_ns=self.air_ns,
            tx_ns=self.air_ns.copy(),
            rx_ns=self.rx_ns,
            idle_ns=np.zeros(len(self.done), dtype=np.int64),
        )
