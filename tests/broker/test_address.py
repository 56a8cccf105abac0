"""Broker URLs."""

from __future__ import annotations

import pytest

from broker.address import Address, parse_url
from broker.errors import BrokerError


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("mqtt://host", Address("host", 1883)),
        ("mqtts://host/", Address("host", 8883, tls=True)),
        ("mqtt://10.0.0.1:99", Address("10.0.0.1", 99)),
        ("mqtt://[::1]:99", Address("::1", 99)),
        ("mqtt://me:p%40ss%3A@h:1", Address("h", 1, user="me", password="p@ss:")),  # noqa: S106
    ],
)
def test_url_is_taken_apart(url: str, address: Address) -> None:
    assert parse_url(url) == address


@pytest.mark.parametrize(
    "url",
    ["", "host:1883", "http://h", "mqtt://", "mqtt://h:99999", "mqtt://h:x", "mqtt://h/topic"],
)
def test_what_is_no_broker_url_is_refused_with_the_form_to_write(url: str) -> None:
    with pytest.raises(BrokerError, match="mqtt://host:port"):
        parse_url(url)


@pytest.mark.parametrize("scheme", ["mqtt", "http"])
def test_password_is_never_shown(scheme: str) -> None:
    try:
        shown = f"{(address := parse_url(f'{scheme}://me:secret@h:1'))} {address!r}"
    except BrokerError as error:
        shown = str(error)
    assert "secret" not in shown
    assert "h:1" in shown or "port=1" in shown
