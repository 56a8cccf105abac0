"""Measured capacities as a family: a scenario names the files of its links."""

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
from channel_sim.replay.capacity import BYTE_MILLIBITS, Capacity
from channel_sim.replay.chances import load_mahimahi
from channel_sim.replay.link import PACKET_BYTES, ReplayLink, Track
from channel_sim.replay.rates import load_g_nettrack, load_seconds_mbit
from channel_sim.units import SECOND_NS

FORMATS: dict[str, Callable[[str | Path], tuple[Capacity, ...]]] = {
    "mahimahi": load_mahimahi,
    "seconds_mbit": load_seconds_mbit,
    "g_nettrack": load_g_nettrack,
}
GRID = 512
"""Times within a recording over which a plan averages."""


@dataclass(frozen=True, kw_only=True)
class Replay:
    """Links that do what was recorded, whatever the losses say.

    ``up`` and ``down`` are paths (or several) of recordings in one
    ``format``; archives hold many. Recording i up and i down are one link;
    ``down`` None replays those of ``up`` in both directions. Losses in dB are
    taken for their devices alone: a recording holds its own. Files are read
    when they are first needed. Raises ValueError for an unknown format or way
    of assigning.
    """

    kind: ClassVar[str] = "replay"
    shared: ClassVar[bool] = False

    format: str
    """"mahimahi", "seconds_mbit" (HSDPA) or "g_nettrack" (5G, its downlink)."""
    up: str | tuple[str, ...]
    down: str | tuple[str, ...] | None = None
    assign: Assign = "draw"
    random_offsets: bool = True
    """False: every device begins at the beginning of its recording."""
    radio_name: str = "wifi_nic"
    """Of the radio table; the recordings say nothing of energy."""

    def __post_init__(self) -> None:
        check_known("format", self.format, FORMATS)
        check_assign(self.assign)

    @cached_property
    def radio(self) -> RadioPower:
        """Powers of a device's radio by state."""
        return load_radio(self.radio_name)

    @property
    def rest_w(self) -> float:
        """Power of a device's radio between messages: it stays awake."""
        return self.radio.idle_w

    @cached_property
    def recordings(self) -> tuple[tuple[Capacity, ...], tuple[Capacity, ...]]:
        """All recordings up and down, of equal number."""
        up = self._load(self.up)
        down = up if self.down is None else self._load(self.down)
        if len(up) != len(down):
            raise ValueError(
                f"up has {len(up)} recordings and down {len(down)}; give one down for each up"
            )
        return up, down

    def plan(self, loss_db: npt.ArrayLike, size_bytes: int, *, fading: str = "none") -> LinkPlan:
        """Average over recordings and over evenly spread times of offering, for any loss.

        SNR and received power are not known (nan); nothing is lost. ``fading``
        changes nothing: it is in the recordings.
        """
        del fading
        check_count("size_bytes", size_bytes)
        waits_s, airs_s = [], []
        up, _ = self.recordings
        for capacity in up:
            at_ns = np.arange(GRID) * capacity.period_ns // GRID
            finish_ns, air_ns = _carried(capacity, at_ns, np.full(GRID, size_bytes))
            waits_s.append(np.mean(finish_ns - at_ns) / SECOND_NS)
            airs_s.append(np.mean(air_ns) / SECOND_NS)
        latency_s, air_s = float(np.mean(waits_s)), float(np.mean(airs_s))
        shape = np.shape(loss_db)
        return LinkPlan(
            loss_db=np.array(loss_db, np.float64),
            rx_power_dbm=np.full(shape, np.nan),
            snr_db=np.full(shape, np.nan),
            rate_bps=np.full(shape, np.mean([capacity.mean_rate_bps for capacity in up])),
            packets=np.full(shape, -(-size_bytes // PACKET_BYTES), np.int64),
            packet_error=np.zeros(shape),
            message_loss=np.zeros(shape),
            air_s=np.full(shape, air_s),
            latency_s=np.full(shape, latency_s),
            energy_j=np.full(shape, self.radio.energy_j(tx_s=air_s, idle_s=latency_s - air_s)),
        )

    def medium(
        self,
        losses_db: Mapping[str, float],
        *,
        rng: np.random.Generator,
        blocks: Blocks | None = None,
    ) -> ReplayLink:
        """Build the calendar of these devices; ``blocks`` changes nothing, as in :meth:`plan`."""
        del blocks
        up, down = self.recordings
        numbers, offsets_ns = self._assigned(len(losses_db), rng)
        tracks = list(zip(losses_db, numbers.tolist(), offsets_ns.tolist(), strict=True))
        return ReplayLink(
            {device: Track(up[number], offset_ns) for device, number, offset_ns in tracks},
            {device: Track(down[number], offset_ns) for device, number, offset_ns in tracks},
            radio=self.radio,
        )

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
        up, _ = self.recordings
        numbers, offsets_ns = self._assigned(len(losses_db), rng)
        finish_ns, air_ns = np.zeros_like(ready_ns), np.zeros_like(ready_ns)
        for number in np.unique(numbers):
            rows = numbers == number
            at_ns = ready_ns[rows] + offsets_ns[rows]
            there_ns, air_ns[rows] = _carried(up[number], at_ns, sizes_bytes[rows])
            finish_ns[rows] = there_ns - offsets_ns[rows]
        packets = -(-sizes_bytes // PACKET_BYTES)
        return Outcomes(
            reason=np.full(len(ready_ns), CODES["delivered"], np.uint8),
            ready_ns=ready_ns,
            start_ns=ready_ns,
            finish_ns=finish_ns,
            packets=packets.astype(np.int32),
            attempts=packets.astype(np.int32),
            air_ns=air_ns,
            tx_ns=air_ns,
            rx_ns=np.zeros_like(air_ns),
            idle_ns=finish_ns - ready_ns - air_ns,
        )

    def _load(self, paths: str | tuple[str, ...]) -> tuple[Capacity, ...]:
        several = (paths,) if isinstance(paths, str) else paths
        return tuple(one for path in several for one in FORMATS[self.format](path))

    def _assigned(
        self, n: int, rng: np.random.Generator
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        periods_ns = [capacity.period_ns for capacity in self.recordings[0]]
        return assign_tracks(
            n, periods_ns, rng, assign=self.assign, random_offsets=self.random_offsets
        )


def _carried(
    capacity: Capacity, at_ns: npt.NDArray[np.int64], sizes_bytes: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """When messages that find the link empty are through, and how long it carried meanwhile."""
    finish_ns = capacity.when_ns(capacity.level(at_ns) + sizes_bytes * BYTE_MILLIBITS)
    busy_ns = capacity.busy_ns(finish_ns) - capacity.busy_ns(at_ns)
    return finish_ns, np.minimum(busy_ns, finish_ns - at_ns)
