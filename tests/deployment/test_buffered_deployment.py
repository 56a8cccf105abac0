"""Buffered rounds over a real broker: every buffer closes, and a kill costs nothing accepted."""

from __future__ import annotations

from pathlib import Path

import pytest
from field import deployed, tree, unbroken, wait_until

from broker import brokers_found
from edge_fd import load_run

pytestmark = [pytest.mark.broker, pytest.mark.slow]

BUFFERED = {
    "count": 6, "deadline_s": 120.0, "remind_s": 2.0, "resend_s": 1.0,
    "mode": "buffered", "buffer": 2, "max_staleness": 6,
}  # fmt: skip


# What differs between methods and what differs between brokers is apart: each of both once.
@pytest.mark.parametrize(
    ("method", "broker"), list(zip(["fd", "fedavg"], brokers_found() * 2, strict=False))
)
def test_every_buffer_is_filled_and_no_contribution_counts_twice(
    method: str, broker: str, tmp_path: Path
) -> None:
    plan = unbroken(tree(method, rounds=BUFFERED), tmp_path / "plan")
    with deployed(plan, tmp_path / "deployed", broker) as field:
        field.open_gate()
        server = field.serve()
        for name in plan.kit.devices:
            field.device(name, slow="compute")
        wait_until(
            lambda: any(entry[:2] == ("close", 2) for entry in field.journal),
            "the second buffer closes",
            state=field.tell,
        )
        server.kill()
        field.serve()
        statuses = [process.wait() for process in field.processes if process is not server]
        assert statuses == [0] * len(statuses), field.tell()
        journal = field.journal
        run = load_run(field.run)
    ids = [(number, name) for what, number, name, _ in journal if what == "accept"]
    assert len(ids) == len(set(ids))
    closed = [number for what, number, *_ in journal if what == "close"]
    assert closed == [1, 2, 3, 4, 5, 6]
    # Between two closes lie the contributions of a buffer: two, or more that came while it fused.
    buffers, members = [], []
    for what, _, name, _ in journal:
        if what == "accept":
            members.append(name)
        elif what == "close":
            buffers.append(members)
            members = []
    assert all(len(names) >= 2 for names in buffers[:-1]), buffers
    assert [record.status for record in run.rounds] == ["closed"] * 6
    assert len({record.fused_sha256 for record in run.rounds}) == 6
