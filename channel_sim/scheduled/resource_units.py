"""Resource units of 802.11ax: how many there are, what they carry, how long frames last.

IEEE 802.11ax-2021: tones and data tones table 27-8 ff., HE modes 27.5, frames
9.3.1.8 and 9.3.1.22 (all as remembered; rates are tested against the standard's
8.6 Mb/s of HE MCS 0 over 242 tones). Functions take numbers or arrays.
"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

from channel_sim.reception.wifi_error import wifi_per
from channel_sim.reception.wifi_modes import WIFI_MODES

DATA_TONES = {26: 24, 52: 48, 106: 102, 242: 234, 484: 468, 996: 980}
"""Tones that carry data, by all tones of the unit."""
UNITS = {
    20: ((242, 1), (106, 2), (52, 4), (26, 9)),
    40: ((484, 1), (242, 2), (106, 4), (52, 8), (26, 18)),
    80: ((996, 1), (484, 2), (242, 4), (106, 8), (52, 16), (26, 37)),
}
"""By width in MHz: tones of a unit and how many fit, widest first."""
TONE_HZ = 78_125.0
MODES = tuple(f"he{mcs}" for mcs in range(12))
SYMBOL_NS = 12_800
TB_PREAMBLE_NS = 48_000
"""Trigger-based: legacy 20, RL-SIG 4, SIG-A 8, STF 8, one LTF 8."""
MU_PREAMBLE_NS = 44_000
"""Down to many: legacy 20, RL-SIG 4, SIG-A 8, STF 4, one LTF 8; SIG-B comes on top."""
SERVICE_TAIL_BITS = 22
BLOCK_ACK_BYTES = 32
CONTROL_BITS = 96
"""Bits of a symbol at 24 Mb/s, at which control frames are sent."""


def bits_per_symbol(tones: int, mcs: int) -> int:
    """Data bits that one symbol carries in a unit of ``tones``."""
    mode = WIFI_MODES[MODES[mcs]]
    bits = Fraction(DATA_TONES[tones] * int(math.log2(mode.constellation))) * mode.code_rate
    return math.floor(bits)


def trigger_ns(users: Any) -> Any:
    """Basic trigger frame: 28 bytes and 6 per user."""
    return _control_ns(28 + 6 * users)


def multi_ack_ns(users: Any) -> Any:
    """Multi-station BlockAck: 22 bytes and 12 per user, bitmaps of 64."""
    return _control_ns(22 + 12 * users)


def mu_preamble_ns(users: Any) -> Any:
    """Preamble down to many: SIG-B of 18 bits and 21 per user at 26 bits a symbol."""
    return MU_PREAMBLE_NS + 4_000 * -(-(18 + 21 * users) // 26)


def subframe_bytes(packet_bytes: Any) -> Any:
    """An MPDU in an aggregate: its delimiter, and padded to 4 bytes."""
    return -(-(packet_bytes + 4) // 4) * 4


def symbols_of(count: Any, subframe: Any, bits: Any) -> Any:
    """Symbols that ``count`` subframes need at ``bits`` per symbol."""
    return -(-(SERVICE_TAIL_BITS + 8 * subframe * count) // bits)


def packets_in(symbols: Any, subframe: Any, bits: Any) -> Any:
    """Subframes that fit into ``symbols``."""
    return (symbols * bits - SERVICE_TAIL_BITS) // (8 * subframe)


def packet_errors(
    mcs: npt.NDArray[np.int64],
    snr_db: npt.NDArray[np.float64],
    size_bytes: npt.NDArray[np.int64],
    model: Any,
) -> npt.NDArray[np.float64]:
    """Error rate of MPDUs of ``size_bytes`` in their modes; arrays of one shape."""
    errors = np.ones(mcs.shape)
    for which in np.unique(mcs[mcs >= 0]):
        here = mcs == which
        errors[here] = wifi_per(MODES[int(which)], snr_db[here], size_bytes[here], model=model)
    return errors


def _control_ns(size_bytes: Any) -> Any:
    return 20_000 + 4_000 * -(-(SERVICE_TAIL_BITS + 8 * size_bytes) // CONTROL_BITS)
