"""Topics: who may write where, and the names that stand in them.

efd/v1/{run}/up/{device}/{birth|death|knowledge|metrics}        device to aggregator
efd/v1/{run}/down/{device}/{round|knowledge|receipt|refused}    aggregator to one device
efd/v1/{run}/bcast/{state|round|knowledge}                      aggregator to all
"""

from __future__ import annotations

import re
from typing import Final, Literal, NamedTuple, TypeAlias, cast

from broker.errors import TopicError

Direction: TypeAlias = Literal["up", "down", "bcast"]

PREFIX: Final = "efd/v1"
LEAVES: Final[dict[Direction, tuple[str, ...]]] = {
    "up": ("birth", "death", "knowledge", "metrics"),
    "down": ("round", "knowledge", "receipt", "refused"),
    "bcast": ("state", "round", "knowledge"),
}
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
# One search takes a whole topic apart: every message of a simulated run passes here.
_TOPIC: Final = re.compile(
    rf"{PREFIX}/({_NAME.pattern})/(?:(up|down)/({_NAME.pattern})|bcast)/([^/]*)"
)


class Topic(NamedTuple):
    """A parsed topic; ``device`` is empty in broadcasts."""

    run: str
    direction: Direction
    leaf: str
    device: str = ""

    def __str__(self) -> str:
        device = f"{self.device}/" if self.device else ""
        return f"{PREFIX}/{self.run}/{self.direction}/{device}{self.leaf}"


def check_name(what: str, name: str) -> str:
    """Return ``name``; raise :class:`TopicError` unless it may stand in a topic."""
    if not _NAME.fullmatch(name):
        raise TopicError(
            f"{what} name {name!r}: 1 to 64 of A-Z a-z 0-9 _ . - beginning with a letter or digit"
        )
    return name


def up(run: str, device: str, leaf: str) -> str:
    """Topic from a device to the aggregator."""
    return _build(run, "up", leaf, device)


def down(run: str, device: str, leaf: str) -> str:
    """Topic from the aggregator to one device."""
    return _build(run, "down", leaf, device)


def bcast(run: str, leaf: str) -> str:
    """Topic from the aggregator to all devices."""
    return _build(run, "bcast", leaf)


def aggregator_filters(run: str) -> tuple[str, ...]:
    """What the aggregator subscribes to."""
    return (f"{PREFIX}/{check_name('run', run)}/up/+/+",)


def device_filters(run: str, device: str) -> tuple[str, ...]:
    """What a device subscribes to."""
    root = f"{PREFIX}/{check_name('run', run)}"
    return (f"{root}/down/{check_name('device', device)}/+", f"{root}/bcast/+")


def parse(topic: str) -> Topic:
    """Take a topic apart; raise :class:`TopicError` where it is not one of ours."""
    found = _TOPIC.fullmatch(topic)
    if found is None:
        raise TopicError(
            f"topic {topic!r} is not of the form {PREFIX}/run/up|down/device/leaf or"
            f" {PREFIX}/run/bcast/leaf, with names of 1 to 64 of A-Z a-z 0-9 _ . -"
        )
    run, direction, device, leaf = found.groups()
    parsed = Topic(run, cast("Direction", direction or "bcast"), leaf, device or "")
    _check_leaf(parsed)
    return parsed


def _build(run: str, direction: Direction, leaf: str, device: str = "") -> str:
    check_name("run", run)
    if direction != "bcast":
        check_name("device", device)
    topic = Topic(run, direction, leaf, device)
    _check_leaf(topic)
    return str(topic)


def _check_leaf(topic: Topic) -> None:
    if topic.leaf not in LEAVES[topic.direction]:
        known = ", ".join(LEAVES[topic.direction])
        raise TopicError(f"topic {topic.direction}/…/{topic.leaf!r}: known are {known}")
