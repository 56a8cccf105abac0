"""The byte ledger against MQTT 3.1.1's packet layout, counted by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.frame import Frame, FrameSizes, encode
from edge_fd.ledger import message_bytes
from edge_fd.records import Bytes

TOPIC = "efd/v1/run/up/pi-00/knowledge"  # 29 characters


def frame(values: int, dtype: str = "float32", *, compress: bool = False) -> bytes:
    array = np.zeros((values,), dtype)
    return encode(Frame("logits", round=3, arrays={"logits": array}), compress=compress)


def test_a_message_is_split_by_who_causes_its_bytes() -> None:
    data = frame(100)
    cost = message_bytes(TOPIC, data, paper_bits=100)
    assert cost.payload == 400
    assert cost.envelope == len(data) - 400
    # PUBLISH (3.3): type and flags 1, remaining length 2 (128 to 16383), topic length 2, topic 29,
    # packet id 2; PUBACK (3.4): 4 bytes.
    assert cost.mqtt == 1 + 2 + 2 + 29 + 2 + 4
    # Each way one segment and one acknowledgement of 20 + 20 + 12 B.
    assert cost.tcp_ip == 4 * 52
    assert cost.paper_bits == 100
    assert cost.on_air == cost.payload + cost.envelope + cost.mqtt + cost.tcp_ip


# MQTT 3.1.1, 2.2.3, table 2.4: the last length of each width of the field.
@pytest.mark.parametrize(("remaining", "width"), [(127, 1), (128, 2), (16_383, 2), (16_384, 3)])
def test_the_length_field_grows_with_the_message(remaining: int, width: int) -> None:
    size = remaining - (2 + 1 + 2)  # topic length, the topic "t", packet id
    cost = message_bytes("t", bytes(size), split=FrameSizes(0, size))
    assert cost.mqtt == 1 + width + 5 + 4


@pytest.mark.parametrize(("dtype", "size"), [("float32", 4), ("float16", 2), ("uint8", 1)])
def test_the_payload_is_the_coded_arrays(dtype: str, size: int) -> None:
    assert message_bytes(TOPIC, frame(1000, dtype)).payload == 1000 * size


def test_a_compressed_payload_counts_as_it_travels() -> None:
    data = frame(1000, compress=True)
    cost = message_bytes(TOPIC, data)
    assert cost.payload < 100
    assert cost.payload + cost.envelope == len(data)


def test_a_large_message_takes_more_segments() -> None:
    data = frame(1000)  # 4000 B and its envelope: 3 segments of at most 1448 B
    assert 2 * 1448 < len(data) < 3 * 1448 - 40
    # 3 segments with 2 acknowledgements (every second one), then PUBACK's 1 and 1.
    assert message_bytes(TOPIC, data).tcp_ip == (3 + 2 + 1 + 1) * 52


parts = st.builds(Bytes, *[st.integers(0, 10**6)] * 5)


@settings(deadline=None)
@given(st.lists(parts, max_size=6))
def test_sums_keep_the_split(costs: list[Bytes]) -> None:
    total = sum(costs, Bytes())
    for name in ("payload", "envelope", "mqtt", "tcp_ip", "paper_bits"):
        assert getattr(total, name) == sum(getattr(cost, name) for cost in costs)
    assert total.on_air == sum(cost.on_air for cost in costs)
