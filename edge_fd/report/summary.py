"""The records of a run in one record, and the sums per device behind it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING

from edge_fd.records import Bytes, DeviceRecord, Mode, Origin, RoundRecord, Summary

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

JOULES = ("compute_j", "tx_j", "rx_j", "idle_j")
SECONDS = ("down_s", "compute_s", "up_s")


@dataclass(frozen=True)
class DeviceTotal:
    """One device over a whole run.

    Accuracies are of its last evaluated round, bytes and joules are sums over
    the run, ``seconds`` is the mean of down, compute and up over the rounds in
    which all three are known, ``outcomes`` counts rounds.
    """

    last: DeviceRecord
    rounds: int
    accuracy_test: float | None
    accuracy_own: float | None
    up: Bytes
    down: Bytes
    seconds: float | None
    joules: float | None
    outcomes: Mapping[str, int]


def device_totals(records: Iterable[DeviceRecord]) -> list[DeviceTotal]:
    """Return the totals of each device, in the order of names."""
    by_name: dict[str, list[DeviceRecord]] = {}
    for record in sorted(records, key=lambda record: (record.device, record.round)):
        by_name.setdefault(record.device, []).append(record)
    return [_total(rows) for rows in by_name.values()]


def joules(record: DeviceRecord) -> float | None:
    """Return the sum of what is known of a record's joules; None where nothing is."""
    known = [part for part in (getattr(record, name) for name in JOULES) if part is not None]
    return sum(known) if known else None


def seconds(record: DeviceRecord) -> float | None:
    """Return down, compute and up of a record together; None unless all are known."""
    parts = [getattr(record, name) for name in SECONDS]
    return None if None in parts else sum(parts)


def mean(values: Iterable[float | None]) -> float | None:
    """Return the mean of the values that are known; None where none is."""
    known = [value for value in values if value is not None]
    return fmean(known) if known else None


def summarise(
    name: str,
    rounds: Sequence[RoundRecord],
    devices: Sequence[DeviceRecord],
    *,
    mode: Mode,
    method: str,
    seed: int,
    one_time_proxy_bytes: int = 0,
    one_time_bundle_bytes: int = 0,
    origins: Mapping[str, Origin] | None = None,
) -> Summary:
    """Return the summary of a run from its records.

    ``origins`` says where accuracy, payload, on_air, seconds and joules come
    from; what it does not say is taken from the mode: accuracies and coded
    bytes are measured in both, seconds are modelled where simulated, bytes
    below the frame are always modelled (nobody taps the link), joules are
    modelled where there are any.
    """
    totals = device_totals(devices)
    count = max(len(totals), 1)
    known_joules = mean(total.joules for total in totals)
    said: dict[str, Origin] = {
        "accuracy": "measured",
        "payload": "measured",
        "on_air": "modelled",
        "seconds": "modelled" if mode == "simulated" else "measured",
        "joules": "not measured" if known_joules is None else "modelled",
    }
    return Summary(
        run=name,
        mode=mode,
        method=method,
        seed=seed,
        devices=len(totals),
        rounds=len(rounds),
        rounds_failed=sum(record.status == "failed" for record in rounds),
        accuracy_test=_last_accuracy(devices, "accuracy_test"),
        accuracy_own=_last_accuracy(devices, "accuracy_own"),
        accuracy_server=next(
            (
                record.server_accuracy
                for record in sorted(rounds, key=lambda record: -record.round)
                if record.server_accuracy is not None
            ),
            None,
        ),
        up=_share(sum((total.up for total in totals), Bytes()), count),
        down=_share(sum((total.down for total in totals), Bytes()), count),
        one_time_proxy_bytes=one_time_proxy_bytes,
        one_time_bundle_bytes=one_time_bundle_bytes,
        seconds_per_round=mean(record.closed_s - record.opened_s for record in rounds) or 0.0,
        joules_per_device=known_joules,
        origins={**said, **(origins or {})},
        lost_messages=_lost(devices),
    )


def _lost(devices: Sequence[DeviceRecord]) -> dict[str, int]:
    found: Counter[str] = Counter()
    for record in devices:
        found.update(record.lost_messages)
    return dict(sorted(found.items()))


def _total(rows: Sequence[DeviceRecord]) -> DeviceTotal:
    spent = [joules(row) for row in rows]
    outcomes: dict[str, int] = {}
    for row in rows:
        outcomes[row.outcome] = outcomes.get(row.outcome, 0) + 1
    return DeviceTotal(
        last=rows[-1],
        rounds=len(rows),
        accuracy_test=_last(rows, "accuracy_test"),
        accuracy_own=_last(rows, "accuracy_own"),
        up=sum((row.up for row in rows), Bytes()),
        down=sum((row.down for row in rows), Bytes()),
        seconds=mean(seconds(row) for row in rows),
        joules=None if mean(spent) is None else sum(value or 0.0 for value in spent),
        outcomes=outcomes,
    )


def _last(rows: Sequence[DeviceRecord], name: str) -> float | None:
    for row in reversed(rows):
        value: float | None = getattr(row, name)
        if value is not None:
            return value
    return None


def _last_accuracy(devices: Sequence[DeviceRecord], name: str) -> float | None:
    """Return the mean over devices in the last round in which any was evaluated."""
    known = [row for row in devices if getattr(row, name) is not None]
    if not known:
        return None
    last = max(row.round for row in known)
    return fmean(getattr(row, name) for row in known if row.round == last)


def _share(total: Bytes, count: int) -> Bytes:
    return Bytes(
        payload=round(total.payload / count),
        envelope=round(total.envelope / count),
        mqtt=round(total.mqtt / count),
        tcp_ip=round(total.tcp_ip / count),
        paper_bits=round(total.paper_bits / count),
    )
