"""Parameters of an ALOHA cell and what can be said of it by formula.

The law, the same in both engines: a frame is received when its SNR is
enough and no other frame of the cell overlaps it at all; with capture, when
it is ``capture_db`` above the sum of all frames that do. A sender is told
at once, on a channel of its own (Abramson 1970).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from channel_sim.aloha.batch import run_batch
from channel_sim.aloha.medium import AlohaMedium
from channel_sim.checks import (
    check_count,
    check_finite,
    check_known,
    check_not_negative,
    check_positive,
)
from channel_sim.energy import RadioPower, load_radio
from channel_sim.family import Blocks, LinkPlan
from channel_sim.fragmentation import split
from channel_sim.outcomes import Outcomes
from channel_sim.rate import noise_dbm
from channel_sim.units import linear, to_ns


def pure_throughput(load: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Return S = G e^(-2G) of pure ALOHA (Abramson 1970), both in frames per frame time.

    Raises ValueError for a load that is negative or not finite.
    """
    check_not_negative("load", load)
    offered = np.asarray(load, dtype=np.float64)
    return np.asarray(offered * np.exp(-2 * offered))


def slotted_throughput(load: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Return S = G e^(-G) of slotted ALOHA (Roberts 1972), both in frames per slot.

    Raises ValueError for a load that is negative or not finite.
    """
    check_not_negative("load", load)
    offered = np.asarray(load, dtype=np.float64)
    return np.asarray(offered * np.exp(-offered))


@dataclass(frozen=True, kw_only=True)
class Aloha:
    """An ALOHA cell; the defaults are those of a 50 kbit/s FSK radio at 868 MHz.

    Raises ValueError that names the key, the value and the remedy.
    """

    kind: ClassVar[str] = "aloha"
    shared: ClassVar[bool] = True

    tx_power_dbm: float = 14.0
    """Of a device: ERP limit at 868 MHz (ns-3 lorawan-mac-helper.cc)."""
    station_tx_power_dbm: float = 14.0
    """Of the station, on a channel of its own; as a device."""
    rate_bps: float = 50e3
    """FSK mode of sub-GHz 802.15.4g and TI SimpleLink radios (remembered)."""
    bandwidth_hz: float = 100e3
    """Receiver's filter for that mode (remembered)."""
    noise_figure_db: float = 7.0
    """With it and ``required_snr_db`` a sensitivity of -110 dBm, that of a CC1350 (remembered)."""
    required_snr_db: float = 7.0
    """A frame below it is lost, one above is received if nothing overlaps it."""
    overhead_bytes: int = 20
    """Preamble, sync word, addresses, checksum; chosen."""
    mtu_bytes: int = 255
    """Largest payload of a frame; a length byte, chosen."""
    slotted: bool = False
    """Whether frames start at multiples of ``slot_ns`` only."""
    capture_db: float | None = None
    """Ratio to the sum of all overlapping frames from which a frame survives; None: never."""
    max_attempts: int = 1
    """Of each frame. With 1 the sender is told nothing and sends all frames of a message."""
    ack_timeout_s: float = 0.0
    """From the end of a frame until its loss is known."""
    backoff_s: float = 1.0
    """A repetition waits between 0 and this, evenly, after the first failure; chosen."""
    backoff_growth: float = 2.0
    """Factor on the window at each further failure: 2 binary exponential, 1 uniform."""
    radio_name: str = "cc1350"
    """Key of the table of radios."""

    def __post_init__(self) -> None:
        for key in ("tx_power_dbm", "station_tx_power_dbm", "noise_figure_db", "required_snr_db"):
            check_finite(key, getattr(self, key))
        for key in ("rate_bps", "bandwidth_hz", "backoff_growth"):
            check_positive(key, getattr(self, key))
        for key in ("ack_timeout_s", "backoff_s", "overhead_bytes"):
            check_not_negative(key, getattr(self, key))
        for key in ("mtu_bytes", "max_attempts"):
            check_count(key, getattr(self, key))
        if self.capture_db is not None:
            check_finite("capture_db", self.capture_db)

    @property
    def radio(self) -> RadioPower:
        """Powers of a device's radio by state."""
        return load_radio(self.radio_name)

    @property
    def rest_w(self) -> float:
        """Power of a device's radio between messages: it sleeps."""
        return self.radio.sleep_w

    @property
    def noise_dbm(self) -> float:
        """Noise power of a receiver in dBm."""
        return noise_dbm(self.bandwidth_hz, self.noise_figure_db)

    @property
    def sensitivity_dbm(self) -> float:
        """Received power below which a frame is lost, in dBm."""
        return self.noise_dbm + self.required_snr_db

    @property
    def slot_ns(self) -> int:
        """Length of a slot: the longest frame."""
        return self._air_ns(self.mtu_bytes)

    def frames_ns(self, size_bytes: int) -> tuple[int, ...]:
        """Return the time on air of each frame of a message, in order.

        Raises ValueError for a size below 1 byte.
        """
        return _frames_ns(self, size_bytes)

    def next_start_ns(self, time_ns: int) -> int:
        """Return the first instant from ``time_ns`` on at which a frame may start."""
        return -(-time_ns // self.slot_ns) * self.slot_ns if self.slotted else time_ns

    def plan(self, loss_db: npt.ArrayLike, size_bytes: int, *, fading: str = "none") -> LinkPlan:
        """Work out one message up with nobody else on air; "rayleigh" fades each frame anew.

        Raises ValueError for a loss that is not finite, a size below 1 byte
        and a fading that is not known.
        """
        check_finite("loss_db", loss_db)
        check_known("fading", fading, ("none", "rayleigh"))
        loss = np.asarray(loss_db, dtype=np.float64)
        snr_db = self.tx_power_dbm - loss - self.noise_dbm
        faded = -np.expm1(-linear(self.required_snr_db - snr_db))
        failed = faded if fading == "rayleigh" else (snr_db < self.required_snr_db).astype(float)
        limit, frames_ns = self.max_attempts, self.frames_ns(size_bytes)
        success = 1 - failed**limit
        # Attempts of a frame that gets through: a truncated geometric law.
        orders = np.arange(1, limit + 1)
        weights = (1 - failed)[..., None] * failed[..., None] ** (orders - 1)
        safe = np.where(success > 0, success, 1.0)
        tries = (weights * orders).sum(axis=-1) / safe
        waits_s = (weights * self._waited_s(orders)).sum(axis=-1) / safe
        air_s, count = sum(frames_ns) / 1e9, len(frames_ns)
        reached = success > 0
        latency_s = tries * air_s + waits_s * count
        if self.slotted:
            # A start waits for half a slot on average; the next frame follows in the next slot.
            pauses_s = (count - 1) * self.slot_ns / 1e9 - sum(frames_ns[:-1]) / 1e9
            latency_s += self.slot_ns / 2e9 * (1 + (tries - 1) * count) + pauses_s
        # What is spent: without feedback all frames go out, with it up to the first loss.
        going_on = success if limit > 1 else np.ones_like(success)
        reached_by = going_on[..., None] ** np.arange(count)
        spent = (failed[..., None] ** (orders - 1)).sum(axis=-1)
        sent_s = spent * (reached_by * frames_ns).sum(axis=-1) / 1e9
        lost = (spent - success) * reached_by.sum(axis=-1) if limit > 1 else 0.0
        radio = self.radio
        return LinkPlan(
            loss_db=loss,
            rx_power_dbm=self.tx_power_dbm - loss,
            snr_db=snr_db,
            rate_bps=np.where(reached, self.rate_bps, 0.0),
            packets=np.full(loss.shape, count, dtype=np.int64),
            packet_error=failed,
            message_loss=1 - success**count,
            air_s=np.where(reached, tries * air_s, np.inf),
            latency_s=np.where(reached, latency_s, np.inf),
            energy_j=sent_s * radio.tx_w + lost * self.ack_timeout_s * radio.idle_w,
        )

    def medium(
        self,
        losses_db: Mapping[str, float],
        *,
        rng: np.random.Generator,
        blocks: Blocks | None = None,
    ) -> AlohaMedium:
        """Build the calendar of one cell; losses in dB by device, links in their order.

        Raises ValueError for a loss that is not finite.
        """
        check_finite("losses_db", list(losses_db.values()))
        return AlohaMedium(self, losses_db, rng=rng, blocks=blocks)

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
        """Send one message up per device over many cells at once; see :func:`run_batch`."""
        return run_batch(
            self, losses_db, sizes_bytes, ready_ns, cells=cells, rng=rng, blocks=blocks
        )

    def _air_ns(self, payload_bytes: int) -> int:
        return to_ns((payload_bytes + self.overhead_bytes) * 8 / self.rate_bps)

    def _waited_s(self, orders: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        """Mean time between the attempts of a frame that needs ``orders`` of them."""
        windows_s = self.backoff_s * self.backoff_growth ** np.arange(self.max_attempts)
        before_s = np.concatenate([[0.0], np.cumsum(self.ack_timeout_s + windows_s / 2)])
        return np.asarray(before_s[orders - 1])


@lru_cache(maxsize=4096)
def _frames_ns(family: Aloha, size_bytes: int) -> tuple[int, ...]:
    return tuple(family._air_ns(piece) for piece in split(size_bytes, family.mtu_bytes))  # noqa: SLF001 - same module
