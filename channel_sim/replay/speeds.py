"""Speeds of measured phones, log-normal.

FLASH draws a Gaussian per transfer and draws again where it is negative,
which raises the mean and makes near-zero speeds, hours per message. A
log-normal law has the measured mean and deviation and no such tail.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from channel_sim.checks import check_known, check_positive

UNITS_BPS = {"kB/s": 8e3, "kbit/s": 1e3}
KEYS = ("down_u", "down_sigma", "up_u", "up_sigma")


@dataclass(frozen=True, eq=False)
class PhoneSpeeds:
    """Mean and deviation by phone and direction in bit/s, shape (phones, 2): down, up.

    Raises ValueError for values that are not positive.
    """

    names: tuple[str, ...]
    mean_bps: npt.NDArray[np.float64]
    sigma_bps: npt.NDArray[np.float64]

    def __post_init__(self) -> None:
        check_positive("mean_bps", self.mean_bps)
        check_positive("sigma_bps", self.sigma_bps)

    def draw_bps(self, n: int, rng: np.random.Generator) -> npt.NDArray[np.float64]:
        """Draw ``n`` devices: a phone, then a speed down and up by its log-normal laws.

        Returns bit/s, shape (n, 2). A device keeps its speed: drawn once, it
        is a property of the place; drawn per message, a fading.
        """
        phone = rng.integers(len(self.names), size=n)
        # exp(N(mu, s^2)) has mean exp(mu + s^2 / 2) and variance mean^2 (exp(s^2) - 1).
        spread = np.log1p((self.sigma_bps[phone] / self.mean_bps[phone]) ** 2)
        middle = np.log(self.mean_bps[phone]) - spread / 2
        return np.asarray(np.exp(middle + np.sqrt(spread) * rng.standard_normal((n, 2))))


def load_phone_speeds(path: str | Path, *, unit: str = "kB/s") -> PhoneSpeeds:
    """Read FLASH's ``speed_distri.json``: phone -> down_u, down_sigma, up_u, up_sigma.

    The file states no unit. "kB/s" is how FLASH's code uses the numbers
    (models/device.py divides kilobytes by them); "kbit/s" is what is remembered
    of MobiPerf, where they were measured: eight times slower. Raises
    ValueError for another unit and for a file of another form.
    """
    check_known("unit", unit, UNITS_BPS)
    try:
        phones = json.loads(Path(path).read_text(encoding="utf-8"))
        table = np.array([[float(phone[key]) for key in KEYS] for phone in phones.values()])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} holds no speeds ({error!r}); give {', '.join(KEYS)}") from None
    table = table.reshape(-1, len(KEYS)) * UNITS_BPS[unit]
    return PhoneSpeeds(tuple(phones), table[:, [0, 2]], table[:, [1, 3]])
