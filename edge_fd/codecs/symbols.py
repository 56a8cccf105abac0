"""Small integers as bytes: labels, delta codes, numbers of quantised rows.

``count`` symbols of ``[0, alphabet)`` travel in one of two forms; the shorter is
sent and its first byte tells which. The bytes rest on integers and on IEEE 754
division, so they are the same on every machine. Count and alphabet are not in
the data: both sides know them. All integers are little-endian.

    0 radix     blocks of 128 k symbols, the last one shorter; k is the largest
                with alphabet**k <= 2**64. Each is one integer in base alphabet,
                its first symbol the lowest digit, in as few bytes as any such
                block needs
    1 entropy   a table of frequencies that sum to 4096, 4 bytes of state, then
                bytes as the decoder of an order-0 range coder wants them (rANS:
                J. Duda, arXiv 1311.2540). A step: slot = state % 4096 is of the
                symbol with start <= slot < start + freq, starts being sums of
                freq; state = state // 4096 * freq + slot - start; while that is
                below 2**24, state = state * 256 + next byte. It ends at 2**24

The table tells of the symbols that occur, ascending: how many they are less one
(2 bytes), a list of the gaps before each, and a list of all frequencies but the
first, less one; the first is what is left of 4096. A list is its largest value
(2 bytes) and then its values in radix form, in base of that plus one.
"""

from __future__ import annotations

import decimal
import itertools
import math
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

Symbols: TypeAlias = npt.NDArray[np.uint16]
Integers: TypeAlias = npt.NDArray[Any]

ALPHABET_MAX: Final = 2**16
RADIX, ENTROPY = 0, 1
LIMB_BITS: Final = 64
LIMBS: Final = 128
"""Limbs of a radix block: 64-bit words that numpy fills, before Python's integers join them."""
SCALE_BITS: Final = 12
SCALE: Final = 1 << SCALE_BITS
STATE_LOW: Final = 1 << 24
"""The coder's state stays in [2**24, 2**32), starts at the low end and must end there."""
STATE_BYTES: Final = 4
SHORT_BYTES: Final = 2


def pack(symbols: Integers, alphabet: int) -> bytes:
    """Return the bytes of ``symbols``, ``(count,)`` integers of ``[0, alphabet)``.

    Never more than ``bound_bits / 8`` and 0.13 % (a block has 6553 bits or more,
    rounded up to bytes) and 2 bytes. Skewed symbols take ``count * H / 8`` bytes,
    H their order-0 entropy in bits, and 5 bytes and the table. Raises ValueError
    for another shape or dtype, or a symbol out of range.
    """
    _check(symbols.size, alphabet)
    if symbols.ndim != 1 or symbols.dtype.kind not in "iu":
        raise ValueError(
            f"symbols must be one row of integers, got {symbols.dtype} {symbols.shape}"
        )
    if symbols.size and not (symbols.min() >= 0 and symbols.max() < alphabet):
        raise ValueError(
            f"symbols from {symbols.min()} to {symbols.max()} are not all within"
            f" 0 to {alphabet - 1}; use a larger alphabet"
        )
    symbols = symbols.astype(np.int64)
    radix_bytes = _radix_size(symbols.size, alphabet)
    table = _table_of(symbols)
    if table is not None and table.least_size(symbols) < radix_bytes:
        coded = table.to_bytes() + _encode(symbols, table)
        if len(coded) < radix_bytes:
            return bytes([ENTROPY]) + coded
    return bytes([RADIX]) + _to_radix(symbols, alphabet)


def unpack(data: bytes, count: int, alphabet: int) -> Symbols:
    """Return the ``(count,)`` uint16 symbols that :func:`pack` made into ``data``.

    Raises ValueError, with the reason, for whatever is no packing of ``count``
    symbols below ``alphabet``. Memory is bounded by ``count``, whatever the data.
    """
    _check(count, alphabet)
    reader = _Reader(data)
    form = int.from_bytes(reader.take(1, "form"), "little")
    if form == RADIX:
        symbols = _from_radix(
            reader.take(_radix_size(count, alphabet), "radix block"), count, alphabet
        )
    elif form == ENTROPY:
        symbols = _decode(reader, count, _read_table(reader, alphabet))
    else:
        raise ValueError(f"packed form {form} is unknown; known: {RADIX} radix, {ENTROPY} entropy")
    if reader.left:
        raise ValueError(f"{reader.left} B follow the {count} packed symbols")
    return symbols


