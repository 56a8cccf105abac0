"""Packed symbols: lengths against entropy, bytes against a reader written from the format."""

from __future__ import annotations

import itertools
import math
import tracemalloc
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.stats import entropy

from edge_fd.codecs.symbols import bound_bits, pack, unpack

Symbols = npt.NDArray[Any]
PAPER_SAMPLES, PAPER_CLASSES = 80_000, 10
# Form, three lists' heads, state: what the entropy form takes for one kind of symbol.
CONSTANT_BYTES = 11

alphabets = st.integers(1, 40) | st.integers(1, 2**16) | st.sampled_from([2**8, 2**15, 2**16])


@st.composite
def messages(draw: st.DrawFn) -> tuple[Symbols, int]:
    """Symbols, uniform or skewed, often next to a border of a limb or a block, and alphabet."""
    alphabet = draw(alphabets)
    count = draw(st.integers(0, 300) | st.sampled_from([2431, 2432, 2433, 8192, 8193]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    symbols = rng.integers(0, draw(st.integers(1, alphabet)), count)
    common = draw(st.integers(0, alphabet - 1))
    share = draw(st.sampled_from([0.0, 0.5, 0.9, 0.999, 1.0]))
    return np.where(rng.random(count) < share, common, symbols), alphabet


def skewed(share_of_zeros: float, count: int = PAPER_SAMPLES) -> Symbols:
    """Delta codes of ten classes: mostly 0, the others alike."""
    rng = np.random.default_rng(7)
    return np.where(rng.random(count) < share_of_zeros, 0, rng.integers(1, 11, count))


class Slow:
    """A reader of the format as its description has it, one digit and one slot at a time."""

    def __init__(self, data: bytes) -> None:
        self.data = list(data)

    def number(self, size: int) -> int:
        taken, self.data = self.data[:size], self.data[size:]
        assert len(taken) == size
        return sum(byte << 8 * i for i, byte in enumerate(taken))

    def radix(self, count: int, alphabet: int) -> list[int]:
        per_limb = max(k for k in range(65) if alphabet**k <= 2**64) if alphabet > 1 else 1
        symbols = []
        for start in range(0, count, 128 * per_limb):
            here = min(128 * per_limb, count - start)
            size = next(b for b in itertools.count() if 256**b >= alphabet**here)
            value = self.number(size)
            for _ in range(here):
                symbols.append(value % alphabet)
                value //= alphabet
            assert value == 0
        return symbols

    def entropy(self, count: int) -> list[int]:
        size = self.number(2) + 1
        gaps = self.radix(size, self.number(2) + 1)
        present = [sum(gaps[: i + 1]) + i for i in range(size)]
        others = [f + 1 for f in self.radix(size - 1, self.number(2) + 1)]
        slots = []
        for symbol, freq in zip(present, [4096 - sum(others), *others], strict=True):
            slots += [(symbol, freq, at) for at in range(freq)]
        state, symbols = self.number(4), []
        for _ in range(count):
            symbol, freq, at = slots[state % 4096]
            symbols.append(symbol)
            state = state // 4096 * freq + at
            while state < 2**24:
                state = state * 256 + self.number(1)
        assert state == 2**24
        return symbols

    def read(self, count: int, alphabet: int) -> list[int]:
        form = self.number(1)
        symbols = self.entropy(count) if form else self.radix(count, alphabet)
        assert not self.data
        return symbols


@settings(deadline=None, max_examples=100)
@given(message=messages())
def test_symbols_come_back_within_the_bound(message: tuple[Symbols, int]) -> None:
    symbols, alphabet = message
    data = pack(symbols, alphabet)
    back = unpack(data, symbols.size, alphabet)
    assert back.dtype == np.uint16
    assert back.shape == symbols.shape
    assert (back == symbols).all()
    assert len(data) <= bound_bits(symbols.size, alphabet) / 8 * 1.0013 + 2


@settings(deadline=None, max_examples=25)
@given(message=messages())
def test_a_reader_written_from_the_format_gets_the_same(message: tuple[Symbols, int]) -> None:
    symbols, alphabet = message
    assert Slow(pack(symbols, alphabet)).read(symbols.size, alphabet) == symbols.tolist()


def test_bytes_by_hand() -> None:
    # 3 + 2*10 + 1*100 = 123; 255 is the largest of two digits in base 16.
    assert pack(np.array([3, 2, 1]), 10) == bytes([0, 123, 0])
    assert pack(np.array([15, 15]), 16) == bytes([0, 255])
    assert pack(np.array([], np.int64), 10) == bytes([0])
    assert pack(np.zeros(5, np.int64), 1) == bytes([0])
    # One kind of symbol has all 4096 slots, which leaves the state at 2**24; its gap is itself.
    assert pack(np.full(100, 5), 11) == bytes([1, 0, 0, 5, 0, 5, 0, 0, 0, 0, 0, 1])


def test_the_bound_is_the_papers() -> None:
    # Sattler et al. (CFD): N log2 C bits for N = 80,000, C = 10: 33.2 kB, against 3.2 MB of FD.
    assert bound_bits(PAPER_SAMPLES, PAPER_CLASSES) == math.ceil(80_000 * math.log2(10))
    assert bound_bits(PAPER_SAMPLES, PAPER_CLASSES) / 8 == pytest.approx(33_219.3, abs=0.1)
    labels = np.random.default_rng(1).integers(0, PAPER_CLASSES, PAPER_SAMPLES)
    size = len(pack(labels, PAPER_CLASSES))
    assert size <= 33_219.3 * 1.0013 + 2
    assert 4 * PAPER_SAMPLES * PAPER_CLASSES == 3_200_000
    assert round(size / 1000, 1) == 33.2


@given(count=st.integers(0, 400), alphabet=alphabets | st.integers(0, 16).map(lambda k: 2**k))
@example(count=100_000, alphabet=3)
@example(count=80_000, alphabet=10)
@example(count=20_000, alphabet=65_535)
def test_the_bound_is_exact(count: int, alphabet: int) -> None:
    assert bound_bits(count, alphabet) == (alphabet**count - 1).bit_length()


@pytest.mark.parametrize("share_of_zeros", [0.5, 0.9, 0.99, 0.999])
def test_skewed_symbols_take_their_entropy(share_of_zeros: float) -> None:
    symbols = skewed(share_of_zeros)
    ideal_bytes = symbols.size * entropy(np.bincount(symbols), base=2) / 8
    size = len(pack(symbols, 11))
    assert ideal_bytes < size <= 1.01 * ideal_bytes + CONSTANT_BYTES + 10


def test_many_kinds_of_symbols_take_their_entropy() -> None:
    symbols = np.minimum(np.random.default_rng(3).geometric(0.02, 80_000) * 37, 11_439)
    ideal_bytes = symbols.size * entropy(np.bincount(symbols), base=2) / 8
    assert ideal_bytes < len(pack(symbols, 11_440)) <= 1.01 * ideal_bytes


def shared_out_bytes(counts: Symbols) -> float:
    """The least that 4096 slots allow, one or more for each kind, were they divisible.

    sum(counts * log2(slots)) is largest at slots = max(1, counts / price), by its derivative.
    """
    counts = counts[counts > 0]
    low, high = 1e-6, float(counts.max())
    for _ in range(100):
        price = (low + high) / 2
        low, high = (price, high) if np.maximum(1, counts / price).sum() > 4096 else (low, price)
    return float(counts @ (12 - np.log2(np.maximum(1, counts / high)))) / 8


@pytest.mark.parametrize(
    "shares", [[1 / 220] * 220, [0.45] + [0.45 / 40] * 40 + [0.1 / 1500] * 1500]
)
def test_frequencies_are_shared_out_fairly(shares: list[float]) -> None:
    # Too few slots are given out at first in the one case, too many in the other.
    symbols = np.random.default_rng(4).choice(len(shares), 80_000, p=shares)
    counts = np.bincount(symbols, minlength=len(shares))
    # Neighbours have no gaps, and no frequency but the first needs more than 6 bits.
    table_bytes = CONSTANT_BYTES + 6 / 8 * len(shares)
    least_bytes = shared_out_bytes(counts)
    size = len(pack(symbols, len(shares) + 400))
    assert least_bytes < size <= 1.001 * least_bytes + table_bytes


def test_the_shorter_form_is_sent_where_they_come_close() -> None:
    # 39 symbols of 26: ceil(39 * log2(26) / 8) = 23 bytes. The entropy form, whose least by
    # H and the table is 22.96, takes 23 or more too.
    symbols = np.zeros(39, np.int64)
    symbols[[3, 14, 17, 35, 36, 37]] = [1, 17, 23, 20, 11, 16]
    assert len(pack(symbols, 26)) == 1 + 23
    assert pack(symbols, 26)[0] == 0


def test_more_kinds_than_slots_go_by_radix() -> None:
    symbols = np.concatenate((np.zeros(50_000, np.int64), np.arange(1, 4097)))
    data = pack(symbols, 5000)
    assert data[0] == 0
    assert (unpack(data, symbols.size, 5000) == symbols).all()
    fewer = symbols[:-1]
    data = pack(fewer, 5000)
    assert data[0] == 1
    assert (unpack(data, fewer.size, 5000) == fewer).all()


@pytest.mark.parametrize("symbols", [skewed(0.0, 60), skewed(0.95, 400)], ids=["radix", "entropy"])
def test_cut_and_lengthened_data_are_refused(symbols: Symbols) -> None:
    data = pack(symbols, 11)
    for size in range(len(data)):
        with pytest.raises(ValueError, match=r"end early|ends within"):
            unpack(data[:size], symbols.size, 11)
    with pytest.raises(ValueError, match=r"1 B follow|1 B left"):
        unpack(data + b"\0", symbols.size, 11)


@pytest.mark.parametrize("count", [1, 7])
def test_another_count_is_refused(count: int) -> None:
    data = pack(skewed(0.95, 400), 11)
    with pytest.raises(ValueError, match="ends in state"):
        unpack(data, 400 - count, 11)


def table(kinds: int, gaps: bytes, freqs: bytes, state: int = 2**24) -> bytes:
    head = b"\1" + (kinds - 1).to_bytes(2, "little")
    return head + gaps + freqs + state.to_bytes(4, "little")


ALONE = bytes(2)
TWO = bytes([0, 0])  # neighbours from 0


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "form needs 1 B"),
        (b"\2", "form 2 is unknown"),
        (b"\0" + b"\xe8\x03", "more than 3 symbols below 10"),
        (table(11, ALONE, ALONE), "holds symbol 10"),
        (table(1, b"\x0a\0\x0a", ALONE), "holds symbol 10"),
        (table(2, TWO, b"\xff\x0f\xff\x0f"), "sum to 4096 without the first"),
        (table(1, ALONE, ALONE, 2**24 - 1), "below 16777216"),
        (table(1, ALONE, ALONE, 2**24 + 1), "ends in state 16777217"),
    ],
)
def test_what_no_sender_makes_is_refused(data: bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        unpack(data, 3, 10)


def test_the_tables_above_differ_from_good_ones_by_one() -> None:
    assert unpack(b"\0" + b"\xe7\x03", 3, 10).tolist() == [9, 9, 9]
    assert unpack(table(1, b"\x09\0\x09", ALONE), 3, 10).tolist() == [9, 9, 9]
    # Frequencies 2048 and 2048: symbol 1 in its slot 0 halves a state of 2**25 + 2048.
    assert unpack(table(2, TWO, b"\xff\x07\xff\x07", 2**25 + 2048), 1, 10).tolist() == [1]


@pytest.mark.parametrize(
    ("symbols", "alphabet", "reason"),
    [
        (np.array([0, 10]), 10, "from 0 to 10 are not all within 0 to 9"),
        (np.array([-1, 3]), 10, "from -1 to 3"),
        (np.array([0.0]), 10, "float64"),
        (np.zeros((2, 2), int), 10, r"\(2, 2\)"),
        (np.zeros(2, int), 0, "got 0"),
        (np.zeros(2, int), 2**16 + 1, "got 65537"),
    ],
)
def test_what_has_no_packing_is_refused(symbols: Symbols, alphabet: int, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        pack(symbols, alphabet)


def test_impossible_counts_and_alphabets_are_refused() -> None:
    with pytest.raises(ValueError, match="count of symbols is 0 or more, got -1"):
        unpack(b"\0", -1, 10)
    with pytest.raises(ValueError, match="got 65537"):
        unpack(b"\0", 0, 2**16 + 1)
    with pytest.raises(ValueError, match="got 0"):
        bound_bits(3, 0)


@settings(deadline=None, max_examples=200)
@given(
    data=st.binary(max_size=60) | st.binary(max_size=60).map(lambda tail: b"\1\1\0" + tail),
    count=st.integers(0, 60),
    alphabet=alphabets,
)
def test_any_bytes_are_symbols_or_an_error(data: bytes, count: int, alphabet: int) -> None:
    try:
        symbols = unpack(data, count, alphabet)
    except ValueError:
        return
    assert symbols.shape == (count,)
    assert (symbols < alphabet).all()
    assert symbols.tolist() == Slow(data).read(count, alphabet)


@settings(deadline=None, max_examples=60)
@given(message=messages(), place=st.integers(0, 10**6), bit=st.integers(0, 7))
def test_a_flipped_bit_is_other_symbols_or_an_error(
    message: tuple[Symbols, int], place: int, bit: int
) -> None:
    symbols, alphabet = message
    data = bytearray(pack(symbols, alphabet))
    data[place % len(data)] ^= 1 << bit
    try:
        back = unpack(bytes(data), symbols.size, alphabet)
    except ValueError:
        return
    assert back.shape == symbols.shape
    assert (back < alphabet).all()


@pytest.mark.parametrize("form", [0, 1])
def test_a_short_message_of_a_large_count_takes_no_memory(form: int) -> None:
    data = bytes([form]) + pack(skewed(0.9, 500), 11)[1:]
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=r"end early|ends within"):
            unpack(data, 10**9, 11)
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()
