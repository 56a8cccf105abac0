"""One message alone on the medium, by formula: the planning engine of Wi-Fi."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from channel_sim.checks import check_count, check_finite, check_known
from channel_sim.energy import RadioPower
from channel_sim.family import LinkPlan
from channel_sim.units import SECOND_NS, decibel
from channel_sim.wifi.curves import Curves
from channel_sim.wifi.rules import Exchange, Rules

FADES = 400
"""Equal shares of an exponential fade over which Rayleigh fading is averaged."""


def plan_messages(
    rules: Rules,
    loss_db: npt.NDArray[np.float64],
    size_bytes: int,
    *,
    tx_power_dbm: float,
    radio: RadioPower,
    fading: str,
) -> LinkPlan:
    """Return what one message meets over each loss on a medium that nobody else uses.

    Every attempt of a packet fails with the same probability; the first frame
    is sent at once, before each later one come the gap and half a window.
    Aggregates are worked out with mean values. Raises ValueError for a loss
    that is not finite and for fading other than "none" and "rayleigh".
    """
    check_finite("loss_db", loss_db)
    check_count("size_bytes", size_bytes)
    check_known("fading", fading, ("none", "rayleigh"))
    shape = loss_db.shape
    loss_db = loss_db.ravel()
    rx_power_dbm = tx_power_dbm - loss_db
    snr_db = rules.snr_db(rx_power_dbm)
    mode = rules.choose(rx_power_dbm)
    reached = rules.reached(rx_power_dbm)
    packets, last_bytes = (int(item) for item in rules.cut(size_bytes))
    full_per = _error(rules, mode, snr_db, rules.full_bytes, fading)
    last_per = _error(rules, mode, snr_db, last_bytes, fading)
    times = np.zeros((4, len(loss_db)))
    for index, exchange in enumerate(rules.exchanges):
        here = reached & (mode == index)
        if here.any():
            message = _Message(rules, exchange, packets, last_bytes)
            times[:, here] = message.times(full_per[here], last_per[here])
    air_ns, answers_ns, latency_ns, awake_ns = times
    kept = (1 - full_per**rules.retry_limit) ** (packets - 1) * (1 - last_per**rules.retry_limit)
    message_loss = np.where(reached, 1 - kept, 1.0)
    never = message_loss >= 1
    energy_j = (
        air_ns * radio.tx_w
        + answers_ns * radio.rx_w
        + (awake_ns - air_ns - answers_ns) * radio.idle_w
    ) / SECOND_NS
    rates_bps = np.array([item.rate_bps for item in rules.modes])
    columns = {
        "loss_db": loss_db,
        "rx_power_dbm": rx_power_dbm,
        "snr_db": snr_db,
        "rate_bps": np.where(reached, rates_bps[mode], 0.0),
        "packets": np.full(len(loss_db), packets, dtype=np.int64),
        "packet_error": np.where(reached, full_per if packets > 1 else last_per, 1.0),
        "message_loss": message_loss,
        "air_s": np.where(never, np.inf, air_ns / SECOND_NS),
        "latency_s": np.where(never, np.inf, latency_ns / SECOND_NS),
        "energy_j": np.where(reached, energy_j, 0.0),
    }
    return LinkPlan(**{name: column.reshape(shape) for name, column in columns.items()})


def _error(
    rules: Rules,
    mode: npt.NDArray[np.int64],
    snr_db: npt.NDArray[np.float64],
    size_bytes: int,
    fading: str,
) -> npt.NDArray[np.float64]:
    """Packet error with the detection of the preamble, averaged over the fading."""
    curves = Curves(rules.error_model)
    rows = np.array([curves.row(item.name, size_bytes) for item in rules.modes])[mode]
    if fading == "none":
        return curves.many(rows, snr_db)
    shares = (np.arange(FADES) + 0.5) / FADES
    gain_db = decibel(-np.log1p(-shares))
    faded_db = snr_db[..., None] + gain_db
    error = curves.many(np.broadcast_to(rows[..., None], faded_db.shape), faded_db)
    return np.asarray(np.where(faded_db < rules.detection_snr_db, 1.0, error).mean(axis=-1))


class _Message:
    """Mean times of one message in one mode, over arrays of packet error rates."""

    def __init__(self, rules: Rules, exchange: Exchange, packets: int, last_bytes: int) -> None:
        self._rules, self._exchange = rules, exchange
        self._packets, self._last_bytes = packets, last_bytes

    def times(
        self, full_per: npt.NDArray[np.float64], last_per: npt.NDArray[np.float64]
    ) -> npt.NDArray[np.float64]:
        """Rows of air, answers, latency and time awake in ns, given that all arrive."""
        if self._exchange.frames == 1:
            return self._singles(full_per, last_per)
        found = [self._aggregates(per) for per in full_per.tolist()]
        return np.array(found).T

    def _singles(
        self, full_per: npt.NDArray[np.float64], last_per: npt.NDArray[np.float64]
    ) -> npt.NDArray[np.float64]:
        rules, exchange = self._rules, self._exchange
        mode, ack_ns = exchange.mode, exchange.ack_ns
        count = self._packets - 1
        full_ns, last_ns = mode.frame_ns(rules.full_bytes), mode.frame_ns(self._last_bytes)
        full_tries, full_wait_ns = self._attempts(full_per)
        last_tries, last_wait_ns = self._attempts(last_per)
        air_ns = count * full_tries * full_ns + last_tries * last_ns
        # Between two packets: SIFS, ACK, the gap and a first backoff.
        between_ns = rules.sifs_ns + ack_ns + rules.ifs_ns + rules.cw_min / 2 * rules.slot_ns
        waits_ns = count * (full_wait_ns + between_ns) + last_wait_ns
        answers_ns = np.full(full_per.shape, float(self._packets * ack_ns))
        latency_ns = air_ns + waits_ns
        return np.stack([air_ns, answers_ns, latency_ns, latency_ns + rules.sifs_ns + ack_ns])

    def _attempts(
        self, per: npt.NDArray[np.float64]
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Mean attempts of a packet that arrives, and the waits between them in ns."""
        rules = self._rules
        kept = np.maximum(1 - per**rules.retry_limit, 1e-300)
        tries, waits_ns = np.zeros(per.shape), np.zeros(per.shape)
        so_far_ns, window = 0.0, rules.cw_min
        for attempt in range(1, rules.retry_limit + 1):
            share = per ** (attempt - 1) * (1 - per) / kept
            tries += attempt * share
            waits_ns += so_far_ns * share
            window = min(2 * window + 1, rules.cw_max)
            so_far_ns += rules.noise_gap_ns + window / 2 * rules.slot_ns
        return tries, waits_ns

    def _aggregates(self, per: float) -> tuple[float, float, float, float]:
        """Aggregates until less than half a packet is expected to be missing."""
        rules, exchange = self._rules, self._exchange
        pause_ns = rules.ifs_ns + rules.cw_min / 2 * rules.slot_ns
        left, air_ns, answers_ns, count = float(self._packets), 0.0, 0.0, 0
        while left >= 0.5 and count < rules.retry_limit * self._packets:  # noqa: PLR2004 - half
            frames = min(exchange.frames, max(1, round(left)))
            with_last = int(left <= exchange.frames)
            air_ns += exchange.data_ns(
                ((frames - with_last, rules.full_bytes), (with_last, self._last_bytes))
            )
            answers_ns += exchange.ack_ns if frames == 1 else exchange.block_ack_ns
            left -= min(left, frames) * (1 - per)
            count += 1
        final_ns = exchange.ack_ns if frames == 1 else exchange.block_ack_ns
        latency_ns = air_ns + answers_ns - final_ns + (count - 1) * (rules.sifs_ns + pause_ns)
        return air_ns, answers_ns, latency_ns, latency_ns + rules.sifs_ns + final_ns
