"""Who is understood: the links of a cell, their fading, capture and packet errors."""

from __future__ import annotations

from collections.abc import Sequence
from math import log10

import numpy as np
import numpy.typing as npt

from channel_sim.calendar import Message
from channel_sim.family import Blocks
from channel_sim.units import linear
from channel_sim.wifi.curves import LOW_DB, Curves
from channel_sim.wifi.jobs import Aggregate, Link, Single
from channel_sim.wifi.rules import Rules


class Listening:
    """The receivers of one cell; every answer depends on the frames on air and the time alone."""

    def __init__(self, rules: Rules, blocks: Blocks | None) -> None:
        self._rules = rules
        self._blocks = blocks
        self._exchanges = rules.exchanges
        self._noise_mw = float(linear(rules.noise_dbm)) * rules.streams
        self._least_mw = 0.0
        if rules.detection_dbm is not None:
            self._least_mw = float(linear(rules.detection_dbm))
        self.curves = Curves(rules.error_model)

    def links(self, rx_power_dbm: npt.NDArray[np.float64], *, first: int = 0) -> list[Link]:
        """Build the links of mean powers of shape (links,), numbered from ``first`` on."""
        rules = self._rules
        columns = (
            rules.choose(rx_power_dbm).tolist(),
            rules.snr_db(rx_power_dbm).tolist(),
            linear(rx_power_dbm).tolist(),
            rules.reached(rx_power_dbm).tolist(),
        )
        return [
            Link(
                number=number,
                exchange=self._exchanges[mode],
                snr_db=snr_db,
                rx_mw=rx_mw,
                reached=reached,
                row=self.curves.row(rules.modes[mode].name, rules.full_bytes),
            )
            for number, (mode, snr_db, rx_mw, reached) in enumerate(
                zip(*columns, strict=True), first
            )
        ]

    def strongest(self, links: Sequence[Link], at_ns: int) -> tuple[int | None, float]:
        """Which of the frames that started together is detected, and its SINR in dB.

        The SINR is that over noise and all others, who are taken to last as
        long as the frame. None where no preamble is detected.
        """
        rules = self._rules
        if len(links) == 1 and self._blocks is None:
            return (0 if links[0].reached else None), links[0].snr_db
        powers_mw = [link.rx_mw * self.gain(link, at_ns) for link in links]
        place = max(range(len(links)), key=powers_mw.__getitem__)
        own_mw = powers_mw[place]
        others_mw = sum(powers_mw[:place]) + sum(powers_mw[place + 1 :])
        ratio = own_mw / (self._noise_mw + others_mw)
        sinr_db = 10 * log10(ratio) if ratio > 0 else LOW_DB - 1
        heard = sinr_db >= rules.detection_snr_db and own_mw >= self._least_mw
        return (place if heard else None), sinr_db

    def job(self, message: Message, link: Link) -> Single | Aggregate:
        """Cut a message into the packets that go over ``link``."""
        rules = self._rules
        packets, last_bytes = (int(item) for item in rules.cut(message.size_bytes))
        message.packets = packets
        row = self._last_row(link, last_bytes)
        common = (message, link, row, last_bytes, rules.full_bytes, rules.retry_limit, rules.abort)
        if link.exchange.frames == 1:
            return Single(*common, left=packets)
        return Aggregate(*common, fresh=packets - 1, tried=[0] * rules.retry_limit)

    def relink(self, job: Single | Aggregate, link: Link) -> None:
        """Send what is left of a message over another link."""
        job.link, job.row = link, self._last_row(link, job.last_bytes)

    def _last_row(self, link: Link, last_bytes: int) -> int:
        return self.curves.row(link.exchange.mode.name, last_bytes)

    def gain(self, link: Link, at_ns: int) -> float:
        """Power gain of the fading on a link."""
        if self._blocks is None:
            return 1.0
        return self._blocks.gain(link.number, at_ns // self._blocks.coherence_ns)
