"""From a message to work on the carrier: blocks, attempts, air time, what HARQ adds.

Both engines use this: the calendar message by message, the burst in arrays.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from channel_sim.cellular.harq import Floats, Ints, send
from channel_sim.family import Blocks
from channel_sim.medium import Direction
from channel_sim.units import decibel

if TYPE_CHECKING:
    from channel_sim.cellular.family import Cellular


@dataclass(frozen=True, eq=False, kw_only=True)
class Cut:
    """Messages cut into blocks, columns of shape (messages,).

    ``last`` is the part of a whole block that the last one needs, rounded up
    to what a grant can be cut into; ``last_air_ns`` its time on air.
    """

    packets: Ints
    last: Floats
    last_air_ns: Ints


@dataclass(frozen=True, eq=False, kw_only=True)
class Transfers:
    """What messages need, columns of shape (messages,).

    ``work_ns`` in time of the whole carrier; ``least_ns`` from its start to the
    end of its last attempt on an empty carrier, waits for retransmissions
    included: however little the work, it is not through earlier. ``lost`` after
    the last round of RLC.
    """

    packets: Ints
    attempts: Ints
    air_ns: Ints
    work_ns: Floats
    least_ns: Ints
    lost: npt.NDArray[np.bool_]


class Sender:
    """One direction of many links, each with its mode; links count from 0.

    Error probabilities are worked out once per link and attempt where there is
    no fading. With fading every attempt meets the gain of its time, blocks
    spaced as on an empty carrier.
    """

    def __init__(
        self, family: Cellular, direction: Direction, losses_db: Floats, *, blocks: Blocks | None
    ) -> None:
        self.modes = modes = family.modes(direction)
        self.rules = family.harq
        self._family, self._direction = family, direction
        up = direction == "up"
        self.fraction = family.uplink_fraction if up else family.downlink_fraction
        self._blocks = blocks
        steps = modes.steps
        self.air_ns = np.array([step.air_ns for step in steps])
        self.share = np.array([step.share for step in steps])
        self.duty = np.array([step.duty for step in steps])
        self._net_bits = np.array([step.net_bits for step in steps])
        self._granules = np.array([step.granules for step in steps])
        self._by_time = np.array([step.by_time for step in steps])
        # One control message as long as an interval and repeated like the data.
        self.control_ns = np.array([step.repetitions for step in steps]) * modes.grid.tti_ns
        self.signalling_ns = np.array(
            [8e9 * family.signalling_bytes / (step.rate_bps * self.fraction) for step in steps]
        ).astype(np.int64)
        self.caps = (self.share * self.duty * self.fraction).tolist()
        self.values = [step.efficiency for step in steps]
        self.chosen, self.snr_db = self._meet(losses_db)
        self.heard = self.chosen >= 0
        self.errors = self._errors(self.chosen, self.snr_db) if blocks is None else None

    def set_loss(self, link: int, loss_db: float) -> None:
        """Choose the mode of one link anew."""
        chosen, snr_db = self._meet(np.array([loss_db]))
        self.chosen[link], self.snr_db[link] = chosen[0], snr_db[0]
        self.heard[link] = chosen[0] >= 0
        if self.errors is not None:
            self.errors[:, link] = self._errors(chosen, snr_db)[:, 0]

    def _meet(self, losses_db: Floats) -> tuple[Ints, Floats]:
        """Places of modes, -1 out of reach, and SNRs."""
        chosen, rx_power_dbm = self._family.choose(losses_db, self._direction)
        return chosen, self.modes.snr_db(chosen, rx_power_dbm)

    def cut(self, links: Ints, sizes_bytes: Ints) -> Cut:
        """Cut messages into blocks; links must be in reach."""
        mode = self.chosen[links]
        bits, net_bits, granules = 8 * sizes_bytes, self._net_bits[mode], self._granules[mode]
        packets = -(-bits // net_bits)
        rest = bits - (packets - 1) * net_bits
        last = -(-granules * rest // net_bits) / granules
        shortened = np.where(self._by_time[mode], last, 1.0)
        return Cut(
            packets=packets,
            last=last,
            last_air_ns=np.rint(self.air_ns[mode] * shortened).astype(np.int64),
        )

    def transfer(
        self, links: Ints, sizes_bytes: Ints, start_ns: Ints, *, rng: np.random.Generator
    ) -> Transfers:
        """Draw the attempts of messages that start at ``start_ns``; links must be in reach."""
        mode, cut = self.chosen[links], self.cut(links, sizes_bytes)
        air_ns = self.air_ns[mode]
        spacing_ns = air_ns / (self.duty[mode] * self.fraction)
        sent = send(
            cut.packets,
            np.rint(spacing_ns).astype(np.int64),
            start_ns,
            rules=self.rules,
            gain=None if self._blocks is None else lambda rows, at: self._gain(links[rows], at),
            error=lambda rows, heard: self._error(links[rows], heard),
            rng=rng,
        )
        # Attempts in whole blocks.
        whole = sent.attempts - sent.last_attempts * (1 - cut.last)
        return Transfers(
            packets=cut.packets,
            attempts=sent.attempts,
            air_ns=(sent.attempts - sent.last_attempts) * air_ns
            + sent.last_attempts * cut.last_air_ns,
            work_ns=whole * air_ns * self.share[mode],
            least_ns=sent.span_ns + cut.last_air_ns,
            lost=sent.lost,
        )

    def _errors(self, chosen: Ints, snr_db: Floats) -> Floats:
        """Error of attempt k + 1 of links, shape (attempts, links)."""
        errors = np.ones((self.rules.attempts, len(chosen)))
        here = chosen >= 0
        for attempt in range(self.rules.attempts):
            gain_db = decibel(attempt + 1) if self.rules.combining == "chase" else 0.0
            errors[attempt, here] = self.modes.error(chosen[here], snr_db[here] + gain_db)
        return errors

    def _error(self, links: Ints, heard: Floats) -> Floats:
        if self.errors is not None:
            return np.asarray(self.errors[heard.astype(np.int64) - 1, links])
        return self.modes.error(self.chosen[links], self.snr_db[links] + decibel(heard))

    def _gain(self, links: Ints, at_ns: Ints) -> Floats:
        assert self._blocks is not None  # noqa: S101 - only asked where there is fading
        return self._blocks.gains(links, at_ns // self._blocks.coherence_ns)
