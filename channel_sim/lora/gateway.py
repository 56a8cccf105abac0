"""The gateway of a calendar: what is on air, its demodulators, its own transmitter."""

from __future__ import annotations

from dataclasses import dataclass, field

from channel_sim.calendar import Message
from channel_sim.lora.isolation import InterferenceRule
from channel_sim.lora.region import off_ns
from channel_sim.medium import Reason


@dataclass(slots=True, eq=False)
class Frame:
    """One uplink on air; ``others`` are those that it overlaps on its channel.

    ``trouble`` is set where its fate is known before its end: too weak, no
    demodulator, or the gateway sent meanwhile. ``fragment`` is None for a poll.
    """

    device: str
    message: Message
    fragment: int | None
    channel: int
    spreading_factor: int
    power_dbm: float
    start_ns: int
    end_ns: int
    phy_bytes: int
    trouble: Reason | None = None
    demodulated: bool = False
    others: list[Frame] = field(default_factory=list)
    power_mw: float = field(init=False)

    def __post_init__(self) -> None:
        self.power_mw = 10 ** (self.power_dbm / 10)


class Gateway:
    """Hears all channels at once; half duplex, one transmitter.

    ``meet[c]`` lists the channels that channel c interferes with, itself
    included; ``duties`` the duty cycles of its sub-bands.
    """

    def __init__(
        self,
        rule: InterferenceRule,
        *,
        meet: list[list[int]],
        symbol_ns: list[int],
        preamble_symbols: int,
        demodulators: int,
        duties: list[float],
    ) -> None:
        self._rule = rule
        self._meet = meet
        self._symbol_ns = symbol_ns
        self._preamble_symbols = preamble_symbols
        self._on_air: list[list[Frame]] = [[] for _ in meet]
        self._free = demodulators
        self._duties = duties
        self._open_ns = [0] * len(duties)
        self._sending_until_ns = 0

    def begin(self, frame: Frame, *, heard: bool) -> None:
        """Take a frame that starts now; ``heard`` where it is strong enough to be received.

        Frames that end at this instant must have ended before.
        """
        for channel in self._meet[frame.channel]:
            for other in self._on_air[channel]:
                other.others.append(frame)
                frame.others.append(other)
        self._on_air[frame.channel].append(frame)
        if not heard:
            frame.trouble = "below_sensitivity"
        elif self._sending_until_ns > frame.start_ns:
            frame.trouble = "collision"
        elif not self._free:
            frame.trouble = "queue"
        else:
            frame.demodulated = True
            self._free -= 1

    def finish(self, frame: Frame) -> Reason:
        """Take the end of a frame, now; return "delivered" or what it was lost to."""
        self.cut(frame, frame.end_ns)
        trouble = frame.trouble
        if trouble is None and self._rule.destroys(
            frame, frame.others, symbol_ns=self._symbol_ns, preamble=self._preamble_symbols
        ):
            trouble = "collision"
        # Neighbours keep one another alive otherwise, in chains without end.
        frame.others = []
        return trouble or "delivered"

    def cut(self, frame: Frame, now_ns: int) -> None:
        """Take a frame off the air: its end, or its sender went away."""
        frame.end_ns = now_ns
        self._on_air[frame.channel].remove(frame)
        if frame.demodulated:
            self._free += 1

    def can_send(self, now_ns: int, band: int) -> bool:
        """Tell whether the transmitter is free and the law lets it use a sub-band."""
        return now_ns >= self._sending_until_ns and now_ns >= self._open_ns[band]

    def send(self, now_ns: int, air_ns: int, band: int) -> None:
        """Send; all frames that are on air are lost."""
        self._sending_until_ns = now_ns + air_ns
        self._open_ns[band] = now_ns + air_ns + off_ns(air_ns, self._duties[band])
        for frames in self._on_air:
            for frame in frames:
                if frame.trouble is None:
                    frame.trouble = "collision"
