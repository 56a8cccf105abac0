"""What a radio technology offers: a plan of one link, a calendar, lock-step cells.

A family is a frozen dataclass of parameters (``Wifi``, ``Lorawan``, ...). It
knows nothing of distance or carrier: it is given losses in dB, made by
``propagation``. The three engines read the same parameters.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import ClassVar, Protocol

import numpy as np
import numpy.typing as npt

from channel_sim.calendar import Calendar
from channel_sim.energy import RadioPower
from channel_sim.outcomes import Outcomes


class Blocks(Protocol):
    """Fading of many links: a power gain (linear, mean 1), constant within a block.

    Block k of a link lasts from ``k * coherence_ns`` on. A gain is a function
    of link and block alone, so that no engine and no order changes it.
    """

    @property
    def coherence_ns(self) -> int:
        """Length of a block in nanoseconds."""
        ...

    def gain(self, link: int, block: int) -> float:
        """Return the gain of one link in one block."""
        ...

    def gains(
        self, links: npt.NDArray[np.int64], blocks: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.float64]:
        """Return the same for arrays of one shape."""
        ...


@dataclass(frozen=True, eq=False, kw_only=True)
class LinkPlan:
    """What one message up meets on an otherwise empty medium; arrays of one shape, by loss.

    ``snr_db`` mean; ``rate_bps`` of the chosen mode on air, 0 out of reach;
    ``packet_error`` probability that one attempt of one packet fails;
    ``message_loss`` that the message is lost after all attempts; ``packets``
    per message; ``air_s`` on air and ``latency_s`` from ready to received,
    both mean, given that it is delivered (infinity where it never is);
    ``energy_j`` of the device's radio for it.
    """

    loss_db: npt.NDArray[np.float64]
    rx_power_dbm: npt.NDArray[np.float64]
    snr_db: npt.NDArray[np.float64]
    rate_bps: npt.NDArray[np.float64]
    packets: npt.NDArray[np.int64]
    packet_error: npt.NDArray[np.float64]
    message_loss: npt.NDArray[np.float64]
    air_s: npt.NDArray[np.float64]
    latency_s: npt.NDArray[np.float64]
    energy_j: npt.NDArray[np.float64]

    def __post_init__(self) -> None:
        shapes = {item.name: np.shape(getattr(self, item.name)) for item in fields(self)}
        if len(set(shapes.values())) != 1:
            raise ValueError(f"arrays have shapes {shapes}; give one shape")


class Family(Protocol):
    """One radio technology with its parameters."""

    kind: ClassVar[str]
    """Its name in presets and errors."""
    shared: ClassVar[bool]
    """True where devices contend, so that n of them answering together matters."""

    @property
    def radio(self) -> RadioPower:
        """Powers of a device's radio by state."""
        ...

    @property
    def rest_w(self) -> float:
        """Power in watts of a device's radio between messages."""
        ...

    def plan(self, loss_db: npt.ArrayLike, size_bytes: int, *, fading: str = "none") -> LinkPlan:
        """Work out one message of ``size_bytes`` up over each loss, by formula.

        ``fading`` "rayleigh" averages over it where the model can. Raises
        ValueError for a size that the technology cannot carry, saying by how much.
        """
        ...

    def medium(
        self,
        losses_db: Mapping[str, float],
        *,
        rng: np.random.Generator,
        blocks: Blocks | None = None,
    ) -> Calendar:
        """Build the calendar of one cell; losses in dB by device, links in their order."""
        ...

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
        """Send one message up per device over many cells at once, all arrivals known.

        All arrays have shape (devices,); ``cells`` numbers the cell of each
        device from 0. The same law as :meth:`medium`, run in lock step. The
        order of the rows changes the random numbers, not the law.
        """
        ...