def bound_bits(count: int, alphabet: int) -> int:
    """Return ``ceil(count * log2(alphabet))``: bits for any ``count`` symbols."""
    _check(count, alphabet)
    # With 60 digits the log2 of a power of two comes out whole; any other is irrational,
    # and its multiples stay farther from integers than 60 digits reach.
    with decimal.localcontext(decimal.Context(prec=60)):
        return math.ceil(count * (decimal.Decimal(alphabet).ln() / decimal.Decimal(2).ln()))


def _check(count: int, alphabet: int) -> None:
    if count < 0:
        raise ValueError(f"a count of symbols is 0 or more, got {count}")
    if not 1 <= alphabet <= ALPHABET_MAX:
        raise ValueError(f"an alphabet has 1 to {ALPHABET_MAX} symbols, got {alphabet}")


class _Reader:
    """Bytes from front to back; asking for more than there are is an error."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def left(self) -> int:
        return len(self._data) - self._at

    def take(self, size: int, what: str) -> bytes:
        if size > self.left:
            raise ValueError(f"packed symbols end early: {what} needs {size} B, {self.left} B left")
        self._at += size
        return self._data[self._at - size : self._at]

    def short(self, what: str) -> int:
        return int.from_bytes(self.take(SHORT_BYTES, what), "little")


# --- radix ---


def _per_limb(alphabet: int) -> int:
    """Symbols of a 64-bit limb: the largest k with ``alphabet**k <= 2**64``."""
    return next(k for k in itertools.count(1) if alphabet ** (k + 1) > 1 << LIMB_BITS)


def _integer_size(count: int, alphabet: int) -> int:
    largest: int = alphabet**count - 1
    return (largest.bit_length() + 7) // 8


def _radix_size(count: int, alphabet: int) -> int:
    if alphabet == 1:
        return 0
    per_block = LIMBS * _per_limb(alphabet)
    blocks, rest = divmod(count, per_block)
    return blocks * _integer_size(per_block, alphabet) + _integer_size(rest, alphabet)


def _to_radix(symbols: Integers, alphabet: int) -> bytes:
    if alphabet == 1:
        return b""
    per_limb = _per_limb(alphabet)
    per_block = LIMBS * per_limb
    padded = np.zeros(-(-symbols.size // per_block) * per_block, np.uint64)
    padded[: symbols.size] = symbols
    powers = np.array([alphabet**i for i in range(per_limb)], np.uint64)
    parts = (padded.reshape(-1, per_limb) @ powers).tolist()
    for base in _bases(alphabet, per_limb):
        parts = [low + high * base for low, high in zip(parts[::2], parts[1::2], strict=True)]
    counts = [min(symbols.size - at, per_block) for at in range(0, symbols.size, per_block)]
    return b"".join(
        part.to_bytes(_integer_size(count, alphabet), "little")
        for part, count in zip(parts, counts, strict=True)
    )


def _from_radix(data: bytes, count: int, alphabet: int) -> Symbols:
    if alphabet == 1:
        return np.zeros(count, np.uint16)
    per_limb = _per_limb(alphabet)
    per_block = LIMBS * per_limb
    parts, at = [], 0
    for start in range(0, count, per_block):
        here = min(count - start, per_block)
        size = _integer_size(here, alphabet)
        parts.append(int.from_bytes(data[at : at + size], "little"))
        at += size
        if parts[-1] >= alphabet**here:
            raise ValueError(f"a radix block holds more than {here} symbols below {alphabet}")
    for base in reversed(_bases(alphabet, per_limb)):
        parts = [half for part in parts for half in reversed(divmod(part, base))]
    digits = np.empty((len(parts), per_limb), np.uint16)
    rest = np.array(parts, np.uint64)
    for i in range(per_limb):
        rest, digits[:, i] = np.divmod(rest, np.uint64(alphabet))
    return digits.reshape(-1)[:count]


def _bases(alphabet: int, per_limb: int) -> list[int]:
    """Weights of the upper half as limbs join in pairs, from pairs of limbs to the block."""
    return [alphabet ** (per_limb << level) for level in range(LIMBS.bit_length() - 1)]


# --- entropy ---


@dataclass(frozen=True, eq=False)
class _Table:
    """``present`` (k,) int64 ascending symbols, ``freq`` (k,) int64 shares of 4096."""

    present: npt.NDArray[np.int64]
    freq: npt.NDArray[np.int64]

    def least_size(self, symbols: Integers) -> float:
        """Bytes that the entropy form comes near; coding is slow where it cannot win."""
        counts = np.bincount(symbols)[self.present]
        cost_bits = float(counts @ (SCALE_BITS - np.log2(self.freq)))
        return len(self.to_bytes()) + STATE_BYTES - 1 + cost_bits / 8

    def to_bytes(self) -> bytes:
        gaps = np.diff(self.present, prepend=-1) - 1
        head = (self.present.size - 1).to_bytes(SHORT_BYTES, "little")
        return head + _list_to_bytes(gaps) + _list_to_bytes(self.freq[1:] - 1)


def _table_of(symbols: Integers) -> _Table | None:
    """Share 4096 after the counts, at least 1 each; None if there is nothing to share."""
    counts = np.bincount(symbols, minlength=1)
    present = np.flatnonzero(counts)
    if not 1 <= present.size <= SCALE:
        return None
    counts = counts[present]
    freq = np.maximum(1, counts * SCALE // symbols.size)
    # One by one where it changes sum(counts * log(freq)) most, log's slope taken midway.
    # IEEE 754 divides alike everywhere, so the table is the same on every machine.
    for _ in range(SCALE - int(freq.sum())):
        freq[np.argmax(counts / (freq + 0.5))] += 1
    for _ in range(int(freq.sum()) - SCALE):
        freq[np.argmin(np.where(freq > 1, counts / (freq - 0.5), np.inf))] -= 1
    return _Table(present, freq)


def _read_table(reader: _Reader, alphabet: int) -> _Table:
    size = reader.short("table") + 1
    present = np.cumsum(_read_list(reader, size) + 1) - 1
    if present[-1] >= alphabet:
        raise ValueError(f"the table holds symbol {present[-1]}, the alphabet ends at {alphabet}")
    others = _read_list(reader, size - 1) + 1
    first = SCALE - int(others.sum())
    if first < 1:
        raise ValueError(f"frequencies sum to {SCALE - first} without the first, not below {SCALE}")
    return _Table(present, np.concatenate(([first], others)))


def _list_to_bytes(values: npt.NDArray[np.int64]) -> bytes:
    top = int(values.max(initial=0))
    return top.to_bytes(SHORT_BYTES, "little") + _to_radix(values, top + 1)


def _read_list(reader: _Reader, count: int) -> npt.NDArray[np.int64]:
    base = reader.short("table") + 1
    data = reader.take(_radix_size(count, base), "table")
    return _from_radix(data, count, base).astype(np.int64)


def _encode(symbols: Integers, table: _Table) -> bytes:
    """Code the symbols from last to first, so that the decoder reads first to last."""
    starts = (np.cumsum(table.freq) - table.freq).tolist()
    freqs = table.freq.tolist()
    ceilings = [freq * (STATE_LOW >> SCALE_BITS << 8) for freq in freqs]
    state, out = STATE_LOW, bytearray()
    for i in np.searchsorted(table.present, symbols[::-1]).tolist():
        while state >= ceilings[i]:
            out.append(state & 0xFF)
            state >>= 8
        turns, rest = divmod(state, freqs[i])
        state = (turns << SCALE_BITS) + rest + starts[i]
    return state.to_bytes(STATE_BYTES, "little") + bytes(reversed(out))


def _decode(reader: _Reader, count: int, table: _Table) -> Symbols:
    state = int.from_bytes(reader.take(STATE_BYTES, "coder state"), "little")
    if state < STATE_LOW:
        raise ValueError(f"coder state {state} is below {STATE_LOW}")
    stream = iter(reader.take(reader.left, "stream"))
    starts = np.cumsum(table.freq) - table.freq
    # For each of the 4096 slots: its symbol, the symbol's frequency, the slot less the start.
    symbol_of = np.repeat(table.present, table.freq).tolist()
    freq_of = np.repeat(table.freq, table.freq).tolist()
    rest_of = (np.arange(SCALE) - np.repeat(starts, table.freq)).tolist()
    symbols = []
    for _ in range(count):
        slot = state & (SCALE - 1)
        symbols.append(symbol_of[slot])
        state = freq_of[slot] * (state >> SCALE_BITS) + rest_of[slot]
        while state < STATE_LOW:
            byte = next(stream, None)
            if byte is None:
                raise ValueError(f"the coded stream ends within {count} symbols")
            state = state << 8 | byte
    extra = sum(1 for _ in stream)
    if extra or state != STATE_LOW:
        raise ValueError(f"the coded stream ends in state {state} with {extra} B left")
    return np.array(symbols, np.uint16)
