"""Topics: the layout of docs/protocol.md, and names that cannot break out of it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from paho.mqtt.client import topic_matches_sub

from broker import topics
from broker.errors import TopicError

LAYOUT = [
    "efd/v1/demo/up/dev-00/birth",
    "efd/v1/demo/up/dev-00/death",
    "efd/v1/demo/up/dev-00/knowledge",
    "efd/v1/demo/up/dev-00/metrics",
    "efd/v1/demo/down/dev-00/round",
    "efd/v1/demo/down/dev-00/knowledge",
    "efd/v1/demo/down/dev-00/receipt",
    "efd/v1/demo/down/dev-00/refused",
    "efd/v1/demo/bcast/state",
    "efd/v1/demo/bcast/round",
    "efd/v1/demo/bcast/knowledge",
]
BAD_NAMES = ["", "a/b", "+", "#", "$SYS", ".hidden", "-x", "_x", "a b", "ä", "x\n", "a\0", "x" * 65]


@pytest.mark.parametrize("text", LAYOUT)
def test_parsing_and_building_are_inverse(text: str) -> None:
    topic = topics.parse(text)
    assert str(topic) == text
    assert topic.run == "demo"
    match topic.direction:
        case "up":
            assert topics.up("demo", "dev-00", topic.leaf) == text
        case "down":
            assert topics.down("demo", "dev-00", topic.leaf) == text
        case "bcast":
            assert topics.bcast("demo", topic.leaf) == text
    assert topic.device == ("" if topic.direction == "bcast" else "dev-00")


@pytest.mark.parametrize("text", LAYOUT)
def test_filters_split_the_layout_between_aggregator_and_device(text: str) -> None:
    def matched(filters: tuple[str, ...]) -> bool:
        return any(topic_matches_sub(one, text) for one in filters)

    up = "/up/" in text
    assert matched(topics.aggregator_filters("demo")) == up
    assert matched(topics.device_filters("demo", "dev-00")) == (not up)
    assert matched(topics.device_filters("demo", "dev-01")) == ("/bcast/" in text)
    assert not matched(topics.device_filters("other", "dev-00"))


@pytest.mark.parametrize("name", BAD_NAMES)
def test_bad_names_are_refused_wherever_they_stand(name: str) -> None:
    for build in (
        lambda: topics.up(name, "d", "birth"),
        lambda: topics.up("r", name, "birth"),
        lambda: topics.down("r", name, "round"),
        lambda: topics.bcast(name, "state"),
        lambda: topics.aggregator_filters(name),
        lambda: topics.device_filters("r", name),
        lambda: topics.parse(f"efd/v1/r/up/{name}/birth"),
        lambda: topics.parse(f"efd/v1/{name}/bcast/state"),
    ):
        with pytest.raises(TopicError):
            build()


def test_the_error_shows_the_name_and_the_rule() -> None:
    with pytest.raises(TopicError, match=r"device name 'my dev': 1 to 64 of A-Z a-z 0-9 _ \. -"):
        topics.check_name("device", "my dev")


@pytest.mark.parametrize(
    "text",
    [
        "", "efd", "efd/v2/r/up/d/birth", "x/v1/r/up/d/birth", "/efd/v1/r/up/d/birth",
        "efd/v1/r/up/birth", "efd/v1/r/up/d/birth/x", "efd/v1/r/up/d/round",
        "efd/v1/r/side/d/birth", "efd/v1/r/bcast/birth",
        "efd/v1/r/bcast/d/state", "efd/v1/r/down/d/birth",
    ],
)  # fmt: skip
def test_foreign_topics_are_refused(text: str) -> None:
    with pytest.raises(TopicError):
        topics.parse(text)


@given(st.text(alphabet="efdv1/+#rupdowncast -birth", max_size=40) | st.text(max_size=40))
def test_any_text_is_one_of_ours_or_refused(text: str) -> None:
    try:
        topic = topics.parse(text)
    except TopicError:
        return
    assert str(topic) == text
