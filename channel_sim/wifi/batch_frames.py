"""The packets of many messages at once: :mod:`channel_sim.wifi.jobs` as arrays, the same law.

Arrays have one entry per device of a chunk of cells; ``at`` are places in
them, each at most once. A ``settle`` returns per frame how many packets
arrived, whether the window grows, and leaves the state for the next frame.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from channel_sim.wifi.curves import Curves
from channel_sim.wifi.rules import Rules
from channel_sim.wifi.timing import frames_ns, subframe_bytes

Ints: TypeAlias = npt.NDArray[np.int64]
Floats: TypeAlias = npt.NDArray[np.float64]
Flags: TypeAlias = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False, kw_only=True)
class Sizes:
    """What never changes of each device's message: packets, last frame's bytes, mode, curves."""

    packets: npt.NDArray[np.int32]
    last_bytes: npt.NDArray[np.int32]
    mode: npt.NDArray[np.int8]
    full_row: npt.NDArray[np.int32]
    last_row: npt.NDArray[np.int32]
    full_per: npt.NDArray[np.float32]
    last_per: npt.NDArray[np.float32]

    def columns(self) -> dict[str, npt.NDArray[Any]]:
        """Return the arrays by name."""
        return dict(vars(self))


class Settled(NamedTuple):
    """What became of the frames: packets arrived, window grows, nothing left, answer in ns."""

    arrived: Ints
    grows: Flags
    done: Flags
    answer_ns: Ints


class Frames(ABC):
    """State of all messages of a chunk; ``lost`` marks those with a packet lost for good."""

    def __init__(
        self, rules: Rules, sizes: Sizes, curves: Curves, rng: np.random.Generator
    ) -> None:
        self._rules = rules
        self._rng = rng
        self._curves = curves
        exchanges = rules.exchanges
        self._half_bits = np.array([item.mode.half_bits for item in exchanges])
        self._ack_ns = np.array([item.ack_ns for item in exchanges])
        self._block_ack_ns = np.array([item.block_ack_ns for item in exchanges])
        self._request_ns = np.array([item.request_ns for item in exchanges])
        self._most = np.array([item.frames for item in exchanges])
        self.state: dict[str, npt.NDArray[Any]] = {
            **sizes.columns(),
            "lost": np.zeros(len(sizes.packets), dtype=np.bool_),
        }

    def keep(self, places: Ints) -> None:
        """Drop all devices but those at ``places``."""
        self.state = {name: column[places] for name, column in self.state.items()}

    @property
    def lost(self) -> Flags:
        """True where a packet was lost for good."""
        return np.asarray(self.state["lost"], dtype=np.bool_)

    @abstractmethod
    def compose(self, at: Ints) -> tuple[Ints, Ints]:
        """Return the duration of the next frames and the data packets in them."""

    @abstractmethod
    def settle(self, at: Ints, heard: Flags, sinr_db: Floats | None) -> Settled:
        """Frames were heard (at ``sinr_db``; None: each at its mean) or not."""

    def _per(self, kind: str, at: Ints, sinr_db: Floats | None) -> Floats:
        if sinr_db is None:
            return self.state[f"{kind}_per"][at].astype(np.float64)
        return self._curves.many(self.state[f"{kind}_row"][at].astype(np.int64), sinr_db)

    def _bare_ns(self, at: Ints, size_bytes: Ints) -> Ints:
        half_bits = self._half_bits[self.state["mode"][at]]
        return frames_ns(size_bytes, half_bits, self._rules.modes[0])


class Singles(Frames):
    """One packet per access."""

    def __init__(
        self, rules: Rules, sizes: Sizes, curves: Curves, rng: np.random.Generator
    ) -> None:
        super().__init__(rules, sizes, curves, rng)
        state = self.state
        everyone = np.arange(len(sizes.packets))
        full_bytes = np.full(len(everyone), rules.full_bytes)
        last_bytes = sizes.last_bytes.astype(np.int64)
        state["full_ns"] = self._bare_ns(everyone, full_bytes)
        state["last_ns"] = self._bare_ns(everyone, last_bytes)
        state["ack_ns"] = self._ack_ns[sizes.mode]
        state["left"] = sizes.packets.copy()
        state["tries"] = np.zeros(len(everyone), dtype=np.int16)
        self._noisy = bool(np.any(sizes.full_per > 0) or np.any(sizes.last_per > 0))

    def compose(self, at: Ints) -> tuple[Ints, Ints]:
        """Return the duration of the next frames and the data packets in them."""
        state = self.state
        air_ns = np.where(state["left"][at] == 1, state["last_ns"][at], state["full_ns"][at])
        return air_ns, np.ones(len(at), dtype=np.int64)

    def settle(self, at: Ints, heard: Flags, sinr_db: Floats | None) -> Settled:
        """Frames were heard (at ``sinr_db``; None: each at its mean) or not."""
        state, rules = self.state, self._rules
        left, tries = state["left"][at], state["tries"][at]
        arrived = heard
        if self._noisy or sinr_db is not None:
            per = np.where(
                left == 1, self._per("last", at, sinr_db), self._per("full", at, sinr_db)
            )
            arrived = heard & (self._rng.random(len(at)) >= per)
        dropped = ~arrived & (tries + 1 >= rules.retry_limit)
        over = arrived | dropped
        left = left - over
        if rules.abort:
            left[dropped] = 0
        if dropped.any():
            state["lost"][at[dropped]] = True
        state["left"][at] = left
        state["tries"][at] = np.where(over, 0, tries + 1)
        return Settled(arrived.astype(np.int64), ~over, left == 0, state["ack_ns"][at])


class Aggregates(Frames):
    """As many packets as fit per access; ``tried[:, k]`` full packets were sent k times."""

    def __init__(
        self, rules: Rules, sizes: Sizes, curves: Curves, rng: np.random.Generator
    ) -> None:
        super().__init__(rules, sizes, curves, rng)
        count = len(sizes.packets)
        self.state |= {
            "fresh": sizes.packets - 1,
            "tried": np.zeros((count, rules.retry_limit), dtype=np.int8),
            "last": np.zeros(count, dtype=np.int16),
            "request": np.zeros(count, dtype=np.bool_),
            "requests": np.zeros(count, dtype=np.int16),
        }

    def _content(self, at: Ints) -> tuple[Ints, Ints, Flags]:
        """Full packets tried before, fresh full packets, and whether the last one goes along."""
        state = self.state
        old = state["tried"][at].sum(axis=1, dtype=np.int64)
        fresh, last = state["fresh"][at], state["last"][at]
        again = last > 0
        room = self._most[state["mode"][at]] - old - again
        new = np.minimum(fresh, room)
        return old, new, again | ((last == 0) & (new == fresh) & (room > new))

    def compose(self, at: Ints) -> tuple[Ints, Ints]:
        """Return the duration of the next frames and the data packets in them; 0 of a BAR."""
        state = self.state
        old, new, with_last = self._content(at)
        full, last_bytes = old + new, state["last_bytes"][at].astype(np.int64)
        full_bytes = self._rules.full_bytes
        last_subframe = 4 + (last_bytes + 3) // 4 * 4
        total = full * subframe_bytes(full_bytes) + with_last * last_subframe
        total -= np.where(with_last, -last_bytes % 4, -full_bytes % 4)
        count = full + with_last
        bare = np.where(with_last, last_bytes, full_bytes)
        air_ns = self._bare_ns(at, np.where(count == 1, bare, total))
        request = state["request"][at]
        air_ns[request] = self._request_ns[state["mode"][at[request]]]
        count[request] = 0
        return air_ns, count

    def settle(self, at: Ints, heard: Flags, sinr_db: Floats | None) -> Settled:
        """Frames were heard (at ``sinr_db``; None: each at its mean) or not."""
        state = self.state
        arrived = np.zeros(len(at), dtype=np.int64)
        grows = np.zeros(len(at), dtype=np.bool_)
        request = state["request"][at]
        mode = state["mode"][at]
        answer_ns = self._block_ack_ns[mode]
        if request.any():
            grows[request] = self._settle_requests(at[request], heard[request])
            arrived[request] = heard[request]
        data = np.flatnonzero(~request)
        if len(data):
            some_db = None if sinr_db is None else sinr_db[data]
            arrived[data], grows[data], single = self._settle_data(at[data], heard[data], some_db)
            answer_ns[data[single]] = self._ack_ns[mode[data[single]]]
        done = (state["fresh"][at] == 0) & (state["last"][at] < 0) & ~state["tried"][at].any(axis=1)
        if self._rules.abort:
            done |= state["lost"][at]
        return Settled(arrived, grows, done, answer_ns)

    def _settle_requests(self, at: Ints, heard: Flags) -> Flags:
        state, limit = self.state, self._rules.retry_limit
        requests = state["requests"][at] + 1
        over = ~heard & (requests >= limit)
        state["requests"][at] = requests
        state["request"][at] = ~heard & ~over
        given_up = at[over]
        state["lost"][given_up] = True
        state["tried"][given_up] = 0
        last = state["last"][given_up]
        state["last"][given_up] = np.where(last > 0, -1, last)
        return np.asarray(~heard & ~over)

    def _settle_data(
        self, at: Ints, heard: Flags, sinr_db: Floats | None
    ) -> tuple[Ints, Flags, Flags]:
        """Return packets arrived, whether the window grows, and whether it was one bare packet."""
        state, limit = self.state, self._rules.retry_limit
        old, new, with_last = self._content(at)
        count = old + new + with_last
        sent = state["tried"][at]
        sent[:, 0] = new
        full_per = np.where(heard, self._per("full", at, sinr_db), 1.0)
        last_per = np.where(heard, self._per("last", at, sinr_db), 1.0)
        failed = self._rng.binomial(sent, full_per[:, None]).astype(np.int8)
        last_failed = with_last & (self._rng.random(len(at)) < last_per)
        arrived = count - failed.sum(axis=1, dtype=np.int64) - last_failed
        lost = failed[:, -1] > 0
        state["fresh"][at] -= new
        failed[:, 1:] = failed[:, :-1].copy()
        failed[:, 0] = 0
        state["tried"][at] = failed
        last = state["last"][at]
        last = np.where(with_last, np.where(last_failed, last + 1, -1), last)
        lost |= last >= limit
        last[last >= limit] = -1
        state["last"][at] = last
        state["lost"][at] |= lost
        none = arrived == 0
        again = none & (failed.any(axis=1) | (last > 0))
        state["request"][at] = again & (count > 1)
        state["requests"][at] = 0
        return arrived, again, count == 1
