from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from channel_sim.fragmentation import split, split_6lowpan, split_l2cap


def reassemble(fragments: tuple[int, ...], frame_bytes: int, mtu_bytes: int) -> list[int]:
    """A receiver by the book: walks fragments, checks offsets, returns datagram sizes.

    Independent of the code under test: it only knows the rules of RFC 4944, 5.3.
    """
    datagrams, offset, at = [], None, 0
    queue = list(fragments)
    while queue:
        size = queue.pop(0)
        assert 0 < size <= frame_bytes
        if offset is None:
            rest = sum(queue) + size
            alone = size == mtu_bytes or (not queue and size <= frame_bytes)
            if alone and rest >= size:
                datagrams.append(size)
                continue
            offset = size - 4  # FRAG1
            assert offset % 8 == 0
            continue
        offset += size - 5  # FRAGN
        last = offset == mtu_bytes or not queue
        if last:
            datagrams.append(offset)
            offset = None
        else:
            assert offset % 8 == 0
    assert offset is None
    assert at == 0
    return datagrams


def test_known_cuts() -> None:
    assert split(3000, 1460) == (1460, 1460, 80)
    assert split(1460, 1460) == (1460,)
    # 102 bytes of room, the example of RFC 4944 class frames with long addresses:
    # first 96 + 4, then 96 + 5, the last what is left.
    assert split_6lowpan(500, 102) == (100, 101, 101, 101, 101, 25)
    assert split_6lowpan(102, 102) == (102,)
    assert split_6lowpan(103, 102) == (100, 12)
    # 116 bytes of room (127 - 9 - 2): 112 + 4, 104 + 5, and the last may fill all 111.
    assert split_6lowpan(112 + 111, 116) == (116, 116)
    assert split_6lowpan(112 + 112, 116) == (116, 109, 13)
    # Two datagrams of 1280: 112 + 11 x 104 + 24.
    assert split_6lowpan(2560, 116) == 2 * ((116,) + 11 * (109,) + (29,))
    # 244 bytes per notification fill 251; without data length extension ten PDUs of 27.
    assert split_l2cap(244) == (251,)
    assert split_l2cap(245) == (251, 8)
    assert split_l2cap(244, 27) == 9 * (27,) + (8,)


@given(size=st.integers(1, 20_000), frame=st.integers(20, 122))
def test_6lowpan_gives_back_the_message(size: int, frame: int) -> None:
    assert sum(reassemble(split_6lowpan(size, frame), frame, 1280)) == size


@given(size=st.integers(1, 20_000), mtu=st.integers(1, 2000))
def test_plain_cut_keeps_bytes(size: int, mtu: int) -> None:
    pieces = split(size, mtu)
    assert sum(pieces) == size
    assert len(pieces) == -(-size // mtu)
    assert all(piece == mtu for piece in pieces[:-1])
    assert 1 <= pieces[-1] <= mtu


@given(size=st.integers(1, 20_000), link=st.integers(27, 251), mtu=st.integers(23, 517))
def test_l2cap_keeps_bytes(size: int, link: int, mtu: int) -> None:
    pieces = split_l2cap(size, link, att_mtu_bytes=mtu)
    notifications = -(-size // (mtu - 3))
    assert sum(pieces) == size + 7 * notifications
    assert max(pieces) <= link


@given(size=st.integers(1, 10_000))
def test_more_bytes_never_take_fewer_frames(size: int) -> None:
    assert len(split_6lowpan(size + 1, 116)) >= len(split_6lowpan(size, 116))
    assert sum(split_6lowpan(size + 1, 116)) > sum(split_6lowpan(size, 116))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: split(0, 10), "size_bytes = 0"),
        (lambda: split(10, 0), "mtu_bytes = 0"),
        (lambda: split_6lowpan(10, 12), "give 13 or more"),
        (lambda: split_6lowpan(10, 100, mtu_bytes=2048), "2047 or less"),
        (lambda: split_l2cap(10, att_mtu_bytes=22), "23 or more"),
        (lambda: split_l2cap(10, 0), "link_bytes = 0"),
    ],
)
def test_bad_input_is_named(call: object, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        call()  # type: ignore[operator]
