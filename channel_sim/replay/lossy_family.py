"""Measured delivery shares as a family: a scenario names the file of its links."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from channel_sim.checks import check_count, check_known
from channel_sim.energy import RadioPower, load_radio
from channel_sim.family import Blocks, LinkPlan
from channel_sim.outcomes import CODES, Outcomes
from channel_sim.replay.assign import Assign, assign_tracks, check_assign
from channel_sim.replay.connectivity import load_connectivity, load_lora_campus
from channel_sim.replay.lossy import Frames, LossyTrack, ReplayLossyLink
from channel_sim.replay.shares import DeliveryTrace, ShareTable
from channel_sim.units import SECOND_NS, to_ns

FORMATS: dict[str, Callable[[str | Path], tuple[DeliveryTrace, ...]]] = {
    "connectivity": lambda path: load_connectivity(path).links(),
    "lora_campus": lambda path: (load_lora_campus(path),),
}

SMALLEST = 1e-9
"""Shares below are planned as this: a thousand million attempts are as good as never."""


@dataclass(frozen=True, kw_only=True)
class ReplayLossy:
    """Links that deliver frames with the probability that was recorded.

    ``path`` holds recordings in ``format``; both directions of a device
    replay the same one. Losses in dB are taken for their devices alone. The file
    is read when it is first needed. Raises ValueError for an unknown format
    or way of assigning and for parameters out of range.
    """

    kind: ClassVar[str] = "replay_lossy"
    shared: ClassVar[bool] = False

    format: str
    """"connectivity" (802.15.4, one recording per directed link) or "lora_campus"."""
    path: str
    rate_bps: float = 250e3
    """IEEE 802.15.4 O-QPSK at 2.4 GHz."""
    packet_bytes: int = 127
    """aMaxPhyPacketSize of IEEE 802.15.4."""
    max_attempts: int = 4
    """macMaxFrameRetries 3 of IEEE 802.15.4, as remembered, and the first."""
    retry_wait_s: float = 864e-6
    """macAckWaitDuration of IEEE 802.15.4: 54 symbols of 16 us, as remembered."""
    assign: Assign = "draw"
    random_offsets: bool = True
    """False: every device begins at the beginning of its recording."""
    radio_name: str = "wifi_nic"
    """Of the radio table; the recordings say nothing of energy."""

    def __post_init__(self) -> None:
        check_known("format", self.format, FORMATS)
        check_assign(self.assign)
        self.frames  # noqa: B018 - its checks

    @cached_property
    def frames(self) -> Frames:
        """How messages are cut and sent."""
        return Frames(
            rate_bps=self.rate_bps,
            packet_bytes=self.packet_bytes,
            max_attempts=self.max_attempts,
            retry_wait_s=self.retry_wait_s,
        )

    @cached_property
    def radio(self) -> RadioPower:
        """Powers of a device's radio by state."""
        return load_radio(self.radio_name)

    @property
    def rest_w(self) -> float:
        """Power of a device's radio between messages: it sleeps, as in networks of sensors."""
        return self.radio.sleep_w

    @cached_property
    def recordings(self) -> tuple[DeliveryTrace, ...]:
        """All recordings of the file."""
        return FORMATS[self.format](self.path)

    def plan(self, loss_db: npt.ArrayLike, size_bytes: int, *, fading: str = "none") -> LinkPlan:
        """Average over recordings and over time, taking the share as constant for a message.

        With A attempts at share p a frame arrives with 1 - (1 - p)^A. SNR and
        received power are not known (nan). ``fading`` changes nothing.
        """
        del fading
        check_count("size_bytes", size_bytes)
        share = np.concatenate([trace.shares for trace in self.recordings])
        weight = np.concatenate(
            [np.diff(trace.times_ns) / trace.period_ns for trace in self.recordings]
        ) / len(self.recordings)
        packets = -(-size_bytes // self.packet_bytes)
        frame_s = size_bytes * 8 / self.rate_bps / packets
        # Of one frame: sent until it arrives or has failed A times, (1 - q^A) / p attempts;
        # of one that arrives, the mean of the geometric law cut off at A.
        share = np.maximum(share, SMALLEST)
        arrives = -np.expm1(self.max_attempts * np.log1p(-np.minimum(share, 1 - 1e-16)))
        tries = arrives / share
        good_tries = 1 / share - self.max_attempts * (1 - arrives) / arrives
        message = arrives**packets
        delivered = float(weight @ message)
        air_s = packets * frame_s * float(weight @ (message * good_tries)) / delivered
        wait_s = self.retry_wait_s * (air_s / frame_s - packets)
        sent = _geometric_sum(arrives, packets)
        tx_s = frame_s * float(weight @ (sent * tries))
        idle_s = self.retry_wait_s * float(weight @ (sent * (tries - 1)))
        shape = np.shape(loss_db)
        return LinkPlan(
            loss_db=np.array(loss_db, np.float64),
            rx_power_dbm=np.full(shape, np.nan),
            snr_db=np.full(shape, np.nan),
            rate_bps=np.full(shape, self.rate_bps),
            packets=np.full(shape, packets, np.int64),
            packet_error=np.full(shape, 1 - float(weight @ share)),
            message_loss=np.full(shape, 1 - delivered),
            air_s=np.full(shape, air_s),
            latency_s=np.full(shape, air_s + wait_s),
            energy_j=np.full(shape, self.radio.energy_j(tx_s=tx_s, idle_s=max(idle_s, 0.0))),
        )

    def medium(
        self,
        losses_db: Mapping[str, float],
        *,
        rng: np.random.Generator,
        blocks: Blocks | None = None,
    ) -> ReplayLossyLink:
        """Build the calendar of these devices; ``blocks`` changes nothing, as in :meth:`plan`."""
        del blocks
        numbers, offsets_ns = self._assigned(len(losses_db), rng)
        tracks = {
            device: LossyTrack(self.recordings[number], offset_ns)
            for device, number, offset_ns in zip(
                losses_db, numbers.tolist(), offsets_ns.tolist(), strict=True
            )
        }
        return ReplayLossyLink(tracks, tracks, self.frames, radio=self.radio, rng=rng)

    def burst(
        self,
        losses_db: npt.NDArray[np.float64],
        sizes_bytes: npt.NDArray[np.int64],
        ready_ns: npt.NDArray[np.int64],
        *,
        cells: npt.NDArray[np.int64],
        rng: np.random.Generator,
        blocks: Blocks | None = None,
    ) -> Outcomes:
        """Send one message up per device; cells do not meet and change nothing."""
        del cells, blocks
        numbers, offsets_ns = self._assigned(len(losses_db), rng)
        table, wait_ns = ShareTable(self.recordings), to_ns(self.retry_wait_s)
        packets = -(-sizes_bytes // self.packet_bytes)
        now_ns = ready_ns.copy()
        packet, attempt, attempts, air_ns = (np.zeros_like(ready_ns) for _ in range(4))
        reason = np.full(len(ready_ns), CODES["delivered"], np.uint8)
        rows = np.arange(len(ready_ns))
        while len(rows):
            left_bytes = sizes_bytes[rows] - packet[rows] * self.packet_bytes
            frame_bits = 8 * np.minimum(left_bytes, self.packet_bytes)
            frame_ns = np.rint(frame_bits * SECOND_NS / self.rate_bps).astype(np.int64)
            share = table.share(numbers[rows], now_ns[rows] + offsets_ns[rows])
            arrives = rng.random(len(rows)) < share
            attempts[rows] += 1
            air_ns[rows] += frame_ns
            now_ns[rows] += frame_ns
            packet[rows] += arrives
            attempt[rows] = np.where(arrives, 0, attempt[rows] + 1)
            lost = attempt[rows] == self.max_attempts
            reason[rows[lost]] = CODES["retry_limit"]
            now_ns[rows[~arrives & ~lost]] += wait_ns
            rows = rows[~lost & (packet[rows] < packets[rows])]
        return Outcomes(
            reason=reason,
            ready_ns=ready_ns,
            start_ns=ready_ns,
            finish_ns=now_ns,
            packets=packets.astype(np.int32),
            attempts=attempts.astype(np.int32),
            air_ns=air_ns,
            tx_ns=air_ns,
            rx_ns=np.zeros_like(air_ns),
            idle_ns=now_ns - ready_ns - air_ns,
        )

    def _assigned(
        self, n: int, rng: np.random.Generator
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        periods_ns = [trace.period_ns for trace in self.recordings]
        return assign_tracks(
            n, periods_ns, rng, assign=self.assign, random_offsets=self.random_offsets
        )


def _geometric_sum(ratio: npt.NDArray[np.float64], terms: int) -> npt.NDArray[np.float64]:
    """1 + r + ... + r^(terms - 1), the frames that are begun when each arrives with r."""
    short = ratio == 1
    return np.where(short, terms, (1 - ratio**terms) / np.where(short, 1.0, 1 - ratio))
