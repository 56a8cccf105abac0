"""802.15.4 as Zigbee and Thread use it: one parameter set, three engines.

A message is cut into 6LoWPAN fragments, each a frame of at most 127 bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from channel_sim.checks import check_between, check_count, check_finite
from channel_sim.energy import RadioPower, load_radio
from channel_sim.family import Blocks, LinkPlan
from channel_sim.fragmentation import LOWPAN_MTU_BYTES, split_6lowpan
from channel_sim.ieee802154.csma import Csma
from channel_sim.ieee802154.lockstep import run_burst
from channel_sim.ieee802154.plan import plan_links
from channel_sim.ieee802154.timing import FCS_BYTES, MAX_PSDU_BYTES
from channel_sim.outcomes import Outcomes
from channel_sim.rate import noise_dbm

BANDWIDTH_HZ = 2e6
"""Chip rate of the O-QPSK PHY: 2 Mchip/s (802.15.4-2006, 6.5; remembered)."""


@dataclass(frozen=True, kw_only=True)
class Zigbee:
    """A beaconless PAN at 2.4 GHz with one coordinator; every default with its source.

    Raises ValueError that names the key, the value and the remedy.
    """

    kind: ClassVar[str] = "ieee802154"
    shared: ClassVar[bool] = True

    tx_power_dbm: float = 0.0
    """Of a device; Nordic nRF52840 product specification, middle of its range."""
    station_tx_power_dbm: float = 0.0
    """Of the coordinator; as a device."""
    noise_figure_db: float = 10.6
    """With what the demodulator loses: 1 % of 20-byte frames fail at -100 dBm, nRF52840's
    sensitivity (remembered). ns-3's -106.987 dBm of noise is a figure of 4.003."""
    cca_threshold_dbm: float | None = None
    """Mean power from which a device is heard; None: all of a PAN hear each other. A device
    below it at the station is heard by none and hears none: a hidden terminal."""
    ack: bool = True
    """Whether frames are acknowledged and repeated."""
    min_be: int = 3
    """macMinBE, first backoff 0 to 2^3 - 1 periods (ns-3 lr-wpan-csmaca.cc)."""
    max_be: int = 5
    """macMaxBE (ns-3 lr-wpan-csmaca.cc)."""
    max_csma_backoffs: int = 4
    """macMaxCSMABackoffs: after as many more looks at a busy channel a frame is given up
    (ns-3 lr-wpan-csmaca.cc)."""
    max_frame_retries: int = 3
    """macMaxFrameRetries: repetitions without acknowledgement (ns-3 lr-wpan-mac.cc)."""
    mac_header_bytes: int = 9
    """Control 2, number 1, PAN 2, two short addresses of 2 (802.15.4-2006, 7.2.2.2)."""
    mtu_bytes: int = LOWPAN_MTU_BYTES
    """Largest datagram (RFC 4944, 4)."""
    radio_name: str = "nrf52840_154"
    """Key of the table of radios."""

    def __post_init__(self) -> None:
        for key in ("tx_power_dbm", "station_tx_power_dbm", "noise_figure_db"):
            check_finite(key, getattr(self, key))
        if self.cca_threshold_dbm is not None:
            check_finite("cca_threshold_dbm", self.cca_threshold_dbm)
        for key, low, high, why in (
            ("min_be", 0, 8, "macMinBE is at most macMaxBE"),
            ("max_be", max(3, self.min_be), 8, "macMaxBE: 3 to 8, and no less than min_be"),
            ("max_csma_backoffs", 0, 5, "range of macMaxCSMABackoffs"),
            ("max_frame_retries", 0, 7, "range of macMaxFrameRetries"),
            ("mac_header_bytes", 3, 100, "control and number at least, room for data at most"),
        ):
            check_between(key, getattr(self, key), low, high, why=why)
        check_count("mtu_bytes", self.mtu_bytes)
        self.frames_bytes(1)

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
        """Noise power of both receivers in dBm."""
        return noise_dbm(BANDWIDTH_HZ, self.noise_figure_db)

    def frames_bytes(self, size_bytes: int) -> tuple[int, ...]:
        """Return the bytes of each frame's MPDU, headers and checksum included, in order.

        Raises ValueError for a size below 1 byte.
        """
        return _frames_bytes(size_bytes, self.mac_header_bytes + FCS_BYTES, self.mtu_bytes)

    def plan(self, loss_db: npt.ArrayLike, size_bytes: int, *, fading: str = "none") -> LinkPlan:
        """Work out one message up on an otherwise empty channel; see :func:`plan_links`."""
        return plan_links(self, loss_db, size_bytes, fading=fading)

    def medium(
        self,
        losses_db: Mapping[str, float],
        *,
        rng: np.random.Generator,
        blocks: Blocks | None = None,
    ) -> Csma:
        """Build the calendar of one PAN; losses in dB by device, links in their order.

        Raises ValueError for a loss that is not finite.
        """
        check_finite("losses_db", list(losses_db.values()))
        return Csma(self, losses_db, rng=rng, blocks=blocks)

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
        """Send one message up per device over many PANs at once; see :func:`run_burst`."""
        return run_burst(
            self, losses_db, sizes_bytes, ready_ns, cells=cells, rng=rng, blocks=blocks
        )


@lru_cache(maxsize=4096)
def _frames_bytes(size_bytes: int, overhead_bytes: int, mtu_bytes: int) -> tuple[int, ...]:
    room_bytes = MAX_PSDU_BYTES - overhead_bytes
    fragments = split_6lowpan(size_bytes, room_bytes, mtu_bytes=mtu_bytes)
    return tuple(fragment + overhead_bytes for fragment in fragments)
