"""One synchronous round by another method: the channel stepped symbol by symbol.

All times of the standard are whole symbols of 16 us. Equal powers far above
the noise, one acknowledged frame of 100 bytes each. Written from the
standard's text for this test; it shares nothing with the code under test.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import stats

from channel_sim.ieee802154 import Zigbee

AIR, ACK, TURN, CCA, WAIT, UNIT = 234, 22, 12, 8, 54, 20
BIT_ERROR_0_DB = 1.615e-4  # oracles.md 2.5


@dataclass
class Node:
    phase: str = "wait"
    left: int = 0
    looks: int = 0
    exponent: int = 3
    retries: int = 0
    heard: bool = False


class Round:
    def __init__(self, devices: int, rng: np.random.Generator) -> None:
        self.rng = rng
        self.nodes = [Node() for _ in range(devices)]
        self.got: set[int] = set()
        self.ends: dict[int, int] = {}
        self.clock = 0
        self.follows: int | None = None
        self.overlap = 0
        self.ack_to: int | None = None
        self.ack_wait = self.ack_left = self.ack_overlap = 0
        for node in self.nodes:
            self.back_off(node)

    def back_off(self, node: Node) -> None:
        node.phase, node.left = "wait", int(self.rng.integers(2**node.exponent)) * UNIT
        if not node.left:
            self.listen(node)

    def listen(self, node: Node) -> None:
        node.phase, node.left, node.heard = "listen", CCA, False

    def end(self, number: int) -> None:
        self.nodes[number].phase = "done"
        self.ends[number] = self.clock

    def survives(self, symbols: int) -> bool:
        """Whether bits under one interferer of equal power are right."""
        return self.rng.random() < (1 - BIT_ERROR_0_DB) ** (4 * symbols)

    def expire(self, number: int, node: Node) -> None:
        """What happens when a node's time in its phase is over."""
        if node.phase == "wait":
            self.listen(node)
        elif node.phase == "listen":
            if not node.heard:
                node.phase, node.left = "turn", TURN
                return
            node.looks, node.exponent = node.looks + 1, min(node.exponent + 1, 5)
            if node.looks > 4:
                self.end(number)
            else:
                self.back_off(node)
        elif node.phase == "send":
            node.phase, node.left = "quiet", WAIT
            if self.follows == number:
                self.follows = None
                if self.survives(self.overlap):
                    self.got.add(number)
                    self.ack_to, self.ack_wait, self.ack_left = number, TURN, ACK
                    self.ack_overlap = 0
        elif node.phase == "quiet":
            node.retries += 1
            if node.retries > 3:
                self.end(number)
            else:
                node.looks, node.exponent = 0, 3
                self.back_off(node)

    def start_frames(self) -> int:
        """Put on air whose turnaround is over; return how many are sending."""
        sending = sum(node.phase == "send" for node in self.nodes)
        for number, node in enumerate(self.nodes):
            if node.phase == "turn" and node.left == 0:
                node.phase, node.left = "send", AIR
                if self.follows is None and self.ack_to is None and not sending:
                    self.follows, self.overlap = number, 0
        return sum(node.phase == "send" for node in self.nodes)

    def pass_symbol(self, sending: int) -> None:
        acknowledging = self.ack_to is not None and self.ack_wait == 0
        if self.follows is not None and sending > 1:
            # Two or more interferers leave nothing of a frame.
            self.overlap += 1 if sending == 2 else 10**6
        if acknowledging:
            self.ack_overlap += sending > 0
            self.ack_left -= 1
        elif self.ack_to is not None:
            self.ack_wait -= 1
        for node in self.nodes:
            node.heard |= sending > 0 or acknowledging
            node.left -= 1
        self.clock += 1
        if acknowledging and self.ack_left == 0 and self.ack_to is not None:
            if self.survives(self.ack_overlap):
                self.end(self.ack_to)
            self.ack_to = None

    def run(self) -> tuple[int, list[int]]:
        while len(self.ends) < len(self.nodes):
            for number, node in enumerate(self.nodes):
                if node.left == 0 and node.phase not in {"done", "turn"}:
                    self.expire(number, node)
            self.pass_symbol(self.start_frames())
        return len(self.got), list(self.ends.values())


def test_a_round_agrees() -> None:
    devices, runs, pans = 5, 250, 4000
    rng = np.random.default_rng(8)
    results = [Round(devices, rng).run() for _ in range(runs)]
    arrived = np.array([got for got, _ in results])
    ends_ns = np.concatenate([ends for _, ends in results]) * 16_000
    count = devices * pans
    found = Zigbee().burst(
        np.full(count, 60.0),
        np.full(count, 100),
        np.zeros(count, dtype=np.int64),
        cells=np.arange(count) // devices,
        rng=np.random.default_rng(3),
    )
    ours = found.delivered.reshape(-1, devices).sum(axis=1)
    assert abs(ours.mean() - arrived.mean()) < 3.5 * arrived.std() / runs**0.5
    assert stats.ks_2samp(found.finish_ns, ends_ns).pvalue > 0.01
