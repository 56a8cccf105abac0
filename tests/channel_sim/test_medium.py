from __future__ import annotations

import pytest

from channel_sim import Ideal, Medium


def test_ideal_delivers_everything_after_its_delay_at_no_cost() -> None:
    medium: Medium = Ideal(delay_s=0.25)
    first, second = medium.offer(["b", "a"], [1, 10**9], [4.0, 3.0])
    assert (first.device, first.finish_s) == ("b", 4.25)
    assert (second.device, second.finish_s) == ("a", 3.25)
    for delivery in (first, second):
        assert delivery.delivered
        assert delivery.reason == "delivered"
        assert delivery.queue_s == delivery.air_s == delivery.tx_j == delivery.rx_j == 0.0


def test_ideal_has_no_delay_unless_told() -> None:
    assert Ideal().offer(["a"], [1], [7.0])[0].finish_s == 7.0


def test_nothing_offered_is_nothing_delivered() -> None:
    assert Ideal().offer([], [], []) == []


@pytest.mark.parametrize(
    ("sizes_bytes", "ready_times_s", "message"),
    [
        ([0], [0.0], "sizes_bytes = 0 .*give"),
        ([2.5], [0.0], "sizes_bytes = 2.5 .*give"),
        ([1], [-1.0], "ready_times_s = -1.0.*give"),
        ([1], [float("nan")], "ready_times_s = nan.*give"),
        ([1], [float("inf")], "ready_times_s = inf.*give"),
        ([1, 2], [0.0], r"\(1, 2, 1\) entries.*give"),
    ],
)
def test_a_bad_offer_is_refused_with_value_and_remedy(
    sizes_bytes: list[int], ready_times_s: list[float], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        Ideal().offer(["a"], sizes_bytes, ready_times_s)


def test_a_negative_delay_is_refused() -> None:
    with pytest.raises(ValueError, match=r"delay_s = -1 .*give"):
        Ideal(delay_s=-1)
