"""Changes to a scenario's tree: where they land, and what is refused."""

from __future__ import annotations

import re
from typing import Any

import pytest

from edge_fd.errors import UsageError
from edge_fd.overrides import override, put, put_radio


def tree() -> dict[str, Any]:
    return {"rounds": {"count": 3}, "devices": [{"count": 1}, {"count": 2}], "name": "x"}


@pytest.mark.parametrize(
    ("item", "path", "value"),
    [
        ("rounds.count=5", ("rounds", "count"), 5),
        ("rounds.quorum = 0.5", ("rounds", "quorum"), 0.5),
        ("method.fd.gamma=1", ("method", "fd", "gamma"), 1),
        ("transport.codec=uint8", ("transport", "codec"), "uint8"),
        ("name=a=b", ("name",), "a=b"),
        ("devices.1.count=7", ("devices", 1, "count"), 7),
    ],
)
def test_a_value_lands_at_its_key_and_nothing_else_changes(
    item: str, path: tuple[str | int, ...], value: Any
) -> None:
    changed = tree()
    override(changed, item)
    place: Any = changed
    for part in path:
        place = place[part]
    assert place == value
    again = tree()
    put(again, ".".join(map(str, path)), value, item="")
    assert again == changed


@pytest.mark.parametrize(
    ("item", "told"),
    [
        ("rounds.count", "has no '='; write KEY=VALUE"),
        ("name.x=1", "'name' is no section"),
        ("devices.2.count=1", "'2' must be the number of one of 2 tables, 0 to 1"),
        ("devices.count=1", "'count' must be the number of one of 2 tables, 0 to 1"),
        ("devices.-1.count=1", "'-1' must be the number"),
    ],
)
def test_a_key_that_leads_nowhere_is_refused(item: str, told: str) -> None:
    with pytest.raises(UsageError, match=re.escape(told)):
        override(tree(), item)


def test_another_radio_leaves_the_distances_and_takes_the_rest() -> None:
    changed = {"channel": {"model": "fdma", "bandwidth_up_hz": 1e6, "max_m": 60.0}}
    put_radio(changed, "zigbee")
    assert changed == {"channel": {"max_m": 60.0, "preset": "zigbee"}}
    put_radio(changed, "ideal")
    assert changed == {"channel": {"max_m": 60.0, "model": "ideal"}}
