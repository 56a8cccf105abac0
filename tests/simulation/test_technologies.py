"""Every preset under a whole run: the same learning, its own seconds, joules and losses."""

from __future__ import annotations

import re
from typing import Any

import pytest

import channel_sim
from channel_sim.medium import REASONS
from edge_fd.errors import UsageError
from edge_fd.report import comparison_table
from edge_fd.simulation.reach import REMEDIES, found_nobody

# Near enough that a lone message gets through, and slow enough for each of them.
NEAR = {"min_m": 5.0, "max_m": 15.0}
PATIENT = {
    "count": 2,
    "deadline_s": 20_000.0,
    "join_s": 3000.0,
    "resend_s": 600.0,
    "remind_s": 6000.0,
}


@pytest.fixture(scope="module")
def ideal(tiny: Any) -> Any:
    return tiny.simulate(rounds=PATIENT)


@pytest.mark.parametrize("preset", channel_sim.preset_names())
def test_a_run_over_every_preset_learns_the_same_and_pays_for_it(
    preset: str, tiny: Any, ideal: Any
) -> None:
    """Messages that get through in the end fuse to the same bytes, whatever the radio."""
    run = tiny.simulate(
        channel={"preset": preset, "model": "preset", **NEAR},
        # A fleet of three that starts at one instant need not collide for ever.
        rounds={**PATIENT, "jitter_s": 30.0},
    )
    assert [r.status for r in run.rounds] == ["closed", "closed"]
    assert [r.accepted for r in run.rounds] == [3, 3]
    assert [r.fused_sha256 for r in run.rounds] == [r.fused_sha256 for r in ideal.rounds]
    for record in run.devices:
        assert record.tx_j > 0
        assert record.attempts >= 2
        assert record.up_s > 0
    assert run.rounds[-1].closed_s > ideal.rounds[-1].closed_s


def test_what_the_radio_loses_is_told_by_reason(tiny: Any) -> None:
    """Three at one instant on 802.15.4 without TCP: some messages die, the run goes on."""
    run = tiny.simulate(
        channel={"preset": "zigbee", "model": "preset", **NEAR, "max_frame_retries": 1},
        rounds={**PATIENT, "count": 3, "quorum": 0.3, "deadline_s": 60.0, "resend_s": 20.0},
    )
    lost = [record.lost_messages for record in run.devices]
    total = sum(sum(row.values()) for row in lost)
    assert total > 0
    assert {key for row in lost for key in row} <= {"retry_limit", "off"}
    assert run.summary is not None
    assert sum(run.summary.lost_messages.values()) == total
    assert f"Messages lost on the radio per run, fd: {total} retry_limit." in comparison_table(
        [run]
    )


def test_tcp_mends_what_the_radio_loses(tiny: Any) -> None:
    """The same, but each silence is answered by another transfer after TCP's time-out."""
    run = tiny.simulate(
        channel={
            "preset": "zigbee", "model": "preset", **NEAR, "max_frame_retries": 1, "tcp": True
        },
        rounds={**PATIENT, "count": 3},
    )  # fmt: skip
    assert [r.accepted for r in run.rounds] == [3, 3, 3]
    assert all(not record.lost_messages for record in run.devices)


def test_a_busy_broker_makes_uploads_wait_in_line(tiny: Any) -> None:
    run = tiny.simulate(channel={"broker_s": 5.0}, rounds=PATIENT)
    for number in (1, 2):
        waits_s = sorted(record.up_s for record in run.devices if record.round == number)
        # Computed alike and at one instant: the first is served in 5 s, the third in 15 s.
        assert waits_s == pytest.approx([5.0, 10.0, 15.0], abs=1e-3)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"method": {"name": "fedavg"}, "channel": {"preset": "lorawan_eu868"}},
            r"upload of fedavg in float32 is 40,775 B on air.*alone.*what would fit: fd in float16",
        ),
        (
            {"channel": {"preset": "nbiot"}, "rounds": {"deadline_s": 0.5}},
            r"nbiot takes .* s for it, alone at 5 m, .* = 0.5; no method.*raise rounds.deadline_s",
        ),
        (
            {"channel": {"preset": "zigbee", "min_m": 9000.0, "max_m": 9001.0}},
            r"'zigbee' is out of reach at 9000 m already",
        ),
        ({"channel": {"preset": "zigbe"}}, r"did you mean 'zigbee'\?"),
        ({"channel": {"preset": "zigbee", "tx_powr_dbm": 1}}, r"did you mean 'tx_power_dbm'\?"),
        ({"channel": {"preset": "zigbee", "tx_power_dbm": "1"}}, r"'1' has the wrong type"),
        ({"channel": {"model": "replay", "format": "mahimahy"}}, r"did you mean 'mahimahi'\?"),
        ({"channel": {"model": "replay", "format": "mahimahi", "up": "/none"}}, r"/none"),
        ({"channel": {"model": "replay", "format": "mahimahi"}}, r"'up'"),
        ({"channel": {"model": "fdma", "radio": "esp31"}}, r"did you mean 'esp32'\?"),
        ({"dropout": {"device_trace": "/none.json"}}, r"device_trace = '/none.json'"),
        (
            {"channel": {"preset": "zigbee"}, "mobility": {"places": "/none.csv"}},
            r"\[mobility\].*/none.csv",
        ),
    ],
)
def test_what_cannot_work_is_refused_before_the_run(
    changes: dict[str, Any], words: str, tiny: Any
) -> None:
    channel = {**NEAR, **changes.get("channel", {})}
    if "preset" in channel:
        channel["model"] = "preset"
    with pytest.raises(UsageError, match=words):
        tiny.simulate(**{**changes, "channel": channel})


def test_where_outages_cut_every_transfer_the_error_says_so(tiny: Any) -> None:
    """No LoRaWAN frame with its back-off fits between two outages."""
    with pytest.raises(UsageError, match=r"messages: \d+ off.*cut by an outage.*longer up times"):
        tiny.simulate(
            channel={"preset": "lorawan_eu868", "model": "preset", **NEAR},
            dropout={"link_up_s": 0.2, "link_down_s": 1.0},
            rounds={**PATIENT, "join_s": 60.0},
        )


def test_where_a_birth_takes_longer_than_the_patience_the_error_says_so(tiny: Any) -> None:
    """A birth takes two LoRaWAN frames; after 0.4 s on air the law wants 99 times as much off."""
    with pytest.raises(UsageError, match=r"messages: 3 under way.*longer rounds\.join_s"):
        tiny.simulate(
            channel={"preset": "lorawan_eu868", "model": "preset", **NEAR},
            rounds={**PATIENT, "join_s": 0.1},
        )


def test_every_way_to_lose_a_message_has_a_remedy() -> None:
    """A deadline of a message is never set by a run."""
    assert set(REMEDIES) - {"under way"} == set(REASONS) - {"delivered", "deadline"}


@pytest.mark.parametrize(
    ("fates", "words"),
    [
        ({"collision": 7, "below_sensitivity": 2}, "7 collision, 2 below_sens.*cell_devices"),
        ({"collision": 2, "below_sensitivity": 7}, "7 below_sens.*, 2 coll.*smaller channel.max_m"),
        ({"under way": 7, "battery": 1}, "7 under way, 1 battery; .*rounds.join_s"),
    ],
)
def test_the_remedy_is_for_what_most_messages_were_lost_to(
    fates: dict[str, int], words: str
) -> None:
    assert re.search(words, found_nobody(60.0, fates))
