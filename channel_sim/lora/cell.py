"""The calendar of one LoRaWAN cell: class A devices, duty cycles, one gateway, both directions.

A device sends a frame, opens RX1 one second after its end and RX2 two seconds
after, and may not send in between. The gateway sends only into these windows:
an acknowledgement, the next frame of a message down, or both in one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from channel_sim.calendar import ARRIVAL, Calendar, Message
from channel_sim.checks import check_count, check_finite
from channel_sim.family import Blocks
from channel_sim.lora.airtime import MIN_SF
from channel_sim.lora.devices import Air, Device, Progress
from channel_sim.lora.gateway import Frame, Gateway
from channel_sim.lora.region import EMPTY_BYTES, FRAME_BYTES, off_ns
from channel_sim.lora.timing import ACK_WAIT_NS, RX1_NS, RX2_NS
from channel_sim.medium import Direction, Reason
from channel_sim.units import to_ns

if TYPE_CHECKING:
    from channel_sim.lora.family import Lorawan


class LorawanCell(Calendar):
    """One cell of :class:`~channel_sim.lora.family.Lorawan`; losses in dB by device.

    Unconfirmed: each frame is sent once and the device does not know its
    fate, so it sends all frames of a message whatever happens. Confirmed: a
    frame is repeated until acknowledged, ``max_attempts`` times, and a frame
    given up ends its message. A message down waits for an uplink of its
    device; a silent device polls (see ``poll_s``). Polls while nothing waits
    are not simulated. Receive windows are charged as receiving.

    Raises ValueError for a message that takes too long by law, when it is
    submitted.
    """

    def __init__(
        self,
        family: Lorawan,
        losses_db: Mapping[str, float],
        *,
        rng: np.random.Generator,
        blocks: Blocks | None = None,
    ) -> None:
        super().__init__(tuple(losses_db), radio=family.radio)
        check_finite("losses_db", list(losses_db.values()))
        self.family = family
        self._timing = timing = family.timing
        self._rng = rng
        self._air = Air(family, rng, blocks)
        factors = family.assign_spreading_factors(list(losses_db.values())).tolist()
        self._devices = {
            name: Device(
                name, link, loss_db, factors[link], factors[link], [0] * len(timing.device_duties)
            )
            for link, (name, loss_db) in enumerate(losses_db.items())
        }
        self._progress: dict[int, Progress] = {}
        self._gateway = Gateway(
            family.rule,
            meet=timing.meet,
            symbol_ns=timing.symbol_ns,
            preamble_symbols=family.preamble_symbols,
            demodulators=family.demodulators,
            duties=timing.station_duties,
        )
        self._floors_dbm: list[float] = family.floors_dbm.tolist()
        self._device_floors_dbm: list[float] = family.device_floors_dbm.tolist()

    def spreading_factors(self) -> dict[str, int]:
        """Return the spreading factor of each device."""
        return {name: device.sf for name, device in self._devices.items()}

    def submit(
        self,
        device: str,
        size_bytes: int,
        ready_ns: int,
        *,
        direction: Direction = "up",
        deadline_ns: int | None = None,
    ) -> int:
        """Announce a message; see :meth:`Calendar.submit`, and ValueError for one too large."""
        check_count("size_bytes", size_bytes)
        self._check_known(device)
        self._adapt(self._devices[device])
        sizes = self._air.cut(size_bytes, self._devices[device].sf)
        ticket = super().submit(
            device, size_bytes, ready_ns, direction=direction, deadline_ns=deadline_ns
        )
        self._progress[ticket] = Progress(sizes)
        self._messages[ticket].packets = len(sizes)
        return ticket

    # What a device does.

    def _arrive(self, message: Message) -> None:
        device = self._devices[message.device]
        if message.direction == "up":
            device.up.append(message)
        else:
            if not device.down:
                device.poll_ns = self.now_ns + to_ns(self.family.poll_s * self._rng.random())
            device.down.append(message)
        self._wake_at(device, self.now_ns)

    def _relink(self, device: str, loss_db: float) -> None:
        moved = self._devices[device]
        moved.loss_db = loss_db
        moved.next_sf = int(self.family.assign_spreading_factors(loss_db))
        self._adapt(moved)

    def _adapt(self, device: Device) -> None:
        """Adaptive data rate: messages under way keep the factor that they were cut for."""
        if device.next_sf != device.sf and not any(
            message.device == device.name for message in self._messages.values()
        ):
            device.sf = device.next_sf

    def _wake_at(self, device: Device, time_ns: int) -> None:
        device.turn += 1
        self._at(time_ns, self._wake, (device, device.turn))

    def _wake(self, what: tuple[Device, int]) -> None:
        device, turn = what
        if turn == device.turn and not device.busy:
            self._go_on(device)

    def _go_on(self, device: Device) -> None:
        """Send the next frame of a device at rest, or plan when it may."""
        open_ns = min(device.open_ns)
        while device.up:
            message = device.up[0]
            start_ns = max(device.retry_ns, open_ns)
            if start_ns <= self.now_ns:
                progress = self._progress[message.ticket]
                self._send(device, message, progress.done)
                return
            if message.deadline_ns is None or open_ns < message.deadline_ns:
                self._wake_at(device, start_ns)
                return
            self._finish_up(device, message, "duty_cycle")
        if device.down:
            start_ns = max(device.poll_ns, open_ns)
            if start_ns <= self.now_ns:
                self._send(device, device.down[0], None)
            else:
                self._wake_at(device, start_ns)

    def _send(self, device: Device, message: Message, fragment: int | None) -> None:
        """Send a frame of a message up, or a poll for a message down."""
        timing, now_ns = self._timing, self.now_ns
        band = timing.device_band
        open_channels = [c for c, b in enumerate(band) if device.open_ns[b] <= now_ns]
        channel = open_channels[int(self._rng.random() * len(open_channels))]
        phy_bytes = EMPTY_BYTES
        if fragment is not None:
            phy_bytes = FRAME_BYTES + self._progress[message.ticket].sizes[fragment]
            message.attempts += 1
            if message.start_ns is None:
                message.start_ns = now_ns
        air_ns = self._air.length_ns(phy_bytes, device.sf, "up")
        power_dbm = (
            self.family.tx_power_dbm - device.loss_db + self._air.gain_db(device.link, self.now_ns)
        )
        device.frame = frame = Frame(
            device=device.name,
            message=message,
            fragment=fragment,
            channel=channel,
            spreading_factor=device.sf,
            power_dbm=power_dbm,
            start_ns=now_ns,
            end_ns=now_ns + air_ns,
            phy_bytes=phy_bytes,
        )
        device.busy = True
        self._close(device, frame)
        self._gateway.begin(frame, heard=power_dbm >= self._floors_dbm[device.sf - MIN_SF])
        self._note("start", device.name)
        self._at(frame.end_ns, self._end_frame, frame, priority=ARRIVAL)

    def _close(self, device: Device, frame: Frame) -> None:
        """Close the sub-band of a frame for as long as the law says."""
        band = self._timing.device_band[frame.channel]
        rest_ns = off_ns(frame.end_ns - frame.start_ns, self._timing.device_duties[band])
        device.open_ns[band] = frame.end_ns + rest_ns

    def _end_frame(self, frame: Frame) -> None:
        device = self._devices[frame.device]
        if device.frame is not frame:  # it was cut
            return
        device.frame = None
        found = self._gateway.finish(frame)
        if found == "delivered" and self._air.is_noisy(frame.power_dbm, device.sf, frame.phy_bytes):
            found = "below_sensitivity"
        self._note(found, device.name)
        self._charge(frame)
        acknowledge = frame.fragment is not None and self.family.confirmed
        if frame.fragment is not None:
            self._count_up(device, frame, found)
        elif found not in {"delivered", "below_sensitivity"}:
            self._progress[frame.message.ticket].weak = False
        if found == "delivered" and (acknowledge or device.down):
            self._at(frame.end_ns + RX1_NS, self._open_rx1, frame)
        else:
            self._at(frame.end_ns + self._timing.closed_ns, self._miss, frame)

    def _count_up(self, device: Device, frame: Frame, found: Reason) -> None:
        """Note the fate of one frame up; unconfirmed, the device goes on whatever it was."""
        message = frame.message
        progress = self._progress[message.ticket]
        progress.weak &= found == "below_sensitivity"
        last = progress.done + 1 == len(progress.sizes)
        if found == "delivered" and last and progress.lost is None:
            progress.received_ns = progress.received_ns or self.now_ns
        if self.family.confirmed:
            return
        message.rx_ns += self._windows_ns(device)
        if found != "delivered" and progress.lost is None:
            progress.lost = found
        progress.done += 1
        if last:
            self._finish_up(device, message, progress.lost or "delivered")

    def _miss(self, frame: Frame) -> None:
        """Both windows passed without a frame that the device could hear."""
        device, message = self._devices[frame.device], frame.message
        if not message.ended:
            if frame.fragment is None:
                message.rx_ns += self._windows_ns(device)
                self._count_miss(device, message)
                device.poll_ns = self.now_ns + to_ns(self.family.poll_s)
            elif self.family.confirmed:
                message.rx_ns += self._windows_ns(device)
                if self._count_miss(device, message):
                    low_ns, high_ns = ACK_WAIT_NS
                    wait_ns = low_ns + int(self._rng.random() * (high_ns - low_ns))
                    device.retry_ns = frame.end_ns + RX2_NS + wait_ns
        self._rest(device)

    def _count_miss(self, device: Device, message: Message) -> bool:
        """Count a try in vain; end the message after the last and return whether it goes on."""
        progress = self._progress[message.ticket]
        progress.tries += 1
        if progress.tries < self.family.max_attempts:
            return True
        reason: Reason = "below_sensitivity" if progress.weak else "retry_limit"
        if message.direction == "up":
            self._finish_up(device, message, reason)
        else:
            device.down.remove(message)
            self._finish(message, reason)
        return False

    def _rest(self, device: Device) -> None:
        device.busy = False
        self._go_on(device)

    # What the gateway does.

    def _open_rx1(self, frame: Frame) -> None:
        band = self._timing.station_band[frame.channel]
        power_dbm = self.family.station_tx_power_dbm
        if not self._gateway.can_send(self.now_ns, band):
            self._at(frame.end_ns + RX2_NS, self._open_rx2, frame)
            return
        self._reply(frame, frame.spreading_factor, power_dbm, band)

    def _open_rx2(self, frame: Frame) -> None:
        band = self._timing.station_rx2_band
        if self._gateway.can_send(self.now_ns, band):
            power_dbm = self.family.rx2_tx_power_dbm
            self._reply(frame, self.family.rx2_spreading_factor, power_dbm, band)
        else:
            if frame.fragment is None and not frame.message.ended:
                self._progress[frame.message.ticket].weak = False
            self._at(frame.end_ns + self._timing.closed_ns, self._miss, frame)

    def _reply(self, frame: Frame, sf: int, power_dbm: float, band: int) -> None:
        """Send what there is to send into a window: acknowledgement, a frame down, or both."""
        device = self._devices[frame.device]
        down = device.down[0] if device.down else None
        phy_bytes = EMPTY_BYTES
        if down is not None:
            progress = self._progress[down.ticket]
            size_bytes = progress.sizes[progress.done]
            if size_bytes > self.family.frame_bytes[sf - MIN_SF]:
                down = None  # too large for this window's data rate
            else:
                phy_bytes = FRAME_BYTES + size_bytes
        if down is None and (frame.fragment is None or not self.family.confirmed):
            self._at(frame.end_ns + self._timing.closed_ns, self._miss, frame)
            return
        air_ns = self._air.length_ns(phy_bytes, sf, "down")
        self._gateway.send(self.now_ns, air_ns, band)
        self._note("reply", device.name)
        if down is not None:
            down.attempts += 1
            down.start_ns = self.now_ns if down.start_ns is None else down.start_ns
        rx_power_dbm = power_dbm - device.loss_db + self._air.gain_db(device.link, self.now_ns)
        heard = rx_power_dbm >= self._device_floors_dbm[sf - MIN_SF]
        heard = heard and not self._air.is_noisy(rx_power_dbm, sf, phy_bytes)
        self._at(self.now_ns + air_ns, self._end_reply, (frame, down, heard, air_ns))

    def _end_reply(self, what: tuple[Frame, Message | None, bool, int]) -> None:
        frame, down, heard, air_ns = what
        device, message = self._devices[frame.device], frame.message
        if heard and not message.ended and (frame.fragment is None or self.family.confirmed):
            in_rx2 = self.now_ns - air_ns > frame.end_ns + RX1_NS
            message.rx_ns += in_rx2 * self._timing.window1_ns[device.sf - MIN_SF]
            message.rx_ns += air_ns if down is None else 0
        if down is not None and not down.ended:
            down.air_ns += air_ns
            down.rx_ns += air_ns if heard else 0
            self._count_down(device, down, heard=heard)
        if heard:
            self._take_reply(device, frame)
        else:
            late_ns = max(self.now_ns, frame.end_ns + self._timing.closed_ns)
            self._at(late_ns, self._miss, frame)

    def _take_reply(self, device: Device, frame: Frame) -> None:
        """Go on after a reply that the device heard."""
        message = frame.message
        device.poll_ns = self.now_ns  # the gateway says when more is waiting
        if frame.fragment is not None and self.family.confirmed and not message.ended:
            progress = self._progress[message.ticket]
            progress.done, progress.tries = progress.done + 1, 0
            if progress.done == len(progress.sizes):
                self._finish_up(device, message, "delivered")
        self._rest(device)

    def _count_down(self, device: Device, down: Message, *, heard: bool) -> None:
        """Note the fate of one frame down; unconfirmed, a lost one ends the message."""
        progress = self._progress[down.ticket]
        if heard:
            progress.done, progress.tries, progress.weak = progress.done + 1, 0, False
            if progress.done == len(progress.sizes):
                device.down.remove(down)
                self._finish(down, "delivered")
        elif not self.family.confirmed:
            device.down.remove(down)
            self._finish(down, "below_sensitivity")

    # Ends and costs.

    def _finish_up(self, device: Device, message: Message, reason: Reason) -> None:
        """End a message up; one that the gateway has is delivered, whatever its sender knows."""
        device.up.remove(message)
        device.retry_ns = 0
        received_ns = self._progress[message.ticket].received_ns
        self._finish(message, reason if received_ns is None else "delivered", received_ns)

    def _finish(self, message: Message, reason: Reason, at_ns: int | None = None) -> None:
        self._end(message, reason, at_ns)
        self._progress.pop(message.ticket, None)

    def _withdraw(self, message: Message) -> None:
        device = self._devices[message.device]
        frame = device.frame
        if frame is not None and frame.message is message:
            self._gateway.cut(frame, self.now_ns)
            self._charge(frame)
            self._close(device, frame)
            device.frame, device.busy = None, False
        if message in device.up:
            progress = self._progress[message.ticket]
            if device.up[0] is message:
                device.retry_ns = 0
            device.up.remove(message)
            if progress.received_ns is not None:
                self._end(message, "delivered", progress.received_ns)
        elif message in device.down:
            device.down.remove(message)
        self._progress.pop(message.ticket, None)
        # Whoever withdraws may be about to withdraw the next one too.
        self._wake_at(device, self.now_ns)

    def _charge(self, frame: Frame) -> None:
        air_ns = frame.end_ns - frame.start_ns
        frame.message.tx_ns += air_ns
        if frame.fragment is not None:
            frame.message.air_ns += air_ns

    def _windows_ns(self, device: Device) -> int:
        return self._timing.window1_ns[device.sf - MIN_SF] + self._timing.window2_ns
