"""One link from sender to receiver: losses, SNR, rate, and messages across it.

The chain: path loss -> shadowing -> mean SNR -> rate -> fading of each packet.
A link holds numbers, not models: any path loss model gives ``path_loss_db``,
any fading gives the blocks. It has no clock and no queue; those belong to
the medium.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, partial

from channel_sim.arq import Arq, Transfer
from channel_sim.checks import check_finite
from channel_sim.fading import Fading
from channel_sim.rate import TruncatedShannon, noise_dbm


@dataclass(frozen=True, kw_only=True)
class Link:
    """Frozen parameters of one direction of one link.

    The sender knows the mean SNR, not the momentary one. It takes the rate
    that the mean less ``fade_margin_db`` carries; a packet fails when the SNR
    of a block that it touches is below what that rate needs. ``fading`` None
    is a gain of 1 for ever: then every packet gets through, or none when the
    margin is negative. Raises ValueError for a bandwidth that is not positive
    and for numbers that are not finite.
    """

    bandwidth_hz: float
    tx_power_dbm: float
    path_loss_db: float
    noise_figure_db: float
    fade_margin_db: float
    shannon: TruncatedShannon
    arq: Arq
    shadowing_db: float = 0.0
    fading: Fading | None = None

    def __post_init__(self) -> None:
        for key in ("tx_power_dbm", "path_loss_db", "fade_margin_db", "shadowing_db"):
            check_finite(key, getattr(self, key))
        noise_dbm(self.bandwidth_hz, self.noise_figure_db)

    @cached_property
    def rx_power_dbm(self) -> float:
        """Received power in dBm, mean over the fading."""
        return self.tx_power_dbm - self.path_loss_db - self.shadowing_db

    @cached_property
    def mean_snr_db(self) -> float:
        """SNR in dB, mean (of the linear SNR) over the fading."""
        return self.rx_power_dbm - noise_dbm(self.bandwidth_hz, self.noise_figure_db)

    @cached_property
    def required_snr_db(self) -> float:
        """The SNR in dB below which a packet fails."""
        return min(self.mean_snr_db - self.fade_margin_db, self.shannon.cap_snr_db)

    @cached_property
    def rate_bps(self) -> float:
        """The rate in bit/s at which packets are sent; 0 when out of reach."""
        return self.bandwidth_hz * float(self.shannon.efficiency_bps_hz(self.required_snr_db))

    @cached_property
    def _required_gain(self) -> float:
        return 10 ** ((self.required_snr_db - self.mean_snr_db) / 10)

    @cached_property
    def outage(self) -> float:
        """Probability that a packet within one block fails; 1 when out of reach."""
        if self.rate_bps == 0:
            return 1.0
        if self.fading is None:
            return 1.0 if self._required_gain > 1.0 else 0.0
        return self.fading.outage(self._required_gain)

    def transfer(self, size_bytes: int, start_s: float) -> Transfer:
        """Send ``size_bytes`` from ``start_s`` on; out of reach, nothing is sent.

        The same link, size and start always give the same result.
        """
        if self.rate_bps == 0:
            return Transfer(False, start_s, 0.0, 0, self.arq.packets(size_bytes))
        if self.fading is None:
            return self.arq.transfer(
                size_bytes, start_s, rate_bps=self.rate_bps, first_bad=self._static
            )
        return self.arq.transfer(
            size_bytes,
            start_s,
            rate_bps=self.rate_bps,
            first_bad=partial(self.fading.first_below, self._required_gain),
            coherence_s=self.fading.coherence_s,
        )

    def _static(self, first: int, last: int) -> int:
        """Without fading: carried for ever, or never."""
        return first if self._required_gain > 1.0 else last + 1
